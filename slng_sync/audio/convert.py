"""Samples of any kind into 16-bit PCM, and PCM from one format into another."""

from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import AudioError, ConfigurationError
from .format import AudioFormat

if TYPE_CHECKING:
    import numpy

__all__ = ["Audio", "Converter", "to_pcm"]

Audio = Union[bytes, bytearray, memoryview, "numpy.ndarray[Any, Any]"]

# What a resampler or a lossy codec adds to a peak is clipped; more than that is a mistake of scale.
LOUDEST = 1.05


def to_pcm(audio: Audio, audio_format: AudioFormat) -> bytes:
    """Return audio as 16-bit little-endian PCM of that format.

    ``audio`` is PCM already (bytes, bytearray, or a memoryview of bytes, in whole frames), or an array:
    int16, int32, float32 or float64, of shape (frames,) for one channel or (frames, channels). What NumPy
    can see as an array, such as a tensor in main memory, counts as one.

    Floats lie in [-1, 1]: -1.0 becomes -32768, 1.0 becomes 32767, and up to 1.05 is clipped. Of an int32
    the upper 16 bits are taken. Raises ConfigurationError for anything else. Bytes are not copied.
    """
    if isinstance(audio, bytes) and not len(audio) % audio_format.frame_bytes:
        return audio
    if isinstance(audio, (bytes, bytearray, memoryview)):
        return _from_bytes(audio, audio_format)
    if hasattr(audio, "__array__"):
        return _from_array(audio, audio_format)
    raise ConfigurationError(
        f"audio must be bytes (16-bit PCM) or a NumPy array, not {type(audio).__name__}.",
        hint="A list becomes an array by numpy.array(audio, dtype=numpy.int16).",
    )


def _from_bytes(audio: Union[bytes, bytearray, memoryview], audio_format: AudioFormat) -> bytes:
    if isinstance(audio, memoryview) and audio.itemsize != 1:
        raise ConfigurationError(
            f"audio must be a memoryview of bytes, not of {audio.itemsize}-byte items.",
            hint="Give audio.cast('B').",
        )
    pcm = bytes(audio)
    if len(pcm) % audio_format.frame_bytes:
        raise ConfigurationError(
            f"audio has {len(pcm)} bytes, which is not a multiple of {audio_format.frame_bytes}, "
            f"the bytes of one frame (16-bit samples, {audio_format}).",
        )
    return pcm


def _from_array(audio: Any, audio_format: AudioFormat) -> bytes:
    import numpy

    try:
        array = numpy.asarray(audio)
    except Exception as error:  # A tensor on a GPU, for one, raises what its library likes.
        raise ConfigurationError(f"audio cannot be read as an array: {error}") from error
    _check_shape(array, audio_format.channels)
    return _to_int16(array).tobytes()


def _check_shape(array: "numpy.ndarray[Any, Any]", channels: int) -> None:
    if array.shape[1:] == (channels,) or (array.ndim == 1 and channels == 1):
        return
    expected = "(frames,) or (frames, 1)" if channels == 1 else f"(frames, {channels})"
    raise ConfigurationError(
        f"audio must have the shape {expected}, not {array.shape}.", hint=_shape_hint(array, channels)
    )


def _shape_hint(array: "numpy.ndarray[Any, Any]", channels: int) -> str:
    if array.ndim == 2 and array.shape[0] == channels:
        return "Its channels come first: give audio.T."
    if array.ndim == 1:
        return f"If its channels are interleaved, give audio.reshape(-1, {channels})."
    if array.ndim == 2 and channels == 1:
        return f"Give one channel, audio[:, 0], or say channels={array.shape[1]}."
    return ""


def _to_int16(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind == "i2":
        return array.astype("<i2", copy=False)
    if kind == "i4":
        return (array >> 16).astype("<i2")
    if kind in ("f4", "f8"):
        return _scaled(array)
    raise ConfigurationError(
        f"audio must be an array of int16, int32, float32 or float64, not {array.dtype}.",
        hint="Give audio.astype(numpy.int16) if its values are those of 16-bit samples.",
    )


def _scaled(array: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    import numpy

    if array.size and not -LOUDEST <= array.min() <= array.max() <= LOUDEST:  # False for a NaN, too.
        _refuse_floats(array)
    return numpy.clip(numpy.rint(array * 32768.0), -32768, 32767).astype("<i2")


def _refuse_floats(array: "numpy.ndarray[Any, Any]") -> None:
    import numpy

    if not numpy.isfinite(array).all():
        raise ConfigurationError(
            "audio holds NaN or infinity, which is no sound.",
            hint="Give numpy.nan_to_num(audio, posinf=1, neginf=-1).",
        )
    raise ConfigurationError(
        f"audio holds the value {array.flat[abs(array).argmax()]:g}; floats must lie in [-1, 1].",
        hint="Divide by 32768 if these are int16 values; give audio.clip(-1, 1) if it is only loud.",
    )


class Converter:
    """Turns a stream of PCM from one format into another.

    Many channels become one by their mean, or by taking one ``channel`` of them, counted from 0, and one
    becomes many by repeating it. Rates are changed by soxr,
    which withholds some 40 ms until ``flush``; the result does not depend on how the stream was cut. Raises
    ConfigurationError for channels that have no such meaning (3 to 2), AudioError where soxr is missing.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat, channel: Optional[int] = None) -> None:
        if source.channels != target.channels and 1 not in (source.channels, target.channels):
            raise ConfigurationError(
                f"{source.channels} channels cannot be turned into {target.channels}.",
                hint=f"Ask for 1 channel, their mean, or for all {source.channels}.",
            )
        self._source = source
        self._target = target
        self._channel = channel
        # Mixed down before resampling and repeated after it: the fewest channels are resampled.
        self._channels = min(source.channels, target.channels)
        self._resampler: Any = None
        if source.sample_rate != target.sample_rate:
            self._resampler = _soxr().ResampleStream(
                source.sample_rate, target.sample_rate, self._channels, dtype="float32", quality="HQ"
            )

    def convert(self, pcm: bytes) -> bytes:
        """Return what is ready of the converted stream after this piece of whole frames."""
        return pcm if self._source == self._target else self._convert(pcm, last=False)

    def flush(self) -> bytes:
        """Return what was withheld: the stream has ended, and nothing may follow."""
        return b"" if self._resampler is None else self._convert(b"", last=True)

    def _convert(self, pcm: bytes, last: bool) -> bytes:
        import numpy

        samples = numpy.frombuffer(pcm, "<i2").reshape(-1, self._source.channels).astype("float32")
        if self._channels < self._source.channels:
            samples = self._mixed(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last)
        if self._channels < self._target.channels:
            samples = samples.repeat(self._target.channels, axis=1)
        converted: bytes = numpy.clip(numpy.rint(samples), -32768, 32767).astype("<i2").tobytes()
        return converted

    def _mixed(self, samples: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
        """One channel of many."""
        if self._channel is None:
            return samples.mean(axis=1, keepdims=True)  # type: ignore[no-any-return]
        return samples[:, self._channel : self._channel + 1]


def _soxr() -> Any:
    try:
        import soxr
    except ImportError as error:
        raise AudioError(
            "Converting audio to another sample rate needs soxr, which is not installed.",
            hint='Install it: pip install "slng-sync[mic]".',
        ) from error
    return soxr
