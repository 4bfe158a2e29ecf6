"""Detection of pauses in speech by loudness alone.

This is cheap, and good enough to choose the moment of a finalize. No I/O, no clock.
"""

from ..audio.format import AudioFormat

__all__ = ["Pause"]

QUIET_SHARE = 0.125
"""The loudness of a pause at most, as a share of the loudest speech."""
NOISE = 100
"""The peak up to which audio is always silence, out of 32768."""
DECAY = 0.999
"""The factor by which the loudest level decays with each message, as a speaker may move away."""
STEP = 16
"""One of this many samples is measured. The loudness of speech changes more slowly."""


class Pause:
    """A pause detector. ``seconds`` is how long the current pause lasts, 0 during speech."""

    __slots__ = ("_bytes_per_second", "_loudest", "seconds")

    def __init__(self, audio_format: AudioFormat) -> None:
        self.seconds = 0.0
        self._loudest = 0.0
        self._bytes_per_second = audio_format.sample_rate * audio_format.frame_bytes

    def hear(self, pcm: bytes) -> None:
        """Measure whole frames of 16-bit PCM."""
        samples = memoryview(pcm).cast("h")[::STEP]
        highest, lowest = max(samples), min(samples)
        peak = max(highest, -lowest)
        self._loudest = max(float(peak), self._loudest * DECAY)
        if peak <= NOISE or peak <= self._loudest * QUIET_SHARE:
            self.seconds += len(pcm) / self._bytes_per_second
        else:
            self.seconds = 0.0
