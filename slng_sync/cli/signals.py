"""Ctrl-C, and what else asks a program to end: told to a queue, so that the end can be made in order."""

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

__all__ = ["Interruption", "Signals"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Interruption(NamedTuple):
    """The user, or the system, wants an end. ``number`` is the signal's."""

    number: int


class Signals:
    """While the ``with`` lasts, signals to end raise KeyboardInterrupt, or go to whoever asked to be told."""

    def __init__(self) -> None:
        self.first = int(signal.SIGINT)
        self._count = 0
        self._tell: Optional[Callable[[Interruption], None]] = None
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                before = signal.getsignal(number)
                # What the caller had ignored, as nohup and a shell's "&" do, stays ignored.
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = before
                    signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def told_to(self, tell: Callable[[Interruption], None]) -> Iterator[None]:
        """Call ``tell`` instead of raising. It runs between any two steps of the main thread."""
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self._count += 1
        if self._count == 1:
            self.first = number
        # Whoever presses a third time has waited long enough for the second.
        if self._tell is None or self._count > 2:
            raise KeyboardInterrupt
        self._tell(Interruption(number))
