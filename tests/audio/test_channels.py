"""A source that is read once, and heard by several: without sessions, so that who waits for whom is known."""

import threading
from typing import Any, Iterator, List, Union

import numpy
import pytest

from slng_sync.audio import channels
from slng_sync.audio.channels import split
from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import DeviceLost
from slng_sync.events import (
    AudioLost,
    Event,
    MicrophoneLost,
    MicrophoneRestored,
    MicrophoneSilent,
    Repeated,
)

AT_ONCE = float("inf")


class Radio:
    """Gives what it is told to, one chunk after the other, until it is stopped."""

    def __init__(self, *items: Any, live: bool = False, count: int = 2) -> None:
        self.audio_format = AudioFormat(1000, count)
        self.live = live
        self.items = items
        self.given = 0
        self.stopped = threading.Event()
        self.checks = 0
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("what can be heard is not iterated")

    def hear(self) -> Iterator[Any]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            self.given += 1
            yield item

    def check(self) -> None:
        self.checks += 1

    def stop(self) -> None:
        self.stopped.set()

    def join(self, timeout: float) -> None:
        self.closed = True


def stereo(left: int, right: int, frames: int = 100) -> bytes:
    return numpy.array([[left, right]] * frames, "<i2").tobytes()


def pcm(value: int, frames: int = 100) -> bytes:
    return numpy.full(frames, value, "<i2").tobytes()


class Heard:
    """Hears a channel on a thread of its own, as a session does."""

    def __init__(self, channel: channels.Channel) -> None:
        self.channel = channel
        self.items: List[Union[bytes, Event]] = []
        self.error: Any = None
        self._pieces = channel.hear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self) -> "Heard":
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self

    @property
    def audio(self) -> bytes:
        return b"".join(item for item in self.items if isinstance(item, bytes))

    def _run(self) -> None:
        try:
            self.items.extend(self._pieces)
        except DeviceLost as error:
            self.error = error


@pytest.mark.parametrize("count", [2, 3, 8])
def test_each_channel_has_its_own_samples(count: int) -> None:
    audio = numpy.random.default_rng(1).integers(-32768, 32767, (50_000, count)).astype("<i2")
    heard = [Heard(each) for each in split(as_source(audio, sample_rate=16000, speed=AT_ONCE), count)]
    for at, each in enumerate(heard):
        assert each.wait().audio == audio[:, at].tobytes()
        assert each.channel.audio_format == AudioFormat(16000, 1)
        assert each.channel.duration == 50_000 / 16000


def test_arrays_and_silence_are_taken_apart_as_well() -> None:
    source = as_source([numpy.array([[0.5, -0.5]] * 3), b""], channels=2)
    left, right = (Heard(each).wait for each in split(source, 2))
    assert (left().audio, right().audio) == (pcm(16384, 3), pcm(-16384, 3))


def test_an_iteration_gives_only_audio() -> None:
    left, right = split(Radio(stereo(1, 2), MicrophoneSilent(), stereo(3, 4)), 2)
    other = Heard(right)
    assert b"".join(left) == pcm(1) + pcm(3)
    assert other.wait().audio == pcm(2) + pcm(4)


def test_nothing_is_read_before_all_are_heard() -> None:
    radio = Radio(stereo(1, 2))
    left, right = split(radio, 2)
    first = Heard(left)
    assert radio.given == 0
    assert Heard(right).wait().audio == pcm(2)
    assert first.wait().audio == pcm(1)


def test_a_recording_waits_for_the_slowest_and_no_longer_than_that() -> None:
    """At 1000 Hz a second is ten of these chunks; one more may be on its way."""
    radio = Radio(*[stereo(1, 2)] * 100)
    fast, slow = split(radio, 2)
    quick, pieces = Heard(fast), slow.hear()
    for _ in range(40):
        next(pieces)
    assert radio.given <= 40 + 11
    slow.stop()
    assert len(quick.wait().audio) == 100 * 200


def test_what_is_live_waits_for_nobody() -> None:
    radio = Radio(*[stereo(1, 2)] * 100, live=True)
    fast, slow = split(radio, 2)
    assert fast.live
    pieces = slow.hear()
    assert len(Heard(fast).wait().audio) == 100 * 200
    assert len(list(pieces)) == 100


