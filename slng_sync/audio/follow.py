"""A file that is still being written, read to its end and beyond, as ``tail -f`` does.

What was there before goes at once, the rest as it comes. Recorders put the sizes into a WAV's header when
they have finished; some put them in again and again meanwhile. So a file has ended once its header announces
just what was read, and neither has changed for a while.
"""

import os
import threading
import time
from dataclasses import dataclass
from typing import BinaryIO, Callable, Iterator, NamedTuple, Optional, Union

from ..errors import AudioError
from .file import is_recording, opened
from .format import AudioFormat
from .paced import CHUNK_SECONDS
from .wav import UNKNOWN_SIZE, described, read_exactly, read_header

__all__ = ["FollowedFile"]

Path = Union[str, "os.PathLike[str]"]

POLL_SECONDS = 0.1
QUIET_SECONDS = 5.0
"""How long nothing may have changed in a file that looks finished."""
HEADER_SECONDS = 5.0
"""How long a header that is not all there yet is waited for."""
LAST_SECONDS = 5.0
"""As much as this is still heard when it is stopped; more than that was not caught up with."""
HEAD_BYTES = 12

HINT = "Only WAV and raw PCM can be followed: transcribe it once it is finished."


@dataclass(frozen=True)
class _Samples:
    """How the samples lie in a file: from byte ``begin`` on, ``frame_bytes`` for each frame."""

    audio_format: AudioFormat
    begin: int
    frame_bytes: int
    decode: Callable[[bytes], bytes]
    is_wav: bool


class FollowedFile:
    """A source: the audio of a WAV or raw PCM file that somebody else is still writing.

    It ends when it is stopped, or when the header of a WAV says that it is finished. ``raw_format`` is the
    format of a file that is raw PCM. Raises AudioError where the file cannot be followed, when its header
    does not come within some seconds, and when it is truncated, removed or replaced meanwhile.
    """

    live = False
    duration: Optional[float] = None

    def __init__(self, path: Path, raw_format: Optional[AudioFormat]) -> None:
        self._path = path
        self._raw_format = raw_format
        self._stopped = threading.Event()
        with opened(path, buffered=False) as file:
            self.audio_format = self._samples_of(file, self._stopped).audio_format

    def __iter__(self) -> Iterator[bytes]:
        # An event for each iteration: what was stopped stays stopped, what begins later is not touched.
        self._stopped = threading.Event()
        return self._chunks(self._stopped)

    def stop(self) -> None:
        """End the iteration under way, with what was written so far; callable from any thread."""
        self._stopped.set()

    def _chunks(self, stopped: threading.Event) -> Iterator[bytes]:
        with opened(self._path, buffered=False) as file:
            samples = self._samples_of(file, stopped)
            if samples.audio_format != self.audio_format:
                raise _gone(self._path)
            tail = _Tail(file, self._path, samples)
            while not stopped.is_set():
                yield from tail.pieces(stopped)
                if tail.has_ended():
                    return
                stopped.wait(POLL_SECONDS)
            yield from tail.pieces(stopped)

    def _samples_of(self, file: BinaryIO, stopped: threading.Event) -> _Samples:
        """Find out how the samples lie, waiting for the header where it is still to come."""
        until = time.monotonic() + HEADER_SECONDS
        while True:
            time_is_up = time.monotonic() >= until
            samples = _samples(file, str(self._path), self._raw_format, time_is_up)
            if samples is not None:
                return samples
            if time_is_up or stopped.wait(POLL_SECONDS):
                raise AudioError(
                    f"{self._path} has no whole WAV header after {HEADER_SECONDS:g} s.",
                    hint="Start to record before it is followed. If it is raw PCM, give its sample_rate.",
                )


