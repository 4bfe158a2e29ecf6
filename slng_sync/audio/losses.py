"""What a device has lost, found by the clock: overruns are silent, on every system. No I/O."""

from typing import Optional

__all__ = ["LossClock"]

WINDOW_SECONDS = 1.0
LEAST_LOSS_SECONDS = 0.1
"""Less is the jitter of a busy machine."""
STEADY = 0.5
"""The share of a window's frames that has to come in it: while a device stalls nothing can be told."""


class LossClock:
    """Compares the frames that came with the time that went by.

    A device is late now and then, and catches up; its clock and ours run apart a little. So what counts is
    the least lateness in a second: what that rises by from one second to the next is not late but lost.
    """

    def __init__(self, sample_rate: int, now: float) -> None:
        self._rate = sample_rate
        self._begun = now
        self._frames = 0
        self._usual: Optional[float] = None
        self._begin_window(now)

    def hear(self, frames: int, now: float) -> int:
        """Take note of all ``frames`` that have come in all; tell how many more were lost."""
        self._frames = max(self._frames, frames)
        late = (now - self._begun) * self._rate - self._frames
        self._least = min(self._least, late)
        elapsed = now - self._window_begun
        if elapsed < WINDOW_SECONDS:
            return 0
        least, came = self._least, self._frames - self._window_frames
        self._begin_window(now)
        if came < STEADY * elapsed * self._rate:
            return 0
        usual, self._usual = self._usual, least
        return self._lost(usual, least)

    def skip(self, now: float) -> int:
        """The device was away, and is back: tell how many frames it did not hear meanwhile."""
        late = (now - self._begun) * self._rate - self._frames
        lost = max(0, round(late - (self._usual or 0.0)))
        self._begun += lost / self._rate
        self._begin_window(now)
        return lost

    def _lost(self, usual: Optional[float], least: float) -> int:
        if usual is None or least - usual < LEAST_LOSS_SECONDS * self._rate:
            return 0
        lost = round(least - usual)
        self._begun += lost / self._rate
        self._usual = usual
        return lost

    def _begin_window(self, now: float) -> None:
        self._window_begun = now
        self._window_frames = self._frames
        self._least = float("inf")
