"""Where callbacks run: a thread, an executor, a function of the program; and how each of them ends."""

import queue
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Callable, Iterator, List

import pytest
from deliveries import LONG, Seen, callbacks, final, partial

from slng_sync import ConfigurationError, Ready
from slng_sync.callbacks import mailbox as mailbox_module
from slng_sync.callbacks.mailbox import Mailbox
from slng_sync.callbacks.targets import ExecutorTarget, FunctionTarget, check_dispatch


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def started(dispatch: Any, *functions: Callable[[Any], Any]) -> Mailbox:
    check_dispatch(dispatch)
    mailbox = Mailbox(callbacks(*functions), dispatch)
    mailbox.start()
    return mailbox


def end(mailbox: Mailbox) -> None:
    mailbox.close()
    assert mailbox.join(LONG)


def our_threads() -> List[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("slng")]


class Blocker:
    """A callback that waits inside its first call until it is let go."""

    def __init__(self) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()

    def __call__(self, item: Any) -> None:
        self.inside.set()
        assert self.leave.wait(LONG)


# Which are accepted


@pytest.mark.parametrize("dispatch", [None, "manual", print, queue.Queue().put])
def test_what_can_run_callbacks(dispatch: Any) -> None:
    check_dispatch(dispatch)


def test_an_executor_of_threads_can(pool: ThreadPoolExecutor) -> None:
    check_dispatch(pool)


async def coroutine(function: Any) -> None:
    """Nothing awaits it."""


@pytest.mark.parametrize("dispatch", [5, "thread", "", [], True, coroutine, ThreadPoolExecutor, Executor])
def test_what_cannot_is_told_what_can(dispatch: Any) -> None:
    with pytest.raises(ConfigurationError, match="dispatch") as caught:
        check_dispatch(dispatch)
    for choice in ("None", '"manual"', "ThreadPoolExecutor(4)", "wx.CallAfter"):
        assert choice in str(caught.value)


class InterpreterPoolExecutor(ThreadPoolExecutor):
    """Named as that of Python 3.14, which is a subclass too."""


@pytest.mark.parametrize("kind", [ProcessPoolExecutor, InterpreterPoolExecutor])
def test_executors_of_other_processes_and_interpreters_are_refused(kind: Any) -> None:
    with kind(1) as executor, pytest.raises(ConfigurationError, match=kind.__name__) as caught:
        check_dispatch(executor)
    assert "ThreadPoolExecutor(4)" in str(caught.value)


# A thread of its own


def test_a_thread_of_the_session_runs_the_callbacks_and_ends(seen: Seen) -> None:
    mailbox = started(None, seen)
    for number in range(10):
        mailbox.put(final(str(number)))
    end(mailbox)
    assert seen.texts == [str(number) for number in range(10)]
    assert {thread.name for thread in seen.threads} == {"slng-callbacks"}
    assert our_threads() == []


def test_finals_are_delivered_while_partials_give_way_to_a_slow_callback(seen: Seen) -> None:
    blocker = Blocker()
    mailbox = started(None, seen, blocker)
    mailbox.put(final("first"))
    assert blocker.inside.wait(LONG)
    for number in range(30):
        mailbox.put(partial(str(number)))
    mailbox.put(final("second"))
    mailbox.put(partial("newest"))
    blocker.leave.set()
    end(mailbox)
    assert seen.texts == ["first", "29", "second", "newest"]


def test_join_is_bounded(seen: Seen) -> None:
    blocker = Blocker()
    mailbox = started(None, blocker)
    mailbox.put(final("a"))
    assert blocker.inside.wait(LONG)
    mailbox.close()
    assert mailbox.join(0.01) is False
    blocker.leave.set()
    assert mailbox.join(LONG)


def every_target() -> List[Any]:
    return [
        pytest.param(lambda pool: None, id="own thread"),
        pytest.param(lambda pool: pool, id="executor"),
        pytest.param(lambda pool: lambda drain: drain(), id="function that runs it at once"),
        pytest.param(lambda pool: pool.submit, id="function that runs it elsewhere"),
    ]


@pytest.mark.parametrize("target", every_target())
def test_a_callback_may_close_and_join(target: Any, pool: ThreadPoolExecutor, seen: Seen) -> None:
    """It waits for nothing there, and what is queued behind it is still delivered."""
    done = threading.Event()

    def close(item: Any) -> None:
        if item == Ready():
            assert mailbox.in_callback
            mailbox.put(final("b"))
            mailbox.close()
            assert mailbox.join(LONG)
        elif item.text == "b":
            done.set()

    mailbox = started(target(pool), seen, close)
    assert not mailbox.in_callback
    mailbox.put(Ready())
    assert done.wait(LONG) and mailbox.join(LONG)
    assert seen.texts == ["b"] and not seen.overlapped


