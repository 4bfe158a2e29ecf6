"""Every error this library raises.

::

    SlngError
     |-- ConfigurationError (also a ValueError)
     |-- ConnectError
     |    |-- AuthenticationError
     |    `-- QuotaError
     |-- ConnectionLost
     |-- ServerError
     |-- ProtocolError
     |-- SessionClosed
     |-- AudioError
     |    |-- DeviceNotFound
     |    `-- DeviceLost
     `-- WaitTimeout (also a TimeoutError)

If the server refuses the key in a message, after the connection was opened, the error is both an
``AuthenticationError`` and a ``ServerError``. Likewise an exhausted quota is both a ``QuotaError`` and a
``ServerError``.

Error messages never contain an API key or a spoken word.
"""

from typing import Any, Mapping, Optional, Union

__all__ = [
    "AudioError",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "DeviceLost",
    "DeviceNotFound",
    "ProtocolError",
    "QuotaError",
    "ServerError",
    "SessionClosed",
    "SlngError",
    "WaitTimeout",
]


class SlngError(Exception):
    """The base class of all errors of this library.

    ``message`` says what happened. ``hint`` says what to do about it and may be empty. ``str(error)`` is the
    message followed by the hint. ``retryable`` is True if the same call may succeed later. ``transcript`` is
    the ``TranscriptLog`` that ``transcribe`` had collected before the error, otherwise None.
    """

    retryable = False
    transcript: Any = None

    def __init__(self, message: str, *, hint: str = "", retryable: Optional[bool] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigurationError(SlngError, ValueError):
    """An argument is invalid. The message names the argument and says which values are valid."""


class ConnectError(SlngError):
    """The connection could not be opened.

    If the server refused the upgrade, ``status`` is the HTTP status, ``body`` the beginning of the response
    body and ``headers`` its headers. Otherwise ``status`` is None. ``retry_after`` is the number of seconds
    to wait before the next attempt, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: Optional[int] = None,
        body: str = "",
        hint: str = "",
        retryable: Optional[bool] = None,
        retry_after: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status
        self.body = body
        self.retry_after = retry_after
        self.headers = dict(headers or {})


class AuthenticationError(ConnectError):
    """The API key is missing or was refused."""


class QuotaError(ConnectError):
    """The account has no credit left (402) or exceeds its rate limit (429)."""


class ConnectionLost(SlngError):
    """The connection was lost and could not be restored.

    ``code`` and ``reason`` come from the WebSocket close frame; ``code`` is 1006 if there was none.
    ``unsettled`` is the number of seconds of audio that the server had not acknowledged.
    """

    retryable = True

    def __init__(
        self, message: str, *, code: int = 1006, reason: str = "", unsettled: float = 0.0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.reason = reason
        self.unsettled = unsettled


class ServerError(SlngError):
    """The server reported an error.

    ``code`` is the name (Reson8) or the number (Soniox) of the error. ``status`` is the equivalent HTTP
    status, or None. ``raw`` is the server's message.
    """

    code: Union[str, int] = ""
    status: Optional[int] = None
    raw: Mapping[str, Any] = {}

    def __init__(
        self,
        message: str,
        *,
        code: Union[str, int] = "",
        raw: Optional[Mapping[str, Any]] = None,
        hint: str = "",
        retryable: Optional[bool] = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.code = code
        self.raw = dict(raw or {})


class KeyRefusedInStream(AuthenticationError, ServerError):
    """The server accepted the upgrade and refused the API key in a message."""


class QuotaRefusedInStream(QuotaError, ServerError):
    """The server accepted the upgrade and reported in a message that the quota is exhausted."""


class ProtocolError(SlngError):
    """The server violated the WebSocket protocol or sent a message larger than the client's limit."""

    retryable = True


class SessionClosed(SlngError):
    """The session is closed and cannot be used any more."""


class AudioError(SlngError):
    """A microphone, an audio file or a trace could not be read."""


class DeviceNotFound(AudioError):
    """There is no microphone, or none with the given name or index."""


class DeviceLost(AudioError):
    """The microphone was disconnected or stopped working."""

    retryable = True


class WaitTimeout(SlngError, TimeoutError):
    """A timeout expired.

    After a timeout of ``send``, ``taken`` is the number of seconds of the given audio that were accepted and
    will be sent. The rest was not accepted; call ``send`` again with it.
    """

    retryable = True

    def __init__(self, message: str, *, hint: str = "", taken: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.taken = taken
