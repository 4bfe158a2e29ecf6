"""Live speech-to-text for Python programs that are not async: Reson8 and Soniox behind the SLNG gateway.

A ``Client`` is who you are, which model, and your callbacks; a ``Session`` is one stream of audio.
"""

import importlib
from typing import TYPE_CHECKING, Any, List

from ._version import __version__
from .audio.format import AudioFormat
from .client import Client
from .dialects import Dialect, Reson8, Soniox
from .errors import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    DeviceLost,
    DeviceNotFound,
    ProtocolError,
    QuotaError,
    ServerError,
    SessionClosed,
    SlngError,
    WaitTimeout,
)
from .events import (
    AudioLost,
    Closed,
    Endpoint,
    Event,
    Flushed,
    Level,
    MicrophoneLost,
    MicrophoneRestored,
    MicrophoneSilent,
    Ready,
    Reconnected,
    Reconnecting,
    Transcript,
    Translation,
    Word,
)
from .session import Session, State, Stats
from .transcript import TranscriptLog

if TYPE_CHECKING:
    from .audio.microphone import Microphone
    from .audio.source import AudioSource
    from .sessions import Sessions

__all__ = [
    "AudioError",
    "AudioFormat",
    "AudioLost",
    "AudioSource",
    "AuthenticationError",
    "Client",
    "Closed",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "DeviceLost",
    "DeviceNotFound",
    "Dialect",
    "Endpoint",
    "Event",
    "Flushed",
    "Level",
    "Microphone",
    "MicrophoneLost",
    "MicrophoneRestored",
    "MicrophoneSilent",
    "ProtocolError",
    "QuotaError",
    "Ready",
    "Reconnected",
    "Reconnecting",
    "Reson8",
    "ServerError",
    "Session",
    "SessionClosed",
    "Sessions",
    "SlngError",
    "Soniox",
    "State",
    "Stats",
    "Transcript",
    "TranscriptLog",
    "Translation",
    "WaitTimeout",
    "Word",
    "__version__",
]

# What not every program needs is loaded when it is first named.
_LATER = {"AudioSource": ".audio.source", "Microphone": ".audio.microphone", "Sessions": ".sessions"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_LATER[name], __name__), name)
        return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
