"""What reaches the user's callbacks: transcripts and events.

All are frozen values. Times are seconds on the session's clock, which starts at 0 with the first
audio and never restarts, whatever happens to the connection.
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
    """One word. ``start`` and ``end`` in seconds, ``confidence`` from 0 to 1; None where none came."""

    text: str
    start: Optional[float] = None
    end: Optional[float] = None
    confidence: Optional[float] = None
    speaker: Optional[str] = None
    language: Optional[str] = None


@dataclass(frozen=True)
class Translation:
    """The translation of a transcript; ``language`` is the ISO code of the language it is in."""

    text: str
    language: Optional[str] = None


@dataclass(frozen=True)
class Transcript:
    """Text that a model recognised: a partial or a final.

    ``text``        the words; never the markers of the wire
    ``is_final``    True: will not change again. False: the next partial replaces this one
    ``start, end``  seconds on the session's clock; None where the server does not say
    ``confidence``  from 0 to 1; Soniox: the mean over the tokens
    ``language``    ISO code, ``speaker`` the server's label: where they were asked for
    ``words``       in order; empty where the server sent none
    ``stable``      the part of a partial's text that will not change; all of a final's
    ``translation`` where one was asked for
    ``complete``    False for a last partial that became final because the server never answered
    ``raw``         the message of the server
    ``channel``     the name of the channel, where each channel has a session of its own
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
    """The base of what ``on_event`` is told."""

    __slots__ = ()


class Repeated:
    """Marks an event that the session of another channel tells: here it only moves the clock."""

    __slots__ = ()


@dataclass(frozen=True)
class Ready(Event):
    """The server has said that it takes audio. ``session_id`` is its id of the session, where it gave one.

    Reson8 says so; Soniox takes audio without a word. With both ``listen()`` returns when audio can be sent.
    """

    session_id: Optional[str] = None


@dataclass(frozen=True)
class Reconnecting(Event):
    """The connection broke; attempt number ``attempt`` to restore it starts in ``delay`` seconds."""

    attempt: int
    delay: float
    cause: SlngError


@dataclass(frozen=True)
class Reconnected(Event):
    """The connection is back after ``outage`` seconds; ``replayed`` seconds of audio go out again."""

    outage: float
    replayed: float


@dataclass(frozen=True)
class AudioLost(Event):
    """``seconds`` of audio will not be transcribed, and why."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Flushed(Event):
    """A finalize was confirmed; ``id`` is the server's id of it, where there is one."""

    id: Optional[str] = None


@dataclass(frozen=True)
class Endpoint(Event):
    """The server heard the end of an utterance."""


@dataclass(frozen=True)
class Level(Event):
    """How loud the last 40 ms were, in dB of full scale: 0 is the loudest there is, -96 is digital silence.

    ``rms_dbfs`` is the power (a sine at full scale has -3), ``peak_dbfs`` the loudest sample. ``clipping``:
    it was too loud for the microphone, which cuts the peaks off. ``speech``: somebody seems to speak.
    """

    rms_dbfs: float
    peak_dbfs: float
    clipping: bool = False
    speech: bool = False


@dataclass(frozen=True)
class MicrophoneLost(Event):
    """The microphone went away, or gives nothing: ``reason`` says how that was noticed.

    It is waited for, and what it gives after that is heard.
    """

    reason: str = ""


@dataclass(frozen=True)
class MicrophoneRestored(Event):
    """The microphone is back after ``outage`` seconds, ``lost`` of which nobody has heard.

    ``device`` is the name of what is heard now: another one, where the system has another default by then.
    """

    outage: float = 0.0
    lost: float = 0.0
    device: str = ""


@dataclass(frozen=True)
class MicrophoneSilent(Event):
    """The microphone gives nothing, or next to nothing, that could be heard, for ``seconds`` by now.

    ``hint`` says what to check on this system. Told once, until there is something to hear.
    """

    seconds: float = 0.0
    hint: str = ""


@dataclass(frozen=True)
class Closed(Event):
    """The session is over. ``complete`` is False where something was left unanswered."""

    complete: bool
