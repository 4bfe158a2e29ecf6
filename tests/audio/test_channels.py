"""Splitting a source into channels, without sessions, so that the tests control who waits for whom."""

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
    """A source that yields the given items and raises the given exceptions, in order."""

    def __init__(self, *items: Any, live: bool = False, count: int = 2) -> None:
        self.audio_format = AudioFormat(1000, count)
        self.live = live
        self.items = items
        self.given = 0
        self.stopped = threading.Event()
        self.checks = 0
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("a source with with_events() must not be iterated directly")

    def with_events(self) -> Iterator[Any]:
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


class Reader:
    """Reads a channel on its own thread, as a session does."""

    def __init__(self, channel: channels.Channel) -> None:
        self.channel = channel
        self.items: List[Union[bytes, Event]] = []
        self.error: Any = None
        self._items = channel.with_events()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self) -> "Reader":
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self

    @property
    def audio(self) -> bytes:
        return b"".join(item for item in self.items if isinstance(item, bytes))

    def _run(self) -> None:
        try:
            self.items.extend(self._items)
        except DeviceLost as error:
            self.error = error


@pytest.mark.parametrize("count", [2, 3, 8])
def test_each_channel_has_its_own_samples(count: int) -> None:
    audio = numpy.random.default_rng(1).integers(-32768, 32767, (50_000, count)).astype("<i2")
    readers = [Reader(each) for each in split(as_source(audio, sample_rate=16000, speed=AT_ONCE), count)]
    for at, each in enumerate(readers):
        assert each.wait().audio == audio[:, at].tobytes()
        assert each.channel.audio_format == AudioFormat(16000, 1)
        assert each.channel.duration == 50_000 / 16000


def test_arrays_and_empty_chunks_are_split_too() -> None:
    source = as_source([numpy.array([[0.5, -0.5]] * 3), b""], channels=2)
    left, right = (Reader(each).wait for each in split(source, 2))
    assert (left().audio, right().audio) == (pcm(16384, 3), pcm(-16384, 3))


def test_a_plain_iteration_yields_only_audio() -> None:
    left, right = split(Radio(stereo(1, 2), MicrophoneSilent(), stereo(3, 4)), 2)
    other = Reader(right)
    assert b"".join(left) == pcm(1) + pcm(3)
    assert other.wait().audio == pcm(2) + pcm(4)


def test_reading_starts_when_all_channels_have_started() -> None:
    radio = Radio(stereo(1, 2))
    left, right = split(radio, 2)
    first = Reader(left)
    assert radio.given == 0
    assert Reader(right).wait().audio == pcm(2)
    assert first.wait().audio == pcm(1)


def test_a_recording_waits_for_the_slowest_channel_until_it_stops() -> None:
    """At 1000 Hz, ten of these chunks are one second. One more may be in transit."""
    radio = Radio(*[stereo(1, 2)] * 100)
    fast, slow = split(radio, 2)
    quick, items = Reader(fast), slow.with_events()
    for _ in range(40):
        next(items)
    assert radio.given <= 40 + 11
    slow.stop()
    assert len(quick.wait().audio) == 100 * 200


def test_a_live_source_waits_for_no_channel() -> None:
    radio = Radio(*[stereo(1, 2)] * 100, live=True)
    fast, slow = split(radio, 2)
    assert fast.live
    items = slow.with_events()
    assert len(Reader(fast).wait().audio) == 100 * 200
    assert len(list(items)) == 100


def test_a_channel_that_stops_does_not_stop_the_others() -> None:
    go_on = threading.Event()

    class Paused(Radio):
        def with_events(self) -> Iterator[Any]:
            yield stereo(1, 2)
            assert go_on.wait(10)
            yield stereo(3, 4)

    radio = Paused()
    left, right = split(radio, 2)
    staying, items = Reader(right), left.with_events()
    assert next(items) == pcm(1)
    left.stop()
    assert list(items) == []
    assert not radio.stopped.is_set()
    go_on.set()
    assert staying.wait().audio == pcm(2) + pcm(4)


def test_a_source_is_stopped_when_all_channels_are_stopped() -> None:
    radio = Radio(stereo(1, 2))
    left, right = split(radio, 2)
    left.stop()
    left.stop()
    assert not radio.stopped.is_set()
    right.stop()
    assert radio.stopped.is_set()
    assert list(left) == list(right) == []
    assert radio.given == 0


def test_after_stop_all_every_channel_gets_the_remaining_audio() -> None:
    class Microphone(Radio):
        def with_events(self) -> Iterator[Any]:
            yield stereo(1, 2)
            assert self.stopped.wait(10)
            yield stereo(3, 4)

    radio = Microphone(live=True)
    left, right = split(radio, 2)
    both = [Reader(left), Reader(right)]
    left.stop_all()
    assert [each.wait().audio for each in both] == [pcm(1) + pcm(3), pcm(2) + pcm(4)]
    right.join(5)
    assert radio.closed


def test_channels_wait_a_limited_time_for_a_source_that_does_not_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "DRAIN_SECONDS", 0.1)
    go_on = threading.Event()

    class Stuck(Radio):
        def with_events(self) -> Iterator[Any]:
            yield stereo(1, 2)
            go_on.wait(10)

    left, right = split(Stuck(), 2)
    both = [Reader(left), Reader(right)]
    left.stop_all()
    assert [each.wait().audio for each in both] == [pcm(1), pcm(2)]
    go_on.set()
    right.join(5)


def test_an_endless_source_without_stop_is_abandoned_after_stop_all() -> None:
    class Endless:
        audio_format = AudioFormat(1000, 2)

        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield stereo(1, 2)

    left, right = split(Endless(), 2)
    both = [left.with_events(), right.with_events()]
    assert [next(each) for each in both] == [pcm(1), pcm(2)]
    left.stop_all()
    assert all(len(list(each)) <= 11 for each in both)
    left.join(5)


def test_an_error_of_the_source_is_raised_in_one_channel() -> None:
    both = [Reader(each) for each in split(Radio(stereo(1, 2), DeviceLost("Disconnected.")), 2)]
    assert [each.wait().audio for each in both] == [pcm(1), pcm(2)]
    assert sum(each.error is not None for each in both) == 1


def test_an_error_at_the_start_is_raised_at_once() -> None:
    class InUse(Radio):
        def with_events(self) -> Iterator[Any]:
            raise DeviceLost("It is in use.")

    left, right = split(InUse(), 2)
    waiting = Reader(left)
    with pytest.raises(DeviceLost, match="in use"):
        right.with_events()
    assert waiting.wait().error is None


def test_events_go_to_the_first_channel_and_copies_to_the_others() -> None:
    events = (AudioLost(0.5, "overrun"), MicrophoneLost("cable"), MicrophoneRestored(2.0, 1.5, "USB"))
    left, right = (Reader(each) for each in split(Radio(*events, MicrophoneSilent(3.0)), 2))
    assert left.wait().items == [*events, MicrophoneSilent(3.0)]
    copies: Any = right.wait().items
    assert all(isinstance(each, Repeated) for each in copies)
    assert [(type(each).__mro__[1], vars(each)) for each in copies] == [
        (type(each), vars(each)) for each in events
    ]


def test_a_source_is_checked_once() -> None:
    radio = Radio()
    for each in split(radio, 2):
        each.check()
    assert radio.checks == 1
