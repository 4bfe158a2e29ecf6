"""The base of all dialects: what a model expects on the wire, and what its messages mean.

A dialect is a frozen value with the options of one model. It makes the messages for the server; its decoder
turns the server's messages into transcripts and events. Neither has a socket, a thread or a clock of its
own. A further model is one subclass of ``Dialect``, here or in a user's program.
"""

import json
from dataclasses import dataclass, field, fields
from typing import (
    Any,
    ClassVar,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    Union,
)

from ..audio.format import AudioFormat
from ..errors import ConfigurationError, SlngError
from ..events import Event, Transcript

__all__ = [
    "Decoded",
    "Decoder",
    "Dialect",
    "Failure",
    "Finished",
    "Message",
    "Settled",
    "Timeline",
    "as_dialect",
]

LARGEST_NUMBER = 1e12
"""More than any time or count on the wire; sums of such numbers are still finite."""
_NUMBERS = (int, float)


class Message(NamedTuple):
    """One message for the server. Text is UTF-8 already."""

    payload: bytes
    binary: bool = False


class Timeline(Protocol):
    """The session's clock as a decoder needs it; times in seconds."""

    def start(self, stream_seconds: float) -> float:
        """When something began, from the server's count of seconds."""

    def end(self, stream_seconds: float) -> float:
        """When something ended, from the server's count of seconds."""

    @property
    def reached(self) -> float:
        """How far the server can have heard, on the session's clock."""

    @property
    def heard(self) -> float:
        """How far it must have heard, if it keeps up with speech."""


class Settled(NamedTuple):
    """The server has acknowledged all audio up to ``seconds`` of the session's clock."""

    seconds: float


class Finished(NamedTuple):
    """The server has said everything about this stream."""


class Failure(NamedTuple):
    """The server reported an error; the stream is over."""

    error: SlngError


Decoded = Union[Transcript, Event, Settled, Finished, Failure]
"""What a decoder returns."""


class Decoder(Protocol):
    """Decodes the messages of one connection. Each connection has its own."""

    def __call__(self, message: Mapping[str, Any]) -> List[Decoded]:
        """Decode one message. Unknown messages and fields are ignored."""

    @property
    def pending(self) -> str:
        """The text that is not final yet; empty where nothing is open."""

    @property
    def held(self) -> bool:
        """Whether a finished transcript waits for something that may still belong to it."""

    def release(self) -> List[Transcript]:
        """Stop waiting: return the transcripts that were held."""

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """Return what is final and still open, as no message will follow; with ``promote`` the pending text
        as well, in a final that is not ``complete``."""


