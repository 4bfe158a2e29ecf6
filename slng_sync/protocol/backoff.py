"""When to try again, and when not to.

The gateway's advice is to double the wait from 1 s to 30 s [SLNG errors page]; jitter is added, so that a
thousand clients of a gateway that restarts do not come back at once. No I/O, no clock.
"""

import random
from typing import Callable, Optional

from ..errors import ConnectError, ConnectionLost, SlngError

__all__ = ["Backoff", "Outage"]

SHORTEST = 1.0
LONGEST = 30.0
LONGEST_ASKED = 300.0
"""The longest wait that a server is granted: live audio cannot be kept for hours."""


class Outage:
    """A time without a connection: when it began, what broke it, and what stood against restoring it last."""

    def __init__(self, begun: float, cause: SlngError) -> None:
        self.begun = begun
        self.cause = cause
        self.last = cause
        self.attempts = 0

    @property
    def is_orderly(self) -> bool:
        """Whether the server has ended an idle stream, so that a new one can wait until there is audio."""
        code = self.cause.code if isinstance(self.cause, ConnectionLost) else None
        return code == 1000 or getattr(self.cause, "status", None) == 408

    def given_up(self, unsettled: float) -> SlngError:
        """The error for an outage without an end: what is fatal as it is, else a lost connection."""
        if not self.attempts or not self.last.retryable:
            return self.last
        lost = ConnectionLost(
            f"The connection was lost and could not be restored in {self.attempts} attempts; "
            f"{unsettled:.1f} s of audio were not answered for. The last one: {self.last.message}",
            code=getattr(self.cause, "code", 1006) if isinstance(self.cause, ConnectionLost) else 1006,
            reason=self.cause.reason if isinstance(self.cause, ConnectionLost) else "",
            unsettled=unsettled,
            hint=self.last.hint,
        )
        lost.__cause__ = self.last
        return lost


class Backoff:
    """The attempts to restore a session: at once where it had worked, then after doubling waits.

    ``worked()`` starts the count anew. It is called when transcripts have arrived, not when a connection was
    made: a server that accepts and closes must not be asked for ever.
    """

    __slots__ = ("_has_worked", "_max_attempts", "_random_share", "attempt")

    def __init__(self, max_attempts: int, random_share: Callable[[], float] = random.random) -> None:
        self.attempt = 0
        self._max_attempts = max_attempts
        self._random_share = random_share
        self._has_worked = False

    def worked(self) -> None:
        """What was sent has been transcribed: the next failure is the first one."""
        self.attempt = 0
        self._has_worked = True

    def next_delay(self, cause: SlngError) -> Optional[float]:
        """Seconds to wait before the next attempt, which is counted; None where there is no sense in one."""
        if not cause.retryable or self.attempt >= self._max_attempts:
            return None
        at_once = self._has_worked and self.attempt == 0
        doublings = self.attempt - 1 if self._has_worked else self.attempt
        self.attempt += 1
        # Between half of the wait and all of it.
        usual = min(LONGEST, SHORTEST * 2.0 ** min(doublings, 10)) * (0.5 + self._random_share() / 2)
        asked = cause.retry_after if isinstance(cause, ConnectError) else None
        # No sooner than usual, or a server that asks for no wait at all has used up all attempts in a moment.
        return max(0.0 if at_once else usual, min(asked or 0.0, LONGEST_ASKED))