@pytest.mark.parametrize("target", every_target())
def test_callbacks_that_fail_stop_nothing(target: Any, pool: ThreadPoolExecutor, seen: Seen) -> None:
    """Neither an exception nor sys.exit() on a thread that is not the main one."""

    def fail(item: Any) -> None:
        if item == Ready():
            raise RuntimeError
        sys.exit("enough")

    mailbox = started(target(pool), fail, seen)
    for item in (Ready(), final("a"), final("b")):
        mailbox.put(item)
    end(mailbox)
    # A function that runs it elsewhere is joined once it has the request.
    pool.shutdown()
    assert seen.texts == ["a", "b"]


@pytest.mark.parametrize("target", every_target())
def test_a_close_among_the_puts_of_several_threads(target: Any, pool: ThreadPoolExecutor) -> None:
    """Whatever came before the close is delivered, and nothing hangs."""
    for _ in range(50):
        close_among_puts(target(pool), Seen())


def close_among_puts(dispatch: Any, seen: Seen) -> None:
    mailbox = started(dispatch, seen)
    items = [[final(f"{name} {number}") for number in range(20)] for name in range(2)]
    producers = [threading.Thread(target=lambda own=own: list(map(mailbox.put, own))) for own in items]
    for producer in producers:
        producer.start()
    mailbox.close()
    for producer in producers:
        producer.join(LONG)
    assert mailbox.join(LONG)
    # A function that runs the drain elsewhere is joined once it was called.
    assert wait_until(lambda: mailbox.is_over)
    for own in items:
        texts = [item.text for item in own]
        delivered = [text for text in seen.texts if text in texts]
        assert delivered == texts[: len(delivered)]
    assert not seen.overlapped


def wait_until(holds: Callable[[], bool]) -> bool:
    """For what no event tells: a drain that has delivered its last item and is about to end."""
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return True
        pause.wait(0.01)
    return False


# An executor


def test_twenty_sessions_share_four_threads(pool: ThreadPoolExecutor) -> None:
    """Each in order and one callback at a time, with no thread of ours."""
    every = [Seen() for _ in range(20)]
    mailboxes = [started(pool, seen) for seen in every]
    for number in range(100):
        for mailbox in mailboxes:
            mailbox.put(final(str(number)))
    assert our_threads() == []
    for mailbox in mailboxes:
        end(mailbox)
    for seen in every:
        assert seen.texts == [str(number) for number in range(100)] and not seen.overlapped
    threads = {thread.name for seen in every for thread in seen.threads}
    assert all(name.startswith("ThreadPoolExecutor") for name in threads)


