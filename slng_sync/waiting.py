"""Waits that Ctrl-C can interrupt, and cheap notification of the waiting threads."""

import os
import threading
import time
from typing import Callable, List, Optional, TypeVar

from .errors import WaitTimeout

__all__ = ["NEVER", "Changes", "within"]

NEVER = float("inf")
SLICE = 0.5 if os.name == "nt" else NEVER
"""Longest single wait in seconds. On Windows, Ctrl-C does not interrupt a wait, so long waits are split."""

Result = TypeVar("Result")


class Changes:
    """A lock, and a condition to wait for changes of what the lock guards."""

    __slots__ = ("_condition", "has_waiters", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)
        self.has_waiters = 0

    def notify(self) -> None:
        """Make waiting threads evaluate their conditions again. Call this after a change."""
        # A thread increments the count before it evaluates its condition. So either it is counted here, or
        # it sees the change.
        if self.has_waiters:
            with self.lock:
                self._condition.notify_all()

    def wait_for(self, holds: Callable[[], object], timeout: Optional[float]) -> bool:
        """Wait until ``holds()`` is true. Return False after ``timeout`` seconds.

        ``holds`` is called with the lock held.
        """
        until = NEVER if timeout is None else time.monotonic() + timeout
        with self.lock:
            self.has_waiters += 1
            try:
                while True:
                    left = min(until - time.monotonic(), SLICE)
                    if self._condition.wait_for(holds, None if left == NEVER else left):
                        return True
                    if time.monotonic() >= until:
                        return False
            finally:
                self.has_waiters -= 1


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call a function that may hang on a thread of its own and return its result.

    Raises ``WaitTimeout`` after ``seconds`` and leaves the thread running. Ctrl-C interrupts the wait.
    """
    results: List[Result] = []
    errors: List[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    # A daemon thread, because a call that hangs must not keep the process from exiting.
    thread = threading.Thread(target=run, name="slng-call", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(max(0.0, min(SLICE, until - time.monotonic())))
    if errors:
        raise errors[0]
    if not results:
        raise WaitTimeout(f"No answer within {seconds:g} s.")
    return results[0]
