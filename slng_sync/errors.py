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

A key refused by a frame, after the connection was made, is an ``AuthenticationError`` and a
``ServerError`` at once; so is a used-up quota a ``QuotaError`` and a ``ServerError``.

No message holds an API key or a spoken word.
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
    """The base of all errors of this library.

    ``hint`` says what to do about it and may be empty; ``retryable`` tells whether the same call
    may work when it is made again later. ``str(error)`` is the message followed by the hint.
    ``transcript`` is the ``TranscriptLog`` of what ``transcribe`` had understood before, else None.
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
    """A wrong value was given; the message names it and says what was expected."""


class ConnectError(SlngError):
    """The connection could not be opened.

    ``status`` is the HTTP status of a refused upgrade, else None; ``body`` the start of the answer's text.
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
    """The API key was refused, or none was given."""


class QuotaError(ConnectError):
    """The account has no credit left, or too much is asked of it at once (402, 429)."""


class ConnectionLost(SlngError):
    """A connection broke and could not be restored.

    ``code`` and ``reason`` are those of the WebSocket close frame, 1006 where none came; ``unsettled``
    is how many seconds of audio the server had not answered for.
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

    ``code`` is its name (Reson8) or number (Soniox), ``status`` the HTTP status like it, ``raw`` the frame.
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
    """The API key was refused by a frame, after the upgrade had been accepted."""


class QuotaRefusedInStream(QuotaError, ServerError):
    """The quota was reported as used up by a frame, after the upgrade had been accepted."""


class ProtocolError(SlngError):
    """The server broke the WebSocket protocol or sent more than this client is willing to hold."""

    retryable = True


class SessionClosed(SlngError):
    """The session was used after its end."""


class AudioError(SlngError):
    """A microphone or a file could not be read."""


class DeviceNotFound(AudioError):
    """No microphone, or none of that name or index."""


class DeviceLost(AudioError):
    """The microphone went away."""

    retryable = True


class WaitTimeout(SlngError, TimeoutError):
    """Something did not happen within the time that was given for it.

    ``taken`` is how many seconds of the audio ``send`` had taken by then, which are sent: what follows them
    can be sent again.
    """

    retryable = True

    def __init__(self, message: str, *, hint: str = "", taken: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.taken = taken
