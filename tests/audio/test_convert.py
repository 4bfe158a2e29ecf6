import sys
from typing import Any, List

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync.audio.convert import Converter, to_pcm
from slng_sync.audio.format import AudioFormat
from slng_sync.errors import AudioError, ConfigurationError

MONO = AudioFormat(16000, 1)
STEREO = AudioFormat(16000, 2)

int16s = st.lists(st.integers(-32768, 32767), max_size=200)


def pcm_of(samples: Any) -> bytes:
    return numpy.array(samples, dtype="<i2").tobytes()


def samples_of(pcm: bytes) -> "numpy.ndarray[Any, Any]":
    return numpy.frombuffer(pcm, "<i2").astype(int)


class TestBytes:
    def test_bytes_are_not_copied(self) -> None:
        pcm = pcm_of([1, 2, 3])
        assert to_pcm(pcm, MONO) is pcm

    @pytest.mark.parametrize("kind", [bytearray, memoryview, lambda pcm: memoryview(pcm + pcm)[: len(pcm)]])
    def test_other_buffers_of_bytes_are_taken(self, kind: Any) -> None:
        pcm = pcm_of([1, 2, 3])
        assert to_pcm(kind(pcm), MONO) == pcm

    def test_a_part_of_a_frame_is_refused(self) -> None:
        with pytest.raises(
            ConfigurationError, match="audio has 6 bytes, which is not a multiple of the frame size, 4 bytes"
        ) as caught:
            to_pcm(bytes(6), STEREO)
        assert "16000 Hz, 2 channels" in str(caught.value)

    def test_a_memoryview_of_more_than_bytes_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"2-byte items.*cast\('B'\)"):
            to_pcm(memoryview(numpy.zeros(4, "int16")), MONO)

    @pytest.mark.parametrize("audio", ["text", [1, 2], None, 3, object()])
    def test_other_types_are_refused_by_name(self, audio: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"audio must be bytes .* not {type(audio).__name__}"):
            to_pcm(audio, MONO)


