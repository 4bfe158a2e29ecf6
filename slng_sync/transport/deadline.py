"""The time limit of one attempt to connect."""

import selectors
import socket
import time
from typing import Any, List, Optional, Sequence

from ..errors import ConnectError, SessionClosed
from ..waiting import NEVER
from .endpoint import Address
from .wakeup import Wakeup

__all__ = ["READABLE", "WRITABLE", "Deadline"]

READABLE = selectors.EVENT_READ
WRITABLE = selectors.EVENT_WRITE
# Neither of these selectors opens a file.
_Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Deadline:
    """The time limit of one attempt to connect, and its cancellation.

    Every wait for a socket goes through this class. It ends at the deadline, and at once after ``cancel``.
    ``with`` begins the attempt and ends it.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self.time = NEVER
        """The deadline, on the monotonic clock."""
        self.is_cancelled = False
        self._wakeup: Optional[Wakeup] = None

    def begin(self) -> None:
        """Start the clock. Raises OSError if the system has no file for ``cancel``."""
        self._wakeup = Wakeup()
        self.time = time.monotonic() + self.timeout

    def end(self) -> None:
        """Close the file behind ``cancel``."""
        if self._wakeup is not None:
            self._wakeup.close()

    def __enter__(self) -> "Deadline":
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def cancel(self) -> None:
        """End the attempt. Any thread and a signal handler may call this."""
        self.is_cancelled = True
        if self._wakeup is not None:
            self._wakeup.set()

    def check(self) -> None:
        """Raise ``SessionClosed`` after ``cancel``, ``ConnectError`` after the deadline."""
        if self.is_cancelled:
            raise SessionClosed("The session was closed while it was connecting.")
        if time.monotonic() >= self.time:
            raise self.timeout_error()

    def timeout_error(self) -> ConnectError:
        """Return the error for an attempt that took too long."""
        return ConnectError(
            f"{self.address} did not answer within {self.timeout:g} s.",
            hint="Check the network, or increase Client(connect_timeout=...).",
            retryable=True,
        )

    def wait(self, sock: socket.socket, events: int = READABLE, *, until: float = NEVER) -> None:
        """Wait until the socket is ready, or until an earlier time. Raises as ``check`` does."""
        self.wait_for_any([sock], events, until=until)

    def wait_for_any(
        self, socks: Sequence[socket.socket], events: int, *, until: float = NEVER
    ) -> List[socket.socket]:
        """Wait until one of several sockets is ready, and return those that are. Raises as ``check`` does."""
        self.check()
        wakeup = self._wakeup
        assert wakeup is not None
        with _Selector() as selector:
            selector.register(wakeup, READABLE)
            for sock in socks:
                selector.register(sock, events)
            left = max(0.0, min(until, self.time) - time.monotonic())
            ready = selector.select(0 if wakeup.prepare() else left)
            wakeup.finish(ready)
        self.check()
        return [key.fileobj for key, _ in ready if key.fileobj is not wakeup]
