"""Losses found by the clock, on devices that are late, slow, fast, stalled, or that lose something."""

import random

from hypothesis import given
from hypothesis import strategies as st

from slng_sync.microphone.losses import LossClock

RATE = 16000


class Device:
    """A device with a clock of its own, whose frames are looked at now and then."""

    def __init__(self, rate: float = RATE, jitter: float = 0.02) -> None:
        self.now = 1000.0
        self.frames = 0.0
        self.rate = rate
        self.clock = LossClock(self.now)
        self.lost = 0.0
        self.jitter = random.Random(7)
        self.latest = jitter

    def run(self, seconds: float, *, gives: bool = True) -> None:
        """Time goes by in steps of 5 ms; frames come in periods of 100 ms, a little late."""
        for step in range(round(seconds / 0.005)):
            self.now += 0.005
            if gives:
                self.frames += self.rate * 0.005
            period = int(self.frames / 1600) * 1600
            late = self.jitter.random() < 0.5 and step % 20 < self.latest / 0.005
            if not late:
                self.lost += self.clock.hear(period / RATE, self.now)


def test_a_device_that_gives_everything_loses_nothing() -> None:
    device = Device()
    device.run(60)
    assert device.lost == 0


@given(drift=st.floats(-0.002, 0.002))
def test_clocks_run_apart_and_nothing_is_lost_for_it(drift: float) -> None:
    device = Device(RATE * (1 + drift))
    device.run(30)
    assert device.lost == 0


def test_what_is_lost_at_once_is_found_within_two_seconds() -> None:
    device = Device()
    device.run(5)
    device.run(0.5, gives=False)
    device.run(2.1)
    assert abs(device.lost - 0.5) < 0.11


def test_a_stall_whose_audio_is_missing_is_a_loss() -> None:
    device = Device()
    device.run(5)
    device.run(3, gives=False)
    device.run(3)
    assert abs(device.lost - 3) < 0.11


def test_a_stall_after_which_everything_comes_is_none() -> None:
    device = Device()
    device.run(5)
    device.run(3.3, gives=False)
    device.frames += 3.3 * RATE
    device.run(10)
    assert device.lost == 0


def test_what_was_told_is_not_told_again() -> None:
    device = Device()
    device.run(5)
    device.run(3, gives=False)
    device.run(30)
    once = device.lost
    device.run(30)
    assert device.lost == once


def test_a_device_that_was_away_has_missed_that_time() -> None:
    device = Device()
    device.run(5)
    device.run(2.5, gives=False)
    missed = device.clock.skip(device.now)
    assert abs(missed - 2.5) < 0.12
    device.run(10)
    assert device.lost == 0


def test_a_device_that_was_away_at_once_has_missed_that_time_too() -> None:
    device = Device()
    device.run(0.3)
    device.run(2.5, gives=False)
    assert abs(device.clock.skip(device.now) - 2.5) < 0.12
