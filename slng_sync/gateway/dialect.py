"""What the server side of a dialect is: frames in, actions out, and neither sockets nor clocks.

A `ServerDialect` reads one client message at a time and answers with actions for the stream to carry out
in order. `Feed`, `Finalize` and `Finish` ask the engine; what the engine says comes back through `heard`,
`flushed` and `ended`, which answer with actions again.
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
    """The client's settings are accepted: make the engine."""

    audio_format: AudioFormat
    options: StreamOptions


class Send(NamedTuple):
    """Send a frame: an object as JSON, or what is given as it is."""

    message: Union[str, bytes, Mapping[str, Any]]


class Close(NamedTuple):
    """Send a close frame. What would have followed is dropped."""

    code: int = 1000
    reason: str = ""


class Feed(NamedTuple):
    """Let the engine hear whole frames of audio; the answer goes to `ServerDialect.handle_updates`."""

    pcm: bytes


class Finalize(NamedTuple):
    """Make the engine finalize; the answer goes to `ServerDialect.handle_finalized`."""


class Finish(NamedTuple):
    """End the engine; the answer goes to `ServerDialect.handle_ended`."""


class Later(NamedTuple):
    """Do what ``then`` returns, once this many seconds have passed."""

    seconds: float
    then: Callable[[], "Actions"]


class Breach(NamedTuple):
    """The client broke the protocol."""

    text: str


Action = Union[Open, Send, Close, Feed, Finalize, Finish, Later, Breach]
Actions = List[Action]


class Timeouts(NamedTuple):
    """Limits in seconds: from the upgrade to the first audio, and between two messages."""

    first_audio: float = math.inf
    idle: float = math.inf


class ServerDialect:
    """The base of both dialects. ``ended`` is True once the client has said that nothing more will come."""

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
        """Answer one message of the client."""
        raise NotImplementedError

    def is_end(self, message: Union[str, bytes]) -> bool:
        """Whether a message says once more, in another form, that nothing will come."""
        return False

    def handle_updates(self, updates: List[Update]) -> Actions:
        """Tell what the engine heard in the audio that was fed."""
        raise NotImplementedError

    def handle_finalized(self, updates: List[Update]) -> Actions:
        """Tell what a finalize has made final, and confirm it."""
        raise NotImplementedError

    def handle_ended(self, updates: List[Update]) -> Actions:
        """Tell the rest, and close."""
        raise NotImplementedError

    def error(
        self,
        code: Union[int, str],
        message: str = "",
        error_type: Union[str, None] = None,
        close: bool = True,
    ) -> Actions:
        """Send an error frame, and close as the dialect does."""
        raise NotImplementedError

    def key_refused(self) -> Actions:
        """Refuse the key by a frame."""
        raise NotImplementedError

    def engine_failed(self) -> Actions:
        """Tell that the recogniser broke down."""
        raise NotImplementedError

    def timed_out(self, limit: str) -> Actions:
        """Tell which limit has passed: ``first_audio``, ``idle`` or ``max_duration``."""
        raise NotImplementedError


def as_object(text: str) -> Tuple[Dict[str, Any], str]:
    """Parse a JSON object. Return it, or an empty one and what is wrong."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}, "text that is not JSON"
    if not isinstance(value, dict):
        return {}, "JSON that is not an object"
    return value, ""
