"""Recordings in files. ``wav`` reads WAV; soundfile, if installed, reads other formats."""

import io
import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Optional, Union, cast

from ..errors import AudioError, ConfigurationError
from .convert import to_pcm
from .format import AudioFormat
from .paced import CHUNK_SECONDS, Chunks, PacedSource, chunk_bytes
from .wav import read_exactly, read_wav, truncated_error

__all__ = ["file_source", "is_audio_file", "open_file", "path_source"]

HEAD_BYTES = 12
# FLAC that was written into a pipe has this many frames, or more.
UNKNOWN_FRAMES = 2**62
SIGNATURES = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd")


@dataclass(frozen=True)
class Recording:
    """A recording in a file. ``duration`` is in seconds, or None if the file does not give it."""

    audio_format: AudioFormat
    duration: Optional[float]
    chunks: Callable[[], Chunks]


def path_source(
    path: "Union[str, os.PathLike[str]]", raw_format: Optional[AudioFormat], *, speed: float = 1.0
) -> PacedSource:
    """Return a source for a file on disk. Each iteration opens the file again.

    ``raw_format`` is the format of a raw PCM file. Raises ``AudioError`` if the file cannot be read.
    """
    name = str(path)

    def chunks() -> Chunks:
        with open_file(path) as file:
            yield from open_recording(file, name, raw_format).chunks()

    with open_file(path) as file:
        recording = open_recording(file, name, raw_format)
    return PacedSource(chunks, recording.audio_format, duration=recording.duration, speed=speed)


def file_source(file: BinaryIO, raw_format: Optional[AudioFormat], *, speed: float = 1.0) -> PacedSource:
    """Return a source for an open file or pipe. It reads from the current position and leaves it open."""
    name = getattr(file, "name", None)
    recording = open_recording(file, name if isinstance(name, str) else "The file", raw_format)
    return PacedSource(recording.chunks, recording.audio_format, duration=recording.duration, speed=speed)


def is_audio_file(head: bytes, name: str = "") -> bool:
    """Return whether ``head``, the first bytes of a file, begins with a known signature."""
    # An MP3 file may begin with bytes that could also be samples, so its name decides.
    return head.startswith(SIGNATURES) or name.lower().endswith(".mp3")


def open_recording(file: BinaryIO, name: str, raw_format: Optional[AudioFormat]) -> Recording:
    """Detect the format of a file by its first bytes. Raises ``AudioError`` if it contains no audio."""
    start = file.tell() if _seekable(file) else None
    head = read_exactly(file, HEAD_BYTES)
    if not head:
        raise AudioError(f"{name} is empty.")
    whole = cast(BinaryIO, _PeekedFile(head, file))
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        wav = read_wav(whole, name)
        if wav.decode is not None:
            return Recording(wav.audio_format, wav.duration, lambda: wav.chunks(whole))
    elif raw_format is not None and not is_audio_file(head, name):
        return _raw_recording(whole, raw_format)
    if start is None:
        raise AudioError(
            f"{name} is a pipe and does not contain WAV audio.",
            hint="Save it to a file, or set sample_rate if it is raw PCM.",
        )
    file.seek(start)
    return _soundfile_recording(file, name)


class _PeekedFile:
    """A file that returns its first bytes, already read, again. A pipe cannot seek back to them."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = head
        self._file = file

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._file.read(size)
        part, self._head = self._head[:size], self._head[size:]
        return part


def _raw_recording(file: BinaryIO, audio_format: AudioFormat) -> Recording:
    def chunks() -> Chunks:
        while True:
            block = read_exactly(file, chunk_bytes(audio_format))
            whole = len(block) - len(block) % audio_format.frame_bytes
            if not whole:
                return
            yield block[:whole]

    return Recording(audio_format, None, chunks)


def _soundfile_recording(file: BinaryIO, name: str) -> Recording:
    soundfile = _import_soundfile(name)
    try:
        sound = soundfile.SoundFile(file)
        audio_format = AudioFormat(sound.samplerate, sound.channels)
    except (RuntimeError, TypeError, ConfigurationError) as error:
        # soundfile raises TypeError if the name ends in ".raw", because it then expects the format.
        raise AudioError(
            f"{name} is not a supported audio file: {error}",
            hint="If it is raw PCM, set sample_rate.",
        ) from error
    if sound.frames == 0:
        raise AudioError(f"{name} contains no audio.")
    # soundfile seeks after each read of a seekable file, which turns an MP3 into noise.
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
                    f"{name} cannot be decoded after {audio_format.seconds(read):.2f} s: {error}"
                ) from error
            if not len(samples):
                break
            read += len(samples)
            # A lossy codec decodes a loud recording louder than it was, often well above full scale.
            yield to_pcm(samples.clip(-1.0, 1.0), audio_format)
    # The length of an MP3 is only an estimate.
    if read < announced < UNKNOWN_FRAMES and sound.format != "MP3":
        raise truncated_error(name, audio_format.seconds(announced), audio_format.seconds(read))


def _import_soundfile(name: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its library libsndfile is missing.
        raise AudioError(
            f"{name} is not a plain WAV file; reading FLAC, OGG, MP3 and other formats needs soundfile.",
            hint='Install it: pip install "slng-sync[files]". If the file is raw PCM, set sample_rate.',
        ) from error
    return soundfile


def open_file(path: "Union[str, os.PathLike[str]]", *, buffered: bool = True) -> BinaryIO:
    """Open a regular file on disk. Raises ``AudioError`` if that fails."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path} is a folder, not a file.", hint="Pass one of the files in it.")
        if not stat.S_ISREG(mode):
            raise AudioError(
                f"{path} is not a regular file.", hint="Pass an open file instead: open(path, 'rb')."
            )
        return open(path, "rb", buffering=-1 if buffered else 0)
    except FileNotFoundError as error:
        raise AudioError(f"File not found: {path}.", hint=f"The current folder is {os.getcwd()}.") from error
    except PermissionError as error:
        raise AudioError(f"Permission denied: {path}.", hint="Allow this user to read the file.") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path!r} is not a valid file name: {error}.") from error


def _seekable(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, io.UnsupportedOperation):
        return False
