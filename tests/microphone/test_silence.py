"""When a microphone is reported as silent, and with which hint."""

from typing import List

import pytest

from slng_sync.events import MicrophoneSilent
from slng_sync.microphone.silence import SilenceDetector, low_level_hint, silence_hint

ZERO, HUM, VOICE = -96.0, -70.0, -20.0


def process(detector: SilenceDetector, *stretches: "tuple[float, float]") -> List[MicrophoneSilent]:
    """Process stretches of (seconds, peak) in chunks of 20 ms. Return the reported events."""
    events = [
        detector.update(0.02, peak) for seconds, peak in stretches for _ in range(round(seconds / 0.02))
    ]
    return [each for each in events if each is not None]


def test_zeros_from_the_start_are_reported_once() -> None:
    (event,) = process(SilenceDetector(), (30, ZERO))
    assert event == MicrophoneSilent(3.0, silence_hint())


def test_a_device_that_suppresses_noise_may_deliver_zeros_between_words() -> None:
    assert process(SilenceDetector(), (1, VOICE), (9, ZERO), (0.2, VOICE), (9, ZERO)) == []


def test_a_device_that_is_muted_later_is_reported_each_time() -> None:
    events = process(SilenceDetector(), (1, VOICE), (20, ZERO), (1, VOICE), (20, ZERO))
    assert [each.seconds for each in events] == [10.0, 10.0]


def test_a_low_level_has_its_own_hint() -> None:
    (event,) = process(SilenceDetector(), (30, HUM))
    assert event == MicrophoneSilent(10.0, low_level_hint())


def test_a_low_level_after_speech_is_not_reported() -> None:
    assert process(SilenceDetector(), (0.1, VOICE), (600, HUM)) == []


@pytest.mark.parametrize(
    ("platform", "silent", "low_level"),
    [
        ("linux", "pactl set-source-mute @DEFAULT_SOURCE@ 0", "pavucontrol"),
        ("darwin", "Privacy & Security > Microphone", "System Settings > Sound > Input"),
        ("win32", "Let desktop apps access", "Settings > System > Sound > Input"),
        ("freebsd14", "pactl", "pavucontrol"),
    ],
)
def test_the_hint_depends_on_the_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, silent: str, low_level: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert silent in silence_hint()
    assert low_level in low_level_hint()
