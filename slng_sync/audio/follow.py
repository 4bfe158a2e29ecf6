"""Follow a file that is still being written, as ``tail -f`` does.

Existing audio is delivered at once, new audio when it is written. Recorders write the sizes into a WAV header
when they finish, and some also update them while they record. So a file is finished once its header announces
exactly the audio that was read, and neither has changed for ``UNCHANGED_SECONDS``.
"""

import os
import threading
import time
from dataclasses import dataclass
from typing import BinaryIO, Callable, Iterator, NamedTuple, Optional, Union

from ..errors import AudioError
from .file import is_audio_file, open_file
from .format import AudioFormat
from .paced import CHUNK_SECONDS
from .wav import UNKNOWN_SIZE, parse_fmt, read_exactly, read_header

__all__ = ["FollowedFile"]

Path = Union[str, "os.PathLike[str]"]

POLL_SECONDS = 0.1
UNCHANGED_SECONDS = 5.0
"""How long a file must be unchanged before it counts as finished."""
HEADER_SECONDS = 5.0
"""How long to wait for a complete header."""
MAX_REST_SECONDS = 5.0
"""After a stop, remaining audio up to this length is still read. A longer backlog is dropped."""
HEAD_BYTES = 12

HINT = "Only WAV and raw PCM files can be followed. Transcribe other files once they are finished."


@dataclass(frozen=True)
class _Layout:
    """The position and encoding of the samples in a file: ``frame_bytes`` per frame from byte ``start``."""

    audio_format: AudioFormat
    start: int
    frame_bytes: int
    decode: Callable[[bytes], bytes]
    is_wav: bool


class FollowedFile:
    """A source for a WAV or raw PCM file that another program is still writing.

    It ends when it is stopped, or when the header of a WAV file shows that the file is finished.
    ``raw_format`` is the format of a raw PCM file. Raises ``AudioError`` if the file cannot be followed, if
    its header is not complete within ``HEADER_SECONDS``, or if it is truncated, removed or replaced.
    """

    live = False
    duration: Optional[float] = None

    def __init__(self, path: Path, raw_format: Optional[AudioFormat]) -> None:
        self._path = path
        self._raw_format = raw_format
        self._stopped = threading.Event()
        with open_file(path, buffered=False) as file:
            self.audio_format = self._wait_for_layout(file, self._stopped).audio_format

    def __iter__(self) -> Iterator[bytes]:
        # Each iteration has its own event: ``stop`` ends the current iteration and not the next one.
        self._stopped = threading.Event()
        return self._chunks(self._stopped)

    def stop(self) -> None:
        """End the current iteration after the audio written so far. Any thread may call this."""
        self._stopped.set()

    def _chunks(self, stopped: threading.Event) -> Iterator[bytes]:
        with open_file(self._path, buffered=False) as file:
            layout = self._wait_for_layout(file, stopped)
            if layout.audio_format != self.audio_format:
                raise _replaced_error(self._path)
            tail = _Tail(file, self._path, layout)
            while not stopped.is_set():
                yield from tail.chunks(stopped)
                if tail.is_finished():
                    return
                stopped.wait(POLL_SECONDS)
            yield from tail.chunks(stopped)

    def _wait_for_layout(self, file: BinaryIO, stopped: threading.Event) -> _Layout:
        """Return the layout of the file. Wait for the header if it is not complete."""
        deadline = time.monotonic() + HEADER_SECONDS
        while True:
            time_is_up = time.monotonic() >= deadline
            layout = _find_layout(file, str(self._path), self._raw_format, time_is_up)
            if layout is not None:
                return layout
            if time_is_up or stopped.wait(POLL_SECONDS):
                raise AudioError(
                    f"{self._path} has no complete WAV header after {HEADER_SECONDS:g} s.",
                    hint="Start the recording before following it. If it is raw PCM, set sample_rate.",
                )


