"""The registered functions, a session's own among them, and what a callback's exception leaves in the log."""

import sys
import threading
from types import SimpleNamespace
from typing import Any, List

import pytest
from deliveries import LONG, Seen, final, partial

from slng_sync import ConfigurationError, Ready, SlngError
from slng_sync.callbacks.registry import Callbacks, RawFrame, kind_of


def test_functions_run_in_the_order_of_registration_and_a_sessions_own_run_last() -> None:
    order: List[str] = []
    client = Callbacks()
    client.add("on_final", lambda _: order.append("first"))
    session = client.also(on_final=lambda _: order.append("session"))
    client.add("on_final", lambda _: order.append("later"))
    session.deliver(final("hello"))
    assert order == ["first", "later", "session"]
    client.deliver(final("hello"))
    assert order[3:] == ["first", "later"], "the client's own sessions do not call it"


def test_each_kind_of_item_has_its_callback() -> None:
    seen = {kind: Seen() for kind in ("on_partial", "on_final", "on_error", "on_event")}
    registry = Callbacks().also(**seen)
    items = [partial("a"), final("b"), SlngError("c"), Ready()]
    for item in items:
        registry.deliver(item)
        assert seen[kind_of(item)].items == [item]


def test_has_looks_at_both() -> None:
    client = Callbacks()
    session = client.also(on_error=print)
    assert session.has("on_error") and not client.has("on_error")
    assert not session.want_frames
    client.add("on_message", print)
    assert session.want_frames and kind_of(RawFrame({})) == "on_message"


async def coroutine(item: Any) -> None:
    """Nothing awaits it."""


@pytest.mark.parametrize("kind", ["on_partial", "on_final", "on_error", "on_event"])
@pytest.mark.parametrize("function", [5, "print", coroutine])
def test_a_sessions_own_functions_are_validated(kind: str, function: Any) -> None:
    with pytest.raises(ConfigurationError, match=kind):
        Callbacks().also(**{kind: function})


def test_an_exception_is_reported_and_the_next_function_runs(seen: Seen) -> None:
    def fail(item: Any) -> None:
        raise ValueError("spoken")

    registry = Callbacks().also(on_final=fail, on_error=seen)
    session = registry.also(on_final=seen)
    session.deliver(final("spoken"))
    assert seen.texts == ["spoken"]
    assert [type(error.__cause__) for error in seen.errors] == [ValueError]


def attribute(item: Any) -> None:
    print(item.txet)


def name(item: Any) -> None:
    print(undefined)  # type: ignore[name-defined]  # noqa: F821


def operand(item: Any) -> None:
    print("text: " + 5)  # type: ignore[operator]


def arguments() -> None:
    """Takes none."""


def index(item: Any) -> None:
    print(item.words[0])


def module(item: Any) -> None:
    import no_such_module  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (attribute, "AttributeError: 'Transcript' object has no attribute 'txet'"),
        (name, "NameError: name 'undefined' is not defined"),
        (operand, "TypeError: can only concatenate str"),
        (arguments, "TypeError: arguments() takes 0 positional arguments but 1 was given"),
        (index, "IndexError: tuple index out of range"),
        (module, "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_the_log_says_what_is_wrong_in_the_program(
    function: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    Callbacks().also(on_final=function).deliver(final("is not a word"))
    assert message in caplog.text


def quoted(item: Any) -> None:
    print(getattr(SimpleNamespace(), item.text))


def key(item: Any) -> None:
    print({}[item.text])


def number(item: Any) -> None:
    print(int(item.text))


def raised(item: Any) -> None:
    raise TypeError(item.text)


class Own(NameError):
    """The program's own."""


def own(item: Any) -> None:
    raise Own(item.text)


@pytest.mark.parametrize("function", [quoted, key, number, raised, own])
def test_the_log_holds_no_spoken_word(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    Callbacks().also(on_final=function).deliver(final("mauve"))
    assert "callback raised" in caplog.text
    assert "mauve" not in caplog.text


def test_the_log_holds_nothing_of_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    registry = Callbacks()
    registry.add("on_message", lambda frame: getattr(SimpleNamespace(), frame["text"]))
    registry.deliver(RawFrame({"text": "mauve"}))
    assert "AttributeError" in caplog.text and "mauve" not in caplog.text


def test_sys_exit_ends_the_program_on_the_main_thread_and_nothing_on_another(seen: Seen) -> None:
    registry = Callbacks().also(on_final=lambda _: sys.exit("enough"), on_error=seen)
    with pytest.raises(SystemExit):
        registry.deliver(final("a"))
    thread = threading.Thread(target=registry.deliver, args=(final("b"),))
    thread.start()
    thread.join(LONG)
    assert [type(error.__cause__) for error in seen.errors] == [SystemExit]
