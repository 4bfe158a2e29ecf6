"""Convert audio of any sample type to 16-bit PCM, and PCM from one format to another."""

from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import AudioError, ConfigurationError
from .format import AudioFormat

if TYPE_CHECKING:
    import numpy

__all__ = ["Audio", "Converter", "to_pcm"]

Audio = Union[bytes, bytearray, memoryview, "numpy.ndarray[Any, Any]"]

# A resampler or a lossy codec can push a peak slightly above full scale: that is clipped. A larger value
# means that the floats have the wrong scale.
MAX_AMPLITUDE = 1.05


def to_pcm(audio: Audio, audio_format: AudioFormat) -> bytes:
    """Return ``audio`` as 16-bit little-endian PCM of ``audio_format``.

    ``audio`` is either PCM (bytes, bytearray, or a memoryview of bytes, in whole frames), or an array of
    int16, int32, float32 or float64. An array has the shape (frames, channels), or (frames,) for one channel.
    Any object with ``__array__`` is accepted, such as a tensor in main memory.

    Floats range from -1 to 1: -1.0 becomes -32768, 1.0 becomes 32767, and values up to 1.05 are clipped. An
    int32 keeps its upper 16 bits. Bytes are not copied. Raises ``ConfigurationError`` for anything else.
    """
    if isinstance(audio, bytes) and not len(audio) % audio_format.frame_bytes:
        return audio
    if isinstance(audio, (bytes, bytearray, memoryview)):
        return _from_bytes(audio, audio_format)
    if hasattr(audio, "__array__"):
        return _from_array(audio, audio_format)
    raise ConfigurationError(
        f"audio must be bytes (16-bit PCM) or a NumPy array, not {type(audio).__name__}.",
        hint="Convert a list with numpy.array(audio, dtype=numpy.int16).",
    )


def _from_bytes(audio: Union[bytes, bytearray, memoryview], audio_format: AudioFormat) -> bytes:
    if isinstance(audio, memoryview) and audio.itemsize != 1:
        raise ConfigurationError(
            f"audio must be a memoryview of bytes, not of {audio.itemsize}-byte items.",
            hint="Pass audio.cast('B').",
        )
    pcm = bytes(audio)
    if len(pcm) % audio_format.frame_bytes:
        raise ConfigurationError(
            f"audio has {len(pcm)} bytes, which is not a multiple of the frame size, "
            f"{audio_format.frame_bytes} bytes (16-bit samples, {audio_format}).",
            hint="Pass whole frames.",
        )
    return pcm


def _from_array(audio: Any, audio_format: AudioFormat) -> bytes:
    import numpy

    try:
        array = numpy.asarray(audio)
    except Exception as error:  # Libraries raise different errors, for example for a tensor on a GPU.
        raise ConfigurationError(f"audio cannot be converted to a NumPy array: {error}") from error
    _check_shape(array, audio_format.channels)
    return _to_int16(array).tobytes()


def _check_shape(array: "numpy.ndarray[Any, Any]", channels: int) -> None:
    if array.shape[1:] == (channels,) or (array.ndim == 1 and channels == 1):
        return
    expected = "(frames,) or (frames, 1)" if channels == 1 else f"(frames, {channels})"
    raise ConfigurationError(
        f"audio must have shape {expected}, not {array.shape}.", hint=_shape_hint(array, channels)
    )


def _shape_hint(array: "numpy.ndarray[Any, Any]", channels: int) -> str:
    if array.ndim == 2 and array.shape[0] == channels:
        return "The channels come first: pass audio.T."
    if array.ndim == 1:
        return f"If the channels are interleaved, pass audio.reshape(-1, {channels})."
    if array.ndim == 2 and channels == 1:
        return f"Pass one channel, audio[:, 0], or set channels={array.shape[1]}."
    return ""


