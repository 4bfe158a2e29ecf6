"""A reader of WAV files that only goes forward, so that it can read a pipe too.

The standard library's ``wave`` knows neither floats nor, before Python 3.12, the extensible header that
24-bit files have.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Callable, Dict, NamedTuple, Optional, Tuple

from ..errors import AudioError, ConfigurationError
from .convert import to_pcm
from .format import AudioFormat
from .paced import CHUNK_SECONDS, Chunks

__all__ = ["UNKNOWN_SIZE", "Header", "Wav", "described", "read_exactly", "read_header", "read_wav"]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE

# Who writes into a pipe cannot know the size, and puts in 0 or something near 2 or 4 GiB.
UNKNOWN_SIZE = 0x7FFFF000


@dataclass(frozen=True)
class Wav:
    """What a WAV header says. ``frame_bytes`` and ``data_bytes`` are those of the file's own samples.

    ``data_bytes`` is None where the header does not say how much there is.
    """

    name: str
    audio_format: AudioFormat
    encoding: int
    frame_bytes: int
    data_bytes: Optional[int]

    @property
    def decode(self) -> Optional[Callable[[bytes], bytes]]:
        """From the file's samples to 16-bit PCM; None for mu-law and the like."""
        return DECODERS.get((self.encoding, self.frame_bytes // self.audio_format.channels))

    @property
    def duration(self) -> Optional[float]:
        """Seconds that the header announces."""
        return None if self.data_bytes is None else self.seconds(self.data_bytes)

    def seconds(self, size: int) -> float:
        return size / self.frame_bytes / self.audio_format.sample_rate

    def chunks(self, file: BinaryIO) -> Chunks:
        """Read the samples as 16-bit PCM. Raises AudioError at the end if fewer came than were announced."""
        decode = self.decode
        assert decode is not None
        block_bytes = self.audio_format.frames(CHUNK_SECONDS) * self.frame_bytes
        announced = self.data_bytes
        read = 0
        while announced is None or read < announced:
            block = read_exactly(
                file, block_bytes if announced is None else min(block_bytes, announced - read)
            )
            read += len(block)
            whole = len(block) - len(block) % self.frame_bytes
            if whole:
                yield decode(block[:whole])
            if len(block) < block_bytes:
                break
        if announced is not None and read // self.frame_bytes < announced // self.frame_bytes:
            raise truncated(self.name, self.seconds(announced), self.seconds(read))


def truncated(name: str, announced: float, there: float) -> AudioError:
    """The error for a recording that is shorter than it says."""
    return AudioError(
        f"{name} is cut off: it announces {announced:.2f} s of audio and holds {there:.2f} s.",
        hint="What is there was read. Was it still being written or copied?",
    )


class Header(NamedTuple):
    """A WAV's header as it stands in the file: ``begin`` is where the first sample lies.

    ``riff_bytes`` is the size of the file less 8, and ``data_bytes`` that of the samples, as far as whoever
    wrote them knew it by then.
    """

    fmt: bytes
    begin: int
    riff_bytes: int
    data_bytes: int


def read_wav(file: BinaryIO, name: str) -> Wav:
    """Read a WAV's header, up to its first sample. Raises AudioError where it makes no sense."""
    header = read_header(file)
    if header is None:
        raise AudioError(f"{name} is a WAV file without audio: it ends before its samples.")
    more_follows = header.riff_bytes + 8 > header.begin
    return described(name, header.fmt, _data_bytes(name, header.data_bytes, more_follows))


def read_header(file: BinaryIO) -> Optional[Header]:
    """Read a WAV up to its first sample; None where it ends before."""
    beginning = read_exactly(file, 12)
    position, fmt = 12, b""
    while True:
        header = read_exactly(file, 8)
        if len(header) < 8:
            return None
        kind, size = struct.unpack("<4sI", header)
        position += 8
        if kind == b"data":
            return Header(fmt, position, struct.unpack("<4xI4x", beginning)[0], size)
        body = _body(file, size + size % 2)
        position += size + size % 2
        fmt = body if kind == b"fmt " else fmt


def _body(file: BinaryIO, size: int) -> bytes:
    """Read past a chunk; return its beginning, which is all of it where it matters."""
    beginning = read_exactly(file, min(size, 64))
    left = size - len(beginning)
    while left > 0:
        skipped = len(read_exactly(file, min(left, 65536)))
        left = left - skipped if skipped else 0
    return beginning


def _data_bytes(name: str, size: int, more_follows: bool) -> Optional[int]:
    if size >= UNKNOWN_SIZE or (size == 0 and not more_follows):
        return None
    if size == 0:
        raise AudioError(f"{name} is a WAV file without audio: it holds no samples.")
    return size


def described(name: str, fmt: bytes, data_bytes: Optional[int]) -> Wav:
    """Make sense of a header's ``fmt`` chunk. Raises AudioError where there is none."""
    damaged = AudioError(
        f"{name} is damaged: its WAV header makes no sense.", hint="Convert it anew to WAV or FLAC."
    )
    if len(fmt) < 16:
        raise damaged
    encoding, channels, sample_rate, _, frame_bytes, _ = struct.unpack("<HHIIHH", fmt[:16])
    if encoding == EXTENSIBLE and len(fmt) >= 26:
        encoding = struct.unpack("<H", fmt[24:26])[0]
    try:
        audio_format = AudioFormat(sample_rate, channels)
    except ConfigurationError as error:
        raise damaged from error
    if frame_bytes == 0 or frame_bytes % channels:
        raise damaged
    return Wav(name, audio_format, encoding, frame_bytes, data_bytes)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """Read so many bytes; fewer only at the end. A pipe or an unbuffered file gives less at a time."""
    parts = []
    while size > 0:
        part = file.read(size)
        if part is None:
            raise AudioError(
                "The file is in non-blocking mode.", hint="Make it blocking: os.set_blocking(fd, True)."
            )
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _from_unsigned_8(samples: bytes) -> bytes:
    pcm = bytearray(2 * len(samples))
    pcm[1::2] = samples.translate(FLIP_SIGN)
    return bytes(pcm)


def _upper_16(width: int) -> Callable[[bytes], bytes]:
    def decode(samples: bytes) -> bytes:
        pcm = bytearray(2 * (len(samples) // width))
        pcm[0::2] = samples[width - 2 :: width]
        pcm[1::2] = samples[width - 1 :: width]
        return bytes(pcm)

    return decode


def _from_floats(dtype: str) -> Callable[[bytes], bytes]:
    def decode(samples: bytes) -> bytes:
        import numpy

        # Loud files go beyond 1; a NaN becomes silence.
        floats = numpy.nan_to_num(numpy.frombuffer(samples, dtype)).clip(-1.0, 1.0)
        return to_pcm(floats, AudioFormat())

    return decode


FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))

DECODERS: Dict[Tuple[int, int], Callable[[bytes], bytes]] = {
    (PCM, 1): _from_unsigned_8,
    (PCM, 2): bytes,
    (PCM, 3): _upper_16(3),
    (PCM, 4): _upper_16(4),
    (FLOAT, 4): _from_floats("<f4"),
    (FLOAT, 8): _from_floats("<f8"),
}
