"""Make an ``AudioSource`` from paths, files, arrays, bytes, iterables and microphones."""

import io
import os
import re
import threading
from typing import Any, Callable, Iterable, Iterator, Optional, Protocol, runtime_checkable

from ..errors import AudioError, ConfigurationError
from .convert import Audio, to_pcm
from .file import file_source, is_audio_file, path_source
from .format import AudioFormat
from .paced import PacedSource, check_speed, chunk_bytes, pcm_chunks

__all__ = ["AudioSource", "IterableSource", "ReadSource", "as_source"]

URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@runtime_checkable
class AudioSource(Protocol):
    """An iterable of audio: PCM bytes or arrays in its ``audio_format``.

    A source may have more members. A session uses them if they exist:

    - ``live``: True if the source cannot wait. A session then drops its oldest audio when its buffer is full.
    - ``check()``: raise an error if the source is unavailable. Called before anything is connected.
    - ``stop()``: end the current iteration soon. Any thread may call this.
    - ``join(timeout)``: wait up to ``timeout`` seconds until an iteration that has ended has released its
      resources.
    - ``duration``: the length of the audio in seconds, or None.
    - ``adapt(sample_rate, channels)``: deliver this format, unless the source was made with its own.
    - ``with_events()``: iterate over audio and the source's events. A session prefers it to the plain
      iteration. ``AudioLost`` and ``MicrophoneRestored.lost`` advance the session's clock without audio.
    """

    audio_format: AudioFormat

    def __iter__(self) -> Iterator[Audio]: ...


class IterableSource:
    """A source for an iterable of chunks, at the pace of the iterable.

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
        """End the current iteration before its next chunk. Any thread may call this."""
        self._stopped.set()

    def _whole_frames(self, stopped: threading.Event) -> Iterator[Audio]:
        remainder = b""
        for chunk in self._chunks:
            if stopped.is_set():
                return
            if not isinstance(chunk, (bytes, bytearray)):
                yield chunk
                continue
            pcm = remainder + chunk if remainder else bytes(chunk)
            cut = len(pcm) - len(pcm) % self.audio_format.frame_bytes
            remainder = pcm[cut:]
            if cut:
                yield pcm[:cut]


class ReadSource(IterableSource):
    """A source for an object with ``read(n)``.

    ``read`` blocks until it has about ``n`` bytes, or an array. It returns an empty result at the end.
    """

    def __init__(self, read: Callable[[int], Audio], audio_format: AudioFormat) -> None:
        super().__init__(_read_chunks(read, chunk_bytes(audio_format)), audio_format)


def _read_chunks(read: Callable[[int], Audio], size: int) -> Iterator[Audio]:
    while True:
        chunk = read(size)
        if chunk is None:
            raise AudioError(
                "read() of the audio source returned None.",
                hint="It must block until there is audio, and return b'' at the end.",
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
    """Return an AudioSource for a path, file, array, bytes, microphone, ``read(n)``, or iterable of chunks.

    ``sample_rate`` and ``channels`` describe audio without a format of its own: arrays, raw PCM and chunks
    (default: 16 kHz, one channel). An array needs a ``sample_rate``; a raw PCM file is read as such only with
    one. ``speed`` paces recordings: 1.0 is real time, infinity does not wait. ``follow`` reads a WAV or raw
    PCM file that is still being written: existing audio at once, whatever the speed, new audio as it is
    written. Raises ``ConfigurationError`` for an unsupported source, ``AudioError`` for an unreadable file.
    """
    check_speed(speed)
    raw_format = AudioFormat(
        16000 if sample_rate is None else sample_rate, 1 if channels is None else channels
    )
    file_format = raw_format if sample_rate is not None else None
    if isinstance(source, type):
        raise ConfigurationError(
            f"source must be an object, not the class {source.__name__}.", hint=f"Pass {source.__name__}()."
        )
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
        f"source must be a path, a file, a Microphone, an array, bytes, an iterable of chunks, or an object "
        f"with read(n), not {type(source).__name__}."
    )


def _followed(source: Any, file_format: Optional[AudioFormat]) -> AudioSource:
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigurationError(
            f"follow needs the path of a file that is still being written, not {type(source).__name__}.",
            hint="Leave out follow: a pipe or an iterable is read as its audio arrives.",
        )
    # Imported here because few programs need it, and every import slows down the start of all programs.
    from .follow import FollowedFile

    return FollowedFile(_path(source), file_format)


def _path(path: Any) -> Any:
    if isinstance(path, str) and URL.match(path):
        raise ConfigurationError(
            f"source is a URL, {path.split('?')[0]!r}; URLs are not supported.", hint="Download it first."
        )
    if path == "":
        raise ConfigurationError("source is an empty path.")
    return path


def _bytes_source(source: Any, raw_format: AudioFormat, speed: float) -> AudioSource:
    if is_audio_file(bytes(source[:12])):
        return file_source(io.BytesIO(source), raw_format, speed=speed)
    pcm = to_pcm(source, raw_format)
    return _pcm_source(pcm, raw_format, speed)


def _array_source(
    source: Any, sample_rate: Optional[int], channels: Optional[int], speed: float
) -> AudioSource:
    if sample_rate is None:
        raise ConfigurationError(
            "sample_rate is required for an array.",
            hint="For example, set sample_rate=16000.",
        )
    if channels is None:
        # Take the shorter side. For an array with its channels first, the error then advises to transpose it.
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
        raise ConfigurationError("source is a file opened in text mode.", hint="Open it with mode 'rb'.")
    if isinstance(source, io.IOBase) or hasattr(source, "seekable"):
        return file_source(source, file_format, speed=speed)
    return ReadSource(source.read, getattr(source, "audio_format", raw_format))
