"""A cap on how often something happens. Pure: the time is an argument, in seconds of a monotonic clock."""

__all__ = ["RateLimit"]


class RateLimit:
    """Allows ``per_second`` on average, and a few at once after a pause. ``free_at`` is when the next may go.

    The defaults stay below the gateway's cap of 2000 messages a minute.
    """

    __slots__ = ("_interval", "_saved", "free_at")

    def __init__(self, now: float, *, per_second: float = 25.0, burst: float = 50.0) -> None:
        self._interval = 1.0 / per_second
        # A hair more, so that rounding takes none of them away.
        self._saved = (burst - 1.0) * self._interval + 1e-6
        self.free_at = now - self._saved

    def spend(self, now: float) -> None:
        """Count one that goes now."""
        # A pause saves up no more than a burst.
        earliest = now - self._saved
        self.free_at = (self.free_at if self.free_at > earliest else earliest) + self._interval
