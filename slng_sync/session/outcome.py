"""How a session ended. Its error is told once: to whoever asks first."""

import threading
from typing import Optional

from ..errors import SlngError
from ..log import logger

__all__ = ["Outcome"]


class Outcome:
    """The error that ended a session, if any, and whether somebody knows."""

    def __init__(self) -> None:
        self.error: Optional[SlngError] = None
        self._untold: Optional[SlngError] = None
        self._lock = threading.Lock()

    def set(self, error: Optional[SlngError]) -> None:
        """The session has ended."""
        with self._lock:
            self.error = self._untold = error

    def claim(self) -> Optional[SlngError]:
        """The error, to be told by the caller; None where there is none or it was told."""
        with self._lock:
            error, self._untold = self._untold, None
            return error

    def raise_untold(self) -> None:
        """Raise the error, unless it was told."""
        error = self.claim()
        if error is not None:
            raise error

    def log_untold(self) -> None:
        """Log the error, unless it was told: there is nobody left to tell."""
        error = self.claim()
        if error is not None:
            logger.error("a session ended with an error: %s: %s", type(error).__name__, error)
