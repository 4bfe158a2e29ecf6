"""What a device has lost, found by the clock: overruns are silent, on every system. No I/O."""

from typing import Optional

__all__ = ["LossClock"]

WINDOW_SECONDS = 1.0
LEAST_LOSS_SECONDS = 0.1
"""Less is the jitter of a busy machine."""
STEADY = 0.5
"""The share of a window's audio that has to come in it: while a device stalls nothing can be told."""
NEVER = float("inf")


class LossClock:
    """Compares the audio that came with the time that went by. All in seconds.

    A device is late now and then, and catches up; its clock and ours run apart a little. So what counts is
    the least lateness in a second: what that rises by from one second to the next is not late but lost.
    """

    def __init__(self, now: float) -> None:
        self._begun = now
        self._heard = 0.0
        self._usual: Optional[float] = None
        self._least = NEVER
        self._window_begun, self._window_heard = now, 0.0

    def hear(self, heard: float, now: float) -> float:
        """Take note of how much audio has come in all; tell how much was lost, and not told before."""
        self._heard = heard
        self._least = min(self._least, self._late(now))
        elapsed = now - self._window_begun
        if elapsed < WINDOW_SECONDS:
            return 0.0
        least, came = self._least, self._heard - self._window_heard
        self._begin_window(now)
        if came < STEADY * elapsed:
            return 0.0
        if self._usual is not None and least - self._usual >= LEAST_LOSS_SECONDS:
            return self._lose(least - self._usual)
        self._usual = least
        return 0.0

    def skip(self, now: float) -> float:
        """The device was away, and is back: tell how long it has heard nothing."""
        lost = self._lose(max(0.0, self._late(now) - (self._usual or 0.0)))
        self._begin_window(now)
        return lost

    def _late(self, now: float) -> float:
        return now - self._begun - self._heard

    def _lose(self, seconds: float) -> float:
        """What is lost once does not come late: from now on it is not waited for."""
        self._begun += seconds
        return seconds

    def _begin_window(self, now: float) -> None:
        self._least = NEVER
        self._window_begun, self._window_heard = now, self._heard
