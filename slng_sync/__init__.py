"""Live speech-to-text for Python programs that are not async: Reson8 and Soniox behind the SLNG gateway.

A ``Client`` is who you are, which model, and your callbacks; a ``Session`` is one stream of audio.
"""

from ._version import __version__
from .audio.format import AudioFormat
from .audio.microphone import Microphone
from .audio.source import AudioSource
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
from .sessions import Sessions
from .transcript import TranscriptLog

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
