"""The interface of an engine: audio in, words out, independent of WebSockets and dialects.

An engine serves one stream. The gateway passes it audio in order of arrival, one call at a time, and
translates its updates into messages of the dialect. A minimal engine::

    class Beeps:
        abilities = frozenset()          # what it supports beyond words: "diarization", "languages", ...

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

``audio``, ``finalize`` and ``end`` return a list of `Update`, or an awaitable of one if another thread or
process does the work. The gateway does not read the client's next message before it has the updates. This
is the backpressure, and the reason why a finalize never overtakes audio. If an engine raises, the gateway
ends the stream with the dialect's "internal error".
"""

from dataclasses import dataclass, field
from typing import Any, Awaitable, FrozenSet, List, Mapping, Optional, Protocol, Tuple, Union

from ..audio.format import AudioFormat

__all__ = ["ALL_ABILITIES", "Engine", "EngineFactory", "HeardWord", "StreamOptions", "Update", "Updates"]

ALL_ABILITIES: FrozenSet[str] = frozenset({"diarization", "languages", "translation", "raw_formats"})
"""The features that an engine may support beyond plain words. A stream that asks for others is refused.

``raw_formats`` are sample formats other than 16-bit little-endian; the script engine only counts the frames.
"""


@dataclass(frozen=True)
class HeardWord:
    """One recognised word. ``start`` and ``end`` are seconds of this connection's audio."""

    text: str
    start: float
    end: float
    confidence: float = 0.95
    speaker: Optional[str] = None
    language: Optional[str] = None
    translation: Optional[str] = None


@dataclass(frozen=True)
class Update:
    """The changes since an engine's last update.

    ``position`` is the audio processed so far, in seconds. ``final`` holds new final words, which never
    change. ``tentative`` replaces all earlier tentative words. ``endpoint`` is True if the speaker paused
    after the final words.
    """

    position: float
    final: Tuple[HeardWord, ...] = ()
    tentative: Tuple[HeardWord, ...] = ()
    endpoint: bool = False


@dataclass(frozen=True)
class StreamOptions:
    """A client's options, independent of the dialect. ``config`` is the client's whole first message."""

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
    """The recogniser of one stream; see the docstring of this module."""

    def audio(self, pcm: bytes) -> Updates:
        """Process whole sample frames, at least one."""

    def finalize(self) -> Updates:
        """Make all words so far final."""

    def end(self) -> Updates:
        """Make all words final. No audio follows."""

    def close(self) -> None:
        """Release all resources. Called exactly once, possibly while ``audio`` is still running."""


class EngineFactory(Protocol):
    """A class or function that makes an engine for a connection. It may have a set ``abilities``."""

    def __call__(self, audio_format: AudioFormat, options: StreamOptions) -> Engine: ...