class TestArrays:
    @given(int16s)
    def test_int16_is_taken_as_it_is(self, samples: List[int]) -> None:
        assert to_pcm(numpy.array(samples, "int16"), MONO) == pcm_of(samples)

    @given(int16s)
    def test_int32_gives_its_upper_half(self, samples: List[int]) -> None:
        assert to_pcm(numpy.array(samples, "int32") * 65536 + 77, MONO) == pcm_of(samples)

    @given(int16s, st.sampled_from(["float32", "float64"]))
    def test_a_float_is_a_sample_divided_by_32768(self, samples: List[int], dtype: str) -> None:
        assert to_pcm((numpy.array(samples) / 32768).astype(dtype), MONO) == pcm_of(samples)

    def test_full_scale_and_a_little_more_is_clipped(self) -> None:
        audio = numpy.array([1.0, -1.0, 1.05, -1.05, 0.5])
        assert to_pcm(audio, MONO) == pcm_of([32767, -32768, 32767, -32768, 16384])

    @pytest.mark.parametrize("dtype", [">i2", ">i4", ">f4", ">f8"])
    def test_big_endian_arrays_are_byte_swapped(self, dtype: str) -> None:
        audio = numpy.array([0.25, -0.5]) * {"i2": 2**15, "i4": 2**31}.get(dtype[1:], 1)
        assert to_pcm(audio.astype(dtype), MONO) == pcm_of([8192, -16384])

    def test_views_are_read_in_their_own_order(self) -> None:
        audio = numpy.arange(12, dtype="int16")
        assert to_pcm(audio[::3], MONO) == pcm_of([0, 3, 6, 9])
        assert to_pcm(audio.reshape(2, 6).T, STEREO) == pcm_of([0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11])

    def test_the_shape_may_name_the_one_channel(self) -> None:
        assert to_pcm(numpy.array([[1], [2]], "int16"), MONO) == pcm_of([1, 2])

    def test_empty_arrays_are_accepted(self) -> None:
        assert to_pcm(numpy.zeros(0), MONO) == b""
        assert to_pcm(numpy.zeros((0, 2), "float32"), STEREO) == b""

    def test_any_object_with_array_protocol_is_accepted(self) -> None:
        class Tensor:
            def __array__(self, dtype: Any = None, copy: Any = None) -> "numpy.ndarray[Any, Any]":
                return numpy.array([0.5], "float32")

        assert to_pcm(Tensor(), MONO) == pcm_of([16384])  # type: ignore[arg-type]

    def test_a_tensor_that_cannot_be_read_is_refused(self) -> None:
        class OnAnotherDevice:
            def __array__(self, dtype: Any = None, copy: Any = None) -> None:
                raise TypeError("copy the tensor to host memory first")

        with pytest.raises(ConfigurationError, match="host memory"):
            to_pcm(OnAnotherDevice(), MONO)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("audio", "message"),
        [
            ([0.0, float("nan")], "NaN or infinity.*nan_to_num"),
            ([float("-inf")], "NaN or infinity"),
            ([0.0, -1200.0], r"the value -1200; floats must be in \[-1, 1\].*Divide by 32768"),
            ([1.06], "the value 1.06"),
        ],
    )
    def test_floats_of_another_scale_are_refused(self, audio: List[float], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            to_pcm(numpy.array(audio), MONO)

    @pytest.mark.parametrize(
        "dtype", ["uint8", "int8", "uint16", "int64", "float16", "complex64", "bool", "object"]
    )
    def test_other_kinds_of_numbers_are_refused(self, dtype: str) -> None:
        with pytest.raises(ConfigurationError, match=f"not {dtype}.*astype"):
            to_pcm(numpy.zeros(4, dtype), MONO)

    @pytest.mark.parametrize(
        ("shape", "audio_format", "message"),
        [
            ((2, 48), STEREO, r"\(frames, 2\), not \(2, 48\).*pass audio\.T"),
            ((1, 48), MONO, r"pass audio\.T"),
            ((48,), STEREO, r"audio\.reshape\(-1, 2\)"),
            ((48, 2), MONO, r"audio\[:, 0\], or set channels=2"),
            ((48, 3), STEREO, r"not \(48, 3\)"),
            ((4, 4, 1), MONO, r"\(frames,\) or \(frames, 1\), not \(4, 4, 1\)"),
            ((), MONO, r"not \(\)"),
        ],
    )
    def test_another_shape_is_refused_with_a_hint(
        self, shape: Any, audio_format: AudioFormat, message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=message):
            to_pcm(numpy.zeros(shape, "int16"), audio_format)


def converted(pcm: bytes, source: AudioFormat, target: AudioFormat, cuts: List[int]) -> bytes:
    """Convert a stream in chunks, cut at these frames."""
    converter = Converter(source, target)
    edges = [0, *sorted(cuts), len(pcm)]
    chunks = [pcm[a * source.frame_bytes : b * source.frame_bytes] for a, b in zip(edges, edges[1:])]
    return b"".join(map(converter.convert, chunks)) + converter.flush()


def tone(frequency: float, sample_rate: int, seconds: float = 1.0) -> "numpy.ndarray[Any, Any]":
    return numpy.sin(2 * numpy.pi * frequency * numpy.arange(int(seconds * sample_rate)) / sample_rate)


class TestConverter:
    def test_the_same_format_returns_the_same_bytes(self) -> None:
        pcm = bytes(64)
        converter = Converter(MONO, AudioFormat(16000, 1))
        assert converter.convert(pcm) is pcm
        assert converter.flush() == b""

    @given(
        st.sampled_from([8000, 22050, 44100, 48000]),
        st.integers(1, 2),
        st.lists(st.integers(0, 3000), max_size=20),
        st.integers(0, 2**32 - 1),
    )
    def test_the_result_does_not_depend_on_the_chunk_sizes(
        self, rate: int, channels: int, cuts: List[int], seed: int
    ) -> None:
        source = AudioFormat(rate, channels)
        noise = numpy.random.default_rng(seed).integers(-32768, 32768, 3000 * channels)
        whole, cut = (samples_of(converted(pcm_of(noise), source, MONO, where)) for where in ([], cuts))
        assert len(whole) == len(cut) == pytest.approx(3000 * 16000 / rate, abs=1)
        assert abs(whole - cut).max() <= 2

    def test_resampling_keeps_speech_and_removes_aliasing(self) -> None:
        audio = tone(1000, 48000) * 0.5 + tone(10000, 48000) * 0.25
        pcm = to_pcm(audio, AudioFormat(48000, 1))
        result = samples_of(converted(pcm, AudioFormat(48000, 1), MONO, [480, 5000])) / 32768
        assert abs(result - tone(1000, 16000) * 0.5)[200:-200].max() < 0.001

    @given(st.lists(st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)), max_size=50))
    def test_many_channels_become_their_mean(self, frames: Any) -> None:
        mixed = samples_of(Converter(STEREO, MONO).convert(pcm_of(frames)))
        assert all(abs(mix - (left + right) / 2) <= 0.5 for mix, (left, right) in zip(mixed, frames))

    @given(int16s, st.integers(2, 8))
    def test_one_channel_becomes_many_and_one_again(self, samples: List[int], channels: int) -> None:
        many = AudioFormat(16000, channels)
        spread = Converter(MONO, many).convert(pcm_of(samples))
        assert spread == pcm_of(numpy.repeat(samples, channels))
        assert Converter(many, MONO).convert(spread) == pcm_of(samples)

    def test_loud_audio_is_clipped_and_does_not_wrap(self) -> None:
        square = pcm_of(numpy.sign(tone(200, 48000)) * 32767)
        result = samples_of(converted(square, AudioFormat(48000, 1), MONO, []))
        assert result[5:35].min() > 30000
        assert result[45:75].max() < -30000

    def test_other_channel_conversions_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"3 channels cannot be converted to 2\. Set channels=1"):
            Converter(AudioFormat(16000, 3), STEREO)

    def test_without_soxr_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)
        Converter(STEREO, MONO)  # needs no resampler
        with pytest.raises(AudioError, match=r'pip install "slng-sync\[mic\]"'):
            Converter(AudioFormat(48000, 1), MONO)
