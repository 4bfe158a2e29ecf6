"""Waiting on a condition variable so that it can always be interrupted."""

import os
import threading
import time
from typing import Callable, Optional

__all__ = ["NEVER", "wait_for"]

NEVER = float("inf")
SLICE = 0.5 if os.name == "nt" else NEVER
"""On Windows Ctrl-C does not get through a wait: there it is cut into slices."""


def wait_for(changed: threading.Condition, condition: Callable[[], object], timeout: Optional[float]) -> bool:
    """Wait until something holds; False where time was up. The condition is asked with the lock held."""
    until = NEVER if timeout is None else time.monotonic() + timeout
    with changed:
        while True:
            left = min(until - time.monotonic(), SLICE)
            if changed.wait_for(condition, None if left == NEVER else left):
                return True
            if time.monotonic() >= until:
                return False
