"""What reaches the user's callbacks: transcripts and events.

All are frozen values. Times are seconds on the session's clock, which starts at 0 with the first
audio and never restarts, whatever happens to the connection.
"""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple

from .errors import SlngError
from .packed import Packed

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


def _nothing() -> None:
    return None


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
    """What was said, as far as it is known.

    ``text``        the words; never the markers of the wire
    ``is_final``    True: will not change again. False: the next partial replaces this one
    ``start, end``  seconds on the session's clock; None where nothing tells them
    ``confidence``  from 0 to 1
    ``language``    ISO code, ``speaker`` the server's label: where they were asked for
    ``words``       in order; empty where the server gave none
    ``stable``      the part of a partial's text that will not change; all of a final's
    ``translation`` where one was asked for
    ``complete``    False for a last partial that became final because the server never answered
    ``raw``         the frame it was made from
    ``channel``     the name of the channel, where the source's channels are heard apart
    """

    text: str
    is_final: bool
    # Without a value in the class itself, so that ``__getattr__`` is asked for what ``later`` has left out.
    start: Optional[float] = field(default_factory=_nothing)
    end: Optional[float] = field(default_factory=_nothing)
    confidence: Optional[float] = field(default_factory=_nothing)
    language: Optional[str] = field(default_factory=_nothing)
    speaker: Optional[str] = field(default_factory=_nothing)
    words: Tuple[Word, ...] = field(default_factory=tuple)
    stable: str = ""
    translation: Optional[Translation] = None
    complete: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    channel: Optional[str] = None

    @classmethod
    def later(cls, details: Callable[[], Dict[str, Any]], known: Dict[str, Any]) -> "Transcript":
        """A transcript of which these fields are known; ``details`` makes the others once somebody asks.

        ``details`` may be called more than once, and by any thread; it gives the same each time. ``raw`` may
        be packed. ``known`` becomes the transcript's own.
        """
        raw = known["raw"]
        if isinstance(raw, Packed):
            del known["raw"]
            known["_raw"] = raw
        known["_details"] = details
        transcript = object.__new__(cls)
        object.__setattr__(transcript, "__dict__", known)
        return transcript

    def on_channel(self, channel: str) -> "Transcript":
        """The same, heard on that channel. What is to be made later is still made later."""
        return self._twin(channel=channel)

    def to_keep(self) -> "Transcript":
        """The same, to be kept for long: what somebody asks of this one does not make that one larger."""
        return self._twin() if "_details" in self.__dict__ else self

    def _twin(self, **other: Any) -> "Transcript":
        transcript = object.__new__(type(self))
        transcript.__dict__.update(self.__dict__, **other)
        return transcript

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            known = self.__dict__
            if name == "raw" and "_raw" in known:
                known["raw"] = known["_raw"]()
            details = known.get("_details")
            if name not in known and details is not None:
                known.update(details())
                known.pop("_details", None)
            if name not in known:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return known[name]

    def __getstate__(self) -> Dict[str, Any]:
        """What is pickled and copied: no promise of details, but the details."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


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
