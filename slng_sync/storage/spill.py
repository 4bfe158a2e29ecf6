"""The spill: the store on disk for a send queue that is full during an outage.

A session creates its own folder on first use, ``20260131-093000-4711-RANDOM``: the time, the process id and a
random part. The folder holds WAV files of one minute, named after the second of the session at which they
begin. A file is removed once its audio is settled, and the folder with its last file.

A session that ended early, or whose process was killed, leaves files that can be transcribed::

    for path in sorted(Path("FOLDER").glob("*/*.wav")):
        print(client.transcribe(path).text)

``slng-writer`` does all disk access. No file stays open between two chunks. The header of a file is updated
with every chunk.
"""

import contextlib
import errno
import itertools
import os
import shutil
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple

from ..audio.format import AudioFormat
from ..audio.wav_writer import HEADER_BYTES, wav_header
from ..waiting import NEVER
from .files import create_beside, open_to_append, open_to_read, reason_of, stopped
from .writer import FileWriter

__all__ = ["Spill", "StoredAudio"]

FILE_SECONDS = 60.0
READ_AHEAD_SECONDS = 10.0
LONGEST_MESSAGE = 1.0
"""Seconds of audio that one message may have, at least."""
HELD_BYTES = 8_000_000
"""The most audio in memory that is not written yet, in bytes."""
LEAST_FREE = 100_000_000
"""Bytes of free space to leave on the disk."""

TOO_SLOW = "the disk is too slow"
NO_WRITER = "the writer thread has ended"
LEFT = "Free some disk space, or use another folder next time. The audio written so far can be read."


class StoredAudio:
    """A part of a spill. ``start`` is in frames, ``size`` and ``len()`` are in bytes."""

    __slots__ = ("size", "spill", "start")

    def __init__(self, spill: "Spill", start: int, size: int) -> None:
        self.spill = spill
        self.start = start
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> "StoredAudio":
        start, stop, _ = part.indices(self.size)
        return StoredAudio(self.spill, self.start + self.spill.frames(start), max(0, stop - start))

    def load(self) -> Optional[bytes]:
        """Return the audio, or None while it is read from disk. Raises ``OSError`` if that fails."""
        return self.spill.load(self.start, self.start + self.spill.frames(self.size))

    def joined(self, later: object) -> "Optional[StoredAudio]":
        """Return both parts as one if ``later`` follows directly, up to one minute, the length of a file."""
        if not isinstance(later, StoredAudio) or later.spill is not self.spill:
            return None
        frames = self.spill.frames(self.size)
        if later.start != self.start + frames or frames >= self.spill.file_frames:
            return None
        return StoredAudio(self.spill, self.start, self.size + later.size)


