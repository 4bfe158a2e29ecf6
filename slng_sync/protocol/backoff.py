"""The waits between attempts to reconnect.

The gateway's documentation asks clients to double the wait from 1 s to 30 s [SLNG errors page]. Jitter keeps
a thousand clients from reconnecting at the same moment after a restart of the gateway. No I/O, no clock.
"""

import random
from typing import Callable, Optional

from ..errors import ConnectError, ConnectionLost, SlngError

__all__ = ["Backoff", "Outage"]

SHORTEST = 1.0
LONGEST = 30.0
LONGEST_ASKED = 300.0
"""The longest wait in seconds that a server may ask for. Live audio cannot be kept for hours."""


class Outage:
    """A time without a connection. ``cause`` broke the connection, ``last`` is the latest error."""

    def __init__(self, begun: float, cause: SlngError) -> None:
        self.begun = begun
        self.cause = cause
        self.last = cause
        self.attempts = 0

    @property
    def is_orderly(self) -> bool:
        """Whether the server ended an idle connection. The next one can then wait until there is audio."""
        code = self.cause.code if isinstance(self.cause, ConnectionLost) else None
        return code == 1000 or getattr(self.cause, "status", None) == 408

    def given_up(self, unsettled: float) -> SlngError:
        """Return the error for the user: a fatal error as it is, otherwise ``ConnectionLost``.

        ``unsettled`` is the audio that the server has not acknowledged, in seconds.
        """
        if not self.attempts or not self.last.retryable:
            return self.last
        lost = ConnectionLost(
            f"The connection was lost and could not be restored in {self.attempts} attempts. "
            f"{unsettled:.1f} s of audio had not been acknowledged. Last error: {self.last.message}",
            code=getattr(self.cause, "code", 1006) if isinstance(self.cause, ConnectionLost) else 1006,
            reason=self.cause.reason if isinstance(self.cause, ConnectionLost) else "",
            unsettled=unsettled,
            hint=self.last.hint,
        )
        lost.__cause__ = self.last
        return lost


class Backoff:
    """The attempts to reconnect: immediate after a session that worked, then after doubling waits.

    ``worked()`` resets the count. It is called when transcripts have arrived, not when a connection opens:
    otherwise a server that accepts and closes at once would be tried for ever.
    """

    __slots__ = ("_has_worked", "_max_attempts", "_random_share", "attempt")

    def __init__(self, max_attempts: int, random_share: Callable[[], float] = random.random) -> None:
        self.attempt = 0
        self._max_attempts = max_attempts
        self._random_share = random_share
        self._has_worked = False

    def worked(self) -> None:
        """Note that audio was transcribed, and reset the count of attempts."""
        self.attempt = 0
        self._has_worked = True

    def next_delay(self, cause: SlngError) -> Optional[float]:
        """Count an attempt and return the seconds to wait before it, or None if no attempt can help."""
        if not cause.retryable or self.attempt >= self._max_attempts:
            return None
        at_once = self._has_worked and self.attempt == 0
        doublings = self.attempt - 1 if self._has_worked else self.attempt
        self.attempt += 1
        # Jitter: between half of the wait and all of it.
        usual = min(LONGEST, SHORTEST * 2.0 ** min(doublings, 10)) * (0.5 + self._random_share() / 2)
        asked = cause.retry_after if isinstance(cause, ConnectError) else None
        # Not sooner than usual: a server that asks for no wait would use up all attempts in a moment.
        return max(0.0 if at_once else usual, min(asked or 0.0, LONGEST_ASKED))
