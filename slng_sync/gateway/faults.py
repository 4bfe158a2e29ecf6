"""The faults that the local gateway can simulate.

The defaults are a healthy gateway. Examples::

    LocalGateway(engine="script", faults=Faults(upgrade_status=503, retry_after=1))
    LocalGateway(engine="script", faults=[Faults(trouble=Trouble.drop(3.2)), Faults()])
    LocalGateway(engine="script", faults=lambda number: Faults(latency=0.1 * number))

A list holds the faults of each connection attempt, in order. The last one is used for all further attempts.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, Iterable, Mapping, Optional, Sequence, Tuple, Union

from ..errors import ConfigurationError

__all__ = ["Faults", "FaultsFor", "Trouble", "faults_for"]

CHOICES: Dict[str, Tuple[str, ...]] = {
    "key_check": ("header", "query", "off"),
    "key_refused": ("never", "at_upgrade", "in_band"),
    "ready": ("normal", "never"),
    "early_audio": ("close", "ignore", "accept"),
    "audio_envelope": ("both", "json", "binary"),
    "config_type": ("accept", "require", "refuse"),
    "end_of_stream": ("accept", "only_empty", "ignore_type"),
    "flush": ("normal", "before_final", "missing", "late", "merged"),
    "finals_at_close": ("deliver", "lose"),
    "markers": ("with_finals", "own_frame", "with_next"),
    "finished": ("own_frame", "with_tokens", "missing"),
}
FRAMINGS = frozenset({"fragmented", "pings", "large", "junk", "unknown_type", "array", "binary"})
CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
TROUBLES = ("error", "close", "drop", "mute", "freeze", "stall")


@dataclass(frozen=True)
class Trouble:
    """A fault at a position in the audio: ``at`` seconds of audio received on a connection.

    The audio before that position is processed and answered first. The rest of the same message is dropped,
    unless the stream continues (``stall``, or ``freeze`` for a limited time). Made by `error`, `close`,
    `drop`, `mute`, `freeze` and `stall`.
    """

    at: float
    kind: str
    code: Union[int, str] = 0
    message: str = ""
    error_type: Optional[str] = None
    seconds: float = math.inf
    close_after: bool = True

    def __post_init__(self) -> None:
        _choose("Trouble.kind", self.kind, TROUBLES)
        _at_least_zero("Trouble.at", self.at)
        _at_least_zero("Trouble.seconds", self.seconds)

    @classmethod
    def error(
        cls,
        at: float,
        code: Union[int, str],
        message: str = "",
        *,
        error_type: Optional[str] = None,
        close_after: bool = True,
    ) -> "Trouble":
        """Send an error message, then close as the dialect does. ``code``: int for Soniox, str for Reson8."""
        return cls(at, "error", code, message, error_type, close_after=close_after)

    @classmethod
    def close(cls, at: float, code: int = 1011, reason: str = "") -> "Trouble":
        """Send a close frame."""
        if not (code in CLOSE_CODES or 3000 <= code <= 4999):
            raise ConfigurationError(
                f"{code!r} is not allowed in a close frame.",
                hint="Use 1000 to 1003, 1007 to 1014, or 3000 to 4999. Trouble.drop() gives a 1006.",
            )
        return cls(at, "close", code, reason)

    @classmethod
    def drop(cls, at: float) -> "Trouble":
        """Reset the TCP connection. There is no close frame, and data in transit is lost."""
        return cls(at, "drop")

    @classmethod
    def mute(cls, at: float) -> "Trouble":
        """Stop answering, even pings and the close, but keep reading: a half-open connection."""
        return cls(at, "mute")

    @classmethod
    def freeze(cls, at: float, seconds: float = math.inf) -> "Trouble":
        """Stop reading the socket, so that the client's send buffer fills and its sends block."""
        return cls(at, "freeze", seconds=seconds)

    @classmethod
    def stall(cls, at: float, seconds: float) -> "Trouble":
        """Pause for this many seconds, then continue. Pings are still answered."""
        return cls(at, "stall", seconds=seconds)