class Spill:
    """A session's folder of WAV files in ``folder``: the store of its send queue. Positions are in frames.

    Any thread calls ``keep``, ``settle``, ``leave`` and ``load``; they never wait for the disk. Audio stays
    in memory until ``slng-writer`` has written it, at most ``HELD_BYTES``. A failed write is repeated
    with the next chunk. The writer's wake-up is set once audio that ``load`` asked for is in memory.
    """

    def __init__(self, folder: str, audio_format: AudioFormat, writer: FileWriter) -> None:
        self.trouble = ""
        self.file_frames = audio_format.frames(FILE_SECONDS)
        self._width = audio_format.frame_bytes
        self._read_ahead = audio_format.frames(READ_AHEAD_SECONDS)
        self._longest_message = audio_format.frames(LONGEST_MESSAGE)
        self._writer = writer
        self._folder = _Folder(folder, audio_format, self.file_frames, writer)
        self._lock = threading.RLock()
        # Under the lock. ``slng-writer`` alone uses the folder.
        self._unwritten = _Blocks(self._width)
        self._loaded = _Blocks(self._width)
        self._is_queued = False
        self._settled = 0
        self._written = 0
        # Where the first file ends. Set by ``slng-writer`` alone, before it looks at ``_settled`` again.
        self._removable_at = NEVER
        self._failure = ""
        self._wanted: Optional[int] = None
        self._is_needed = False
        self._unreadable: Optional[Tuple[int, OSError]] = None

    def frames(self, size: int) -> int:
        """Convert bytes to frames."""
        return size // self._width

    # Any thread.

    def keep(self, position: int, pcm: bytes) -> Optional[StoredAudio]:
        """Keep the audio that begins at ``position``. Return None if the disk is behind: see ``trouble``."""
        if not pcm:
            return None
        with self._lock:
            if self._unwritten.size + len(pcm) > HELD_BYTES:
                self.trouble = self._failure or TOO_SLOW
                stored = None
            else:
                self.trouble = ""
                self._unwritten.add(position, pcm)
                stored = StoredAudio(self, position, len(pcm))
            self._queue_work()
        return stored

    def settle(self, position: int) -> None:
        """Drop the audio before ``position``, and remove the files that end before it."""
        with self._lock:
            self._settled = max(self._settled, position)
            self._unwritten.remove_until(position)
            self._loaded.remove_until(position)
            if position >= self._removable_at:
                self._queue_work()

    def leave(self, audio: Sequence[Tuple[int, bytes]]) -> None:
        """Keep this audio too, whatever its size, and leave all audio on disk: the session is over.

        Audio that cannot be written is reported to the ``FileWriter``.
        """
        with self._lock:
            for position, pcm in audio:
                self._unwritten.add(position, pcm)
            rest = _Rest(self, self._writer)
            self._writer.add(rest)
            self._queue_work()
            rest.close()

    def load(self, start: int, end: int) -> Optional[bytes]:
        """Return the audio from ``start`` to ``end``, or None while it is read from disk.

        Audio after ``end`` is read ahead. Raises ``OSError`` if the audio cannot be read.
        """
        with self._lock:
            # A message may need several pieces: those before this one stay until it has all of them.
            self._loaded.remove_until(start - self._longest_message)
            parts: List[bytes] = []
            at = start
            while at < end:
                part = self._loaded.part(at, end) or self._unwritten.part(at, end)
                if not part:
                    self._need(start, at)
                    return None
                parts.append(part)
                at += self.frames(len(part))
            self._read_on(end)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def folder(self) -> str:
        """The path of the session's folder, or of its parent if it has none yet."""
        return self._folder.path or self._folder.parent

    def _need(self, start: int, missing: int) -> None:
        """Request the audio at ``missing``, which is next to be sent."""
        if self._unreadable is not None:
            (position, error), self._unreadable = self._unreadable, None
            if position == missing:
                raise error
        if missing == start and self._loaded.end != missing:
            # A new connection starts at ``start``, or there was a gap before it.
            self._loaded.clear()
        self._is_needed = True
        self._want(missing)

    def _read_on(self, end: int) -> None:
        """Request the audio after the loaded part before all of that is used."""
        loaded = self._loaded.end
        if self._loaded.size and loaded - end < self._read_ahead // 2 and loaded < self._written:
            self._want(loaded)

    def _want(self, position: int) -> None:
        if self._wanted != position:
            self._wanted = position
            self._queue_work()

    def _queue_work(self) -> None:
        if not self._is_queued:
            self._is_queued = self._writer.submit(self._work)
            if not self._is_queued:
                self._failure = NO_WRITER

    # The thread ``slng-writer``.

    def _work(self) -> None:
        """Read requested audio, remove settled files and write kept audio until nothing is left to do."""
        with self._lock:
            self._is_queued = False
        is_done = False
        while not is_done:
            self._read()
            self._folder.remove_until(self._settled)
            is_done = not self._write() and self._wanted is None
            self._removable_at = self._folder.first_end

    def _read(self) -> None:
        with self._lock:
            wanted = self._wanted
        if wanted is None:
            return
        pcm, failure = b"", None
        try:
            pcm = self._folder.read(wanted, self._read_ahead)
        except OSError as error:
            failure = error
        with self._lock:
            if self._wanted != wanted:
                return
            self._wanted, is_needed, self._is_needed = None, self._is_needed, False
            if failure is None:
                self._loaded.add(wanted, pcm)
            elif is_needed:
                self._unreadable = (wanted, failure)
        self._writer.wake_up()

    def _write(self) -> bool:
        """Write the first kept chunk. Return False if there is none or the write fails."""
        with self._lock:
            first = self._unwritten.first
        if first is None:
            return False
        position, pcm = first
        try:
            self._folder.write(position, pcm)
        except OSError as error:
            with self._lock:
                self._failure = reason_of(error)
            return False
        with self._lock:
            self._failure = ""
            self._written = position + self.frames(len(pcm))
            # The chunk may have been settled during the write.
            self._unwritten.remove(position)
        return True

    def finish(self) -> None:
        """Write the remaining audio, and report what cannot be written.

        ``slng-writer`` calls it at the end.
        """
        self._work()
        with self._lock:
            frames, failure = self.frames(self._unwritten.size), self._failure or TOO_SLOW
            self._unwritten.clear()
        if frames and not self._writer.is_abandoned:
            self._writer.report(stopped("spill", self.folder, failure, LEFT))


