"""Build WAV files byte by byte, so that each part of them can be wrong."""

import struct
from typing import Optional

PCM, FLOAT, MU_LAW, EXTENSIBLE = 1, 3, 7, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def wav(
    samples: bytes,
    *,
    encoding: int = PCM,
    width: int = 2,
    sample_rate: int = 16000,
    channels: int = 1,
    extensible: bool = False,
    announced: Optional[int] = None,
    riff_bytes: Optional[int] = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Return a WAV file. ``announced`` is the size in its header, ``before`` and ``after`` other chunks."""
    frame = width * channels
    tag = EXTENSIBLE if extensible else encoding
    fmt = struct.pack("<HHIIHH", tag, channels, sample_rate, sample_rate * frame, frame, 8 * width)
    if extensible:
        fmt += struct.pack("<HHIH", 22, 8 * width, 0, encoding) + GUID_TAIL
    size = len(samples) if announced is None else announced
    body = b"WAVE" + chunk(b"fmt ", fmt) + before + b"data" + struct.pack("<I", size) + samples
    body += b"\0" * (len(samples) % 2) + after
    return b"RIFF" + struct.pack("<I", len(body) if riff_bytes is None else riff_bytes) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a RIFF chunk with its padding."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
