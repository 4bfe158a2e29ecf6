"""The heartbeat of a connection: when to ping, and when it is dead. The time is an argument."""

from ..waiting import NEVER

__all__ = ["Heartbeat"]


class Heartbeat:
    """A ping every ``interval`` seconds, and a ``timeout`` in seconds for the answer.

    Any received data counts as an answer. ``ping_at`` is the time of the next ping, ``NEVER`` while one is
    unanswered. ``begun`` is the time at which the connection opened.
    """

    __slots__ = ("_interval", "_lost_at", "_pinged_at", "_received_at", "_timeout", "begun", "ping_at")

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self.begun = now
        self.ping_at = now + interval
        self._interval = interval
        self._timeout = timeout
        self._received_at = self._pinged_at = now
        self._lost_at = NEVER

    def received(self, now: float) -> None:
        """Note that something has arrived."""
        self._received_at = now
        if self._lost_at != NEVER:
            self._lost_at = NEVER
            self.ping_at = self._pinged_at + self._interval

    def pinged(self, now: float) -> None:
        """Note that a ping was sent."""
        self._pinged_at = now
        self._lost_at = now + self._timeout
        self.ping_at = NEVER

    def is_lost(self, now: float) -> bool:
        """Return whether a ping has been unanswered for too long."""
        return now >= self._lost_at

    def silence(self, now: float) -> float:
        """Return the seconds since anything arrived."""
        return now - self._received_at

    @property
    def limit(self) -> float:
        """The longest time in which a dead connection goes unnoticed, in seconds."""
        return self._interval + self._timeout

    @property
    def due(self) -> float:
        """The time of the next ping or of the timeout."""
        return min(self.ping_at, self._lost_at)
