"""Error messages: their class, their code, and whether a retry may help."""

from typing import Any, Dict, Type

import pytest

from slng_sync import AuthenticationError, QuotaError, ServerError, SlngError
from slng_sync.dialects.failures import failure_in

# The gateway's own codes, then those of native Reson8.
NAMED = [
    ("auth_error", AuthenticationError, False),
    ("config_error", ServerError, False),
    ("invalid_request", ServerError, False),
    ("payload_too_large", ServerError, False),
    ("rate_limit", QuotaError, True),
    ("rate_limit_exceeded", QuotaError, True),
    ("idle_timeout_exceeded", ServerError, True),
    ("max_connection_duration_exceeded", ServerError, True),
    ("not_ready", ServerError, True),
    ("backpressure", ServerError, True),
    ("stt_metering_unavailable", ServerError, True),
    ("translation_error", ServerError, True),
    ("provider_error", ServerError, True),
    ("backend_error", ServerError, True),
    ("backend_connection_failed", ServerError, True),
    ("something_new", ServerError, True),
    ("INVALID_REQUEST", ServerError, False),
    ("UNAUTHORIZED", AuthenticationError, False),
    ("NOT_FOUND", ServerError, False),
    ("PAYLOAD_TOO_LARGE", ServerError, False),
    ("INTERNAL_ERROR", ServerError, True),
]

# Soniox's numbers with their types.
NUMBERED = [
    (400, "invalid_request", ServerError, False),
    (400, "model_not_available", ServerError, False),
    (401, "unauthenticated", AuthenticationError, False),
    (401, "temp_api_key_session_expired", AuthenticationError, False),
    (402, "organization_balance_exhausted", QuotaError, False),
    (402, "organization_monthly_budget_exhausted", QuotaError, False),
    (402, "project_monthly_budget_exhausted", QuotaError, False),
    (403, "permission_denied", AuthenticationError, False),
    (408, "request_timeout", ServerError, True),
    (413, "max_duration_reached", ServerError, True),
    (429, "limit_exceeded", QuotaError, True),
    (429, "max_concurrent_connections_reached", QuotaError, True),
    (500, "internal_error", ServerError, True),
    (503, "service_unavailable", ServerError, True),
]


def failure(frame: Dict[str, Any]) -> Any:
    error = failure_in(frame)
    assert isinstance(error, SlngError)
    return error


@pytest.mark.parametrize(("code", "kind", "retryable"), NAMED)
def test_a_code_of_the_gateway_says_what_to_do(code: str, kind: Type[Any], retryable: bool) -> None:
    """The class names the cause. The code and the server's message are kept unchanged."""
    error = failure({"type": "error", "code": code, "message": "The server's words", "more": 1})
    assert isinstance(error, kind) and isinstance(error, ServerError)
    assert error.code == code and error.retryable is retryable
    assert code in str(error) and "The server's words" in str(error)
    assert error.raw["more"] == 1


@pytest.mark.parametrize("as_text", [False, True], ids=["number", "text"])
@pytest.mark.parametrize(("code", "name", "kind", "retryable"), NUMBERED)
def test_a_number_of_soniox_says_what_to_do(
    code: int, name: str, kind: Type[Any], retryable: bool, as_text: bool
) -> None:
    """A number sent as text is the same number. Its type is in the message, and unknown fields are kept."""
    sent = str(code) if as_text else code
    frame = {
        "tokens": [],
        "error_code": sent,
        "error_type": name,
        "error_message": "Words",
        "request_id": "r",
    }
    error = failure(frame)
    assert isinstance(error, kind) and isinstance(error, ServerError)
    assert error.code == code and error.retryable is retryable
    assert name in str(error) and "Words" in str(error) and error.raw["request_id"] == "r"


@pytest.mark.parametrize(
    ("code", "kind"), [(401, AuthenticationError), (402, QuotaError), (503, ServerError)]
)
def test_only_number_and_message_are_sure_to_be_there(code: int, kind: Type[Any]) -> None:
    """Without a type, without tokens, and even without a message."""
    assert isinstance(failure({"error_code": code}), kind)
    assert isinstance(failure({"error_code": code, "error_message": None, "error_type": 7}), kind)


def test_where_the_number_says_nothing_the_type_decides() -> None:
    """By number, then by type."""
    error = failure({"error_code": 0, "error_type": "unauthenticated", "error_message": "Missing key"})
    assert isinstance(error, AuthenticationError) and not error.retryable


@pytest.mark.parametrize("type_", ["error", "Error", "ERROR"])
@pytest.mark.parametrize("key", ["message", "description", "error"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_the_gateway_puts_it_in_many_ways(type_: str, key: str, nested: bool) -> None:
    """Flat or under data, in upper or lower case, with the message under any of three names."""
    body = {"code": "config_error", key: "Unsupported number of channels"}
    error = failure({"type": type_, "data": body} if nested else {"type": type_, **body})
    assert error.code == "config_error" and not error.retryable
    assert "Unsupported number of channels" in str(error)


def test_a_flat_error_may_carry_data_of_its_own() -> None:
    """An unknown field does not hide the code."""
    error = failure({"type": "error", "code": "auth_error", "message": "Expired", "data": {"request": "r-1"}})
    assert isinstance(error, AuthenticationError) and error.code == "auth_error"
    assert not error.retryable and "Expired" in str(error)


def test_a_status_stands_in_for_a_code_that_nobody_knows() -> None:
    """The nested format may contain an HTTP status."""
    error = failure({"type": "error", "data": {"code": "no_idea", "status_code": 403, "message": "No"}})
    assert isinstance(error, AuthenticationError) and error.code == "no_idea" and not error.retryable


@pytest.mark.parametrize("said", ["upstream answered 401", "403 Forbidden by provider"])
def test_a_key_of_your_own_that_the_provider_refused_is_final(said: str) -> None:
    """The backend refused the key, so a retry cannot help."""
    error = failure({"type": "error", "code": "backend_connection_failed", "message": said})
    assert not error.retryable


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"tokens": []},
        {"type": "final_transcript", "error": "none"},
        {"type": "ready"},
        {"tokens": [], "error_code": None, "error_message": None},
    ],
)
def test_what_is_no_error_is_none(frame: Dict[str, Any]) -> None:
    """Only a code or the type ``error`` makes an error. A code of null does not count."""
    assert failure_in(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        {"error_code": 500, "error_message": "x " * 5000},
        {"error_code": 503, "error_type": "x" * 5000, "error_message": "Restart"},
        {"type": "error", "code": "x" * 5000, "message": "Upstream"},
    ],
    ids=["message", "type", "code"],
)
def test_a_long_answer_is_shortened(frame: Dict[str, Any]) -> None:
    """A page of HTML in place of a message is shortened."""
    assert len(str(failure(frame))) < 500
