"""Waiting for the next message or the next timer, whichever comes first."""

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
    """The messages of one connection, and timers that run between two of them.

    ``receive`` must be safe to cancel: waiting is interrupted by cancelling it, which costs nothing while
    no timer is due. A timeout of its own for each message would cost more than the message.
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
        """Have ``then`` among the `due` ones once so many seconds have passed."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), then))

    def due(self) -> Iterator[Then]:
        """Take out the timers whose time has come."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            yield heapq.heappop(self._timers)[2]

    async def next(self, limit: float) -> Union[str, bytes, None]:
        """Return the next message; None if a timer is due, or the time is ``limit``, or `wake` was called."""
        deadline = min(limit, self._timers[0][0] if self._timers else math.inf)
        if self._woken or deadline <= time.monotonic():
            self._woken = False
            return None
        self._set_alarm(deadline)
        self._receiving = True
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # Waiting was interrupted by `wake`. Whoever else cancels this task means it.
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
        """Have `next` return now, or at once the next time."""
        if not self._woken:
            self._woken = True
            if self._receiving and self._task is not None:
                self._task.cancel()

    def close(self) -> None:
        """Forget all timers."""
        self._timers.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self, deadline: float) -> None:
        """Have `wake` called then. An earlier alarm is left as it is: waking too early does no harm."""
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
