"""Where callbacks run: on a thread of the session's, where the program wants them, or when it polls.

One at a time, in order, with no lock held. A callback that takes its time delays other callbacks and
nothing else: meanwhile a partial that was not delivered yet gives way to the next one, and so does a level;
finals never do.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Optional

from ..callbacks.targets import DispatchTo
from ..events import Level, Transcript
from ..log import logger, stack_of

__all__ = ["Dispatch"]


class Dispatch:
    """A queue of deliveries and the thread that makes them. ``deliver`` must not raise.

    While there is nothing to deliver the thread is in ``idle()``, which returns once ``wake()`` is called, or
    earlier. ``leave()`` is called once it will not be any more. One thread at a time puts items in.
    """

    __slots__ = """
        _closed _deliver_one _delivering_on _ident _idle _items _leave _polled _thread _to _turn _wake
    """.split()

    def __init__(
        self,
        to: DispatchTo,
        deliver: Callable[[Any], None],
        *,
        idle: Callable[[], None],
        wake: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self._to = to
        self._deliver_one = deliver
        self._idle = idle
        self._leave = leave
        self._items: Deque[Any] = deque()
        self._closed = False
        self._delivering_on: Optional[threading.Thread] = None
        self._ident: Optional[int] = None
        self._thread: Optional[threading.Thread] = None
        if to == "manual":
            self._wake = self._wake_poll
            self._polled = threading.Condition()
            # Taken again by a callback that polls, as one does that shows a dialog.
            self._turn = threading.RLock()
        else:
            self._wake = wake
            # Daemon: a callback that never returns must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="slng-callbacks", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        if self._thread is not None:
            self._thread.start()

    def put(self, item: Any) -> None:
        """Queue a delivery. After ``close`` it is too late."""
        if self._closed:
            return
        if not (self._items and self._replaces(item)):
            self._items.append(item)
        if threading.get_ident() != self._ident:
            self._wake()

    def close(self) -> None:
        """Nothing more will be put; what is queued is still delivered."""
        self._closed = True
        self._wake()
        if self._thread is None or self._thread.ident is None:
            self._leave()

    def poll(self, timeout: float = 0.0) -> int:
        """Deliver what is queued, waiting at most ``timeout`` seconds for the first; tell how many.

        One thread at a time: another one waits for that too, and then finds nothing left.
        """
        until = time.monotonic() + timeout
        with self._polled:
            self._polled.wait_for(lambda: self._items or self._closed, timeout)
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            return 0
        try:
            count = 0
            while self._deliver_next():
                count += 1
            return count
        finally:
            self._turn.release()

    def poll_with(self, polled: threading.Condition) -> None:
        """Tell of each delivery by this condition, so that several can be waited for; before ``start``."""
        self._polled = polled

    @property
    def is_due(self) -> bool:
        """Whether something is to be delivered."""
        return bool(self._items)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be put."""
        return self._closed

    def join(self, timeout: float) -> bool:
        """Wait until all was delivered. In manual mode the caller delivers it. False where time was up."""
        if self._thread is None:
            self.poll(max(0.0, timeout))
            return not self._items
        if self._thread.ident is not None and not self.in_callback:
            self._thread.join(max(0.0, timeout))
            return not self._thread.is_alive()
        return True

    @property
    def in_callback(self) -> bool:
        """Whether the calling thread is inside a callback right now."""
        # Threads are compared as such: the system gives an ended thread's number to a new one.
        return self._delivering_on is threading.current_thread() or threading.current_thread() is self._thread

    def _run(self) -> None:
        self._ident = threading.get_ident()
        while True:
            # Asked in this order: what was put before it was closed is still delivered.
            closed = self._closed
            while self._items:
                if self._to is None:
                    self._deliver_one(self._items.popleft())
                else:
                    self._deliver_next()
            if closed:
                self._leave()
                return
            self._idle()

    def _deliver_next(self) -> bool:
        if not self._items:
            return False
        try:
            item = self._items.popleft()
        except IndexError:
            # Another thread that polls was faster.
            return False
        if callable(self._to):
            self._hand_over(item)
        else:
            self._deliver(item)
        return True

    def _replaces(self, item: Any) -> bool:
        """Let a newer partial, or level, take the place of one that was not delivered yet."""
        kind = _passing_kind(item)
        if kind is None:
            return False
        try:
            for at in (-1, -2):
                waiting = _passing_kind(self._items[at])
                if waiting == kind:
                    self._items[at] = item
                    return True
                if waiting is None:
                    return False
        except IndexError:
            # There is none, or it is delivered in this moment.
            pass
        return False

    def _wake_poll(self) -> None:
        with self._polled:
            self._polled.notify_all()

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


def _passing_kind(item: Any) -> Optional[type]:
    """The kind of what only the newest counts of: partials, and levels."""
    if isinstance(item, Transcript):
        return None if item.is_final else Transcript
    return Level if isinstance(item, Level) else None