def test_one_that_stops_leaves_the_others_alone() -> None:
    go_on = threading.Event()

    class Paused(Radio):
        def hear(self) -> Iterator[Any]:
            yield stereo(1, 2)
            assert go_on.wait(10)
            yield stereo(3, 4)

    radio = Paused()
    left, right = split(radio, 2)
    staying, pieces = Heard(right), left.hear()
    assert next(pieces) == pcm(1)
    left.stop()
    assert list(pieces) == []
    assert not radio.stopped.is_set()
    go_on.set()
    assert staying.wait().audio == pcm(2) + pcm(4)


def test_a_source_is_stopped_once_nobody_wants_it() -> None:
    radio = Radio(stereo(1, 2))
    left, right = split(radio, 2)
    left.stop()
    left.stop()
    assert not radio.stopped.is_set()
    right.stop()
    assert radio.stopped.is_set()
    assert list(left) == list(right) == []
    assert radio.given == 0


def test_what_is_stopped_as_a_whole_still_gives_its_rest_to_all() -> None:
    class Microphone(Radio):
        def hear(self) -> Iterator[Any]:
            yield stereo(1, 2)
            assert self.stopped.wait(10)
            yield stereo(3, 4)

    radio = Microphone(live=True)
    left, right = split(radio, 2)
    both = [Heard(left), Heard(right)]
    left.stop_all()
    assert [each.wait().audio for each in both] == [pcm(1) + pcm(3), pcm(2) + pcm(4)]
    right.join(5)
    assert radio.closed


def test_a_source_that_does_not_stop_is_waited_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "REST_SECONDS", 0.1)
    go_on = threading.Event()

    class Stuck(Radio):
        def hear(self) -> Iterator[Any]:
            yield stereo(1, 2)
            go_on.wait(10)

    left, right = split(Stuck(), 2)
    both = [Heard(left), Heard(right)]
    left.stop_all()
    assert [each.wait().audio for each in both] == [pcm(1), pcm(2)]
    go_on.set()
    right.join(5)


def test_an_endless_source_without_a_stop_is_left_when_nobody_wants_it() -> None:
    class Endless:
        audio_format = AudioFormat(1000, 2)

        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield stereo(1, 2)

    left, right = split(Endless(), 2)
    both = [left.hear(), right.hear()]
    assert [next(each) for each in both] == [pcm(1), pcm(2)]
    left.stop_all()
    assert all(len(list(each)) <= 11 for each in both)
    left.join(5)


def test_what_goes_wrong_is_raised_by_one_of_them() -> None:
    both = [Heard(each) for each in split(Radio(stereo(1, 2), DeviceLost("It is gone.")), 2)]
    assert [each.wait().audio for each in both] == [pcm(1), pcm(2)]
    assert sum(each.error is not None for each in both) == 1


def test_a_source_that_cannot_be_heard_says_so_at_once() -> None:
    class InUse(Radio):
        def hear(self) -> Iterator[Any]:
            raise DeviceLost("It is in use.")

    left, right = split(InUse(), 2)
    waiting = Heard(left)
    with pytest.raises(DeviceLost, match="in use"):
        right.hear()
    assert waiting.wait().error is None


def test_news_is_told_by_the_first_and_the_clocks_of_all_follow_it() -> None:
    news = (AudioLost(0.5, "overrun"), MicrophoneLost("cable"), MicrophoneRestored(2.0, 1.5, "USB"))
    left, right = (Heard(each) for each in split(Radio(*news, MicrophoneSilent(3.0)), 2))
    assert left.wait().items == [*news, MicrophoneSilent(3.0)]
    again: Any = right.wait().items
    assert all(isinstance(each, Repeated) for each in again)
    assert [(type(each).__mro__[1], vars(each)) for each in again] == [
        (type(each), vars(each)) for each in news
    ]


def test_a_source_is_checked_once() -> None:
    radio = Radio()
    for each in split(radio, 2):
        each.check()
    assert radio.checks == 1
