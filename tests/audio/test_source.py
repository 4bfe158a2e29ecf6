import io
from pathlib import Path
from typing import Any, Iterator, List

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from riff import wav

from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import AudioSource, as_source
from slng_sync.errors import AudioError, ConfigurationError
from slng_sync.microphone.microphone import Microphone

AT_ONCE = float("inf")


def read_all(source: Any, **options: Any) -> Any:
    return b"".join(as_source(source, speed=AT_ONCE, **options))  # type: ignore[arg-type]


class TestArraysAndBytes:
    def test_an_array_is_read_in_the_given_format(self) -> None:
        audio = numpy.arange(8000, dtype="int16").reshape(-1, 2)
        source = as_source(audio, sample_rate=8000, speed=AT_ONCE)
        assert source.audio_format == AudioFormat(8000, 2)
        assert source.duration == 0.5  # type: ignore[attr-defined]
        assert b"".join(source) == audio.tobytes()  # type: ignore[arg-type]

    def test_an_array_without_a_rate_is_refused(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"sample_rate is required for an array.*sample_rate=16000"
        ):
            as_source(numpy.zeros(10))

    def test_an_array_with_channels_first_gets_a_hint_to_transpose_it(self) -> None:
        with pytest.raises(ConfigurationError, match=r"pass audio\.T"):
            as_source(numpy.zeros((2, 48000)), sample_rate=48000)

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_bytes_are_raw_pcm(self, kind: Any) -> None:
        assert as_source(kind(b"\1\2")).audio_format == AudioFormat(16000, 1)
        assert read_all(kind(b"\1\2\3\4"), sample_rate=8000, channels=2) == b"\1\2\3\4"

    def test_bytes_of_an_audio_file_are_read_as_that_file(self) -> None:
        assert read_all(wav(b"\1\2\3\4", sample_rate=8000)) == b"\1\2\3\4"

    def test_bytes_that_are_not_whole_frames_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="audio has 3 bytes"):
            as_source(b"\1\2\3")


class TestIterables:
    @given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(1, 3))
    def test_chunks_may_be_cut_anywhere(self, pcm: bytes, cuts: List[int], channels: int) -> None:
        edges = [0, *sorted(cuts), 300]
        chunks = [pcm[a:b] for a, b in zip(edges, edges[1:])]
        received: List[Any] = list(as_source(chunks, channels=channels))
        assert all(chunk and len(chunk) % (2 * channels) == 0 for chunk in received)
        assert b"".join(received) == pcm[: len(pcm) - len(pcm) % (2 * channels)]

    def test_arrays_are_passed_on_as_they_are(self) -> None:
        chunks = [numpy.zeros(3), numpy.ones(2)]
        assert list(as_source(chunks, sample_rate=48000)) == chunks

    def test_stop_ends_it_before_the_next_chunk(self) -> None:
        def endless() -> Iterator[bytes]:
            while True:
                yield b"\0\0"

        source: Any = as_source(endless())
        for count, _ in enumerate(source):
            if count == 5:
                source.stop()
        assert count == 5


class TestRead:
    def test_read_is_called_for_50_ms_until_it_returns_nothing(self) -> None:
        class Recorder:
            asked: List[int] = []

            def read(self, size: int) -> bytes:
                self.asked.append(size)
                return bytes(7) if len(self.asked) < 4 else b""

        recorder = Recorder()
        assert read_all(recorder, sample_rate=8000) == bytes(20)
        assert recorder.asked == [800] * 4

    def test_a_readable_object_may_have_an_audio_format(self) -> None:
        class Recorder:
            audio_format = AudioFormat(48000, 2)
            left = [bytes(8), b""]

            def read(self, size: int) -> bytes:
                return self.left.pop(0)

        source = as_source(Recorder(), sample_rate=8000)
        assert source.audio_format == AudioFormat(48000, 2)
        assert list(source) == [bytes(8)]

    def test_read_may_return_arrays(self) -> None:
        class Recorder:
            left = [numpy.zeros(3), numpy.zeros(0)]

            def read(self, size: int) -> Any:
                return self.left.pop(0)

        assert [len(chunk) for chunk in as_source(Recorder())] == [3]

    def test_read_that_returns_none_is_an_error(self) -> None:
        class Recorder:
            def read(self, size: int) -> None: ...

        with pytest.raises(AudioError, match=r"read\(\) of the audio source returned None"):
            list(as_source(Recorder()))


class TestSources:
    def test_a_source_is_returned_unchanged(self) -> None:
        class Radio:
            audio_format = AudioFormat(48000, 2)

            def __iter__(self) -> Iterator[bytes]:
                return iter([])

        radio = Radio()
        assert isinstance(radio, AudioSource)
        assert as_source(radio, sample_rate=8000) is radio
        assert as_source(radio).audio_format == AudioFormat(48000, 2)

    def test_a_microphone_adopts_the_requested_format(self) -> None:
        microphone = Microphone()
        assert as_source(microphone, sample_rate=8000, channels=2) is microphone
        assert microphone.audio_format == AudioFormat(8000, 2)
        assert as_source(microphone).audio_format == AudioFormat(16000, 1)

    def test_a_microphone_keeps_a_format_of_its_own(self) -> None:
        microphone = Microphone(sample_rate=48000)
        assert as_source(microphone, sample_rate=8000, channels=2).audio_format == AudioFormat(48000, 2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://example.com/a.wav?key=1", r"source is a URL, 'https://example\.com/a\.wav'; .*Download it"),
        ("", "source is an empty path"),
        (None, "source must be a path, .* not NoneType"),
        (5, "not int"),
        (Microphone, "not the class Microphone"),
        (io.StringIO("text"), "opened in text mode"),
    ],
)
def test_other_objects_are_refused(source: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        as_source(source)


def test_an_invalid_format_is_refused(tmp_path: Path) -> None:
    for options in ({"sample_rate": 0}, {"channels": 0}, {"sample_rate": "16000"}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            as_source(b"", **options)  # type: ignore[arg-type]
