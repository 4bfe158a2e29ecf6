"""The base of all dialects.

A dialect is a frozen value with the options of one model. It encodes the messages for the server. Its decoder
turns the server's messages into transcripts and events. Neither has a socket, a thread or a clock. To add a
model, write one subclass of ``Dialect``, here or in a program.
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
"""A limit above any time or count on the wire. Sums of smaller numbers are finite."""
_NUMBERS = (int, float)


class Message(NamedTuple):
    """A message for the server. Text is encoded as UTF-8."""

    payload: bytes
    binary: bool = False


class Timeline(Protocol):
    """The session's clock for a decoder. Times are in seconds."""

    def start(self, stream_seconds: float) -> float:
        """Return a start time of the server on the session's clock."""

    def end(self, stream_seconds: float) -> float:
        """Return an end time of the server on the session's clock."""

    @property
    def reached(self) -> float:
        """The time up to which the server can have transcribed, on the session's clock."""

    @property
    def heard(self) -> float:
        """The time up to which a server that keeps up with speech has transcribed, on the session's clock."""


class Settled(NamedTuple):
    """The server has acknowledged all audio up to ``seconds`` of the session's clock."""

    seconds: float


class Finished(NamedTuple):
    """The server has sent everything on this connection."""


class Failure(NamedTuple):
    """The server reported an error, which ends the connection."""

    error: SlngError


Decoded = Union[Transcript, Event, Settled, Finished, Failure]
"""The items that a decoder returns."""


class Decoder(Protocol):
    """A decoder for the messages of one connection."""

    def __call__(self, message: Mapping[str, Any]) -> List[Decoded]:
        """Decode one message. Ignore unknown messages and fields."""

    @property
    def pending(self) -> str:
        """The text of the open partial, or an empty string."""

    @property
    def held(self) -> bool:
        """Whether a finished transcript waits for its translation."""

    def release(self) -> List[Transcript]:
        """Return the held transcripts without waiting any longer."""

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """Return the remaining finals. No message will follow.

        With ``promote``, also return the pending text as a final that is not ``complete``.
        """


@dataclass(frozen=True)
class Dialect:
    """The base of all dialects. Class variables describe the model, fields are its options."""

    model: ClassVar[str] = ""
    """The id of the model, ``provider/model:variant``."""
    world_parts: ClassVar[Tuple[str, ...]] = ()
    """The values of ``world_part`` that the model offers."""
    sample_rates: ClassVar[Tuple[int, ...]] = (16000,)
    """The sample rates in Hz that the model accepts. Audio at other rates is converted."""
    needs_ready: ClassVar[bool] = False
    """Whether audio must wait for the server's ready message."""
    needs_first_audio: ClassVar[bool] = False
    """Whether silence must replace a keepalive before the first audio."""

    answers_audio: ClassVar[bool] = False
    """Whether the server answers all audio, silence included. No answer then means a broken connection."""
    settles_by_finalize: ClassVar[bool] = False
    """Whether transcripts may lack times, so that only a finalize settles their audio."""
    end_limit: ClassVar[float] = 5.0
    """Seconds to wait for the last transcripts after the end was sent."""

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
        """Return the first message of a connection."""
        raise NotImplementedError

    def audio(self, pcm: bytes) -> Message:
        """Return a message with audio. ``pcm`` is whole frames of PCM s16le, never empty."""
        raise NotImplementedError

    def finalize(self) -> Message:
        """Return the message that asks to make everything said so far final."""
        raise NotImplementedError

    def keepalive(self) -> Message:
        """Return the message that keeps a connection without audio open."""
        raise NotImplementedError

    def end(self) -> List[Message]:
        """Return the messages that end the audio. They are tried in order until the server answers one."""
        raise NotImplementedError

    def decoder(self, timeline: Timeline) -> Decoder:
        """Return a decoder for a new connection."""
        raise NotImplementedError

    def alternative(self) -> Optional["Dialect"]:
        """Return a variant to try if the server refuses the start message, or None."""
        return None

    def advice(self) -> str:
        """Return a hint for the user in case the server refuses the first audio, or an empty string."""
        return ""


def as_dialect(model: object) -> Dialect:
    """Return the dialect for ``Client(model=)``: a dialect, or the id of a model, in full or shortened.

    Raises ``ConfigurationError`` for anything else.
    """
    if isinstance(model, Dialect) and model.model:
        return model
    if isinstance(model, str):
        for known, dialect in Dialect.models.items():
            if model in (known, known.split(":")[0], known.split("/")[0]):
                return dialect()
    names = ", ".join(repr(name) for name in sorted(Dialect.models))
    if isinstance(model, type) and issubclass(model, Dialect):
        raise ConfigurationError(f"model must be an instance, not the class. Use {model.__name__}().")
    raise ConfigurationError(f"model must be one of {names}, or a dialect such as Soniox(), not {model!r}.")


# Common functions of the dialects: checks of options, JSON, values from the wire.


def text_message(message: Mapping[str, Any]) -> Message:
    """Return a text message with this JSON."""
    return Message(_as_json(message).encode("utf-8"))


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_dict)


def _as_dict(value: object) -> Dict[str, Any]:
    """Return any mapping as a dict, the only mapping that ``json`` accepts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def require(condition: bool, option: str, expected: str, value: object) -> None:
    """Raise ``ConfigurationError`` with the name of the option unless ``condition`` is true."""
    if not condition:
        raise ConfigurationError(f"{option} must be {expected}, not {value!r}.")


def require_bool(options: object, *names: str) -> None:
    """Raise ``ConfigurationError`` unless these options are True or False."""
    for name in names:
        value = getattr(options, name)
        require(isinstance(value, bool), name, "True or False", value)


def is_text(value: object) -> bool:
    """Return whether ``value`` is a string that is not blank and that UTF-8 can encode."""
    return isinstance(value, str) and bool(value.strip()) and is_utf8(value)


def is_utf8(value: str) -> bool:
    """Return whether UTF-8 can encode ``value``. It cannot encode half a surrogate pair."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_int(value: object, low: int, high: int) -> bool:
    """Return whether ``value`` is an integer from ``low`` to ``high``, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def require_extra(options: object, extra: Mapping[str, Any], reserved: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` unless ``extra`` is a JSON mapping without other options and reserved
    keys."""
    named = isinstance(extra, Mapping) and all(isinstance(key, str) for key in extra)
    require(named, "extra", "a mapping with names as keys", extra)
    try:
        _as_json(extra).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("extra must contain only JSON values, without NaN or infinity.") from None
    keywords = sorted({each.name for each in fields(options)} & set(extra))  # type: ignore[arg-type]
    if keywords:
        raise ConfigurationError(f"extra must not contain {keywords}. Pass these as keyword arguments.")
    if "api_key" in extra:
        raise ConfigurationError("extra must not contain an api_key. Pass it as Client(api_key=...).")
    ours = sorted(set(reserved) & set(extra))
    if ours:
        raise ConfigurationError(f"extra must not contain {ours}. The client sets these to match the audio.")


def number(value: object) -> Optional[float]:
    """Return a number from the wire as a float. Return None for a bool, a huge number or anything else."""
    if type(value) in _NUMBERS and -LARGEST_NUMBER < value < LARGEST_NUMBER:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    return None


def text(value: object) -> str:
    """Return a string from the wire, or an empty string for anything else."""
    return value if isinstance(value, str) else ""


def label(value: object) -> Optional[str]:
    """Return a speaker or language from the wire. Numbers become text, anything else None."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def extra_field() -> Any:
    """Return the field ``extra`` of a dialect."""
    return field(default_factory=dict)