class _Rest:
    """The audio that a session leaves in its spill. The writer is not done before it is written."""

    option = "spill"

    def __init__(self, spill: Spill, writer: FileWriter) -> None:
        self._spill = spill
        self._writer = writer
        self._is_closed = False

    @property
    def name(self) -> str:
        """The folder."""
        return self._spill.folder

    def close(self) -> None:
        """Queue the report."""
        if not self._is_closed:
            self._is_closed = True
            self._writer.submit(self._finish)

    def release(self) -> None:
        """Do nothing: no file stays open."""

    def _finish(self) -> None:
        self._spill.finish()
        self._writer.remove(self)


class _Blocks:
    """Chunks of audio in memory in the order of their positions. No lock of its own."""

    def __init__(self, width: int) -> None:
        self.size = 0
        self._width = width
        self._starts: List[int] = []
        self._chunks: List[bytes] = []

    @property
    def first(self) -> Optional[Tuple[int, bytes]]:
        """The first chunk with its position."""
        return (self._starts[0], self._chunks[0]) if self._starts else None

    @property
    def end(self) -> int:
        """The end of the last chunk."""
        return self._end(-1) if self._starts else 0

    def add(self, position: int, pcm: bytes) -> None:
        """Add a chunk, usually at the end."""
        at = bisect_right(self._starts, position)
        self._starts.insert(at, position)
        self._chunks.insert(at, pcm)
        self.size += len(pcm)

    def part(self, start: int, end: int) -> bytes:
        """Return the audio from ``start`` to ``end`` or to the end of its chunk, empty if there is none."""
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self._end(at) <= start:
            return b""
        first = self._starts[at]
        return self._chunks[at][(start - first) * self._width : (end - first) * self._width]

    def remove_until(self, position: int) -> None:
        """Remove the chunks that end at ``position`` or before it."""
        count = 0
        while count < len(self._starts) and self._end(count) <= position:
            self.size -= len(self._chunks[count])
            count += 1
        del self._starts[:count], self._chunks[:count]

    def remove(self, position: int) -> None:
        """Remove the chunk that begins at ``position``, if there is one."""
        at = bisect_left(self._starts, position)
        if at < len(self._starts) and self._starts[at] == position:
            self.size -= len(self._chunks[at])
            del self._starts[at], self._chunks[at]

    def clear(self) -> None:
        """Remove everything."""
        self._starts.clear()
        self._chunks.clear()
        self.size = 0

    def _end(self, at: int) -> int:
        return self._starts[at] + len(self._chunks[at]) // self._width


