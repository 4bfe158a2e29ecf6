"""Parse the header of a streamed WAV."""

import struct
from typing import Optional, Tuple

from ..audio.format import AudioFormat

__all__ = ["WavHeaderError", "read_header"]

HEADER_LIMIT = 65536
PCM, EXTENSIBLE = 1, 0xFFFE


class WavHeaderError(Exception):
    """The audio is not a WAV with 16-bit samples."""


def read_header(begin: bytes) -> Optional[Tuple[AudioFormat, int]]:
    """Return the format and the offset of the samples, or None while the header is incomplete.

    The length of the data is ignored, because a streaming client does not know it. Raises `WavHeaderError`.
    """
    if not b"RIFF".startswith(begin[:4]) or not b"WAVE".startswith(begin[8:12]):
        raise WavHeaderError("no RIFF/WAVE header")
    audio_format: Optional[AudioFormat] = None
    at = 12
    while len(begin) >= at + 8:
        name, size = struct.unpack_from("<4sI", begin, at)
        at += 8
        if name == b"data" and audio_format is not None:
            return audio_format, at
        if name == b"fmt ":
            if len(begin) < at + 16:
                return None
            audio_format = _format(begin[at : at + 16])
        at += size + size % 2
    if len(begin) > HEADER_LIMIT:
        raise WavHeaderError("no data chunk")
    return None


def _format(chunk: bytes) -> AudioFormat:
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk)
    if tag not in (PCM, EXTENSIBLE) or bits != 16 or not 1 <= channels <= 8 or not 2000 <= rate <= 96000:
        raise WavHeaderError(f"format {tag}, {bits} bits, {channels} channels, {rate} Hz")
    return AudioFormat(rate, channels)
