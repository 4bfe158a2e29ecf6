"""The rate limit for messages. The time is an argument, in seconds on the monotonic clock."""

__all__ = ["RateLimit"]


class RateLimit:
    """A limit of ``per_second`` messages on average, with up to ``burst`` at once after a pause.

    ``free_at`` is the earliest time of the next message. The defaults stay below the gateway's limit of 2000
    messages a minute.
    """

    __slots__ = ("_interval", "_saved", "free_at")

    def __init__(self, now: float, *, per_second: float = 25.0, burst: float = 50.0) -> None:
        self._interval = 1.0 / per_second
        # A microsecond more, so that rounding does not shorten a burst.
        self._saved = (burst - 1.0) * self._interval + 1e-6
        self.free_at = now - self._saved

    def spend(self, now: float) -> None:
        """Count a message that is sent now."""
        # A pause never allows more than one burst.
        earliest = now - self._saved
        self.free_at = (self.free_at if self.free_at > earliest else earliest) + self._interval
