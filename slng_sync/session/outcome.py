"""The error that ended a session. It is reported exactly once."""

import threading
from typing import Optional

from ..errors import SlngError
from ..log import logger

__all__ = ["Outcome"]


class Outcome:
    """The error that ended a session, if any, and whether it was reported. Any thread may use it."""

    def __init__(self) -> None:
        self.error: Optional[SlngError] = None
        self._unreported: Optional[SlngError] = None
        self._lock = threading.Lock()

    def set(self, error: Optional[SlngError]) -> None:
        """Note the error that ended the session, or None."""
        with self._lock:
            self.error = self._unreported = error

    def claim(self) -> Optional[SlngError]:
        """Return the error, which the caller then reports.

        Return None if it was reported or there is none.
        """
        with self._lock:
            error, self._unreported = self._unreported, None
            return error

    def raise_unreported(self) -> None:
        """Raise the error unless it was reported."""
        error = self.claim()
        if error is not None:
            raise error

    def log_unreported(self) -> None:
        """Log the error unless it was reported. Used when no call is left that could raise it."""
        error = self.claim()
        if error is not None:
            logger.error("a session ended with an error: %s: %s", type(error).__name__, error)