def _find_layout(
    file: BinaryIO, name: str, raw_format: Optional[AudioFormat], time_is_up: bool
) -> Optional[_Layout]:
    """Return the layout of the file, or None if too little of it has been written."""
    file.seek(0)
    head = read_exactly(file, HEAD_BYTES)
    if len(head) == HEAD_BYTES and head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _wav_layout(file, name)
    if is_audio_file(head, name) and len(head) == HEAD_BYTES:
        raise AudioError(f"{name} has a file format that cannot be followed.", hint=HINT)
    if raw_format is not None and (len(head) == HEAD_BYTES or time_is_up):
        return _Layout(raw_format, 0, raw_format.frame_bytes, bytes, is_wav=False)
    if len(head) == HEAD_BYTES:
        raise AudioError(
            f"{name} cannot be followed: it is not a WAV file.",
            hint="If it is raw PCM, set sample_rate.",
        )
    return None


def _wav_layout(file: BinaryIO, name: str) -> Optional[_Layout]:
    file.seek(0)
    header = read_header(file)
    if header is None:
        return None
    wav = parse_fmt(name, header.fmt, None)
    if wav.decode is None:
        raise AudioError(
            f"{name} is a WAV file with compressed samples, which cannot be followed.", hint=HINT
        )
    return _Layout(wav.audio_format, header.data_start, wav.frame_bytes, wav.decode, is_wav=True)


class _Status(NamedTuple):
    """The size of the file, and the byte at which its samples end, or None if it is not finished."""

    size: int
    finished_at: Optional[int]

    @property
    def end(self) -> int:
        """Return the byte up to which there is audio."""
        return self.size if self.finished_at is None else self.finished_at


class _Tail:
    """The growing end of a file, and the position up to which it was read."""

    def __init__(self, file: BinaryIO, path: Path, layout: _Layout) -> None:
        self._file = file
        self._path = path
        self._layout = layout
        self._position = layout.start
        self._last: Optional[_Status] = None
        self._unchanged_since = 0.0

    def chunks(self, stopped: threading.Event) -> Iterator[bytes]:
        """Yield the audio written so far. Leave an incomplete frame for the next call."""
        layout = self._layout
        end = self._status().end
        block_bytes = layout.audio_format.frames(CHUNK_SECONDS) * layout.frame_bytes
        max_rest = layout.audio_format.frames(MAX_REST_SECONDS) * layout.frame_bytes
        self._file.seek(self._position)
        while end - self._position >= layout.frame_bytes:
            if stopped.is_set() and end - self._position > max_rest:
                return
            block = read_exactly(self._file, min(block_bytes, end - self._position))
            whole = len(block) - len(block) % layout.frame_bytes
            self._position += whole
            if whole:
                yield layout.decode(block[:whole])
            if whole < block_bytes:
                return

    def is_finished(self) -> bool:
        """Return whether the file is finished and fully read. Raises ``AudioError`` if it is gone."""
        # Check this first: audio that was written before the file was moved away can still be read.
        is_gone = self._is_gone()
        status, now = self._status(), time.monotonic()
        if status != self._last:
            self._last, self._unchanged_since = status, now
        if status.end - self._position >= self._layout.frame_bytes:
            return False
        if status.finished_at is not None:
            return is_gone or now - self._unchanged_since >= UNCHANGED_SECONDS
        if is_gone:
            raise _replaced_error(self._path)
        return False

    def _status(self) -> _Status:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._position:
            raise AudioError(
                f"{self._path} was truncated while it was being followed.",
                hint="The audio before that was read. Check whether the recording was restarted.",
            )
        return _Status(size, self._finished_at(size) if self._layout.is_wav else None)

    def _finished_at(self, size: int) -> Optional[int]:
        """Return the byte at which the samples end, or None if the header is not final."""
        riff_bytes = self._uint32_at(4)
        data_bytes = self._uint32_at(self._layout.start - 4)
        end = self._layout.start + data_bytes
        if data_bytes == 0 or data_bytes >= UNKNOWN_SIZE or end > size:
            return None
        # If other chunks follow the samples, compare with the size of the whole file.
        return end if size in (end, riff_bytes + 8) else None

    def _uint32_at(self, position: int) -> int:
        self._file.seek(position)
        return int.from_bytes(read_exactly(self._file, 4), "little")

    def _is_gone(self) -> bool:
        """Return whether the path now refers to another file, or to none."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            return True


def _replaced_error(path: Path) -> AudioError:
    return AudioError(
        f"{path} was removed or replaced while it was being followed.",
        hint="The audio before that was read. Follow the new file, if there is one.",
    )
