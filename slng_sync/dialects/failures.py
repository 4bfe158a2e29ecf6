"""Error frames of both shapes, and what each code asks of the user.

The gateway's own shape is ``{"type": "error", "code", "message"}``, flat or under ``data``
[SLNG model pages]; Soniox's is ``{"error_code", "error_type", "error_message"}``
[soniox error-handling]. The gateway may use its own on a Soniox stream too.
"""

from typing import Any, Dict, Mapping, Optional, Tuple, Type, Union

from ..errors import KeyRefusedInStream, QuotaRefusedInStream, ServerError, SlngError

__all__ = ["failure_in"]

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
}
"""The gateway's named codes and the HTTP status each is like [SLNG errors page]."""

_HINTS: Dict[int, str] = {
    400: "Check the options of the model.",
    401: "Check the API key.",
    402: "The account's balance or budget is used up.",
    403: "The API key is not allowed to use this model.",
    404: "Check the model's name.",
    408: "Start a new session when there is audio again.",
    413: "Start a new session.",
    429: "Too many streams at once, or too many requests: try again later.",
}
_FINAL = frozenset({400, 401, 402, 403, 404, 422})
_STREAM_CAP = "payload_too_large"


def failure_in(frame: Mapping[str, Any]) -> Optional[SlngError]:
    """The error that a frame reports, or None where it is no error frame."""
    if "error_code" in frame:
        return _native(frame)
    if str(frame.get("type", "")).lower() == "error":
        return _gateway(frame)
    return None


def _native(frame: Mapping[str, Any]) -> SlngError:
    code = _as_number(frame["error_code"])
    status = code if isinstance(code, int) else 500
    kind = frame.get("error_type")
    named = f"{code}, {kind}" if isinstance(kind, str) and kind else f"{code}"
    return _error(status, code, named, frame.get("error_message"), frame)


def _gateway(frame: Mapping[str, Any]) -> SlngError:
    nested = frame.get("data")
    body: Mapping[str, Any] = nested if isinstance(nested, Mapping) else frame
    code = body.get("code", "")
    code = code if isinstance(code, (str, int)) else str(code)
    status = _NAMED.get(str(code).lower(), 0) or _status(code) or _status(body.get("status_code")) or 500
    said = next(
        (body[key] for key in ("message", "description", "error") if isinstance(body.get(key), str)), ""
    )
    error = _error(status, code, str(code), said, frame)
    if str(code).lower() == "backend_connection_failed" and ("401" in said or "403" in said):
        error.retryable = False
    if str(code).lower() == _STREAM_CAP:
        error.retryable = False
    return error


def _error(
    status: int, code: Union[str, int], named: str, said: object, frame: Mapping[str, Any]
) -> SlngError:
    kinds: Tuple[Type[Any], ...] = (ServerError,)
    if status in (401, 403):
        kinds = (KeyRefusedInStream,)
    elif status in (402, 429):
        kinds = (QuotaRefusedInStream,)
    text = " ".join(str(said or "").split())[:300]
    error = kinds[0](
        f"The server ended the stream with an error ({named or 'no code'}): {text or 'no message'}".rstrip(
            "."
        )
        + ".",
        hint=_HINTS.get(status, ""),
        retryable=status not in _FINAL,
    )
    error.code = code
    error.raw = dict(frame)
    if kinds[0] is not ServerError:
        error.status = status
    assert isinstance(error, SlngError)
    return error


def _as_number(code: object) -> Union[str, int]:
    if isinstance(code, bool) or not isinstance(code, (int, str)):
        return str(code)
    try:
        return int(code)
    except ValueError:
        return str(code)


def _status(value: object) -> int:
    number = _as_number(value)
    return number if isinstance(number, int) and 400 <= number < 600 else 0
