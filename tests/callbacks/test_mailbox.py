"""The queue of a session's deliveries: what replaces what, who drains it, when it is over."""

import sys
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

import pytest
from deliveries import LONG, Seen, callbacks, final, partial
from hypothesis import given
from hypothesis import strategies as st

from slng_sync import Closed, ConfigurationError, Level, Ready
from slng_sync.callbacks import mailbox as module
from slng_sync.callbacks.mailbox import Mailbox
from slng_sync.callbacks.targets import Drainable, Target, TargetFactory


class Loop(Target, TargetFactory):
    """A GUI's loop in miniature: it keeps the requests until the test runs one. It makes itself."""

    def __init__(self, *, limit: float = 1e9, reenters: bool = True) -> None:
        self.limit = limit
        self.reenters = reenters
        self.requests: List[Callable[[], None]] = []
        self.closed = 0
        self.error: Optional[Exception] = None
        self.advice = "Run the loop."

    def make(self) -> Target:
        return self

    def start(self, mailbox: Drainable) -> None:
        self.mailbox = mailbox

    def request(self) -> None:
        assert not self.closed, "a request after the last one"
        if self.error is not None:
            raise self.error
        self.requests.append(self.mailbox.drain)

    def close(self) -> None:
        self.closed += 1

    def join(self, timeout: float) -> bool:
        return True

    def run(self) -> None:
        """Run the oldest request."""
        self.requests.pop(0)()


def on(loop: Any, *functions: Callable[[Any], Any]) -> Mailbox:
    mailbox = Mailbox(callbacks(*functions), loop)
    mailbox.start()
    return mailbox


# What replaces what


def test_a_window_that_was_busy_gets_one_partial_and_every_final(seen: Seen) -> None:
    """For 3 s of speech, at 20 partials a second."""
    loop = Loop()
    mailbox = on(loop, seen)
    for number in range(60):
        mailbox.put(partial(f"guess {number}"))
        if number % 20 == 19:
            mailbox.put(final(f"said {number}"))
    mailbox.put(partial("last"))
    assert len(loop.requests) == 1
    loop.run()
    assert seen.finals == ["said 19", "said 39", "said 59"]
    assert seen.texts == ["guess 19", "said 19", "guess 39", "said 39", "guess 59", "said 59", "last"]
    assert loop.requests == []


def test_levels_and_partials_replace_their_own_kind_only(seen: Seen) -> None:
    mailbox = on("manual", seen)
    loud, quiet = Level(-3.0, 0.0), Level(-60.0, -50.0)
    for item in (quiet, partial("a"), loud, partial("a b"), Ready(), partial("a b c"), quiet):
        mailbox.put(item)
    assert mailbox.poll() == 5
    assert seen.items == [loud, partial("a b"), Ready(), partial("a b c"), quiet]


def test_what_was_delivered_is_not_replaced(seen: Seen) -> None:
    mailbox = on("manual", seen)
    for text in ("a", "a b"):
        mailbox.put(partial(text))
        assert mailbox.poll() == 1
    assert seen.texts == ["a", "a b"]


STEPS = st.lists(st.sampled_from(["final", "partial", "level", "drain", "stale drain"]), max_size=60)


@given(steps=STEPS, limit=st.sampled_from([1e9, 0.0]), nested=st.sets(st.integers(0, 30)))
def test_any_interleaving_delivers_each_final_once_and_no_partial_after_a_newer_one(
    steps: List[str], limit: float, nested: "set[int]"
) -> None:
    """Callbacks that run the loop themselves, and drains that nothing asked for, are among the steps."""
    loop, seen, unasked = Loop(limit=limit), Seen(), 0

    def callback(item: Any) -> None:
        seen(item)
        if len(seen.items) in nested and loop.requests:
            loop.run()

    mailbox = on(loop, callback)
    for put, step in enumerate(steps):
        if step == "drain" and loop.requests:
            loop.run()
        elif step == "stale drain":
            mailbox.drain()
            unasked += 1
        elif step == "level":
            mailbox.put(Level(float(-put), 0.0))
        elif step in ("final", "partial"):
            mailbox.put((final if step == "final" else partial)(str(put)))
        assert len(loop.requests) <= 1 + unasked
        assert loop.requests or not mailbox.is_due, "what is due is asked for"
    mailbox.close()
    while loop.requests:
        loop.run()
    finals = [str(number) for number, step in enumerate(steps) if step == "final"]
    assert seen.finals == finals
    numbers = [int(text) for text in seen.texts]
    assert numbers == sorted(set(numbers)), "in order, each once"
    assert mailbox.is_over and loop.closed == 1


