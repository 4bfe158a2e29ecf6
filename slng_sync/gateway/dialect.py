"""The interface of a dialect's server side: messages in, actions out, no sockets and no clocks.

A `ServerDialect` takes one client message at a time and returns actions, which the stream performs in
order. `Feed`, `Finalize` and `Finish` call the engine. The stream passes the engine's updates to
`handle_updates`, `handle_finalized` and `handle_ended`, which return actions again.
"""

import json
import math
from typing import Any, Callable, ClassVar, Dict, FrozenSet, List, Mapping, NamedTuple, Tuple, Union

from ..audio.format import AudioFormat
from .engine import StreamOptions, Update
from .faults import Faults

__all__ = [
    "Action",
    "Actions",
    "Breach",
    "Close",
    "Feed",
    "Finalize",
    "Finish",
    "Later",
    "Open",
    "Send",
    "ServerDialect",
    "Timeouts",
    "as_object",
]


class Open(NamedTuple):
    """Accept the client's settings and make the engine."""

    audio_format: AudioFormat
    options: StreamOptions


class Send(NamedTuple):
    """Send a message. A mapping is sent as JSON; text and bytes are sent unchanged."""

    message: Union[str, bytes, Mapping[str, Any]]


class Close(NamedTuple):
    """Send a close frame, and drop all further actions."""

    code: int = 1000
    reason: str = ""


class Feed(NamedTuple):
    """Pass whole sample frames to the engine, and its updates to `ServerDialect.handle_updates`."""

    pcm: bytes


class Finalize(NamedTuple):
    """Make the engine finalize, and pass its updates to `ServerDialect.handle_finalized`."""


class Finish(NamedTuple):
    """End the engine's stream, and pass its updates to `ServerDialect.handle_ended`."""


class Later(NamedTuple):
    """Call ``then`` after this many seconds, and perform the actions that it returns."""

    seconds: float
    then: Callable[[], "Actions"]


class Breach(NamedTuple):
    """Record that the client broke the protocol."""

    text: str


Action = Union[Open, Send, Close, Feed, Finalize, Finish, Later, Breach]
Actions = List[Action]


class Timeouts(NamedTuple):
    """Timeouts in seconds: from the upgrade to the first audio, and between two messages."""

    first_audio: float = math.inf
    idle: float = math.inf


class ServerDialect:
    """The base class of both dialects. ``client_ended`` is True once the client has ended its stream."""

    model: ClassVar[str]
    path: ClassVar[str]
    world_parts: ClassVar[FrozenSet[str]]
    timeouts: ClassVar[Timeouts]

    def __init__(self, faults: Faults, abilities: FrozenSet[str], number: int) -> None:
        self.faults = faults
        self.abilities = abilities
        self.number = number
        self.config: Dict[str, Any] = {}
        self.audio_seconds = 0.0
        self.received_audio = False
        self.client_ended = False

    def receive(self, message: Union[str, bytes]) -> Actions:
        """Return the actions for one message of the client."""
        raise NotImplementedError

    def is_end(self, message: Union[str, bytes]) -> bool:
        """Return True if a message is another form of the end of stream, which a client may add."""
        return False

    def handle_updates(self, updates: List[Update]) -> Actions:
        """Return the actions for the updates that followed audio."""
        raise NotImplementedError

    def handle_finalized(self, updates: List[Update]) -> Actions:
        """Send the words that a finalize made final, and confirm it."""
        raise NotImplementedError

    def handle_ended(self, updates: List[Update]) -> Actions:
        """Send the last words, and close."""
        raise NotImplementedError

    def error(
        self,
        code: Union[int, str],
        message: str = "",
        error_type: Union[str, None] = None,
        close: bool = True,
    ) -> Actions:
        """Send an error message, then close with the dialect's close code unless ``close`` is False."""
        raise NotImplementedError

    def key_refused(self) -> Actions:
        """Refuse the API key with an error message."""
        raise NotImplementedError

    def engine_failed(self) -> Actions:
        """Report that the engine failed."""
        raise NotImplementedError

    def timed_out(self, limit: str) -> Actions:
        """Report which timeout has passed: ``first_audio``, ``idle`` or ``max_duration``."""
        raise NotImplementedError


def as_object(text: str) -> Tuple[Dict[str, Any], str]:
    """Parse a JSON object. Return it and "", or an empty dictionary and a description of the error."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}, "text that is not JSON"
    if not isinstance(value, dict):
        return {}, "JSON that is not an object"
    return value, ""
