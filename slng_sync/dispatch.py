"""Where callbacks run: on a thread of the session's, where the program wants them, or when it polls.

One at a time, in order, with no lock held. A callback that takes its time delays other callbacks and
nothing else: meanwhile a partial that was not delivered yet gives way to the next one; finals never do.
"""

import inspect
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Optional, Union

from .errors import ConfigurationError
from .events import Transcript
from .log import logger, stack_of

__all__ = ["Dispatch", "DispatchTo", "check_dispatch", "is_coroutine"]

DispatchTo = Union[None, str, Callable[[Callable[[], None]], Any]]
"""None: a thread per session. "manual": when the program polls. Else it is handed each delivery to run."""


def is_coroutine(function: object) -> bool:
    """Whether calling it would give a coroutine, which nothing here would await."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def check_dispatch(dispatch: object) -> None:
    """Refuse what deliveries cannot be handed to."""
    if dispatch is not None and dispatch != "manual" and (not callable(dispatch) or is_coroutine(dispatch)):
        raise ConfigurationError(
            'dispatch must be None (a thread of its own), "manual" (then call session.poll()), or a function '
            f"that takes a function and runs it, such as wx.CallAfter; not {dispatch!r}."
        )


class Dispatch:
    """A queue of deliveries and the thread that makes them. ``deliver`` must not raise."""

    def __init__(self, to: DispatchTo, deliver: Callable[[Any], None]) -> None:
        self._to = to
        self._deliver_one = deliver
        self._items: Deque[Any] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._delivering_on: Optional[threading.Thread] = None
        self._thread: Optional[threading.Thread] = None
        if to != "manual":
            # Daemon: a callback that never returns must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="slng-callbacks", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        if self._thread is not None:
            self._thread.start()

    def put(self, item: Any) -> None:
        """Queue a delivery. Callable from any thread; after ``close`` it is too late."""
        with self._changed:
            if self._closed:
                return
            if self._items and _is_partial(item) and _is_partial(self._items[-1]):
                self._items[-1] = item
                return
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put; what is queued is still delivered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def poll(self, timeout: float = 0.0) -> int:
        """Deliver what is queued, waiting at most ``timeout`` seconds for the first; tell how many."""
        self._wait(timeout)
        count = 0
        while True:
            with self._changed:
                if not self._items:
                    return count
                item = self._items.popleft()
            self._deliver(item)
            count += 1

    def join(self, timeout: float) -> bool:
        """Wait until all was delivered. In manual mode the caller delivers it. False where time was up."""
        if self._thread is None:
            self.poll()
        elif self._thread.ident is not None and not self.in_callback:
            self._thread.join(max(0.0, timeout))
            return not self._thread.is_alive()
        return True

    @property
    def in_callback(self) -> bool:
        """Whether the calling thread is inside a callback right now."""
        # Threads are compared as such: the system gives an ended thread's number to a new one.
        return self._delivering_on is threading.current_thread() or threading.current_thread() is self._thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                item = self._items.popleft()
            if callable(self._to):
                self._hand_over(item)
            else:
                self._deliver(item)

    def _hand_over(self, item: Any) -> None:
        assert callable(self._to)
        try:
            # Not a ``partial``: its repr would show the words.
            self._to(lambda: self._deliver(item))
        except Exception as error:
            # The program's window may be gone while words still come in.
            kind, name = type(item).__name__, type(error).__name__
            logger.error("dispatch raised %s; a %s was not delivered\n%s", name, kind, stack_of(error))

    def _deliver(self, item: Any) -> None:
        outer, self._delivering_on = self._delivering_on, threading.current_thread()
        try:
            self._deliver_one(item)
        finally:
            self._delivering_on = outer

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, max(0.0, deadline - time.monotonic()))


def _is_partial(item: Any) -> bool:
    return isinstance(item, Transcript) and not item.is_final
