"""Write WAV files: 16-bit PCM after a header of 44 bytes, which can be rewritten at any time."""

import errno
import os
import struct
from typing import BinaryIO

from .format import SAMPLE_BYTES, AudioFormat

__all__ = ["HEADER_BYTES", "LARGEST_DATA", "wav_header", "write_whole"]

HEADER_BYTES = 44
LARGEST_DATA = 0xFFFFFFFF - (HEADER_BYTES - 8)
"""The most audio that a header can describe. Its sizes have 32 bits, and one includes the header."""


def wav_header(audio_format: AudioFormat, size: int) -> bytes:
    """Return the header of a file with ``size`` bytes of audio."""
    rate, width = audio_format.sample_rate, audio_format.frame_bytes
    fmt = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, audio_format.channels, rate, rate * width, width, 8 * SAMPLE_BYTES
    )
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + fmt + struct.pack("<4sI", b"data", size)


def write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file. Raises ``OSError``, also after a partial write."""
    if file.write(data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
