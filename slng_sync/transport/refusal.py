"""The error for a server that refuses the upgrade to a WebSocket."""

import math
import time
from typing import Mapping, Optional, Tuple, Type

from ..errors import AuthenticationError, ConnectError, QuotaError

__all__ = ["refusal"]

LONGEST_RETRY_AFTER = 86400.0
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRYABLE = (408, 409, 425, 429)


def refusal(status: Optional[int], headers: Mapping[str, str], body: str, address: str) -> ConnectError:
    """Return the error for an answer other than 101 [SLNG errors page]."""
    if status is None or status == 101:
        return ConnectError(
            f"{address} did not answer as a WebSocket server.",
            hint="Check base_url: is it the address of an SLNG gateway?",
            headers=headers,
        )
    kind, hint = _kind(status)
    body = "" if status in _REDIRECTS else body
    return kind(
        f"{address} refused the connection with status {status}{': ' + body if body else ''}.",
        status=status,
        body=body,
        hint=hint,
        retryable=status in _RETRYABLE or status >= 500,
        retry_after=_retry_after(headers.get("retry-after")),
        headers=headers,
    )


def _kind(status: int) -> Tuple[Type[ConnectError], str]:
    if status in (401, 403):
        return AuthenticationError, "Check the API key (SLNG_API_KEY), and that it may use this model."
    if status == 402:
        return QuotaError, "The account has no credit left."
    if status == 429:
        return QuotaError, "Too many requests or sessions at once. Try again later."
    if status in _REDIRECTS:
        return ConnectError, "Redirects are not followed, to protect the key. Check base_url."
    if status in (400, 404, 422):
        return ConnectError, "Check the model, world_part, region and base_url."
    if status < 400:
        return ConnectError, "Check base_url: is it the address of an SLNG gateway?"
    return ConnectError, "Try again later."


def _retry_after(value: Optional[str]) -> Optional[float]:
    """Return the seconds in a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            import email.utils

            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
