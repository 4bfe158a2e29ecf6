"""A level meter for the terminal, so that users see whether the microphone works."""

from typing import Optional

from ..events import Level

__all__ = ["Meter", "bar"]

COLUMNS = 20
QUIETEST_DBFS = -60.0
"""The level at and below which the bar is empty."""
TOO_LOUD_LEVELS = 25
"""For how many levels "too loud" stays visible after clipping. 25 levels are one second."""


class Meter:
    """A level meter. ``update`` with each level, then show ``line``."""

    def __init__(self) -> None:
        self._level: Optional[Level] = None
        self._too_loud = 0

    def update(self, level: Level) -> None:
        """Set the current level."""
        self._level = level
        self._too_loud = TOO_LOUD_LEVELS if level.clipping else max(0, self._too_loud - 1)

    def line(self) -> str:
        """Return the meter as a line of text, empty before the first level."""
        if self._level is None:
            return ""
        return bar(self._level.peak_dbfs) + (" too loud" if self._too_loud else "")


def bar(level_dbfs: float) -> str:
    """Return a bar for a level in dBFS."""
    share = min(1.0, max(0.0, 1 - level_dbfs / QUIETEST_DBFS))
    full = round(share * COLUMNS)
    return f"[{'#' * full}{'-' * (COLUMNS - full)}]"
