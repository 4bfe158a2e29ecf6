"""Reading on the thread that runs the callbacks: one wake-up brings a word from the wire to the user.

While that thread has nothing to deliver it waits for the socket itself. While a callback runs, nobody does:
if the callback takes its time, the I/O thread takes over, told by whoever sends, or at its own next turn.
"""

import time
from typing import Callable, Optional

from .line import Line
from .transport import WakeUp, Watch
from .waiting import NEVER

__all__ = ["Reader"]

PATIENCE = 0.05
"""Seconds that a callback may take before somebody else reads."""


class Reader:
    """Waits for the line that ``line()`` gives, if any, and calls ``read(line)`` when something has come.

    From ``missed_at`` on somebody else has to read: a callback takes so long.
    """

    __slots__ = ("_line", "_wake", "_watch", "is_listening", "missed_at", "read")

    def __init__(self, line: Callable[[], Optional[Line]]) -> None:
        self.read: Callable[[Line], None] = lambda line: None
        self.is_listening = False
        self._line = line
        self._wake: Optional[WakeUp] = None
        self._watch: Optional[Watch] = None
        self.missed_at = NEVER

    def open(self) -> None:
        """Be ready to wait."""
        self._wake = WakeUp()

    def close(self) -> None:
        """Nobody will wait any more."""
        if self._wake is not None:
            self._wake.ring()
            self._wake.close()

    def wake_up(self) -> None:
        """End the wait: there is something to deliver, or another line."""
        if self._wake is not None:
            self._wake.ring()

    def wait(self) -> None:
        """Wait until there may be something to deliver; on the thread that delivers."""
        line = self._line()
        has_more = line is not None and line.connection.has_more
        self.missed_at = NEVER
        self.is_listening = line is not None
        try:
            has_come = self._watch_for(line).wait(0.0 if has_more else NEVER) or has_more
        except (OSError, ValueError):
            # The socket, or the wake-up, was closed in this moment: there is another line, or the end.
            has_come = False
        self.is_listening = False
        if line is not None:
            self.missed_at = time.monotonic() + PATIENCE
            if has_come:
                self.read(line)

    def _watch_for(self, line: Optional[Line]) -> Watch:
        sock = None if line is None else line.connection.transport.sock
        if self._watch is None or self._watch.sock is not sock:
            assert self._wake is not None
            self._watch = Watch(self._wake, sock)
        return self._watch
