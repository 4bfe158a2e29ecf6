"""The error message of Soniox and its codes [soniox-ws-api, Soniox error handling]."""

from typing import Any, Dict, Optional, Union

__all__ = ["error_message_for"]

ERROR_TYPES = {
    400: "invalid_request",
    401: "unauthenticated",
    402: "organization_balance_exhausted",
    403: "permission_denied",
    408: "request_timeout",
    413: "max_duration_reached",
    429: "limit_exceeded",
    500: "internal_error",
    503: "service_unavailable",
}
MESSAGES = {
    401: "Invalid or expired API key",
    408: "Request timeout.",
    413: "Maximum stream duration reached.",
    429: "Rate limit exceeded.",
    500: "Internal error.",
    503: "Cannot continue request (code 1). Please restart the request.",
}


def error_message_for(
    code: Union[int, str], message: str = "", error_type: Optional[str] = None
) -> Dict[str, Any]:
    """Return the error message for a code. ``message`` and ``error_type`` default to those of the code."""
    number = int(code) if str(code).isdigit() else 0
    reply: Dict[str, Any] = {"tokens": [], "error_code": number or code}
    if error_type or number in ERROR_TYPES:
        reply["error_type"] = error_type or ERROR_TYPES[number]
    reply["error_message"] = message or MESSAGES.get(number, f"Error {code}.")
    return reply