class _Folder:
    """The folder and its files. ``slng-writer`` alone uses it; all methods raise ``OSError``."""

    def __init__(self, parent: str, audio_format: AudioFormat, file_frames: int, writer: FileWriter) -> None:
        self.parent = parent
        self.path: Optional[str] = None
        self._format = audio_format
        self._file_bytes = file_frames * audio_format.frame_bytes
        self._writer = writer
        self._files: Deque[_SpillFile] = deque()

    @property
    def first_end(self) -> float:
        """The end of the first file, infinity if there is no file."""
        return self._files[0].end if self._files else NEVER

    def write(self, position: int, pcm: bytes) -> None:
        """Append audio to the last file, or to a new one if the audio does not follow directly."""
        self._writer.check()
        try:
            if shutil.disk_usage(self.parent).free < LEAST_FREE + len(pcm):
                raise OSError(errno.ENOSPC, f"less than {LEAST_FREE // 1_000_000} MB are free")
            self._file_at(position).append(pcm)
        except OSError:
            if not self._writer.is_abandoned:
                self._leave_file()
            raise

    def read(self, position: int, frames: int) -> bytes:
        """Return the audio at ``position``, up to ``frames`` or the end of its file, at least one frame."""
        self._writer.check()
        for file in self._files:
            if file.start <= position < file.end:
                return file.read(position, frames)
        raise OSError(errno.ENOENT, "the audio is not on disk")

    def remove_until(self, position: int) -> None:
        """Remove the files that end at ``position`` or before it, and the folder with the last of them."""
        while self._files and self._files[0].end <= position and not self._writer.is_abandoned:
            self._remove(self._files.popleft())

    def _file_at(self, position: int) -> "_SpillFile":
        last = self._files[-1] if self._files else None
        if last is not None and last.end == position and not last.is_full:
            return last
        if self.path is None or os.path.islink(self.path) or not os.path.isdir(self.path):
            # A new folder with an unpredictable name, readable only by its owner.
            prefix = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-"
            self.path = tempfile.mkdtemp(prefix=prefix, dir=self.parent)
        name = os.path.join(self.path, f"{self._format.seconds(position):010.3f}.wav")
        file = _SpillFile(name, self._format, position, self._file_bytes, self._writer)
        self._files.append(file)
        return file

    def _leave_file(self) -> None:
        """Stop using the last file after a failed write. Its header still matches its audio."""
        if self._files and self._files[-1].is_empty:
            self._remove(self._files.pop())
        elif self._files:
            self._files[-1].is_full = True
        else:
            self._remove_folder()

    def _remove(self, file: "_SpillFile") -> None:
        with contextlib.suppress(OSError):
            os.unlink(file.path)
        if not self._files:
            self._remove_folder()

    def _remove_folder(self) -> None:
        path, self.path = self.path, None
        if path is not None:
            with contextlib.suppress(OSError):
                os.rmdir(path)


class _SpillFile:
    """One WAV file without gaps, from ``start`` to ``end``. The first ``append`` creates it."""

    def __init__(
        self, path: str, audio_format: AudioFormat, start: int, full_at: int, writer: FileWriter
    ) -> None:
        self.path = path
        self.start = self.end = start
        self.is_full = False
        self._format = audio_format
        self._full_at = full_at
        self._writer = writer
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether the file has no audio."""
        return self._size == 0

    def append(self, pcm: bytes) -> None:
        """Write audio, then update the header."""
        if self.is_empty:
            file, self.path = create_beside(self.path, itertools.count(1))
        else:
            file = open_to_append(self.path)
        with file:
            file.seek(HEADER_BYTES + self._size)
            self._writer.write(file, pcm)
            file.seek(0)
            self._writer.write(file, wav_header(self._format, self._size + len(pcm)))
        self._size += len(pcm)
        self.end += len(pcm) // self._format.frame_bytes
        self.is_full = self._size >= self._full_at

    def read(self, position: int, frames: int) -> bytes:
        """Return up to ``frames`` frames at ``position``, at least one. Raises ``OSError``."""
        width = self._format.frame_bytes
        with open_to_read(self.path) as file:
            file.seek(HEADER_BYTES + (position - self.start) * width)
            pcm = file.read(min(frames, self.end - position) * width)
        pcm = pcm[: len(pcm) // width * width]
        if not pcm:
            raise OSError(errno.EIO, "the file is shorter than it was", self.path)
        return pcm
