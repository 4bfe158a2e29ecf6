"""Audio levels in dBFS (dB relative to full scale). No I/O."""

import math
from typing import TYPE_CHECKING, Any

from ..events import Level

if TYPE_CHECKING:
    import numpy

__all__ = ["SILENCE_DBFS", "level_of", "peak_dbfs"]

SILENCE_DBFS = -96.0
"""The level of digital silence: less than the smallest step of 16 bits."""
FULL_SCALE = 32768
CLIPPING_AMPLITUDE = 32766


def level_of(pcm: bytes, *, speech: bool = False) -> Level:
    """Return the level of PCM with any number of channels."""
    import numpy

    samples = numpy.frombuffer(pcm, "<i2")
    if not samples.size:
        return Level(SILENCE_DBFS, SILENCE_DBFS, speech=speech)
    floats = samples.astype("float32")
    power = float(floats.dot(floats)) / samples.size
    peak = _peak(samples)
    clipping = peak >= CLIPPING_AMPLITUDE and _is_clipped(samples)
    return Level(_dbfs(math.sqrt(power)), _dbfs(peak), clipping=clipping, speech=speech)


def peak_dbfs(pcm: bytes) -> float:
    """Return the level of the loudest sample in dBFS."""
    import numpy

    samples = numpy.frombuffer(pcm, "<i2")
    return _dbfs(_peak(samples)) if samples.size else SILENCE_DBFS


def _peak(samples: "numpy.ndarray[Any, Any]") -> int:
    return max(int(samples.max()), -int(samples.min()))


def _is_clipped(samples: "numpy.ndarray[Any, Any]") -> bool:
    """Return whether three samples in a row are at full scale. A single one is only a loud sound."""
    full = (samples >= CLIPPING_AMPLITUDE) | (samples <= -CLIPPING_AMPLITUDE)
    return bool((full[2:] & full[1:-1] & full[:-2]).any())


def _dbfs(amplitude: float) -> float:
    if amplitude <= 0:
        return SILENCE_DBFS
    return round(max(SILENCE_DBFS, 20 * math.log10(amplitude / FULL_SCALE)), 1)
