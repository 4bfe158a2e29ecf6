"""Detect lost audio with the clock, because no system reports overruns. No I/O."""

from typing import Optional

__all__ = ["LossClock"]

WINDOW_SECONDS = 1.0
MIN_LOSS_SECONDS = 0.1
"""A smaller difference is the jitter of a busy machine."""
MIN_ARRIVED_SHARE = 0.5
"""A window in which less audio than this share arrived is ignored: a stalled device may still catch up."""
INFINITY = float("inf")


class LossClock:
    """Compares the captured audio with the elapsed time. All values are in seconds.

    A device is sometimes late and catches up, and its clock drifts a little. So the measure is the smallest
    delay within each window of one second. If it rises from one window to the next, the difference is lost.
    """

    def __init__(self, now: float) -> None:
        self._start = now
        self._captured = 0.0
        self._usual_delay: Optional[float] = None
        self._min_delay = INFINITY
        self._window_start, self._window_captured = now, 0.0

    def update(self, captured: float, now: float) -> float:
        """Take the total of the captured audio. Return the loss that was not returned before."""
        self._captured = captured
        self._min_delay = min(self._min_delay, self._delay(now))
        elapsed = now - self._window_start
        if elapsed < WINDOW_SECONDS:
            return 0.0
        delay, arrived = self._min_delay, self._captured - self._window_captured
        self._start_window(now)
        if arrived < MIN_ARRIVED_SHARE * elapsed:
            return 0.0
        if self._usual_delay is not None and delay - self._usual_delay >= MIN_LOSS_SECONDS:
            return self._lose(delay - self._usual_delay)
        self._usual_delay = delay
        return 0.0

    def skip(self, now: float) -> float:
        """Return how much audio was lost while the device was disconnected. Call this when it is back."""
        lost = self._lose(max(0.0, self._delay(now) - (self._usual_delay or 0.0)))
        self._start_window(now)
        return lost

    def _delay(self, now: float) -> float:
        return now - self._start - self._captured

    def _lose(self, seconds: float) -> float:
        """Take lost audio out of the delay, because it will not arrive later."""
        self._start += seconds
        return seconds

    def _start_window(self, now: float) -> None:
        self._min_delay = INFINITY
        self._window_start, self._window_captured = now, self._captured
