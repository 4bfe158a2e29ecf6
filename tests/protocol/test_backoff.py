"""The waits between attempts to reconnect."""

from typing import List, Optional

from hypothesis import given
from hypothesis import strategies as st

from slng_sync.errors import AuthenticationError, ConnectError, ConnectionLost, QuotaError
from slng_sync.protocol.backoff import Backoff

LOST = ConnectionLost("lost")


def delays(schedule: Backoff, count: int) -> List[Optional[float]]:
    return [schedule.next_delay(LOST) for _ in range(count)]


def test_a_session_that_had_worked_is_tried_again_at_once_then_after_doubling_waits() -> None:
    """0, 1, 2, 4 … 30 seconds, here without jitter. No attempt follows the last one."""
    schedule = Backoff(8, random_share=lambda: 1.0)
    schedule.worked()
    assert delays(schedule, 9) == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, None]


def test_a_session_that_never_worked_waits_from_the_first_attempt_on() -> None:
    """A server that accepts and closes at once is not tried in a loop."""
    schedule = Backoff(3, random_share=lambda: 1.0)
    assert delays(schedule, 4) == [1.0, 2.0, 4.0, None]


def test_only_what_was_transcribed_starts_the_count_anew() -> None:
    """A transcript resets the count, an open connection does not."""
    schedule = Backoff(2, random_share=lambda: 1.0)
    schedule.worked()
    assert delays(schedule, 3) == [0.0, 1.0, None]
    schedule.worked()
    assert delays(schedule, 1) == [0.0]


def test_fatal_errors_are_never_tried_again() -> None:
    """A refused key is not tried again."""
    schedule = Backoff(8)
    assert schedule.next_delay(AuthenticationError("refused", status=401)) is None


def test_retry_after_is_honoured() -> None:
    """A longer ``retry_after`` of the server is respected."""
    schedule = Backoff(8)
    schedule.worked()
    assert schedule.next_delay(QuotaError("busy", status=429, retryable=True, retry_after=7.0)) == 7.0
    assert schedule.next_delay(ConnectError("late", retryable=True, retry_after=40.0)) == 40.0


def test_a_server_that_asks_for_no_wait_is_not_asked_at_once_again() -> None:
    """Otherwise all attempts would be used up in a moment."""
    schedule = Backoff(8, random_share=lambda: 1.0)
    schedule.worked()
    busy = ConnectError("busy", retryable=True, retry_after=0.0)
    assert [schedule.next_delay(busy) for _ in range(4)] == [0.0, 1.0, 2.0, 4.0]


def test_a_server_that_asks_for_a_day_is_asked_in_five_minutes() -> None:
    """The wait is limited, because live audio cannot be kept for hours."""
    schedule = Backoff(8)
    assert schedule.next_delay(ConnectError("busy", retryable=True, retry_after=86400.0)) == 300.0


@given(st.integers(0, 20), st.floats(0, 1), st.booleans())
def test_waits_stay_within_their_bounds(attempts: int, share: float, worked: bool) -> None:
    """Waits are never negative or above 30 s, and there are no more attempts than allowed."""
    schedule = Backoff(attempts, random_share=lambda: share)
    if worked:
        schedule.worked()
    waits = delays(schedule, attempts + 1)
    assert waits[-1] is None
    assert all(wait is not None and 0 <= wait <= 30 for wait in waits[:-1])
