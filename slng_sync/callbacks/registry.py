"""Who is told what: the user's functions, and what happens when one of them raises."""

import threading
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

from ..errors import ConfigurationError, SlngError
from ..events import AudioLost, MicrophoneRestored, Transcript
from ..log import logger, stack_of
from .dispatch import is_coroutine

__all__ = ["KINDS", "Callbacks", "RawFrame"]

KINDS = ("on_partial", "on_final", "on_error", "on_event", "on_message")


class RawFrame(NamedTuple):
    """A frame for ``on_message``, as the server sent it."""

    frame: Mapping[str, Any]


class Callbacks:
    """The registered functions. They run in the order of registration."""

    __slots__ = ("_functions", "want_frames")

    def __init__(self) -> None:
        self.want_frames = False
        """Whether somebody has asked for the frames themselves."""
        self._functions: Dict[str, Tuple[Callable[[Any], Any], ...]] = dict.fromkeys(KINDS, ())

    def add(self, kind: str, function: object) -> None:
        """Register a function. Raises ``ConfigurationError`` for what is none, and for coroutines."""
        if not callable(function):
            raise ConfigurationError(f"{kind} must be a function that takes one argument, not {function!r}.")
        if is_coroutine(function):
            raise ConfigurationError(
                f"{kind} must be an ordinary function: nothing would ever await a coroutine.",
                hint="Use asyncio.run_coroutine_threadsafe(...) inside an ordinary one.",
            )
        # Another tuple: a delivery that is under way goes on with the one it has begun.
        self._functions[kind] += (function,)
        self.want_frames = self.want_frames or kind == "on_message"

    def has(self, kind: str) -> bool:
        """Whether anybody wants these."""
        return bool(self._functions[kind])

    def deliver(self, item: Any) -> None:
        """Call the functions that the item is for. Raises only what ends a program, on its main thread."""
        kind = _kind_of(item)
        argument = item.frame if isinstance(item, RawFrame) else item
        functions = self._functions[kind]
        if not functions:
            _log_lost_audio(item)
        for function in functions:
            try:
                function(argument)
            except BaseException as error:
                # On the main thread sys.exit() and Ctrl-C are the program's. On another one they would end
                # nothing but that, and with it all that is still to be told.
                if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                    raise
                self._raised(kind, error)

    def _raised(self, kind: str, error: BaseException) -> None:
        name = type(error).__name__
        logger.error("an %s callback raised %s; the stream goes on\n%s", kind, name, stack_of(error))
        if kind != "on_error":
            report = SlngError(
                f"An {kind} callback raised {name}; the stream goes on.",
                hint="The exception is this error's __cause__; its stack is in the log.",
            )
            report.__cause__ = error
            self.deliver(report)


def _log_lost_audio(item: Any) -> None:
    """A loss is not passed over in silence, though nobody has asked for events."""
    if isinstance(item, AudioLost):
        logger.warning("%.1f s of audio will not be transcribed: %s", item.seconds, item.reason)
    elif isinstance(item, MicrophoneRestored) and item.lost:
        logger.warning("%.1f s of audio were not heard: the microphone was away.", item.lost)


def _kind_of(item: Any) -> str:
    if isinstance(item, Transcript):
        return "on_final" if item.is_final else "on_partial"
    if isinstance(item, SlngError):
        return "on_error"
    return "on_message" if isinstance(item, RawFrame) else "on_event"