def _samples(
    file: BinaryIO, name: str, raw_format: Optional[AudioFormat], time_is_up: bool
) -> Optional[_Samples]:
    """How the samples lie, as far as it can be told by now."""
    file.seek(0)
    head = read_exactly(file, HEAD_BYTES)
    if len(head) == HEAD_BYTES and head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _wav_samples(file, name)
    if is_recording(head, name) and len(head) == HEAD_BYTES:
        raise AudioError(f"{name} is a kind of file that cannot be followed.", hint=HINT)
    if raw_format is not None and (len(head) == HEAD_BYTES or time_is_up):
        return _Samples(raw_format, 0, raw_format.frame_bytes, bytes, is_wav=False)
    if len(head) == HEAD_BYTES:
        raise AudioError(
            f"{name} cannot be followed: it is no WAV file.",
            hint="If it is raw PCM, give its sample_rate.",
        )
    return None


def _wav_samples(file: BinaryIO, name: str) -> Optional[_Samples]:
    file.seek(0)
    header = read_header(file)
    if header is None:
        return None
    wav = described(name, header.fmt, None)
    if wav.decode is None:
        raise AudioError(f"{name} is a WAV file whose samples are compressed.", hint=HINT)
    return _Samples(wav.audio_format, header.begin, wav.frame_bytes, wav.decode, is_wav=True)


class _Look(NamedTuple):
    """A look at the file: its size, and where its samples end if it is finished; None where it is not."""

    size: int
    finished_at: Optional[int]

    @property
    def end(self) -> int:
        """How far there is audio."""
        return self.size if self.finished_at is None else self.finished_at


class _Tail:
    """The end of a file that grows, and how far it was read."""

    def __init__(self, file: BinaryIO, path: Path, samples: _Samples) -> None:
        self._file = file
        self._path = path
        self._samples = samples
        self._position = samples.begin
        self._last: Optional[_Look] = None
        self._unchanged_since = 0.0

    def pieces(self, stopped: threading.Event) -> Iterator[bytes]:
        """Read what is there by now. A frame of which only a part is there is left for later."""
        samples = self._samples
        end = self._look().end
        block_bytes = samples.audio_format.frames(CHUNK_SECONDS) * samples.frame_bytes
        little = samples.audio_format.frames(LAST_SECONDS) * samples.frame_bytes
        self._file.seek(self._position)
        while end - self._position >= samples.frame_bytes:
            if stopped.is_set() and end - self._position > little:
                return
            block = read_exactly(self._file, min(block_bytes, end - self._position))
            whole = len(block) - len(block) % samples.frame_bytes
            self._position += whole
            if whole:
                yield samples.decode(block[:whole])
            if whole < block_bytes:
                return

    def has_ended(self) -> bool:
        """Whether the writer has finished the file, and all of it was read. Raises AudioError if gone."""
        # Asked first: what was written before it was moved away is still there to be looked at.
        is_gone = self._is_gone()
        look, now = self._look(), time.monotonic()
        if look != self._last:
            self._last, self._unchanged_since = look, now
        if look.end - self._position >= self._samples.frame_bytes:
            return False
        if look.finished_at is not None:
            return is_gone or now - self._unchanged_since >= QUIET_SECONDS
        if is_gone:
            raise _gone(self._path)
        return False

    def _look(self) -> _Look:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._position:
            raise AudioError(
                f"{self._path} became shorter while it was followed.",
                hint="What was written before was read. Was it recorded anew?",
            )
        return _Look(size, self._finished_at(size) if self._samples.is_wav else None)

    def _finished_at(self, size: int) -> Optional[int]:
        """Where the samples end, if the header is one that was written last of all."""
        riff_bytes = self._number_at(4)
        data_bytes = self._number_at(self._samples.begin - 4)
        end = self._samples.begin + data_bytes
        if data_bytes == 0 or data_bytes >= UNKNOWN_SIZE or end > size:
            return None
        # Other chunks may follow the samples: then the size of the whole file tells.
        return end if size in (end, riff_bytes + 8) else None

    def _number_at(self, position: int) -> int:
        self._file.seek(position)
        return int.from_bytes(read_exactly(self._file, 4), "little")

    def _is_gone(self) -> bool:
        """Whether what stands under the name is another file by now, or nothing."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            return True


def _gone(path: Path) -> AudioError:
    return AudioError(
        f"{path} was removed or replaced while it was followed.",
        hint="What was written before was read. Follow the new file, if there is one.",
    )
