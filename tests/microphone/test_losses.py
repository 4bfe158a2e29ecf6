"""Losses detected by the clock, with devices that are late, slow, fast or stalled, or that lose audio."""

import random

from hypothesis import given
from hypothesis import strategies as st

from slng_sync.microphone.losses import LossClock

RATE = 16000


class Device:
    """A simulated device with its own clock, polled by a ``LossClock``."""

    def __init__(self, rate: float = RATE, jitter: float = 0.02) -> None:
        self.now = 1000.0
        self.frames = 0.0
        self.rate = rate
        self.clock = LossClock(self.now)
        self.lost = 0.0
        self.jitter = random.Random(7)
        self.max_delay = jitter

    def run(self, seconds: float, *, delivers: bool = True) -> None:
        """Advance in steps of 5 ms. Frames arrive in periods of 100 ms, a little late."""
        for step in range(round(seconds / 0.005)):
            self.now += 0.005
            if delivers:
                self.frames += self.rate * 0.005
            period = int(self.frames / 1600) * 1600
            late = self.jitter.random() < 0.5 and step % 20 < self.max_delay / 0.005
            if not late:
                self.lost += self.clock.update(period / RATE, self.now)


def test_a_device_that_delivers_everything_has_no_loss() -> None:
    device = Device()
    device.run(60)
    assert device.lost == 0


@given(drift=st.floats(-0.002, 0.002))
def test_clock_drift_is_not_a_loss(drift: float) -> None:
    device = Device(RATE * (1 + drift))
    device.run(30)
    assert device.lost == 0


def test_a_loss_is_detected_within_two_seconds() -> None:
    device = Device()
    device.run(5)
    device.run(0.5, delivers=False)
    device.run(2.1)
    assert abs(device.lost - 0.5) < 0.11


def test_a_stall_without_its_audio_is_a_loss() -> None:
    device = Device()
    device.run(5)
    device.run(3, delivers=False)
    device.run(3)
    assert abs(device.lost - 3) < 0.11


def test_a_stall_after_which_all_audio_arrives_is_not_a_loss() -> None:
    device = Device()
    device.run(5)
    device.run(3.3, delivers=False)
    device.frames += 3.3 * RATE
    device.run(10)
    assert device.lost == 0


def test_a_loss_is_reported_once() -> None:
    device = Device()
    device.run(5)
    device.run(3, delivers=False)
    device.run(30)
    once = device.lost
    device.run(30)
    assert device.lost == once


def test_a_disconnected_device_has_lost_that_time() -> None:
    device = Device()
    device.run(5)
    device.run(2.5, delivers=False)
    lost = device.clock.skip(device.now)
    assert abs(lost - 2.5) < 0.12
    device.run(10)
    assert device.lost == 0


def test_a_device_that_was_disconnected_early_has_lost_that_time_too() -> None:
    device = Device()
    device.run(0.3)
    device.run(2.5, delivers=False)
    assert abs(device.clock.skip(device.now) - 2.5) < 0.12
