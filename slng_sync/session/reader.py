"""Reading on the thread that runs the callbacks: one wake-up brings a word from the wire to the user.

While that thread has nothing to deliver it waits for the socket itself. While a callback runs, nobody does:
if the callback takes its time, the I/O thread takes over, told by whoever sends, or at its own next turn.
"""

import time
from typing import Callable, Optional

from ..transport.transport import WakeUp, Watch
from ..waiting import NEVER
from .line import Line

__all__ = ["Reader"]

PATIENCE = 0.05
"""Seconds that a callback may take before somebody else reads."""
FLOOD_PAUSE = 0.0005
"""Between readings of more than can be read at once: whoever waits for the lock would not get it else."""


class Reader:
    """Waits for the line that ``line()`` gives, if any, and calls ``read(line)`` when something has come.

    From ``missed_at`` on somebody else has to read: a callback takes so long.
    """

    __slots__ = ("_line", "_wake", "_watch", "_work", "is_listening", "missed_at", "read")

    def __init__(self, line: Callable[[], Optional[Line]]) -> None:
        self.read: Callable[[Line], None] = lambda line: None
        self.is_listening = False
        self._line = line
        self._wake: Optional[WakeUp] = None
        self._watch: Optional[Watch] = None
        self._work: Optional[Callable[[], None]] = None
        self.missed_at = NEVER

    def open(self) -> None:
        """Be ready to wait."""
        self._wake = WakeUp()

    def close(self) -> None:
        """Nobody waits any more, nor will: a file closed too early gives its number to another one."""
        if self._wake is not None:
            self._wake.close()

    def wake_up(self) -> None:
        """End the wait: there is something to deliver, or another line."""
        if self._wake is not None:
            self._wake.ring()

    def lend(self, work: Callable[[], None]) -> None:
        """Have something done on the thread that waits, as soon as no callback runs there."""
        self._work = work
        self.wake_up()

    def is_missed(self, now: float) -> bool:
        """Whether a callback takes so long that somebody else has to read, whoever was told of it by now."""
        return not self.is_listening and (self.missed_at == NEVER or now >= self.missed_at)

    def wait(self) -> None:
        """Wait until there may be something to deliver; on the thread that delivers."""
        if self._work is not None:
            work, self._work = self._work, None
            work()
            return
        line = self._line()
        has_more = line is not None and line.connection.has_more
        if has_more:
            time.sleep(FLOOD_PAUSE)
        self.is_listening = line is not None
        self.missed_at = NEVER
        try:
            has_come = self._watch_for(line).wait(0.0 if has_more else NEVER) or has_more
        except (OSError, ValueError):
            # The socket, or the wake-up, was closed in this moment: there is another line, or the end.
            has_come = False
        if line is not None:
            self.missed_at = time.monotonic() + PATIENCE
        self.is_listening = False
        if line is not None and has_come:
            self.read(line)

    def _watch_for(self, line: Optional[Line]) -> Watch:
        sock = None if line is None else line.connection.transport.sock
        if self._watch is None or self._watch.sock is not sock:
            assert self._wake is not None
            self._watch = Watch(self._wake, sock)
        return self._watch
