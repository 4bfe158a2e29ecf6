"""Recordings in files: WAV by a reader of our own, other kinds by soundfile where it is installed."""

import io
import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Optional, Union, cast

from ..errors import AudioError, ConfigurationError
from .convert import to_pcm
from .format import AudioFormat
from .paced import CHUNK_SECONDS, Chunks, PacedSource, chunk_bytes
from .wav import read_exactly, read_wav, truncated

if TYPE_CHECKING:
    import numpy

__all__ = ["file_source", "is_recording", "opened", "path_source"]

HEAD_BYTES = 12
UNKNOWN_FRAMES = 2**62  # or more: FLAC that was written into a pipe
BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd")


@dataclass(frozen=True)
class Recording:
    """What was found in a file; ``duration`` in seconds, None where the file does not say."""

    audio_format: AudioFormat
    duration: Optional[float]
    chunks: Callable[[], Chunks]


def path_source(
    path: "Union[str, os.PathLike[str]]", raw_format: Optional[AudioFormat], *, speed: float = 1.0
) -> PacedSource:
    """Return the source for a file on disk, which is opened anew for each iteration.

    ``raw_format`` is the format of a file that is raw PCM. Raises AudioError where it cannot be read.
    """
    name = str(path)

    def chunks() -> Chunks:
        with opened(path) as file:
            yield from open_recording(file, name, raw_format).chunks()

    with opened(path) as file:
        recording = open_recording(file, name, raw_format)
    return PacedSource(chunks, recording.audio_format, duration=recording.duration, speed=speed)


def file_source(file: BinaryIO, raw_format: Optional[AudioFormat], *, speed: float = 1.0) -> PacedSource:
    """Return the source for an open file or pipe, read from where it stands and left open."""
    name = getattr(file, "name", None)
    recording = open_recording(file, name if isinstance(name, str) else "The file", raw_format)
    return PacedSource(recording.chunks, recording.audio_format, duration=recording.duration, speed=speed)


def is_recording(head: bytes, name: str = "") -> bool:
    """Tell whether bytes begin as the known kinds of files do."""
    # An MP3 may begin with what could as well be samples.
    return head.startswith(BEGINNINGS) or name.lower().endswith(".mp3")


def open_recording(file: BinaryIO, name: str, raw_format: Optional[AudioFormat]) -> Recording:
    """Find out what a file holds, by its first bytes. Raises AudioError where that is nothing to hear."""
    start = file.tell() if _seekable(file) else None
    head = read_exactly(file, HEAD_BYTES)
    if not head:
        raise AudioError(f"{name} is empty.")
    whole = cast(BinaryIO, _Rejoined(head, file))
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        wav = read_wav(whole, name)
        if wav.decode is not None:
            return Recording(wav.audio_format, wav.duration, lambda: wav.chunks(whole))
    elif raw_format is not None and not is_recording(head, name):
        return _raw(whole, raw_format)
    if start is None:
        raise AudioError(
            f"{name} is a pipe, and not WAV.", hint="Save it to a file, or give sample_rate for raw PCM."
        )
    file.seek(start)
    return _by_soundfile(file, name)


class _Rejoined:
    """A file together with its first bytes, which have been read already: a pipe cannot go back."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = head
        self._file = file

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._file.read(size)
        part, self._head = self._head[:size], self._head[size:]
        return part


def _raw(file: BinaryIO, audio_format: AudioFormat) -> Recording:
    def chunks() -> Chunks:
        while True:
            block = read_exactly(file, chunk_bytes(audio_format))
            whole = len(block) - len(block) % audio_format.frame_bytes
            if not whole:
                return
            yield block[:whole]

    return Recording(audio_format, None, chunks)


def _by_soundfile(file: BinaryIO, name: str) -> Recording:
    soundfile = _soundfile(name)
    try:
        sound = soundfile.SoundFile(file)
        audio_format = AudioFormat(sound.samplerate, sound.channels)
    except (RuntimeError, TypeError, ConfigurationError) as error:
        # A TypeError where the name ends in ".raw": soundfile then asks for the format.
        raise AudioError(
            f"{name} is not a recording that can be read: {error}",
            hint="If it is raw PCM, give its sample_rate.",
        ) from error
    if sound.frames == 0:
        raise AudioError(f"{name} holds no audio.")
    # What can be sought, soundfile seeks after each read, and that makes noise of an MP3.
    sound.seekable = lambda: False
    frames = sound.frames if sound.frames < UNKNOWN_FRAMES else None
    duration = None if frames is None else audio_format.seconds(frames)
    return Recording(audio_format, duration, lambda: _sound_chunks(sound, audio_format, name))


def _sound_chunks(sound: Any, audio_format: AudioFormat, name: str) -> Chunks:
    announced, read = sound.frames, 0
    with closing(sound):
        while True:
            try:
                samples = sound.read(audio_format.frames(CHUNK_SECONDS), dtype="float32", always_2d=True)
            except RuntimeError as error:
                raise AudioError(
                    f"{name} is damaged after {audio_format.seconds(read):.2f} s: {error}"
                ) from error
            if not len(samples):
                break
            read += len(samples)
            yield to_pcm(_clipped(samples), audio_format)
    # The length of an MP3 is an estimate.
    if read < announced < UNKNOWN_FRAMES and sound.format != "MP3":
        raise truncated(name, audio_format.seconds(announced), audio_format.seconds(read))


def _clipped(samples: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    """A lossy codec gives back a loud recording louder than it was, often well above full scale."""
    return samples.clip(-1.0, 1.0)


def _soundfile(name: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, its library is not.
        raise AudioError(
            f"{name} is not a plain WAV file; to read FLAC, OGG, MP3 and others, soundfile is needed.",
            hint='Install it: pip install "slng-sync[files]". If the file is raw PCM, give its sample_rate.',
        ) from error
    return soundfile


def opened(path: "Union[str, os.PathLike[str]]", *, buffered: bool = True) -> BinaryIO:
    """Open a file on disk. Raises AudioError that says what it is where it is none."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path} is a folder, not a file.", hint="Give one of the files in it.")
        if not stat.S_ISREG(mode):
            raise AudioError(
                f"{path} is not a regular file.", hint="Open it yourself, open(path, 'rb'), and give that."
            )
        return open(path, "rb", buffering=-1 if buffered else 0)
    except FileNotFoundError as error:
        raise AudioError(f"There is no file {path}.", hint=f"The current folder is {os.getcwd()}.") from error
    except PermissionError as error:
        raise AudioError(f"{path} may not be read by this user.", hint="Change its permissions.") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path!r} is not the name of a file: {error}.") from error


def _seekable(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, io.UnsupportedOperation):
        return False
