"""How loud audio is, in dB of full scale. No I/O."""

import math
from typing import TYPE_CHECKING, Any

from ..events import Level

if TYPE_CHECKING:
    import numpy

__all__ = ["SILENCE_DBFS", "level_of", "peak_dbfs"]

SILENCE_DBFS = -96.0
"""What stands for digital silence: less than the smallest step of 16 bits."""
FULL_SCALE = 32768
CLIPPED = 32766


def level_of(pcm: bytes, *, speech: bool = False) -> Level:
    """The level of some PCM, of any number of channels."""
    import numpy

    samples = numpy.frombuffer(pcm, "<i2")
    if not samples.size:
        return Level(SILENCE_DBFS, SILENCE_DBFS, speech=speech)
    floats = samples.astype("float32")
    power = float(floats.dot(floats)) / samples.size
    peak = max(int(samples.max()), -int(samples.min()))
    return Level(
        _dbfs(math.sqrt(power)), _dbfs(peak), clipping=peak >= CLIPPED and _is_clipped(samples), speech=speech
    )


def peak_dbfs(pcm: bytes) -> float:
    """The loudest sample of some PCM."""
    import numpy

    samples = numpy.frombuffer(pcm, "<i2")
    return _dbfs(max(int(samples.max()), -int(samples.min()))) if samples.size else SILENCE_DBFS


def _is_clipped(samples: "numpy.ndarray[Any, Any]") -> bool:
    """A single sample at full scale is a loud sound; three in a row are one that was cut off."""
    cut = (samples >= CLIPPED) | (samples <= -CLIPPED)
    return bool((cut[2:] & cut[1:-1] & cut[:-2]).any())


def _dbfs(amplitude: float) -> float:
    if amplitude <= 0:
        return SILENCE_DBFS
    return round(max(SILENCE_DBFS, 20 * math.log10(amplitude / FULL_SCALE)), 1)
