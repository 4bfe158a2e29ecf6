"""The registered functions, and what happens when one of them raises."""

import inspect
import re
import threading
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from ..errors import ConfigurationError, SlngError
from ..events import AudioLost, MicrophoneRestored, Transcript
from ..log import logger, stack_of

__all__ = ["KINDS", "Callbacks", "RawFrame", "is_coroutine", "kind_of"]

KINDS = ("on_partial", "on_final", "on_error", "on_event", "on_message")

Function = Callable[[Any], Any]

PROGRAMMING_ERRORS = {
    AttributeError,
    ImportError,
    IndexError,
    ModuleNotFoundError,
    NameError,
    RecursionError,
    TypeError,
    UnboundLocalError,
    ZeroDivisionError,
}
"""Errors whose message names code, not values. Not ``KeyError``: the key may be a spoken word."""

WORD = re.compile(r"\w+")
QUOTED = re.compile(r"'([^']*)'")


class RawFrame(NamedTuple):
    """A frame for ``on_message``, as the server sent it."""

    frame: Mapping[str, Any]


class Callbacks:
    """The registered functions. They run in the order of registration, those of ``first`` first."""

    __slots__ = ("_first", "_functions")

    def __init__(self, first: "Optional[Callbacks]" = None) -> None:
        self._first = first
        self._functions: Dict[str, Tuple[Function, ...]] = dict.fromkeys(KINDS, ())

    def add(self, kind: str, function: object) -> None:
        """Register a function. Raises ``ConfigurationError`` unless it can be called with one argument."""
        if not callable(function):
            raise ConfigurationError(f"{kind} must be a function that takes one argument, not {function!r}.")
        if is_coroutine(function):
            raise ConfigurationError(
                f"{kind} must be an ordinary function: a coroutine would never be awaited.",
                hint="Use asyncio.run_coroutine_threadsafe(...) inside an ordinary one.",
            )
        # A new tuple, because a running delivery still iterates over the old one.
        self._functions[kind] += (function,)

    def also(
        self,
        *,
        on_partial: Optional[Function] = None,
        on_final: Optional[Function] = None,
        on_error: Optional[Function] = None,
        on_event: Optional[Function] = None,
    ) -> "Callbacks":
        """Return a registry for one session: these functions run after those that are registered here.

        It sees functions that are registered here later. Raises ``ConfigurationError`` as ``add`` does.
        """
        callbacks = Callbacks(self)
        for kind, function in zip(KINDS, (on_partial, on_final, on_error, on_event)):
            if function is not None:
                callbacks.add(kind, function)
        return callbacks

    def has(self, kind: str) -> bool:
        """Whether a function is registered for this kind."""
        return bool(self._registered(kind))

    @property
    def want_frames(self) -> bool:
        """Whether a function is registered for the server's frames."""
        return self.has("on_message")

    def deliver(self, item: Any) -> None:
        """Call the functions for an item. On the main thread, let exceptions that end the program pass."""
        kind = kind_of(item)
        argument = item.frame if isinstance(item, RawFrame) else item
        functions = self._registered(kind)
        if not functions:
            _log_lost_audio(item)
        for function in functions:
            try:
                function(argument)
            except BaseException as error:
                # On the main thread sys.exit() and Ctrl-C end the program. On another thread they would end
                # only that thread, and queued items would not be delivered.
                if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                    raise
                self._raised(kind, error, item)

    def _registered(self, kind: str) -> Tuple[Function, ...]:
        own = self._functions[kind]
        return own if self._first is None else self._first._registered(kind) + own

    def _raised(self, kind: str, error: BaseException, item: Any) -> None:
        name = type(error).__name__
        logger.error(
            "an %s callback raised %s; the session continues\n%s",
            kind,
            name + _message_to_log(error, item),
            stack_of(error),
        )
        if kind != "on_error":
            report = SlngError(
                f"An {kind} callback raised {name}. The session continues.",
                hint="The exception is this error's __cause__; its stack is in the log.",
            )
            report.__cause__ = error
            self.deliver(report)


def is_coroutine(function: object) -> bool:
    """Return whether a call would return a coroutine, which nothing here awaits."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def kind_of(item: Any) -> str:
    """Return the name of the callback that an item is for."""
    if isinstance(item, Transcript):
        return "on_final" if item.is_final else "on_partial"
    if isinstance(item, SlngError):
        return "on_error"
    return "on_message" if isinstance(item, RawFrame) else "on_event"


def _message_to_log(error: BaseException, item: Any) -> str:
    """Return ": message" for a mistake in the program, unless it quotes a word of ``item``; else ""."""
    # The exact type: a subclass is the program's own, and so is its message.
    if type(error) not in PROGRAMMING_ERRORS or isinstance(item, RawFrame):
        return ""
    message = str(error)
    said = set(WORD.findall(item.text.casefold())) if isinstance(item, Transcript) else set()
    # As getattr(labels, word) does, or raise TypeError(transcript.text). Python's own messages are full of
    # short words, so these count only where they are quoted.
    told = {word for word in WORD.findall(message.casefold()) if len(word) > 3}
    told.update(QUOTED.findall(message.casefold()))
    return "" if said & told else f": {message}"


def _log_lost_audio(item: Any) -> None:
    """Log a loss that no callback receives."""
    if isinstance(item, AudioLost):
        logger.warning("%.1f s of audio will not be transcribed: %s", item.seconds, item.reason)
    elif isinstance(item, MicrophoneRestored) and item.lost:
        logger.warning("%.1f s of audio were not captured: the microphone was unavailable.", item.lost)
