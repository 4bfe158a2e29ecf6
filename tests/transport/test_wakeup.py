"""A wake-up ends the wait of a thread, and loses no call of ``set``."""

import os
import selectors
import signal
import threading
import time
from collections import deque
from typing import Deque, Iterator

import pytest
from loopback import LONG, Took

from slng_sync.transport.wakeup import Wakeup


@pytest.fixture(params=["eventfd", "sockets"])
def wakeup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wakeup]:
    if request.param == "sockets":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this Python has no eventfd")
    made = Wakeup()
    yield made
    made.close()


def wait(wakeup: Wakeup, selector: selectors.BaseSelector, timeout: float = LONG) -> bool:
    """Wait as ``slng-io`` does, and return whether polling has shown the wake-up."""
    events = selector.select(0 if wakeup.prepare() else timeout)
    wakeup.finish(events)
    return bool(events)


@pytest.fixture
def selector(wakeup: Wakeup) -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        made.register(wakeup, selectors.EVENT_READ)
        yield made


def test_it_ends_a_wait(wakeup: Wakeup, selector: selectors.BaseSelector) -> None:
    timer = threading.Timer(0.1, wakeup.set)
    timer.start()
    with Took(less_than=LONG / 2):
        assert wait(wakeup, selector)
    timer.join()
    assert not wait(wakeup, selector, 0.01), "it is set once"


def test_set_before_the_wait(wakeup: Wakeup, selector: selectors.BaseSelector) -> None:
    """The next wait returns at once, and no system call was needed."""
    wakeup.set()
    with Took(less_than=LONG / 2):
        assert not wait(wakeup, selector)
    assert not wait(wakeup, selector, 0.01)


def test_set_by_a_signal_handler(wakeup: Wakeup, selector: selectors.BaseSelector) -> None:
    before = signal.signal(signal.SIGALRM, lambda number, stack: wakeup.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with Took(less_than=LONG / 2):
            wait(wakeup, selector)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_set_after_it_was_closed(wakeup: Wakeup) -> None:
    wakeup.prepare()
    wakeup.close()
    wakeup.set()
    wakeup.finish([])


def test_no_call_is_lost(wakeup: Wakeup, selector: selectors.BaseSelector) -> None:
    """Three threads queue items and set it: all items arrive although the waits have no other end."""
    queue: Deque[int] = deque()
    count = 3000

    def produce() -> None:
        for number in range(count):
            queue.append(number)
            wakeup.set()
            if number % 50 == 0:
                time.sleep(0.0001)

    threads = [threading.Thread(target=produce) for _ in range(3)]
    for thread in threads:
        thread.start()
    taken = waits = 0
    with Took(less_than=LONG):
        while taken < 3 * count:
            wait(wakeup, selector)
            waits += 1
            while queue:
                queue.popleft()
                taken += 1
    for thread in threads:
        thread.join(LONG)
    assert waits <= 3 * count + 10
