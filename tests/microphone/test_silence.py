"""When a microphone is said to be silent, and what is said to do about it."""

from typing import List

import pytest

from slng_sync.events import MicrophoneSilent
from slng_sync.microphone.silence import SilenceWatch, quiet_hint, silence_hint

ZERO, HUM, VOICE = -96.0, -70.0, -20.0


def hear(watch: SilenceWatch, *stretches: "tuple[float, float]") -> List[MicrophoneSilent]:
    """Stretches of (seconds, peak), in pieces of 20 ms."""
    told = [watch.hear(0.02, peak) for seconds, peak in stretches for _ in range(round(seconds / 0.02))]
    return [each for each in told if each is not None]


def test_zeros_from_the_beginning_are_told_once() -> None:
    (told,) = hear(SilenceWatch(), (30, ZERO))
    assert told == MicrophoneSilent(3.0, silence_hint())


def test_a_device_that_suppresses_noise_may_give_zeros_between_words() -> None:
    assert hear(SilenceWatch(), (1, VOICE), (9, ZERO), (0.2, VOICE), (9, ZERO)) == []


def test_one_that_is_muted_later_is_told_each_time() -> None:
    told = hear(SilenceWatch(), (1, VOICE), (20, ZERO), (1, VOICE), (20, ZERO))
    assert [each.seconds for each in told] == [10.0, 10.0]


def test_far_too_quiet_is_another_matter() -> None:
    (told,) = hear(SilenceWatch(), (30, HUM))
    assert told == MicrophoneSilent(10.0, quiet_hint())


def test_who_has_been_heard_may_be_silent() -> None:
    assert hear(SilenceWatch(), (0.1, VOICE), (600, HUM)) == []


@pytest.mark.parametrize(
    ("platform", "silent", "quiet"),
    [
        ("linux", "pactl set-source-mute @DEFAULT_SOURCE@ 0", "pavucontrol"),
        ("darwin", "Privacy & Security > Microphone", "System Settings > Sound > Input"),
        ("win32", "Let desktop apps access", "Settings > System > Sound > Input"),
        ("freebsd14", "pactl", "pavucontrol"),
    ],
)
def test_the_cure_is_that_of_the_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, silent: str, quiet: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert silent in silence_hint()
    assert quiet in quiet_hint()