@dataclass(frozen=True)
class Faults:
    """The faults of one connection. Times are in seconds.

    The upgrade

    - ``upgrade_status``: an HTTP status other than 101 refuses the upgrade. ``upgrade_body`` is its body:
      ``"json"`` (``error, message, statusCode``), ``"details"`` (``error, status, details``), ``"none"``, or
      the text itself. ``retry_after`` adds the header. ``upgrade_drop`` resets the TCP connection instead.
      ``upgrade_delay`` delays the answer.
    - ``key_check``: where the key is expected: ``"header"``, ``"query"`` (``?token=``), or ``"off"`` for no
      check. ``key_refused``: ``"never"``, ``"at_upgrade"`` (401), or ``"in_band"`` (an error message).

    Reson8

    - ``ready``: ``"normal"`` or ``"never"``. ``ready_delay`` delays the ready message, ``ready_extra`` adds
      fields to it. ``early_audio``: how audio before it is answered: ``"close"`` (1008), ``"ignore"`` or
      ``"accept"``.
    - ``audio_envelope``: which audio messages are accepted: ``"both"``, ``"json"`` or ``"binary"``.
    - ``flush``: when a finalize is confirmed: after the finals (``"normal"``), ``"before_final"``, never
      (``"missing"``), ``flush_delay`` later (``"late"``), or once for all finalizes within that time
      (``"merged"``).
    - ``finals_at_close``: ``"deliver"`` or ``"lose"`` the words that are not final when the client closes.

    Soniox

    - ``config_type``: ``"accept"``, ``"require"`` or ``"refuse"`` the field ``"type": "config"``.
    - ``end_of_stream``: ``"accept"`` all forms; ``"only_empty"`` answers ``{"type": ""}`` with 400;
      ``"ignore_type"`` ignores it.
    - ``markers``: ``<end>`` and ``<fin>`` come ``"with_finals"`` in one message, in an ``"own_frame"``, or
      ``"with_next"`` non-final tokens.
    - ``finished``: in its ``"own_frame"``, ``"with_tokens"``, or ``"missing"``.

    Both

    - ``message_limit``: the number of messages allowed in any ``message_window`` seconds. A connection that
      exceeds it is closed with 1008. None: no limit.
    - ``first_audio_timeout``, ``idle_timeout``: None uses the dialect's own (Soniox 20 and 20, Reson8 none
      and 120); ``math.inf`` switches the timeout off. ``max_duration`` limits the length of a connection.
    - ``trouble``: one `Trouble`, or several.
    - ``framing``: any of ``"fragmented"`` (text split into fragments), ``"pings"``, ``"large"`` (a message
      of 300 kB), ``"junk"`` (text that is not JSON), ``"unknown_type"``, ``"array"``, ``"binary"``. The
      extra messages precede every fifth regular one.
    - ``latency``: delays each message by this much plus up to ``jitter``, drawn with ``seed``. The order
      stays the same.
    """

    upgrade_status: int = 101
    upgrade_body: str = "json"
    retry_after: Union[str, float, None] = None
    upgrade_drop: bool = False
    upgrade_delay: float = 0.0
    key_check: str = "header"
    key_refused: str = "never"

    ready: str = "normal"
    ready_delay: float = 0.0
    ready_extra: Mapping[str, Any] = field(default_factory=dict)
    early_audio: str = "close"
    audio_envelope: str = "both"
    flush: str = "normal"
    flush_delay: float = 0.3
    finals_at_close: str = "deliver"

    config_type: str = "accept"
    end_of_stream: str = "accept"
    markers: str = "with_finals"
    finished: str = "own_frame"

    message_limit: Optional[int] = 2000
    message_window: float = 60.0
    first_audio_timeout: Optional[float] = None
    idle_timeout: Optional[float] = None
    max_duration: float = math.inf
    trouble: Union[Trouble, Sequence[Trouble], None] = None
    framing: Union[str, Iterable[str]] = ()
    latency: float = 0.0
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            _choose(f"Faults.{name}", getattr(self, name), choices)
        for name in ("upgrade_delay", "ready_delay", "flush_delay", "latency", "jitter", "max_duration"):
            _at_least_zero(f"Faults.{name}", getattr(self, name))
        for name in self.framings - FRAMINGS:
            _choose("Faults.framing", name, tuple(sorted(FRAMINGS)))

    @property
    def troubles(self) -> Tuple[Trouble, ...]:
        """The troubles, in order of audio position."""
        if self.trouble is None:
            return ()
        troubles = (self.trouble,) if isinstance(self.trouble, Trouble) else tuple(self.trouble)
        return tuple(sorted(troubles, key=lambda trouble: trouble.at))

    @property
    def framings(self) -> FrozenSet[str]:
        """The values of ``framing``, as a set."""
        return frozenset([self.framing]) if isinstance(self.framing, str) else frozenset(self.framing)


FaultsFor = Union[None, Faults, Sequence[Faults], Callable[[int], Faults]]


def faults_for(faults: FaultsFor, number: int) -> Faults:
    """Return the faults of connection ``number``, counted from 1."""
    if faults is None:
        return Faults()
    if isinstance(faults, Faults):
        return faults
    if callable(faults):
        return faults(number)
    return faults[min(number, len(faults)) - 1] if faults else Faults()


def _choose(name: str, value: object, choices: Tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}.")


def _at_least_zero(name: str, value: float) -> None:
    if not value >= 0:
        raise ConfigurationError(f"{name} must be a number of seconds, at least 0, not {value!r}.")
