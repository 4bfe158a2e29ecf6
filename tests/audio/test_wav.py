import io
import struct
import wave
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from riff import FLOAT, PCM, chunk, wav

from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import AudioError

AT_ONCE = float("inf")


def read(recording: bytes) -> bytes:
    return b"".join(as_source(io.BytesIO(recording), speed=AT_ONCE))  # type: ignore[arg-type]


def pack(code: str, values: Any) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


@given(st.lists(st.integers(-32768, 32767), min_size=1), st.integers(1, 3), st.sampled_from([8000, 44100]))
def test_files_of_the_standard_library_are_read(samples: List[int], channels: int, rate: int) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pack("h", samples * channels))
    source = as_source(io.BytesIO(file.getvalue()), speed=AT_ONCE)
    assert source.audio_format == AudioFormat(rate, channels)
    assert b"".join(source) == pack("h", samples * channels)  # type: ignore[arg-type]


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("encoding", "width", "samples"),
    [
        (PCM, 1, bytes([0, 64, 128, 255])),
        (PCM, 2, pack("h", [-32768, -16384, 0, 32512])),
        (PCM, 3, b"".join(pack("i", [value << 16])[1:] for value in (-32768, -16384, 0, 32512))),
        (PCM, 4, pack("i", [value << 16 for value in (-32768, -16384, 0, 32512)])),
        (FLOAT, 4, pack("f", [-1.0, -0.5, 0.0, 32512 / 32768])),
        (FLOAT, 8, pack("d", [-1.0, -0.5, 0.0, 32512 / 32768])),
    ],
)
def test_every_kind_of_sample_becomes_16_bits(
    encoding: int, width: int, samples: bytes, extensible: bool
) -> None:
    recording = wav(samples, encoding=encoding, width=width, extensible=extensible)
    assert read(recording) == pack("h", [-32768, -16384, 0, 32512])


def test_floats_beyond_full_scale_are_clipped_and_a_nan_is_silence() -> None:
    samples = pack("f", [3.0, -3.0, float("nan"), float("inf")])
    assert read(wav(samples, encoding=FLOAT, width=4)) == pack("h", [32767, -32768, 0, 32767])


def test_other_chunks_are_skipped() -> None:
    recording = wav(
        b"\1\2", before=chunk(b"LIST", bytes(70001)) + chunk(b"fact", b"odd"), after=chunk(b"id3 ", b"x")
    )
    assert read(recording) == b"\1\2"


def test_the_duration_is_known_before_the_iteration() -> None:
    assert as_source(io.BytesIO(wav(bytes(3200)))).duration == 0.1  # type: ignore[attr-defined]


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0x80000000, 0x7FFFF000, 0])
def test_without_a_size_the_file_is_read_to_its_end(announced: int) -> None:
    recording = wav(bytes(range(100)), announced=announced, riff_bytes=36 if announced == 0 else announced)
    source = as_source(io.BytesIO(recording), speed=AT_ONCE)
    assert source.duration is None  # type: ignore[attr-defined]
    assert b"".join(source) == bytes(range(100))  # type: ignore[arg-type]


def test_a_truncated_file_is_read_before_the_error_is_raised() -> None:
    chunks = []
    with pytest.raises(
        AudioError, match=r"The file is truncated: its header announces 3\.00 s of audio, it contains 0\.25 s"
    ):
        chunks.extend(as_source(io.BytesIO(wav(bytes(8000), announced=96000)), speed=AT_ONCE))
    assert b"".join(chunks) == bytes(8000)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [5, 6])
def test_an_incomplete_frame_at_the_end_is_dropped(size: int) -> None:
    assert read(wav(bytes(size), channels=2)) == bytes(4)
    assert read(wav(bytes(size), channels=2, announced=0xFFFFFFFF)) == bytes(4)


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (wav(b"", after=chunk(b"LIST", b"more")), "without audio: its data chunk is empty"),
        (wav(b"")[:-8], "without audio: it ends before the data chunk"),
        (wav(b"")[:30], "without audio"),
        (wav(b"\0\0", channels=0), "has an invalid WAV header"),
        (wav(b"\0\0", sample_rate=0), "has an invalid WAV header"),
        (wav(b"\0\0", width=0), "has an invalid WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\2\0\0\0\0\0", "has an invalid WAV header"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff", "without audio"),
    ],
)
def test_an_invalid_header_is_an_error(recording: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        as_source(io.BytesIO(recording))


@given(st.binary(max_size=200), st.integers(0, 60))
def test_damaged_files_raise_no_other_error(noise: bytes, position: int) -> None:
    recording = bytearray(wav(bytes(400)))
    recording[position : position + len(noise)] = noise
    try:
        read(bytes(recording))
    except AudioError:
        pass
