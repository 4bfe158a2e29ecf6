"""One thread keeps the time of many: it comes when it has to, and is gone when nobody needs it."""

import threading
import time
from typing import Callable, List, Optional

import pytest

from slng_sync.session.timekeeper import Timekeeper

PATIENCE = 20.0


class Stream:
    """Says when to come again, ``times`` times; then it has more to do."""

    def __init__(self, *times: float) -> None:
        self._times = list(times)
        self.looks: List[float] = []
        self.threads: List[str] = []
        self.has_gone_on = threading.Event()
        self.on_look: Callable[[], None] = lambda: None

    def tend(self) -> Optional[float]:
        self.looks.append(time.monotonic())
        self.threads.append(threading.current_thread().name)
        self.on_look()
        return time.monotonic() + self._times.pop(0) if self._times else None

    def go_on(self) -> None:
        self.has_gone_on.set()


@pytest.fixture
def timekeeper() -> Timekeeper:
    return Timekeeper()


def test_it_looks_at_once_and_then_when_something_is_due(timekeeper: Timekeeper) -> None:
    stream = Stream(0.2, 0.0)
    timekeeper.keep(stream)
    assert stream.has_gone_on.wait(PATIENCE)
    first, second, third = stream.looks
    assert second - first >= 0.2
    assert third >= second
    assert set(stream.threads) == {"slng-time"}


def test_whoever_is_called_for_is_looked_after_now(timekeeper: Timekeeper) -> None:
    """However far away its time is; the others are left alone."""
    stream, other = Stream(1000.0), Stream(1000.0, 1000.0)
    timekeeper.keep(other)
    timekeeper.keep(stream)
    while not (stream.looks and other.looks):
        time.sleep(0.001)
    timekeeper.call(stream)
    assert stream.has_gone_on.wait(PATIENCE)
    assert len(other.looks) == 1
    timekeeper.call(other)
    timekeeper.call(other)
    while len(other.looks) < 2:
        time.sleep(0.001)
    timekeeper.call(other)
    assert other.has_gone_on.wait(PATIENCE)


def test_its_thread_ends_with_the_last_stream_and_begins_anew(timekeeper: Timekeeper) -> None:
    for _ in range(3):
        stream = Stream(0.0)
        timekeeper.keep(stream)
        assert stream.has_gone_on.wait(PATIENCE)
        timekeeper.join(PATIENCE)
        assert "slng-time" not in [each.name for each in threading.enumerate()]


def test_who_joins_while_there_are_streams_does_not_wait(timekeeper: Timekeeper) -> None:
    stream = Stream(1000.0)
    timekeeper.keep(stream)
    while not stream.looks:
        time.sleep(0.001)
    timekeeper.join(1000.0)
    assert not stream.has_gone_on.is_set()
    timekeeper.call(stream)
    assert stream.has_gone_on.wait(PATIENCE)


def test_who_joins_is_not_held_up_by_a_stream_that_comes_meanwhile(timekeeper: Timekeeper) -> None:
    """The thread was about to end, and stays for the other one."""
    first, other = Stream(), Stream(1000.0)
    at_its_end, may_end = threading.Event(), threading.Event()

    def go_on() -> None:
        at_its_end.set()
        assert may_end.wait(PATIENCE)

    first.go_on = go_on  # type: ignore[method-assign]
    timekeeper.keep(first)
    assert at_its_end.wait(PATIENCE)
    joining = threading.Thread(target=timekeeper.join, args=(1000.0,))
    joining.start()
    timekeeper.keep(other)
    may_end.set()
    joining.join(PATIENCE)
    assert not joining.is_alive()
    timekeeper.call(other)
    assert other.has_gone_on.wait(PATIENCE)
    timekeeper.join(PATIENCE)


def test_a_stream_may_come_back_the_moment_it_has_gone(timekeeper: Timekeeper) -> None:
    """Again and again, from another thread, while the timekeeper's is about to end."""
    for _ in range(300):
        stream = Stream()
        timekeeper.keep(stream)
        assert stream.has_gone_on.wait(PATIENCE)
    timekeeper.join(PATIENCE)


def test_what_was_called_for_too_late_is_not_held(timekeeper: Timekeeper) -> None:
    """It has gone on already, and it may be gone altogether."""
    stream = Stream()
    stream.on_look = lambda: timekeeper.call(stream)
    timekeeper.keep(stream)
    assert stream.has_gone_on.wait(PATIENCE)
    timekeeper.join(PATIENCE)
    assert not timekeeper._called


def test_where_no_thread_is_to_be_had_it_says_so(
    timekeeper: Timekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            timekeeper.keep(Stream())
    timekeeper.join(PATIENCE)
    stream = Stream()
    timekeeper.keep(stream)
    assert stream.has_gone_on.wait(PATIENCE)
