"""Decoding of error messages, in both formats.

The gateway's own format is ``{"type": "error", "code", "message"}``, flat or under ``data``
[SLNG model pages]; Soniox's is ``{"error_code", "error_type", "error_message"}``
[soniox error-handling]. The gateway may use its own on a Soniox connection too.
"""

from typing import Any, Dict, Mapping, Optional, Type, Union

from ..errors import KeyRefusedInStream, QuotaRefusedInStream, ServerError, SlngError
from .base import text

__all__ = ["failure_in", "is_failure"]

_NAMED: Dict[str, int] = {
    "auth_error": 401,
    "unauthorized": 401,
    "config_error": 400,
    "invalid_request": 400,
    "not_found": 404,
    "payload_too_large": 413,
    "rate_limit": 429,
    "rate_limit_exceeded": 429,
    "idle_timeout_exceeded": 408,
    "max_connection_duration_exceeded": 408,
    "not_ready": 503,
    "backpressure": 503,
    "stt_metering_unavailable": 503,
    "translation_error": 500,
    "provider_error": 502,
    "backend_error": 502,
    "backend_connection_failed": 502,
    "internal_error": 500,
    "model_not_available": 400,
    "unauthenticated": 401,
    "temp_api_key_session_expired": 401,
    "organization_balance_exhausted": 402,
    "organization_monthly_budget_exhausted": 402,
    "project_monthly_budget_exhausted": 402,
    "permission_denied": 403,
    "request_timeout": 408,
    "max_duration_reached": 413,
    "limit_exceeded": 429,
    "max_concurrent_connections_reached": 429,
    "service_unavailable": 503,
}
"""The HTTP status for each named code [SLNG errors page, soniox error-handling]."""

_HINTS: Dict[int, str] = {
    400: "Check the options of the model.",
    401: "Check the API key.",
    402: "The account's balance or budget is used up.",
    403: "The API key is not allowed to use this model.",
    404: "Check the model's name.",
    408: "Start a new session when there is audio again.",
    413: "Start a new session.",
    429: "Too many sessions at once, or too many requests. Try again later.",
}
_FINAL = frozenset({400, 401, 402, 403, 404, 422})


def failure_in(message: Mapping[str, Any]) -> Optional[SlngError]:
    """Return the error in a message, or None if it is not an error message."""
    if not is_failure(message):
        return None
    return _gateway(message) if message.get("error_code") is None else _native(message)


def is_failure(message: Mapping[str, Any]) -> bool:
    """Return whether a message is an error message."""
    if "type" in message and text(message["type"]).lower() == "error":
        return True
    return message.get("error_code") is not None


def _native(message: Mapping[str, Any]) -> SlngError:
    code, kind = _code(message["error_code"]), text(message.get("error_type"))
    status = _status(code) or _NAMED.get(kind) or 500
    return _error(
        status, code, f"{code}, {kind}" if kind else str(code), message.get("error_message"), message
    )


def _gateway(message: Mapping[str, Any]) -> SlngError:
    nested = message.get("data")
    body = message
    if isinstance(nested, Mapping) and "code" in nested and "code" not in message:
        body = nested
    code = body.get("code", "")
    code = code if isinstance(code, str) else _code(code)
    name = str(code).lower()
    status = _NAMED.get(name) or _status(_code(code)) or _status(_code(body.get("status_code"))) or 500
    said = next(
        (body[key] for key in ("message", "description", "error") if isinstance(body.get(key), str)), ""
    )
    error = _error(status, code, str(code), said, message)
    if name == "payload_too_large" or (
        name == "backend_connection_failed" and ("401" in said or "403" in said)
    ):
        error.retryable = False
    return error


def _error(
    status: int, code: Union[str, int], named: str, said: object, message: Mapping[str, Any]
) -> SlngError:
    kind: Type[ServerError] = ServerError
    if status in (401, 403):
        kind = KeyRefusedInStream
    elif status in (402, 429):
        kind = QuotaRefusedInStream
    error = kind(
        f"The server ended the session with an error ({_shown(named) or 'no code'}): "
        f"{_shown(text(said)) or 'no message'}.",
        hint=_HINTS.get(status, ""),
        retryable=status not in _FINAL,
    )
    error.code, error.status, error.raw = code, status, dict(message)
    return error


def _shown(said: str) -> str:
    """Return a text of the server on one line, at most 300 characters."""
    return " ".join(said.split())[:300].rstrip(".")


def _code(value: object) -> Union[str, int]:
    """Return a code as a number if it is one, else as a name, or an empty string."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return ""
    try:
        return int(value)
    except ValueError:
        return value


def _status(code: Union[str, int]) -> Optional[int]:
    return code if isinstance(code, int) and 400 <= code < 600 else None
