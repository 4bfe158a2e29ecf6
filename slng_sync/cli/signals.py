"""Ctrl-C and other signals that ask a program to stop, turned into calls so that it can shut down cleanly."""

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

__all__ = ["Interruption", "Signals"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Interruption(NamedTuple):
    """A request to stop, from the user or the system. ``number`` is the number of the signal."""

    number: int


class Signals:
    """A context in which signals to stop raise KeyboardInterrupt, or call the function given to ``sent_to``.

    ``first`` is the number of the first signal received.
    """

    def __init__(self) -> None:
        self.first = int(signal.SIGINT)
        self._count = 0
        self._receiver: Optional[Callable[[Interruption], None]] = None
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                previous = signal.getsignal(number)
                # A signal that the parent process ignores, as nohup and a shell's "&" do, stays ignored.
                if previous not in (signal.SIG_IGN, None):
                    self._previous[number] = previous
                    signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    @contextmanager
    def sent_to(self, receiver: Callable[[Interruption], None]) -> Iterator[None]:
        """Call ``receiver`` instead of raising, for the first two signals.

        It runs in a signal handler, between any two instructions of the main thread.
        """
        self._receiver = receiver
        try:
            yield
        finally:
            self._receiver = None

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self._count += 1
        if self._count == 1:
            self.first = number
        # The third Ctrl-C raises, in case the handling of the second hangs.
        if self._receiver is None or self._count > 2:
            raise KeyboardInterrupt
        self._receiver(Interruption(number))