@dataclass(frozen=True)
class Dialect:
    """The base of all models. Class variables say what a model is, fields how it is to be used."""

    model: ClassVar[str] = ""
    """The id of the model: ``provider/model:variant``."""
    world_parts: ClassVar[Tuple[str, ...]] = ()
    """Where it runs; what ``world_part`` may be."""
    sample_rates: ClassVar[Tuple[int, ...]] = (16000,)
    """What it takes as it is; other rates are converted."""
    needs_ready: ClassVar[bool] = False
    """Whether audio must wait until the server has said that it is ready."""
    needs_first_audio: ClassVar[bool] = False
    """Whether a keepalive before the first audio has to be audio itself."""

    answers_audio: ClassVar[bool] = False
    """Whether audio is always answered, silence too, so that no answer means a broken stream."""
    settles_by_finalize: ClassVar[bool] = False
    """Whether transcripts may come without times, so that only a finalize settles their audio."""
    end_limit: ClassVar[float] = 5.0
    """Seconds to wait for the rest after the end of the stream."""

    models: ClassVar[Dict[str, Type["Dialect"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Not a subclass of a model, which would take its name.
        if vars(cls).get("model"):
            Dialect.models[cls.model] = cls

    @property
    def path(self) -> str:
        """The path of the model's WebSocket endpoint [SLNG model pages]."""
        return f"/v1/stt/{self.model}"

    def start(self, audio_format: AudioFormat) -> Message:
        """The first message of a connection."""
        raise NotImplementedError

    def audio(self, pcm: bytes) -> Message:
        """A message with audio: whole sample frames of PCM s16le, never empty."""
        raise NotImplementedError

    def finalize(self) -> Message:
        """Ask that everything said so far becomes final."""
        raise NotImplementedError

    def keepalive(self) -> Message:
        """Say that the silence is meant."""
        raise NotImplementedError

    def end(self) -> List[Message]:
        """The ways to say that no audio will follow, to be tried one after the other."""
        raise NotImplementedError

    def decoder(self, timeline: Timeline) -> Decoder:
        """A decoder for a new connection."""
        raise NotImplementedError

    def alternative(self) -> Optional["Dialect"]:
        """The same options put in another way, for a server that refused the start of a stream."""
        return None

    def advice(self) -> str:
        """What a user of this model may try when the server would not take the first audio."""
        return ""


def as_dialect(model: object) -> Dialect:
    """The dialect for what a user gave as ``model``: a dialect, or a model's id, in full or shortened."""
    if isinstance(model, Dialect) and model.model:
        return model
    if isinstance(model, str):
        for known, dialect in Dialect.models.items():
            if model in (known, known.split(":")[0], known.split("/")[0]):
                return dialect()
    names = ", ".join(repr(name) for name in sorted(Dialect.models))
    if isinstance(model, type) and issubclass(model, Dialect):
        raise ConfigurationError(f"model must be a value, not the class: write {model.__name__}().")
    raise ConfigurationError(f"model must be one of {names}, or a dialect such as Soniox(), not {model!r}.")


# What the dialects share: checking options, writing JSON, reading numbers.


def text_message(message: Mapping[str, Any]) -> Message:
    """A message of text."""
    return Message(_as_json(message).encode("utf-8"))


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_dict)


def _as_dict(value: object) -> Dict[str, Any]:
    """Any mapping will do where one is wanted, though JSON knows only dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def require(condition: bool, option: str, expected: str, value: object) -> None:
    """Refuse an option's value, naming the option and what was expected."""
    if not condition:
        raise ConfigurationError(f"{option} must be {expected}, not {value!r}.")


def require_bool(options: object, *names: str) -> None:
    """Refuse options that are neither True nor False."""
    for name in names:
        value = getattr(options, name)
        require(isinstance(value, bool), name, "True or False", value)


def is_text(value: object) -> bool:
    """Whether it is a string with something in it that UTF-8 can carry."""
    return isinstance(value, str) and bool(value.strip()) and is_utf8(value)


def is_utf8(value: str) -> bool:
    """Whether UTF-8 can carry it: half a surrogate pair it cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_int(value: object, low: int, high: int) -> bool:
    """Whether it is an integer in a range; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def require_extra(options: object, extra: Mapping[str, Any], reserved: Sequence[str]) -> None:
    """Check ``extra``: a mapping that JSON can carry, without what has a place of its own."""
    named = isinstance(extra, Mapping) and all(isinstance(key, str) for key in extra)
    require(named, "extra", "a mapping with names as keys", extra)
    try:
        _as_json(extra).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(
            "extra must hold only what JSON can carry, and no NaN or infinity."
        ) from None
    keywords = sorted({each.name for each in fields(options)} & set(extra))  # type: ignore[arg-type]
    if keywords:
        raise ConfigurationError(f"extra must not hold {keywords}: these are keywords.")
    if "api_key" in extra:
        raise ConfigurationError("extra must not hold an api_key: give it to Client(api_key=...).")
    ours = sorted(set(reserved) & set(extra))
    if ours:
        raise ConfigurationError(f"extra must not hold {ours}: the client says these, as the audio is.")


def number(value: object) -> Optional[float]:
    """A number of sensible size as it came from the wire, else None; True and False are none."""
    if type(value) in _NUMBERS and -LARGEST_NUMBER < value < LARGEST_NUMBER:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    return None


def text(value: object) -> str:
    """A string as it came from the wire, else an empty one."""
    return value if isinstance(value, str) else ""


def label(value: object) -> Optional[str]:
    """A speaker or language as it came from the wire; numbers become text."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def extra_field() -> Any:
    """The field ``extra`` of a dialect."""
    return field(default_factory=dict)
