"""Sessions that are still open when the process ends or forks.

At the end of the process they are closed, within ``EXIT_LIMIT`` seconds. In the child of a fork they are
dead.
"""

import atexit
import os
import time
import weakref
from typing import Any, List

from .io_loop import io_loop

__all__ = ["keep_track"]

EXIT_LIMIT = 2.0

_sessions: "weakref.WeakSet[Any]" = weakref.WeakSet()


def keep_track(session: Any) -> None:
    """Close this session at the end of the process, unless it is garbage by then."""
    _sessions.add(session)


def _close_all() -> None:
    until = time.monotonic() + EXIT_LIMIT
    sessions: List[Any] = list(_sessions)
    for session in sessions:
        session.begin_close(EXIT_LIMIT)
    for session in sessions:
        session.close(max(0.0, until - time.monotonic()))


def _forget_all() -> None:
    for session in list(_sessions):
        session._forget_parent()
    _sessions.clear()
    io_loop.forget_parent()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
