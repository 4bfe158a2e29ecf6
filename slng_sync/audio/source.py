"""Where audio comes from: anything a program has, as an AudioSource."""

import io
import os
import re
import threading
from typing import Any, Callable, Iterable, Iterator, Optional, Protocol, runtime_checkable

from ..errors import AudioError, ConfigurationError
from .convert import Audio, to_pcm
from .file import file_source, is_recording, path_source
from .format import AudioFormat
from .paced import PacedSource, check_speed, chunk_bytes, pcm_chunks

__all__ = ["AudioSource", "IterableSource", "ReadSource", "as_source"]

URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@runtime_checkable
class AudioSource(Protocol):
    """Something with an ``audio_format`` that yields audio: PCM bytes or arrays in that format.

    A source may have more, which a session uses where it is there:

    - ``live``: True where the source cannot wait, so that a session drops the oldest audio when it must.
    - ``check()``: raise where the source can't be had; called before anything is connected.
    - ``stop()``: end the iteration under way soon; callable from any thread.
    - ``join(timeout)``: wait until an iteration that has ended has given everything back.
    - ``duration``: how many seconds there are, or None.
    - ``adapt(sample_rate, channels)``: deliver this format, unless it was made with one of its own.
    - ``hear()``: iterate, with the source's events in between; a session uses it instead of the iteration.
      ``AudioLost`` and ``MicrophoneRestored.lost`` let the session's clock go on without audio.
    """

    audio_format: AudioFormat

    def __iter__(self) -> Iterator[Audio]: ...


class IterableSource:
    """Chunks from any iterable, at the pace at which it gives them.

    Chunks of bytes may be cut anywhere, even within a sample.
    """

    live = False
    duration: Optional[float] = None

    def __init__(self, chunks: Iterable[Audio], audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._chunks = chunks
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[Audio]:
        self._stopped = threading.Event()
        return self._whole_frames(self._stopped)

    def stop(self) -> None:
        """End the iteration under way before its next chunk; callable from any thread."""
        self._stopped.set()

    def _whole_frames(self, stopped: threading.Event) -> Iterator[Audio]:
        rest = b""
        for chunk in self._chunks:
            if stopped.is_set():
                return
            if not isinstance(chunk, (bytes, bytearray)):
                yield chunk
                continue
            pcm = rest + chunk if rest else bytes(chunk)
            cut = len(pcm) - len(pcm) % self.audio_format.frame_bytes
            rest = pcm[cut:]
            if cut:
                yield pcm[:cut]


class ReadSource(IterableSource):
    """Chunks from a ``read(n)``, which waits for about ``n`` bytes (or an array); nothing is the end."""

    def __init__(self, read: Callable[[int], Audio], audio_format: AudioFormat) -> None:
        super().__init__(_reads(read, chunk_bytes(audio_format)), audio_format)


def _reads(read: Callable[[int], Audio], size: int) -> Iterator[Audio]:
    while True:
        chunk = read(size)
        if chunk is None:
            raise AudioError(
                "read() of the source returned None.", hint="It must wait for audio, or return b''."
            )
        if not len(chunk):
            return
        yield chunk


def as_source(
    source: Any,
    *,
    sample_rate: Optional[int] = None,
    channels: Optional[int] = None,
    speed: float = 1.0,
    follow: bool = False,
) -> AudioSource:
    """Make an AudioSource of a path, file, array, bytes, microphone, ``read(n)``, or iterable of chunks.

    ``sample_rate`` and ``channels`` are the format of what has none of its own: arrays (which need a rate),
    raw PCM, chunks (16 kHz, one channel unless said). ``speed`` paces recordings: 1.0 as heard, infinity at
    once. ``follow``: the path is that of a WAV or raw PCM file that is still being written; what is there
    goes at once, whatever the speed, and the rest as it comes. Raises ConfigurationError for what is no
    source, AudioError for a file that cannot be read.
    """
    check_speed(speed)
    raw_format = AudioFormat(
        16000 if sample_rate is None else sample_rate, 1 if channels is None else channels
    )
    file_format = raw_format if sample_rate is not None else None
    if isinstance(source, type):
        raise ConfigurationError(f"source must be an object, not the class {source.__name__}.")
    if follow:
        return _followed(source, file_format)
    if isinstance(source, (str, os.PathLike)):
        return path_source(_path(source), file_format, speed=speed)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _bytes_source(source, raw_format, speed)
    if hasattr(source, "__array__"):
        return _array_source(source, sample_rate, channels, speed)
    if hasattr(source, "audio_format") and hasattr(source, "__iter__"):
        return _adapted(source, sample_rate, channels)
    if hasattr(source, "read"):
        return _readable_source(source, raw_format, file_format, speed)
    if hasattr(source, "__iter__"):
        return IterableSource(source, raw_format)
    raise ConfigurationError(
        f"source must be a path, a file, a Microphone, an array, bytes, an iterable of chunks, or have "
        f"read(n), not {type(source).__name__}."
    )


def _followed(source: Any, file_format: Optional[AudioFormat]) -> AudioSource:
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigurationError(
            f"follow is for the path of a file that is still being written, not {type(source).__name__}.",
            hint="What else can wait, such as a pipe, is heard as it comes anyway.",
        )
    # Here: few ask for it, and every program pays for what is imported.
    from .follow import FollowedFile

    return FollowedFile(_path(source), file_format)


def _path(path: Any) -> Any:
    if isinstance(path, str) and URL.match(path):
        raise ConfigurationError(
            f"source is a URL, {path.split('?')[0]!r}, and only files are read.", hint="Download it first."
        )
    if path == "":
        raise ConfigurationError("source is an empty path.")
    return path


def _bytes_source(source: Any, raw_format: AudioFormat, speed: float) -> AudioSource:
    if is_recording(bytes(source[:12])):
        return file_source(io.BytesIO(source), raw_format, speed=speed)
    pcm = to_pcm(source, raw_format)
    return _pcm_source(pcm, raw_format, speed)


def _array_source(
    source: Any, sample_rate: Optional[int], channels: Optional[int], speed: float
) -> AudioSource:
    if sample_rate is None:
        raise ConfigurationError(
            "sample_rate must be given with an array, which does not say its own.",
            hint="For example sample_rate=16000.",
        )
    if channels is None:
        # The shorter side: an array with its channels first is then told to be transposed.
        shape = getattr(source, "shape", ())
        channels = min(shape) if len(shape) == 2 and min(shape) > 0 else 1
    audio_format = AudioFormat(sample_rate, channels)
    return _pcm_source(to_pcm(source, audio_format), audio_format, speed)


def _pcm_source(pcm: bytes, audio_format: AudioFormat, speed: float) -> PacedSource:
    duration = audio_format.seconds(len(pcm) // audio_format.frame_bytes)
    return PacedSource(lambda: pcm_chunks(pcm, audio_format), audio_format, duration=duration, speed=speed)


def _adapted(source: Any, sample_rate: Optional[int], channels: Optional[int]) -> AudioSource:
    if hasattr(source, "adapt"):
        source.adapt(sample_rate, channels)
    adapted: AudioSource = source
    return adapted


def _readable_source(
    source: Any, raw_format: AudioFormat, file_format: Optional[AudioFormat], speed: float
) -> AudioSource:
    if hasattr(source, "encoding"):
        raise ConfigurationError("source is a file open as text.", hint="Open it with mode 'rb'.")
    if isinstance(source, io.IOBase) or hasattr(source, "seekable"):
        return file_source(source, file_format, speed=speed)
    return ReadSource(source.read, getattr(source, "audio_format", raw_format))
