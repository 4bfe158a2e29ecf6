"""The format of PCM audio: sample rate and channels. Samples are always 16-bit signed little-endian."""

from dataclasses import dataclass, field

from ..errors import ConfigurationError

__all__ = ["AudioFormat"]

SAMPLE_BYTES = 2


@dataclass(frozen=True)
class AudioFormat:
    """The format of PCM audio: 16-bit signed little-endian samples, channels interleaved.

    A *frame* is one sample of each channel. ``sample_rate`` is in frames per second.
    """

    sample_rate: int = 16000
    channels: int = 1
    frame_bytes: int = field(init=False, repr=False, compare=False)
    """Bytes of one frame."""

    def __post_init__(self) -> None:
        _require_int("sample_rate", self.sample_rate, 1000, 768000, "frames per second, such as 16000")
        _require_int("channels", self.channels, 1, 32, "the number of channels, such as 1")
        object.__setattr__(self, "frame_bytes", SAMPLE_BYTES * self.channels)

    def frames(self, seconds: float) -> int:
        """Return the number of whole frames nearest to ``seconds``."""
        return round(seconds * self.sample_rate)

    def seconds(self, frames: int) -> float:
        """Return the duration of ``frames`` frames in seconds."""
        return frames / self.sample_rate

    def __str__(self) -> str:
        return f"{self.sample_rate} Hz, {self.channels} channel{'s' if self.channels > 1 else ''}"


def _require_int(name: str, value: object, low: int, high: int, meaning: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(
            f"{name} must be an integer from {low} to {high} ({meaning}), not {value!r}."
        )
