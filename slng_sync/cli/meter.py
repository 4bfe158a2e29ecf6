"""How loud the microphone is, as a line on the terminal: whoever speaks sees that they are heard."""

from typing import Optional

from ..events import Level

__all__ = ["Meter", "bar"]

COLUMNS = 20
QUIETEST_DBFS = -60.0
"""What is quieter has an empty bar."""
TOO_LOUD_LEVELS = 25
"""For how many levels it is said that it was too loud: a second, or nobody would see it."""


class Meter:
    """What the last levels make of the line."""

    def __init__(self) -> None:
        self._level: Optional[Level] = None
        self._too_loud = 0

    def hear(self, level: Level) -> None:
        """Take note of a level."""
        self._level = level
        self._too_loud = TOO_LOUD_LEVELS if level.clipping else max(0, self._too_loud - 1)

    def line(self) -> str:
        """The line; empty before the first level."""
        if self._level is None:
            return ""
        return bar(self._level.peak_dbfs) + (" too loud" if self._too_loud else "")


def bar(level_dbfs: float) -> str:
    """How loud that is, as a bar."""
    share = min(1.0, max(0.0, 1 - level_dbfs / QUIETEST_DBFS))
    full = round(share * COLUMNS)
    return f"[{'#' * full}{'-' * (COLUMNS - full)}]"
