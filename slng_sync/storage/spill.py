"""Audio on disk: what has no room in the send queue while there is no connection.

A session makes a folder of its own when it needs one, named after the time, the process and a count. In it
stand WAV files of a minute each, named after the second of the session at which they begin. A file goes when
its audio is settled, the folder with its last file.

What a session leaves that ended too early, or whose process was killed, can be played, and transcribed::

    for path in sorted(Path("FOLDER").glob("*/*.wav")):
        print(client.transcribe(path).text)

No file stays open: each is opened for each piece, and its header says at once how long it is.
"""

import contextlib
import errno
import itertools
import os
import shutil
import time
from collections import deque
from dataclasses import dataclass
from typing import Deque, Optional

from ..audio.format import AudioFormat
from ..audio.wav_writer import HEADER_BYTES, wav_header, write_whole

__all__ = ["Spill", "StoredAudio"]

FILE_SECONDS = 60.0
LEAST_FREE = 100_000_000
"""Bytes that are left to others on the disk."""

_count = itertools.count(1)


@dataclass(frozen=True)
class StoredAudio:
    """A piece of a file, used as bytes are. Reading it raises ``OSError``."""

    path: str
    offset: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> "StoredAudio":
        start, stop, _ = part.indices(self.size)
        return StoredAudio(self.path, self.offset + start, max(0, stop - start))

    def __bytes__(self) -> bytes:
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            pcm = file.read(self.size)
        if len(pcm) < self.size:
            raise OSError(errno.EIO, "the file is shorter than it was", self.path)
        return pcm

    def joined(self, later: object) -> "Optional[StoredAudio]":
        """Both as one, where they lie together."""
        if not isinstance(later, StoredAudio) or later.path != self.path:
            return None
        together = self.offset + self.size == later.offset
        return StoredAudio(self.path, self.offset, self.size + later.size) if together else None


class Spill:
    """A session's folder of WAV files in ``folder``: the store of its send queue. Positions are in frames."""

    def __init__(self, folder: str, audio_format: AudioFormat) -> None:
        begun = time.strftime("%Y%m%d-%H%M%S")
        self.folder = os.path.join(folder, f"{begun}-{os.getpid()}-{next(_count)}")
        self.trouble = ""
        self._parent = folder
        self._format = audio_format
        self._files: Deque[_SpillFile] = deque()

    def keep(self, position: int, pcm: bytes) -> Optional[StoredAudio]:
        """Write audio; None where the disk does not take it, for the reason that is in ``trouble``."""
        try:
            if shutil.disk_usage(self._parent).free < LEAST_FREE + len(pcm):
                raise OSError(errno.ENOSPC, f"less than {LEAST_FREE // 1_000_000} MB are free")
            stored = self._file_at(position).append(pcm)
        except OSError as error:
            self.trouble = error.strerror or type(error).__name__
            self._leave_file()
            return None
        self.trouble = ""
        return stored

    def settle(self, position: int) -> None:
        """Remove the files that end before ``position``, and the folder with the last of them."""
        while self._files and self._files[0].end <= position:
            self._remove(self._files.popleft())

    def _file_at(self, position: int) -> "_SpillFile":
        last = self._files[-1] if self._files else None
        if last is not None and not last.is_full and last.end == position:
            return last
        with contextlib.suppress(FileExistsError):
            # What was spoken is not for everybody on this computer.
            os.mkdir(self.folder, 0o700)
        name = f"{self._format.seconds(position):010.3f}.wav"
        self._files.append(_SpillFile(os.path.join(self.folder, name), self._format, position))
        return self._files[-1]

    def _leave_file(self) -> None:
        """Write no more into the last file, which has not taken what it should; what it has counts."""
        if self._files and self._files[-1].is_empty:
            self._remove(self._files.pop())
        elif self._files:
            self._files[-1].is_full = True

    def _remove(self, file: "_SpillFile") -> None:
        with contextlib.suppress(OSError):
            os.unlink(file.path)
        if not self._files:
            with contextlib.suppress(OSError):
                os.rmdir(self.folder)


class _SpillFile:
    """One WAV file without gaps; ``end`` is its end on the session's clock. Made by the first ``append``."""

    def __init__(self, path: str, audio_format: AudioFormat, start: int) -> None:
        self.path = path
        self.end = start
        self.is_full = False
        self._format = audio_format
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written into it."""
        return self._size == 0

    def append(self, pcm: bytes) -> StoredAudio:
        """Write audio, then the header that counts it in. Raises ``OSError``."""
        offset = HEADER_BYTES + self._size
        with open(self.path, "wb" if self.is_empty else "r+b", buffering=0) as file:
            file.seek(offset)
            write_whole(file, pcm)
            file.seek(0)
            file.write(wav_header(self._format, self._size + len(pcm)))
        self._size += len(pcm)
        self.end += len(pcm) // self._format.frame_bytes
        self.is_full = self._size >= self._format.frames(FILE_SECONDS) * self._format.frame_bytes
        return StoredAudio(self.path, offset, len(pcm))
