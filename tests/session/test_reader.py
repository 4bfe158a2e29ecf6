"""Who reads, and who is woken: the waits below a session, without one."""

import socket
import threading
from types import SimpleNamespace
from typing import Any, Iterator, List, Tuple

import pytest
from slng_sync.session.dispatch import Dispatch
from slng_sync.session.reader import Reader
from slng_sync.transport.transport import WakeUp, Watch

from slng_sync.waiting import Changes


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(params=["its own kind", "a pair of sockets"])
def wake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WakeUp]:
    if request.param == "a pair of sockets":
        monkeypatch.delattr("os.eventfd", raising=False)
    wake = WakeUp()
    yield wake
    wake.close()


def line_on(sock: socket.socket) -> Any:
    """As much of a line as a reader looks at."""
    return SimpleNamespace(connection=SimpleNamespace(transport=SimpleNamespace(sock=sock), has_more=False))


def test_a_ring_before_the_wait_is_not_lost(wake: WakeUp) -> None:
    wake.ring()
    assert Watch(wake).wait(20) is False
    assert Watch(wake).wait(0) is False


def test_a_ring_after_the_end_does_no_harm(wake: WakeUp) -> None:
    wake.is_awaited = True
    wake.close()
    wake.ring()
    wake.fall_silent()


def test_it_tells_the_socket_from_the_ring(wake: WakeUp, pair: Tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = Watch(wake, ours)
    assert watch.wait(0) is False
    assert watch.wait(0, write=True) is True
    theirs.send(b"x")
    assert watch.wait(20) is True
    wake.ring()
    assert watch.wait(20) is True, "both"
    ours.recv(1)
    wake.ring()
    assert watch.wait(20) is False


def test_no_ring_is_lost_however_fast_they_come(wake: WakeUp) -> None:
    """A number is set, then rung for; whoever waits sees each last number."""
    numbers, seen = [0], threading.Semaphore(0)
    last = 2000

    def look() -> None:
        watch = Watch(wake)
        while numbers[0] < last:
            watch.wait()
            seen.release()

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(1, last + 1):
        numbers[0] = number
        wake.ring()
        if number % 7 == 0:
            assert seen.acquire(timeout=20)
    looking.join(20)
    assert not looking.is_alive()


@pytest.mark.parametrize("what", ["the socket", "the wake-up"])
def test_what_is_closed_in_the_moment_of_waiting_does_no_harm(
    what: str, pair: Tuple[socket.socket, socket.socket]
) -> None:
    """Another thread hangs up while this one is about to wait."""
    read: List[Any] = []
    reader = Reader(lambda: line_on(pair[0]))
    reader.read = read.append
    reader.open()
    if what == "the socket":
        pair[0].close()
    else:
        reader.close()
    reader.wait()
    assert read == [] and not reader.is_listening
    reader.close()


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "never begun"])
def test_the_wake_up_is_closed_by_who_waits_for_it(begun: bool) -> None:
    """Closed by somebody else, it would be waited for on under the number that another file has by then."""
    closed_on: List[str] = []

    def leave() -> None:
        reader.close()
        closed_on.append(threading.current_thread().name)

    reader = Reader(lambda: None)
    reader.open()
    dispatch = Dispatch(None, print, idle=reader.wait, wake=reader.wake_up, leave=leave)
    if begun:
        dispatch.start()
    dispatch.close()
    assert dispatch.join(20)
    assert closed_on == ["slng-callbacks" if begun else threading.current_thread().name]


def test_a_change_is_told_to_who_waits_for_it() -> None:
    changes, happened = Changes(), []

    def happen() -> None:
        with changes.lock:
            happened.append(True)
            changes.tell()

    assert changes.wait_for(lambda: happened, 0.01) is False
    changer = threading.Timer(0.05, happen)
    changer.start()
    assert changes.wait_for(lambda: happened, 20) is True
    changer.join()