def test_a_session_with_much_to_deliver_lets_the_others_in(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    """Its drain ends when its time is over, and asks again behind the others."""
    monkeypatch.setattr(ExecutorTarget, "limit", 0.0)
    with ThreadPoolExecutor(1) as pool:
        gate = Blocker()
        pool.submit(gate, None)
        greedy, modest = started(pool, seen), started(pool, seen)
        for number in range(3):
            greedy.put(final(f"greedy {number}"))
        modest.put(final("modest"))
        gate.leave.set()
        assert wait_until(lambda: len(seen.items) == 4)
        end(greedy)
        end(modest)
    assert seen.texts == ["greedy 0", "modest", "greedy 1", "greedy 2"]


def test_close_on_the_executors_only_thread_waits_for_nothing(seen: Seen) -> None:
    """One session's callback ends another session, whose callbacks need the same thread."""
    with ThreadPoolExecutor(1) as pool:
        other = started(pool, seen)
        joined = threading.Event()

        def end_other(item: Any) -> None:
            other.put(final("last"))
            other.close()
            assert other.in_callback and other.join(LONG)
            joined.set()

        mailbox = started(pool, end_other)
        mailbox.put(Ready())
        assert joined.wait(LONG)
        end(mailbox)
        assert not other.in_callback
        assert other.join(LONG) and seen.texts == ["last"]


def test_an_executor_that_was_shut_down(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and once what was not delivered; nothing hangs."""
    pool = ThreadPoolExecutor(1)
    mailbox = started(pool, seen)
    pool.shutdown()
    for number in range(3):
        mailbox.put(final(f"mauve {number}"))
    end(mailbox)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "must not be shut down before the session is closed" in caplog.text
    assert "not delivered: 3 for on_final" in caplog.text
    assert "mauve" not in caplog.text and seen.items == []


def test_a_request_that_is_cancelled(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """As shutdown(cancel_futures=True) does, with a lock of the executor held."""
    pool, gate = ThreadPoolExecutor(1), Blocker()
    pool.submit(gate, None)
    mailbox = started(pool, seen)
    mailbox.put(final("a"))
    cancel_all(pool)
    gate.leave.set()
    end(mailbox)
    pool.shutdown()
    assert "dispatch raised CancelledError" in caplog.text and "1 for on_final" in caplog.text


def cancel_all(pool: ThreadPoolExecutor) -> None:
    if sys.version_info >= (3, 9):
        pool.shutdown(wait=False, cancel_futures=True)
    else:
        while not pool._work_queue.empty():
            pool._work_queue.get().future.cancel()
        pool.shutdown(wait=False)


class Inline(Executor):
    """Runs at once what it is given, as some tests have it."""

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_an_executor_that_runs_it_at_once(seen: Seen) -> None:
    mailbox = started(Inline(), seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    end(mailbox)
    assert seen.texts == ["0", "1", "2"]


class Broken(Executor):
    """Fails later, as one of other processes does that cannot pickle the function."""

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(TypeError("cannot pickle"))
        return future


def test_an_executor_that_fails_later(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    mailbox = started(Broken(), seen)
    mailbox.put(final("a"))
    mailbox.put(final("b"))
    end(mailbox)
    assert caplog.text.count("dispatch raised TypeError") == 1
    assert "2 for on_final" in caplog.text


# A function of the program


class Window:
    """A GUI's loop: ``call_after`` queues, and ``run`` runs what is queued on the calling thread."""

    def __init__(self) -> None:
        self.queued: queue.Queue[Callable[[], None]] = queue.Queue()

    def call_after(self, function: Callable[[], None]) -> None:
        self.queued.put(function)

    def next(self) -> Callable[[], None]:
        return self.queued.get(timeout=LONG)


def test_the_program_runs_the_callbacks_on_its_thread(seen: Seen) -> None:
    """It was busy: one request is queued, and the newest partial comes of it."""
    window = Window()
    mailbox = started(window.call_after, seen)
    for number in range(60):
        mailbox.put(partial(str(number)))
    drain = window.next()
    mailbox.put(final("said"))
    assert window.queued.empty()
    drain()
    assert seen.texts == ["59", "said"]
    assert set(seen.threads) == {threading.current_thread()}
    end(mailbox)


def test_close_on_the_guis_thread_waits_until_the_loop_has_the_request(seen: Seen) -> None:
    """The loop runs it after the close, and no thread of ours remains."""
    window = Window()
    mailbox = started(window.call_after, seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    end(mailbox)
    assert our_threads() == [] and window.queued.qsize() == 1
    drain = window.next()
    drain()
    assert seen.texts == ["0", "1", "2"]
    drain()
    assert len(seen.items) == 3, "twice is harmless"


def test_the_function_it_gets_shows_no_words() -> None:
    window = Window()
    mailbox = started(window.call_after, print)
    mailbox.put(final("mauve"))
    assert "mauve" not in repr(window.next())
    end(mailbox)


def test_a_function_that_runs_it_at_once(seen: Seen) -> None:
    """On the session's own thread."""
    mailbox = started(lambda drain: drain(), seen)
    for number in range(5):
        mailbox.put(final(str(number)))
    end(mailbox)
    assert seen.texts == [str(number) for number in range(5)]
    assert {thread.name for thread in seen.threads} == {"slng-callbacks"}


def test_a_function_that_runs_it_twice(pool: ThreadPoolExecutor, seen: Seen) -> None:
    """At the same time, on two threads: still one callback at a time, each item once."""

    def twice(drain: Callable[[], None]) -> None:
        for future in [pool.submit(drain), pool.submit(drain)]:
            future.result(LONG)

    mailbox = started(twice, seen)
    for number in range(200):
        mailbox.put(final(str(number)))
    end(mailbox)
    assert seen.texts == [str(number) for number in range(200)] and not seen.overlapped


def test_a_function_that_never_runs_it_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    window = Window()
    mailbox = started(window.call_after, print)
    mailbox.put(final("mauve"))
    window.next()
    monkeypatch.setattr(mailbox_module, "STALL_SECONDS", 0.0)
    mailbox.put(final("mauve"))
    end(mailbox)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "main loop must run" in caplog.text and "mauve" not in caplog.text


def test_a_function_that_blocks_holds_up_neither_put_nor_a_bounded_join(seen: Seen) -> None:
    gate = Blocker()
    mailbox = started(gate, seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    assert gate.inside.wait(LONG)
    mailbox.close()
    assert mailbox.join(0.01) is False
    gate.leave.set()
    assert mailbox.join(LONG)


def test_a_function_that_raises_loses_nothing(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """The window was not there yet: what was put waits for the next time."""
    window, word = Window(), "mauve"
    calls: queue.Queue[None] = queue.Queue()

    def fail_once(drain: Callable[[], None]) -> None:
        calls.put(None)
        if calls.qsize() == 1:
            raise RuntimeError(word)
        window.call_after(drain)

    mailbox = started(fail_once, seen)
    mailbox.put(final(word))
    assert wait_until(lambda: "dispatch raised RuntimeError" in caplog.text)
    mailbox.put(final("second"))
    window.next()()
    assert seen.texts == ["mauve", "second"]
    assert "mauve" not in caplog.text
    end(mailbox)


def test_a_function_that_always_raises(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    def fail(drain: Callable[[], None]) -> None:
        raise RuntimeError

    mailbox = started(fail, seen)
    for _ in range(4):
        mailbox.put(final("mauve"))
    end(mailbox)
    assert caplog.text.count("dispatch raised RuntimeError") == 1
    assert "not delivered: 4 for on_final" in caplog.text


def test_a_drain_gives_the_loop_back_after_some_milliseconds(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setattr(FunctionTarget, "limit", 0.0)
    window = Window()
    mailbox = started(window.call_after, seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    for count in (1, 2, 3):
        window.next()()
        assert len(seen.items) == count
    end(mailbox)
