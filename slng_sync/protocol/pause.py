"""A pause in speech, told by loudness alone: cheap, and right enough to choose a moment by. Pure."""

from ..audio.format import AudioFormat

__all__ = ["Pause"]

QUIET_SHARE = 0.125
"""A pause is at most this loud, as a share of the loudest speech."""
NOISE = 100
"""Of 32768: what is never louder than this is silence."""
FORGETTING = 0.999
"""What remains of the loudest level after each message: a speaker may move away."""
STEP = 16
"""One sample of so many is looked at. The loudness of speech changes more slowly."""


class Pause:
    """Measures for how long nobody has spoken, in ``seconds``, in the audio that goes by."""

    __slots__ = ("_bytes_per_second", "_loudest", "seconds")

    def __init__(self, audio_format: AudioFormat) -> None:
        self.seconds = 0.0
        self._loudest = 0.0
        self._bytes_per_second = audio_format.sample_rate * audio_format.frame_bytes

    def hear(self, pcm: bytes) -> None:
        """Take whole frames of 16-bit PCM."""
        samples = memoryview(pcm).cast("h")[::STEP]
        highest, lowest = max(samples), min(samples)
        peak = max(highest, -lowest)
        self._loudest = max(float(peak), self._loudest * FORGETTING)
        if peak <= NOISE or peak <= self._loudest * QUIET_SHARE:
            self.seconds += len(pcm) / self._bytes_per_second
        else:
            self.seconds = 0.0
