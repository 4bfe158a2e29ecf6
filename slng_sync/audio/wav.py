"""Read WAV files without seeking, so that pipes work too.

The standard library's ``wave`` does not support floats. Before Python 3.12 it does not support the extensible
header of 24-bit files either.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Callable, Dict, NamedTuple, Optional, Tuple

from ..errors import AudioError, ConfigurationError
from .convert import to_pcm
from .format import AudioFormat
from .paced import CHUNK_SECONDS, Chunks

__all__ = ["UNKNOWN_SIZE", "Header", "Wav", "parse_fmt", "read_exactly", "read_header", "read_wav"]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE

# A program that writes WAV into a pipe does not know the size. It writes 0, or a value near 2 or 4 GiB.
UNKNOWN_SIZE = 0x7FFFF000


@dataclass(frozen=True)
class Wav:
    """The contents of a WAV header.

    ``frame_bytes`` and ``data_bytes`` count the samples as stored in the file, before decoding.
    ``data_bytes`` is None if the header does not give the size.
    """

    name: str
    audio_format: AudioFormat
    encoding: int
    frame_bytes: int
    data_bytes: Optional[int]

    @property
    def decode(self) -> Optional[Callable[[bytes], bytes]]:
        """Return the function that decodes the samples to 16-bit PCM, or None for mu-law and similar."""
        return DECODERS.get((self.encoding, self.frame_bytes // self.audio_format.channels))

    @property
    def duration(self) -> Optional[float]:
        """Return the duration in seconds according to the header."""
        return None if self.data_bytes is None else self.seconds(self.data_bytes)

    def seconds(self, size: int) -> float:
        """Return the duration in seconds of ``size`` bytes of samples."""
        return size / self.frame_bytes / self.audio_format.sample_rate

    def chunks(self, file: BinaryIO) -> Chunks:
        """Yield the samples as 16-bit PCM. Raises ``AudioError`` at the end if the file is truncated."""
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
            raise truncated_error(self.name, self.seconds(announced), self.seconds(read))


def truncated_error(name: str, announced: float, actual: float) -> AudioError:
    """Return the error for a file with less audio than its header announces. Both are in seconds."""
    return AudioError(
        f"{name} is truncated: its header announces {announced:.2f} s of audio, it contains {actual:.2f} s.",
        hint="The audio before that was read. Check that the file was recorded or copied completely.",
    )


class Header(NamedTuple):
    """A WAV header as stored in the file. ``data_start`` is the byte offset of the first sample.

    ``riff_bytes`` is the size of the file minus 8, and ``data_bytes`` the size of the samples. Both may be
    wrong while the file is still being written.
    """

    fmt: bytes
    data_start: int
    riff_bytes: int
    data_bytes: int


def read_wav(file: BinaryIO, name: str) -> Wav:
    """Read a WAV header, up to the first sample. Raises ``AudioError`` if it is invalid."""
    header = read_header(file)
    if header is None:
        raise AudioError(f"{name} is a WAV file without audio: it ends before the data chunk.")
    more_follows = header.riff_bytes + 8 > header.data_start
    return parse_fmt(name, header.fmt, _data_bytes(name, header.data_bytes, more_follows))


def read_header(file: BinaryIO) -> Optional[Header]:
    """Read a WAV header, up to the first sample. Return None if the file ends before that."""
    riff = read_exactly(file, 12)
    position, fmt = 12, b""
    while True:
        header = read_exactly(file, 8)
        if len(header) < 8:
            return None
        kind, size = struct.unpack("<4sI", header)
        position += 8
        if kind == b"data":
            return Header(fmt, position, struct.unpack("<4xI4x", riff)[0], size)
        body = _read_chunk_body(file, size + size % 2)
        position += size + size % 2
        fmt = body if kind == b"fmt " else fmt


def _read_chunk_body(file: BinaryIO, size: int) -> bytes:
    """Read past the body of a RIFF chunk. Return its first 64 bytes, which include a whole ``fmt`` chunk."""
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
        raise AudioError(f"{name} is a WAV file without audio: its data chunk is empty.")
    return size


def parse_fmt(name: str, fmt: bytes, data_bytes: Optional[int]) -> Wav:
    """Parse the ``fmt`` chunk of a header. Raises ``AudioError`` if it is missing or invalid."""
    invalid = AudioError(
        f"{name} has an invalid WAV header.", hint="Convert the recording to WAV or FLAC again."
    )
    if len(fmt) < 16:
        raise invalid
    encoding, channels, sample_rate, _, frame_bytes, _ = struct.unpack("<HHIIHH", fmt[:16])
    if encoding == EXTENSIBLE and len(fmt) >= 26:
        encoding = struct.unpack("<H", fmt[24:26])[0]
    try:
        audio_format = AudioFormat(sample_rate, channels)
    except ConfigurationError as error:
        raise invalid from error
    if frame_bytes == 0 or frame_bytes % channels:
        raise invalid
    return Wav(name, audio_format, encoding, frame_bytes, data_bytes)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes, or fewer at the end of the file.

    One ``read`` of a pipe or an unbuffered file may return less, so this reads repeatedly. Raises
    ``AudioError`` if the file is in non-blocking mode.
    """
    parts = []
    while size > 0:
        part = file.read(size)
        if part is None:
            raise AudioError(
                "The audio file is in non-blocking mode.",
                hint="Make it blocking: os.set_blocking(fd, True).",
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

        # Loud files exceed 1 and are clipped. NaN becomes silence.
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
