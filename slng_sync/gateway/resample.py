"""Convert audio chunk by chunk to 16 kHz mono. Runs in the recogniser's process."""

import math
from fractions import Fraction
from typing import Any

__all__ = ["Resampler"]

TARGET = 16000
HALF = 24


class Resampler:
    """A mixer and rate converter for 16-bit PCM. The result does not depend on the chunk size.

    It is a polyphase filter. Each output sample is a windowed sinc over the input around its position, with
    the cutoff below the lower of the two Nyquist frequencies. Audio at 16 kHz is only mixed.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._channels = channels
        self._np: Any = None
        if sample_rate == TARGET and channels == 1:
            return
        import numpy

        self._np = numpy
        ratio = Fraction(TARGET, sample_rate)
        self._up, self._down = ratio.numerator, ratio.denominator
        stretch = max(1.0, sample_rate / TARGET)
        self._reach = math.ceil(HALF * stretch)
        self._taps: Any = self._make_taps(stretch) if self._up != self._down else None
        self._held: Any = numpy.zeros(self._reach, dtype=numpy.float64)
        self._phase = 0

    def convert(self, pcm: bytes) -> bytes:
        """Return the 16 kHz mono samples that are complete so far."""
        if self._np is None or not pcm:
            return pcm
        np = self._np
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
        mono = samples.reshape(-1, self._channels).mean(axis=1)
        return self._to_bytes(mono if self._taps is None else self._filter(mono))

    def flush(self) -> bytes:
        """Return the remaining samples, as if silence followed."""
        if self._np is None or self._taps is None:
            return b""
        return self._to_bytes(self._filter(self._np.zeros(self._reach)))

    def _make_taps(self, stretch: float) -> Any:
        """Return one row of taps for each position of an output sample between two input samples."""
        np = self._np
        cutoff = 0.94 / stretch
        offsets = np.arange(-self._reach + 1, self._reach + 1)
        places = np.arange(self._up)[:, None] / self._up
        distance = offsets[None, :] - places
        window = np.cos(np.clip(distance / (self._reach + 1), -1, 1) * np.pi / 2) ** 2
        taps = np.sinc(distance * cutoff) * cutoff * window
        return taps / taps.sum(axis=1, keepdims=True)

    def _filter(self, mono: Any) -> Any:
        np = self._np
        held = np.concatenate([self._held, mono])
        width = 2 * self._reach
        # Output sample k is at input position k * down / up. ``_phase`` is the next position, times up.
        usable = len(held) - width
        count = max(0, (usable * self._up - self._phase + self._down - 1) // self._down)
        places = self._phase + self._down * np.arange(count)
        whole, part = places // self._up, places % self._up
        rows = held[whole[:, None] + np.arange(1, width + 1)[None, :]] if count else np.zeros((0, width))
        result = np.einsum("ij,ij->i", rows, self._taps[part])
        used = min(len(held), (self._phase + self._down * count) // self._up)
        self._phase = self._phase + self._down * count - used * self._up
        self._held = held[used:]
        return result

    def _to_bytes(self, samples: Any) -> bytes:
        np = self._np
        data: bytes = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
        return data
