"""Live speech-to-text for synchronous Python programs: Reson8 and Soniox behind the SLNG gateway.

A ``Client`` holds your API key, the model and your callbacks. A ``Session`` is one stream of audio.
"""

import importlib
from typing import TYPE_CHECKING, Any, List

from ._version import __version__

if TYPE_CHECKING:
    from .audio.format import AudioFormat
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
    from .microphone.microphone import Microphone
    from .session.session import Session
    from .session.sessions import Sessions
    from .session.state import State, Stats
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

# Each name is imported on first access, from the module that defines it. So ``import slng_sync`` is fast, and
# a program that only needs the errors does not load the rest.
_HOMES = {
    "audio.format": "AudioFormat",
    "microphone.microphone": "Microphone",
    "audio.source": "AudioSource",
    "client": "Client",
    "dialects": "Dialect Reson8 Soniox",
    "errors": """
        AudioError AuthenticationError ConfigurationError ConnectError ConnectionLost DeviceLost
        DeviceNotFound ProtocolError QuotaError ServerError SessionClosed SlngError WaitTimeout
    """,
    "events": """
        AudioLost Closed Endpoint Event Flushed Level MicrophoneLost MicrophoneRestored MicrophoneSilent Ready
        Reconnected Reconnecting Transcript Translation Word
    """,
    "session.session": "Session",
    "session.sessions": "Sessions",
    "session.state": "State Stats",
    "transcript": "TranscriptLog",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            value = globals()[name] = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
            return value
        # ``slng_sync.errors`` must work after ``import slng_sync``. ``__main__`` is excluded: importing it
        # would run the command.
        if not name.startswith("_"):
            try:
                return importlib.import_module(f".{name}", __name__)
            except ModuleNotFoundError as error:
                if error.name != f"{__name__}.{name}":
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
