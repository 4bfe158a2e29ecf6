"""Levels compared with values calculated by hand."""

import numpy
import pytest

from slng_sync.audio.level import level_of, peak_dbfs
from slng_sync.events import Level


def sine(amplitude: float, frames: int = 16000) -> bytes:
    wave = amplitude * numpy.sin(2 * numpy.pi * 440 * numpy.arange(frames) / 16000)
    return bytes(numpy.rint(wave).clip(-32768, 32767).astype("<i2").tobytes())


def test_empty_audio_and_zeros_are_silence() -> None:
    assert level_of(b"") == level_of(bytes(1600)) == Level(-96.0, -96.0)
    assert peak_dbfs(b"") == peak_dbfs(bytes(2)) == -96.0


@pytest.mark.parametrize(
    ("amplitude", "peak", "rms"), [(32767, 0.0, -3.0), (16384, -6.0, -9.0), (100, -50.3, -53.3)]
)
def test_a_sine_has_its_peak_and_three_db_less_power(amplitude: int, peak: float, rms: float) -> None:
    level = level_of(sine(amplitude))
    assert level.peak_dbfs == peak_dbfs(sine(amplitude)) == pytest.approx(peak, abs=0.05)
    assert level.rms_dbfs == pytest.approx(rms, abs=0.3)


def test_the_lowest_sample_is_full_scale() -> None:
    assert level_of(b"\x00\x80").peak_dbfs == 0.0


def test_several_full_samples_are_clipping_and_a_single_one_is_not() -> None:
    assert level_of(sine(60000)).clipping
    assert not level_of(bytes(100) + b"\xff\x7f" + bytes(100)).clipping
    assert not level_of(sine(30000)).clipping


def test_speech_is_included() -> None:
    assert level_of(bytes(2), speech=True).speech