def _to_int16(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind == "i2":
        return array.astype("<i2", copy=False)
    if kind == "i4":
        return (array >> 16).astype("<i2")
    if kind in ("f4", "f8"):
        return _floats_to_int16(array)
    raise ConfigurationError(
        f"audio must be an array of int16, int32, float32 or float64, not {array.dtype}.",
        hint="Pass audio.astype(numpy.int16) if the values are 16-bit samples.",
    )


def _floats_to_int16(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    import numpy

    if (
        array.size and not -MAX_AMPLITUDE <= array.min() <= array.max() <= MAX_AMPLITUDE
    ):  # Also false for NaN.
        raise _float_error(array)
    return numpy.clip(numpy.rint(array * 32768.0), -32768, 32767).astype("<i2")


def _float_error(array: "numpy.ndarray[Any, Any]") -> ConfigurationError:
    import numpy

    if not numpy.isfinite(array).all():
        return ConfigurationError(
            "audio contains NaN or infinity.", hint="Pass numpy.nan_to_num(audio, posinf=1, neginf=-1)."
        )
    return ConfigurationError(
        f"audio contains the value {array.flat[abs(array).argmax()]:g}; floats must be in [-1, 1].",
        hint="Divide by 32768 if these are int16 values. Pass audio.clip(-1, 1) if the audio is only loud.",
    )


class Converter:
    """A converter of a PCM stream from one format to another.

    To get one channel from many, it takes their mean, or the one ``channel``, counted from 0. To get many
    channels from one, it repeats that one. soxr changes the sample rate and keeps back some 40 ms until
    ``flush``. The result does not depend on the sizes of the chunks. Raises ``ConfigurationError`` for other
    numbers of channels (such as 3 to 2), and ``AudioError`` if soxr is not installed.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat, channel: Optional[int] = None) -> None:
        if source.channels != target.channels and 1 not in (source.channels, target.channels):
            raise ConfigurationError(
                f"{source.channels} channels cannot be converted to {target.channels}.",
                hint=f"Set channels=1 for the mean, or channels={source.channels} for all.",
            )
        self._source = source
        self._target = target
        self._channel = channel
        # Mix down before resampling and repeat after it, so that as few channels as possible are resampled.
        self._resampled_channels = min(source.channels, target.channels)
        self._resampler: Any = None
        if source.sample_rate != target.sample_rate:
            self._resampler = _import_soxr().ResampleStream(
                source.sample_rate,
                target.sample_rate,
                self._resampled_channels,
                dtype="float32",
                quality="HQ",
            )

    def convert(self, pcm: bytes) -> bytes:
        """Convert a chunk of whole frames. Return the converted audio that is ready."""
        return pcm if self._source == self._target else self._convert(pcm, last=False)

    def flush(self) -> bytes:
        """Return the audio that the resampler has kept back. No audio may follow."""
        return b"" if self._resampler is None else self._convert(b"", last=True)

    def _convert(self, pcm: bytes, last: bool) -> bytes:
        import numpy

        samples = numpy.frombuffer(pcm, "<i2").reshape(-1, self._source.channels).astype("float32")
        if self._resampled_channels < self._source.channels:
            samples = self._mix_down(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last)
        if self._resampled_channels < self._target.channels:
            samples = samples.repeat(self._target.channels, axis=1)
        converted: bytes = numpy.clip(numpy.rint(samples), -32768, 32767).astype("<i2").tobytes()
        return converted

    def _mix_down(self, samples: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
        """Return the chosen channel, or the mean of all, with shape (frames, 1)."""
        if self._channel is None:
            return samples.mean(axis=1, keepdims=True)  # type: ignore[no-any-return]
        return samples[:, self._channel : self._channel + 1]


def _import_soxr() -> Any:
    try:
        import soxr
    except ImportError as error:
        raise AudioError(
            "Resampling audio needs soxr, which is not installed.",
            hint='Install it: pip install "slng-sync[mic]".',
        ) from error
    return soxr
