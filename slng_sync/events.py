"""The arguments of the user's callbacks: transcripts and events.

All are frozen values. Times are in seconds on the session's clock. It starts at 0 with the first audio and
does not restart when the connection is replaced.
"""

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from .errors import SlngError

__all__ = [
    "AudioLost",
    "Closed",
    "Endpoint",
    "Event",
    "Flushed",
    "Level",
    "MicrophoneLost",
    "MicrophoneRestored",
    "MicrophoneSilent",
    "Ready",
    "Reconnected",
    "Reconnecting",
    "Transcript",
    "Translation",
    "Word",
]


@dataclass(frozen=True)
class Word:
    """One word.

    ``start`` and ``end`` are in seconds, ``confidence`` from 0 to 1; None if the server sent none.
    """

    text: str
    start: Optional[float] = None
    end: Optional[float] = None
    confidence: Optional[float] = None
    speaker: Optional[str] = None
    language: Optional[str] = None


@dataclass(frozen=True)
class Translation:
    """The translation of a transcript. ``language`` is the ISO code of the target language."""

    text: str
    language: Optional[str] = None


@dataclass(frozen=True)
class Transcript:
    """Text that a model recognised: a partial or a final.

    ``text``        the words, without the markers of the wire
    ``is_final``    True: will not change again. False: the next partial replaces this one
    ``start, end``  seconds on the session's clock; None if the server does not send them
    ``confidence``  from 0 to 1; for Soniox the mean of the tokens
    ``language``    the ISO code, if language identification is enabled
    ``speaker``     the server's label, if speaker diarization is enabled
    ``words``       the words in order; empty if the server sent none
    ``stable``      the beginning of ``text`` that will not change; for a final all of it
    ``translation`` the translation, if one was requested
    ``complete``    False for a partial that became final because the server sent no final for it
    ``raw``         the server's message
    ``channel``     the name of the channel, if each channel has its own session
    """

    text: str
    is_final: bool
    start: Optional[float] = None
    end: Optional[float] = None
    confidence: Optional[float] = None
    language: Optional[str] = None
    speaker: Optional[str] = None
    words: Tuple[Word, ...] = ()
    stable: str = ""
    translation: Optional[Translation] = None
    complete: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    channel: Optional[str] = None


class Event:
    """The base of all events for ``on_event``."""

    __slots__ = ()


class Repeated:
    """A mark for an event that another channel's session reports. Here it only advances the clock."""

    __slots__ = ()


@dataclass(frozen=True)
class Ready(Event):
    """The server is ready for audio. ``session_id`` is its id of the session, if it sent one.

    Only Reson8 sends this event. With both models ``listen()`` returns when audio can be sent.
    """

    session_id: Optional[str] = None


@dataclass(frozen=True)
class Reconnecting(Event):
    """The connection broke because of ``cause``. Attempt number ``attempt`` starts in ``delay`` seconds."""

    attempt: int
    delay: float
    cause: SlngError


@dataclass(frozen=True)
class Reconnected(Event):
    """The connection is back after ``outage`` seconds. ``replayed`` seconds of audio are resent."""

    outage: float
    replayed: float


@dataclass(frozen=True)
class AudioLost(Event):
    """``seconds`` of audio will not be transcribed, because of ``reason``."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Flushed(Event):
    """The server confirmed a finalize. ``id`` is the server's id of it, if it sent one."""

    id: Optional[str] = None


@dataclass(frozen=True)
class Endpoint(Event):
    """The server detected the end of an utterance."""


@dataclass(frozen=True)
class Level(Event):
    """The level of the last 40 ms in dBFS: 0 is full scale, -96 is digital silence.

    ``rms_dbfs`` is the power (-3 for a sine at full scale), ``peak_dbfs`` the loudest sample. ``clipping`` is
    True if the audio was too loud for the microphone. ``speech`` is True if the audio seems to be speech.
    """

    rms_dbfs: float
    peak_dbfs: float
    clipping: bool = False
    speech: bool = False


@dataclass(frozen=True)
class MicrophoneLost(Event):
    """The microphone was disconnected or delivers no audio. ``reason`` says how that was detected.

    The session waits for the microphone and then continues with its audio.
    """

    reason: str = ""


@dataclass(frozen=True)
class MicrophoneRestored(Event):
    """The microphone is back after ``outage`` seconds. ``lost`` seconds of audio were not captured.

    ``device`` is the name of the device in use. It differs if the system's default device has changed.
    """

    outage: float = 0.0
    lost: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class MicrophoneSilent(Event):
    """The microphone has delivered silence, or nearly silence, for ``seconds``.

    ``hint`` says what to check on this system. The event is sent once until the microphone delivers sound.
    """

    seconds: float = 0.0
    hint: str = ""


@dataclass(frozen=True)
class Closed(Event):
    """The session is over. ``complete`` is False if the server did not acknowledge all audio."""

    complete: bool
