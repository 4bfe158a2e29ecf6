"""A session's mailbox: the deliveries that wait for the user's functions.

``slng-io``, ``slng-capture`` and others put items in; the target drains them. A newer partial replaces one
that was not delivered yet, and so does a ``Level``; everything else is delivered, in order. A slow callback
delays other callbacks of its session and nothing else.
"""

import threading
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any, Deque, Dict, List, Optional

from ..errors import ConfigurationError
from ..events import Level, Transcript
from ..log import logger, stack_of
from .registry import Callbacks, kind_of
from .targets import DispatchTo, Manual, make_target

__all__ = ["Mailbox"]

STALL_SECONDS = 5.0
"""Seconds that a request may wait before a warning is logged."""
NO_LIMIT = float("inf")


class Mailbox:
    """A queue of deliveries and the target that drains it. Methods may be called on any thread.

    The target has at most one request to drain at a time. One thread at a time delivers, and holds no lock
    while a callback runs. A drain inside a callback continues with the next item, for dialogs with a loop of
    their own.

    Benign race: a signal handler that puts an item while its thread does so may make a second request. The
    extra drain finds nothing to do.
    """

    __slots__ = """
        _asked_at _callbacks _closed _has_failed _has_warned _in_flight _is_asked _items _latest _lock _manual
        _owner _started _target _target_closed
    """.split()

    def __init__(self, callbacks: Callbacks, dispatch: DispatchTo) -> None:
        self._callbacks = callbacks
        self._target = make_target(dispatch)
        self._manual = self._target if isinstance(self._target, Manual) else None
        # Re-entrant: a signal handler may put an item, or close a session, while its thread holds the lock.
        self._lock = threading.RLock()
        # A partial or a level is in a list of its own, so that a newer one replaces it in one step.
        self._items: Deque[Any] = deque()
        # The lists whose item may still be replaced, by kind. No final or event was queued after them.
        self._latest: Dict[type, List[Any]] = {}
        # The id of the thread that delivers.
        self._owner: Optional[int] = None
        self._started = self._closed = self._target_closed = False
        self._is_asked = False
        self._asked_at = 0.0
        # Calls of ``Target.request`` that have not returned.
        self._in_flight = 0
        self._has_failed = self._has_warned = False

    # For the session.

    def start(self) -> None:
        """Start to deliver. Raises RuntimeError if the system has no thread."""
        self._target.start(self)
        self._started = True
        self._ask()

    def put(self, item: Any) -> None:
        """Queue a delivery and ask the target for it. Never waits. Does nothing after ``close``."""
        with self._lock:
            if self._closed:
                return
            self._queue(item)
            may_ask = self._claim()
        self._follow(may_ask)

    def queue(self, item: Any) -> None:
        """Queue a delivery. The target is not asked for it before ``ask``, once for several items."""
        with self._lock:
            if not self._closed:
                self._queue(item)

    def ask(self) -> None:
        """Ask the target for what is queued, if anything is. Never waits."""
        if self._items:
            self._ask()

    def close(self) -> None:
        """Accept no more items. The target still delivers what is queued."""
        with self._lock:
            self._closed = True
        self._ask()
        self._close_target()

    def join(self, timeout: float) -> bool:
        """Wait until the target has delivered everything. Return False after ``timeout`` seconds.

        In manual mode the caller delivers it. Inside a callback this returns True at once. If the target's
        loop may belong to the caller, it returns as soon as the loop has the request.
        """
        if self.in_callback or not self._started:
            return True
        if self._manual is not None:
            self.poll(max(0.0, timeout))
            return not self._items
        return self._target.join(timeout)

    def poll(self, timeout: float = 0.0) -> int:
        """Deliver what is queued, in manual mode, and return how many items that were.

        Waits at most ``timeout`` seconds for the first item. One thread polls at a time; another one waits
        for it within the same timeout. A callback may poll.
        """
        if self._manual is None:
            raise ConfigurationError(
                'poll() requires Client(dispatch="manual"). In other modes callbacks run without it.'
            )
        return self._manual.poll(self, self._deliver_polled, timeout)

    def poll_with(self, condition: threading.Condition) -> None:
        """Notify this condition of each item, in manual mode, to wait for several mailboxes at once.

        Must be called before ``start``.
        """
        if self._manual is not None:
            self._manual.polled = condition

    @property
    def is_due(self) -> bool:
        """Whether something is queued."""
        return bool(self._items)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be put."""
        return self._closed

    @property
    def is_over(self) -> bool:
        """Whether the mailbox is closed and everything was delivered."""
        return self._closed and not self._items and self._owner is None

    @property
    def in_callback(self) -> bool:
        """Whether the calling thread is inside a callback of this session, or belongs to its target."""
        return self._owner == threading.get_ident() or self._target.runs_here

    def forget_parent(self) -> None:
        """Drop everything, in the child of a fork: the threads belong to the parent."""
        self._lock = threading.RLock()
        self._items = deque()
        self._latest = {}
        self._owner = None
        self._started, self._closed = False, True

    # For the target.

    def drain(self) -> None:
        """Deliver what is queued, within the target's limit, and ask again for the rest.

        Does nothing while another thread delivers. That thread continues, or asks again.
        """
        with self._lock:
            self._is_asked = self._has_failed = False
            outer, me = self._owner, threading.get_ident()
            if outer not in (None, me):
                return
            self._owner = me
        try:
            self._deliver_queued(outer, self._target.limit)
        finally:
            self._ask()

    def request_failed(self, error: BaseException) -> None:
        """Log the failure of a request, once until a request succeeds. The next ``put`` asks again.

        After ``close`` no ``put`` follows, so the items are dropped and their number is logged.
        """
        with self._lock:
            self._is_asked = False
            is_first, self._has_failed = not self._has_failed, True
            dropped = self._drop() if self._closed and self._owner is None else []
        if is_first:
            logger.error(
                "dispatch raised %s; callbacks wait. %s\n%s",
                type(error).__name__,
                self._target.advice,
                stack_of(error),
            )
        if dropped:
            logger.error("the session is over and dispatch failed; not delivered: %s", _summary(dropped))

    # Asking the target.

    def _ask(self) -> None:
        """Request a drain, if one is needed and none is outstanding."""
        with self._lock:
            may_ask = self._claim()
        self._follow(may_ask)

    def _claim(self) -> bool:
        """Return whether the caller has to make a request. The lock is held."""
        if not self._started or self._target_closed:
            return False
        # In manual mode each item notifies the threads that wait for the condition.
        if self._manual is None:
            # A drain that runs takes the item, or asks at its end.
            if self._is_asked or not self._items or (self._owner is not None and not self._target.reenters):
                return False
            self._is_asked, self._asked_at = True, time.monotonic()
        self._in_flight += 1
        return True

    def _follow(self, may_ask: bool) -> None:
        """Make a request that was claimed. No lock is held: an executor may drain on this thread."""
        if may_ask:
            self._request()
        elif self._is_asked and not self._has_warned:
            self._warn_of_stall()

    def _request(self) -> None:
        try:
            self._target.request()
        except BaseException as error:
            # SystemExit too: it would end the calling thread, and with it every delivery after this one.
            self.request_failed(error)
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                raise
        finally:
            with self._lock:
                self._in_flight -= 1
            if self._closed:
                self._close_target()

    def _close_target(self) -> None:
        """Close the target after the last request: a thread that puts an item may be making one right now."""
        with self._lock:
            if self._in_flight or self._target_closed or not self._started:
                return
            self._target_closed = True
        self._target.close()

    def _warn_of_stall(self) -> None:
        if time.monotonic() - self._asked_at < STALL_SECONDS:
            return
        self._has_warned = True
        logger.warning(
            "dispatch has not run the callbacks for %g s; %d deliveries wait. %s",
            STALL_SECONDS,
            len(self._items),
            self._target.advice,
        )

    # The queue.

    def _queue(self, item: Any) -> None:
        """Append an item, or let it replace the one of its kind. The lock is held."""
        kind = _replaced_kind(item)
        if kind is None:
            self._items.append(item)
            self._latest.clear()
            return
        latest = self._latest.get(kind)
        try:
            if latest:
                latest[0] = item
                return
        except IndexError:
            # A signal handler has polled in between.
            pass
        self._latest[kind] = latest = [item]
        self._items.append(latest)

    def _deliver_polled(self) -> int:
        outer, self._owner = self._owner, threading.get_ident()
        return self._deliver_queued(outer, NO_LIMIT)

    def _deliver_queued(self, outer: Optional[int], limit: float) -> int:
        """Deliver for ``limit`` seconds, then leave the ownership to ``outer``. Return the number of items.

        A closed mailbox is drained completely, because no request can follow the last one.
        """
        count, is_limited = 0, limit != NO_LIMIT
        deadline = time.monotonic() + limit
        try:
            while True:
                is_late = is_limited and count > 0 and time.monotonic() >= deadline
                item = self._next(outer, is_late=is_late)
                if item is None:
                    return count
                count += 1
                self._callbacks.deliver(item)
        except BaseException:
            self._owner = outer
            raise

    def _next(self, outer: Optional[int], *, is_late: bool) -> Any:
        """Remove and return the next item. At the end of the drain, release the ownership and return None."""
        with self._lock:
            if self._items and (self._closed or not is_late):
                # A signal handler that polls may have emptied the queue in between.
                with suppress(IndexError):
                    item = self._items.popleft()
                    return item.pop() if type(item) is list else item
            # Under the same lock as the look at the queue: from now on ``put`` asks.
            self._owner = outer
            return None

    def _drop(self) -> List[Any]:
        """Remove and return all items. The lock is held."""
        dropped = [item[0] if type(item) is list else item for item in self._items]
        self._items.clear()
        self._latest.clear()
        return dropped


def _replaced_kind(item: Any) -> Optional[type]:
    """Return the kind of an item that a newer one replaces: a partial or a level."""
    if isinstance(item, Transcript):
        return None if item.is_final else Transcript
    return Level if isinstance(item, Level) else None


def _summary(items: List[Any]) -> str:
    """Return how many deliveries there are for each callback, without their content."""
    counts = Counter(map(kind_of, items))
    return ", ".join(f"{count} for {kind}" for kind, count in counts.items())