@pytest.mark.parametrize("producers", [1, 3])
def test_nothing_is_lost_between_threads(producers: int, seen: Seen) -> None:
    """Each producer's finals come in its order, whatever the others do."""
    mailbox = on(None, seen)

    def produce(name: int) -> None:
        for number in range(400):
            mailbox.put(partial(f"{name} {number}"))
            mailbox.put(final(f"{name} {number}"))

    threads = [threading.Thread(target=produce, args=(name,)) for name in range(producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    mailbox.close()
    assert mailbox.join(LONG) and not seen.overlapped
    for name in range(producers):
        own = [text for text in seen.finals if text.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(400)]


# Requests


def test_one_request_is_outstanding_until_it_runs(seen: Seen) -> None:
    loop = Loop()
    mailbox = on(loop, seen)
    for number in range(5):
        mailbox.put(final(str(number)))
    assert len(loop.requests) == 1
    loop.run()
    mailbox.put(final("5"))
    assert len(loop.requests) == 1
    loop.run()
    assert seen.texts == ["0", "1", "2", "3", "4", "5"]


def test_a_drain_that_takes_too_long_asks_again(seen: Seen) -> None:
    """Each drain delivers at least one item."""
    loop = Loop(limit=0.0)
    mailbox = on(loop, seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    for count in (1, 2, 3):
        loop.run()
        assert len(seen.items) == count
        assert len(loop.requests) == (1 if count < 3 else 0)


def test_a_closed_mailbox_is_drained_to_its_end(seen: Seen) -> None:
    """The target has had its last request."""
    loop = Loop(limit=0.0)
    mailbox = on(loop, seen)
    for number in range(3):
        mailbox.put(final(str(number)))
    mailbox.close()
    mailbox.close()
    assert loop.closed == 1 and not mailbox.is_over
    loop.run()
    assert len(seen.items) == 3 and mailbox.is_over
    mailbox.put(final("too late"))
    mailbox.drain()
    assert len(seen.items) == 3


@pytest.mark.parametrize("reenters", [True, False])
def test_a_mailbox_that_is_closed_by_a_callback_delivers_what_is_queued(reenters: bool, seen: Seen) -> None:
    loop = Loop(limit=0.0, reenters=reenters)
    mailbox = on(loop, seen, lambda item: mailbox.close())
    mailbox.put(final("a"))
    mailbox.put(final("b"))
    loop.run()
    assert seen.texts == ["a", "b"] and mailbox.is_over and loop.closed == 1


def test_a_dialog_inside_a_callback_goes_on_with_the_next_item(seen: Seen) -> None:
    """It runs the GUI's loop until it is closed, and transcripts still appear behind it."""
    loop = Loop()

    def show_dialog(item: Any) -> None:
        if item == Ready():
            mailbox.put(final("behind the dialog"))
            loop.run()
            assert seen.texts == ["behind the dialog"]
            assert mailbox.in_callback

    mailbox = on(loop, seen, show_dialog)
    mailbox.put(Ready())
    mailbox.put(final("after"))
    loop.run()
    assert seen.texts == ["after", "behind the dialog"] or seen.texts == ["behind the dialog", "after"]
    assert not mailbox.in_callback


def test_a_target_without_dialogs_gets_no_request_while_a_drain_runs(seen: Seen) -> None:
    loop = Loop(reenters=False)

    def put_more(item: Any) -> None:
        if item == Ready():
            mailbox.put(final("more"))
            assert loop.requests == []

    mailbox = on(loop, seen, put_more)
    mailbox.put(Ready())
    loop.run()
    assert seen.texts == ["more"] and loop.requests == []


def test_a_second_thread_that_drains_runs_nothing(seen: Seen) -> None:
    loop = Loop()
    inside, leave = threading.Event(), threading.Event()

    def block(item: Any) -> None:
        inside.set()
        assert leave.wait(LONG)

    mailbox = on(loop, seen, block)
    mailbox.put(final("a"))
    mailbox.put(final("b"))
    first = threading.Thread(target=loop.run)
    first.start()
    assert inside.wait(LONG)
    mailbox.drain()
    assert seen.texts == ["a"] and not mailbox.in_callback
    leave.set()
    first.join(LONG)
    assert seen.texts == ["a", "b"] and not seen.overlapped


def test_what_is_put_before_the_start_is_delivered_after_it(seen: Seen) -> None:
    loop = Loop()
    mailbox = Mailbox(callbacks(seen), loop)
    mailbox.put(final("early"))
    mailbox.start()
    loop.run()
    assert seen.texts == ["early"]


def test_a_mailbox_that_never_started_ends_at_once(seen: Seen) -> None:
    for dispatch in (None, "manual", Loop()):
        mailbox = Mailbox(callbacks(seen), dispatch)
        mailbox.put(final("unheard"))
        mailbox.close()
        assert mailbox.join(LONG)
    assert seen.items == []


def test_no_thread_to_be_had_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    mailbox = Mailbox(callbacks(print), None)
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    monkeypatch.setattr("threading._start_new_thread", refuse, raising=False)
    monkeypatch.setattr("threading._start_joinable_thread", refuse, raising=False)
    with pytest.raises(RuntimeError, match="thread"):
        mailbox.start()
    mailbox.close()
    assert mailbox.join(LONG)


def test_the_child_of_a_fork_delivers_nothing_and_waits_for_nothing(seen: Seen) -> None:
    loop = Loop()
    mailbox = on(loop, seen)
    mailbox.put(final("the parent's"))
    mailbox.forget_parent()
    assert mailbox.is_closed and mailbox.is_over and mailbox.join(LONG)
    mailbox.put(final("too late"))
    loop.run()
    assert seen.items == []


# Targets that fail


def test_a_request_that_fails_is_made_again_by_the_next_put(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once until a drain runs, without the words."""
    loop = Loop()
    mailbox = on(loop, seen)
    for streak in (1, 2):
        loop.error = LookupError("mauve")
        mailbox.put(final("mauve"))
        mailbox.put(final("mauve"))
        assert caplog.text.count("dispatch raised LookupError") == streak
        loop.error = None
        mailbox.put(final("mauve"))
        assert len(loop.requests) == 1
        loop.run()
        assert len(seen.items) == 3 * streak
    assert "mauve" not in caplog.text and "Run the loop." in caplog.text


def test_a_mailbox_that_cannot_be_drained_says_so_when_it_is_closed(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop()
    loop.error = LookupError()
    mailbox = on(loop, seen)
    for item in (final("a"), partial("b"), Closed(True)):
        mailbox.put(item)
    mailbox.close()
    assert "not delivered: 1 for on_final, 1 for on_partial, 1 for on_event" in caplog.text
    assert mailbox.is_over and loop.closed == 1 and seen.items == []


def test_a_loop_that_does_not_run_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop()
    mailbox = on(loop, print)
    mailbox.put(final("mauve"))
    mailbox.put(final("mauve"))
    assert caplog.records == []
    monkeypatch.setattr(module, "STALL_SECONDS", 0.0)
    for _ in range(3):
        mailbox.put(final("mauve"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "has not run the callbacks" in caplog.text and "Run the loop." in caplog.text
    assert "mauve" not in caplog.text


def test_a_program_that_ends_in_a_callback_leaves_the_rest_queued(seen: Seen) -> None:
    """On the main thread sys.exit() passes through the drain, and the loop may go on afterwards."""
    loop = Loop()

    def leave(item: Any) -> None:
        if item == Ready():
            sys.exit("enough")

    mailbox = on(loop, seen, leave)
    mailbox.put(Ready())
    mailbox.put(final("rest"))
    with pytest.raises(SystemExit):
        loop.run()
    assert not mailbox.in_callback and mailbox.is_due and len(loop.requests) == 1
    loop.run()
    assert seen.texts == ["rest"]


# Polling


def test_poll_delivers_on_the_thread_that_polls_and_tells_how_many(seen: Seen) -> None:
    mailbox = on("manual", seen)
    assert mailbox.poll() == 0
    mailbox.put(final("a"))
    mailbox.put(final("b"))
    assert mailbox.is_due and mailbox.poll() == 2
    assert seen.threads == [threading.current_thread()] * 2 and not mailbox.is_due


def test_poll_waits_for_the_first_item_and_for_the_end(seen: Seen) -> None:
    mailbox = on("manual", seen)
    for act in (lambda: mailbox.put(final("a")), mailbox.close):
        later = threading.Timer(0.02, act)
        later.start()
        begun = time.monotonic()
        mailbox.poll(LONG)
        assert time.monotonic() - begun < LONG
        later.join()
    assert seen.texts == ["a"] and mailbox.is_closed


def test_a_callback_may_poll(seen: Seen) -> None:
    """As one does that shows a dialog and polls until it is answered. What comes then wakes it."""
    counts: List[int] = []
    helpers: List[threading.Timer] = []

    def nested(item: Any) -> None:
        if item == Ready():
            helpers.append(threading.Timer(0.02, mailbox.put, [final("b")]))
            helpers[0].start()
            counts.extend([mailbox.poll(), mailbox.poll(LONG)])

    mailbox = on("manual", seen, nested)
    mailbox.put(Ready())
    mailbox.put(final("a"))
    assert mailbox.poll() == 1
    helpers[0].join()
    assert counts == [1, 1]
    assert seen.texts == ["a", "b"]


def test_one_thread_polls_at_a_time(seen: Seen) -> None:
    inside, leave = threading.Event(), threading.Event()

    def block(item: Any) -> None:
        inside.set()
        assert leave.wait(LONG)

    mailbox = on("manual", seen, block)
    mailbox.put(final("a"))
    mailbox.put(final("b"))
    first = threading.Thread(target=mailbox.poll)
    first.start()
    assert inside.wait(LONG)
    assert mailbox.poll() == 0 and seen.texts == ["a"]
    leave.set()
    first.join(LONG)
    assert seen.texts == ["a", "b"] and not seen.overlapped


def test_several_mailboxes_are_waited_for_by_one_condition(seen: Seen) -> None:
    condition = threading.Condition()
    mailboxes = [Mailbox(callbacks(seen), "manual") for _ in range(2)]
    for mailbox in mailboxes:
        mailbox.poll_with(condition)
        mailbox.start()
    later = threading.Timer(0.02, mailboxes[1].put, [final("a")])
    later.start()
    with condition:
        assert condition.wait_for(lambda: any(each.is_due for each in mailboxes), LONG)
    later.join()
    assert [mailbox.poll() for mailbox in mailboxes] == [0, 1]


def test_the_end_of_a_session_that_is_polled_is_delivered_by_join(seen: Seen) -> None:
    mailbox = on("manual", seen)
    mailbox.put(final("a"))
    mailbox.close()
    assert mailbox.join(LONG) and seen.texts == ["a"] and mailbox.is_over


def test_poll_needs_manual_dispatch() -> None:
    mailbox = Mailbox(callbacks(print), None)
    with pytest.raises(ConfigurationError, match="manual"):
        mailbox.poll()


# Signal handlers


@pytest.mark.parametrize("dispatch", [None, "manual"])
def test_a_signal_handler_may_put_an_item_anywhere_inside_put(dispatch: Any, seen: Seen) -> None:
    """At each line of the mailbox, as a handler on the main thread does. No final is lost or doubled."""
    line = 0
    while True:
        line += 1
        mailbox, reached = on(dispatch, seen), interrupted_put(Mailbox.put, line)
        reached_line = reached(mailbox)
        mailbox.put(final("end"))
        mailbox.close()
        assert mailbox.join(LONG)
        assert sorted(seen.finals) == (["end", "handler"] if reached_line else ["end"])
        assert seen.finals[-1] == "end"
        seen.items.clear()
        if not reached_line:
            break
    assert line > 10


def interrupted_put(put: Any, at_line: int) -> Callable[[Mailbox], bool]:
    """Put two partials, and a final from within the second put, at the given line event."""

    def run(mailbox: Mailbox) -> bool:
        count = 0
        done: List[Tuple[str, int]] = []

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal count
            if not frame.f_code.co_filename.endswith("mailbox.py"):
                return None
            if event == "line" and not done:
                count += 1
                if count == at_line:
                    done.append((frame.f_code.co_name, frame.f_lineno))
                    sys.settrace(None)
                    mailbox.put(final("handler"))
            return trace

        mailbox.put(partial("a"))
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            put(mailbox, partial("b"))
        finally:
            sys.settrace(before)
        return bool(done)

    return run
