"""WAV as it is written here: 16-bit PCM behind a header of 44 bytes that can be written again at any time."""

import errno
import os
import struct
from typing import BinaryIO

from .format import SAMPLE_BYTES, AudioFormat

__all__ = ["HEADER_BYTES", "LARGEST_DATA", "wav_header", "write_whole"]

HEADER_BYTES = 44
LARGEST_DATA = 0xFFFFFFFF - (HEADER_BYTES - 8)
"""Bytes of audio that a header can count: its sizes have 32 bits, and one of them counts the header too."""


def wav_header(audio_format: AudioFormat, size: int) -> bytes:
    """The header of a file with so many bytes of audio."""
    rate, width = audio_format.sample_rate, audio_format.frame_bytes
    what = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, audio_format.channels, rate, rate * width, width, 8 * SAMPLE_BYTES
    )
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + what + struct.pack("<4sI", b"data", size)


def write_whole(file: BinaryIO, data: bytes) -> None:
    """Write to an unbuffered file. Raises ``OSError``, also where the disk takes only a part."""
    if file.write(data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
