"""What an engine is: audio in, words out, and nothing of WebSockets or dialects.

An engine hears one stream. The gateway hands it audio in the order of arrival, one call at a time, and
puts what it answers into the frames of the dialect in use. A minimal one::

    class Beeps:
        abilities = frozenset()          # what it can do beyond words: "diarization", "languages", ...

        def __init__(self, audio_format, options):
            self.audio_format, self.frames = audio_format, 0

        def audio(self, pcm):
            self.frames += len(pcm) // self.audio_format.frame_bytes
            return [Update(position=self.frames / self.audio_format.sample_rate)]

        def finalize(self):
            return []

        def end(self):
            return [Update(position=..., final=(HeardWord("beep", 0.0, 0.4),))]

        def close(self):
            pass

    LocalGateway(engine=Beeps)

``audio``, ``finalize`` and ``end`` return a list of `Update`, or an awaitable of one where the work is
done elsewhere. The next message of the client is not read before the answer is there: that is the
backpressure, and it is why a finalize never overtakes audio. An engine that raises ends its stream with
the dialect's "internal error".
"""

from dataclasses import dataclass, field
from typing import Any, Awaitable, FrozenSet, List, Mapping, Optional, Protocol, Tuple, Union

from ..audio.format import AudioFormat

__all__ = ["ALL_ABILITIES", "Engine", "EngineFactory", "HeardWord", "StreamOptions", "Update", "Updates"]

ALL_ABILITIES: FrozenSet[str] = frozenset({"diarization", "languages", "translation", "raw_formats"})
"""What an engine may be able to do beyond plain words; a stream that asks for more is refused.

``raw_formats`` means that it takes sample formats other than 16-bit little-endian (it only counts them).
"""


@dataclass(frozen=True)
class HeardWord:
    """One word, with its place in the audio of this connection in seconds."""

    text: str
    start: float
    end: float
    confidence: float = 0.95
    speaker: Optional[str] = None
    language: Optional[str] = None
    translation: Optional[str] = None


@dataclass(frozen=True)
class Update:
    """What an engine found out since its last update.

    ``position`` is how many seconds of audio it has heard. ``final`` are words that will not change and
    were not reported as final before; ``tentative`` replaces all earlier tentative words. ``endpoint``
    says that the speaker paused behind the final words.
    """

    position: float
    final: Tuple[HeardWord, ...] = ()
    tentative: Tuple[HeardWord, ...] = ()
    endpoint: bool = False


@dataclass(frozen=True)
class StreamOptions:
    """What a client asked for, in neutral words; ``config`` is the whole message as it came."""

    model: str
    connection: int = 0
    sample_bytes: int = 2
    endpoint_delay: Optional[float] = None
    diarization: bool = False
    languages: bool = False
    translation: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


Updates = Union[List[Update], Awaitable[List[Update]]]


class Engine(Protocol):
    """One stream's listener; see the top of this module."""

    def audio(self, pcm: bytes) -> Updates:
        """Hear whole frames of audio, never none."""

    def finalize(self) -> Updates:
        """Make everything heard so far final."""

    def end(self) -> Updates:
        """Make everything final; no audio follows."""

    def close(self) -> None:
        """Give up whatever is held. Called once, at any time, a call of ``audio`` under way included."""


class EngineFactory(Protocol):
    """Makes an engine for each connection: a class or a function. May carry an ``abilities`` set."""

    def __call__(self, audio_format: AudioFormat, options: StreamOptions) -> Engine: ...
