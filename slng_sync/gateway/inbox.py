"""Wait for the next message or the next timer, whichever comes first."""

import asyncio
import heapq
import itertools
import math
import sys
import time
from typing import Any, Awaitable, Callable, Iterator, List, Optional, Tuple, Union

from .dialect import Actions

__all__ = ["Inbox"]

Then = Callable[[], Actions]


class Inbox:
    """The incoming messages of one connection, and timers that run between two of them.

    ``receive`` must be safe to cancel, because `wake` cancels it. This costs nothing while no timer is due;
    a timeout per message would cost more than the message.
    """

    def __init__(self, receive: Callable[[], Awaitable[Union[str, bytes]]]) -> None:
        self._receive = receive
        self._timers: List[Tuple[float, int, Then]] = []
        self._order = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._task: Optional[asyncio.Task[Any]] = asyncio.current_task()
        self._alarm: Optional[asyncio.TimerHandle] = None
        self._receiving = False
        self._woken = False

    def later(self, seconds: float, then: Then) -> None:
        """Add a timer: after this many seconds `due` yields ``then``."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), then))

    def due(self) -> Iterator[Then]:
        """Remove and yield the timers that are due."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            yield heapq.heappop(self._timers)[2]

    async def next(self, limit: float) -> Union[str, bytes, None]:
        """Return the next message, or None once a timer is due, ``limit`` has passed or `wake` was called.

        ``limit`` is a time on the monotonic clock.
        """
        deadline = min(limit, self._timers[0][0] if self._timers else math.inf)
        if self._woken or deadline <= time.monotonic():
            self._woken = False
            return None
        self._set_alarm(deadline)
        self._receiving = True
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # `wake` cancels this task to interrupt the wait. Any other cancellation is passed on.
            if not self._woken:
                raise
            if sys.version_info >= (3, 11):
                assert self._task is not None
                self._task.uncancel()
            self._woken = False
            return None
        finally:
            self._receiving = False

    def wake(self) -> None:
        """Make `next` return None: the call that is waiting, else the next one."""
        if not self._woken:
            self._woken = True
            if self._receiving and self._task is not None:
                self._task.cancel()

    def close(self) -> None:
        """Cancel all timers."""
        self._timers.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self, deadline: float) -> None:
        """Call `wake` at ``deadline``. An earlier alarm stays: to wake up too early does no harm."""
        if deadline == math.inf:
            return
        at = self._loop.time() + deadline - time.monotonic()
        if self._alarm is not None:
            if self._alarm.when() <= at:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self.wake()
