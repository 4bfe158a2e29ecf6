"""Waiting for a change so that it can always be interrupted, and telling it so that it costs little."""

import os
import threading
import time
from typing import Callable, List, Optional, TypeVar

from .errors import WaitTimeout

__all__ = ["NEVER", "Changes", "within"]

NEVER = float("inf")
SLICE = 0.5 if os.name == "nt" else NEVER
"""On Windows Ctrl-C does not get through a wait: there it is cut into slices."""

Result = TypeVar("Result")


class Changes:
    """A lock, and a way to wait for what changes under it."""

    __slots__ = ("_condition", "_waiting", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)
        self._waiting = 0

    def tell(self) -> None:
        """Let waiting threads evaluate their conditions again. Call this after a change."""
        # A thread counts itself before it evaluates its condition: it is counted here, or sees the change.
        if self._waiting:
            with self.lock:
                self._condition.notify_all()

    def wait_for(self, holds: Callable[[], object], timeout: Optional[float]) -> bool:
        """Wait until something holds; False where time was up. It is asked with the lock held."""
        until = NEVER if timeout is None else time.monotonic() + timeout
        with self.lock:
            self._waiting += 1
            try:
                while True:
                    left = min(until - time.monotonic(), SLICE)
                    if self._condition.wait_for(holds, None if left == NEVER else left):
                        return True
                    if time.monotonic() >= until:
                        return False
            finally:
                self._waiting -= 1


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call a function that may hang, on a thread of its own; ``WaitTimeout`` after so many seconds.

    Ctrl-C gets through at any time.
    """
    results: List[Result] = []
    errors: List[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    # A daemon: what hangs must not keep the program from its end.
    thread = threading.Thread(target=run, name="slng-call", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(max(0.0, min(SLICE, until - time.monotonic())))
    if errors:
        raise errors[0]
    if not results:
        raise WaitTimeout(f"There was no answer within {seconds:g} s.")
    return results[0]
