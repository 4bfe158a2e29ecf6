"""The settings, the state and the counters of a session."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Optional

from ..callbacks.targets import DispatchTo
from ..dialects.base import Dialect
from ..protocol.stream_protocol import Timeouts
from ..transport.endpoint import ServerEndpoint

__all__ = ["ModelChoice", "Settings", "State", "Stats"]


class State(IntEnum):
    """The state of a session. ``CLOSED`` is final."""

    NEW = 0
    CONNECTING = 1
    WAITING_READY = 2
    STREAMING = 3
    RECONNECTING = 4
    DRAINING = 5
    CLOSED = 6


@dataclass
class ModelChoice:
    """A client's model, in the form that the server has accepted last. The next session begins with it."""

    dialect: Dialect


@dataclass(frozen=True)
class Settings:
    """The settings that a client passes to its sessions. Times are in seconds."""

    endpoint: ServerEndpoint
    dispatch: DispatchTo = None
    timing: Timeouts = Timeouts()
    connect_timeout: float = 10.0
    reconnect: bool = True
    max_attempts: int = 8
    max_connection_seconds: float = float("inf")
    buffer_seconds: float = 120.0
    spill: Optional[str] = None
    chunk_seconds: float = 0.05
    ping_interval: float = 5.0
    ping_timeout: float = 5.0


@dataclass(frozen=True)
class Stats:
    """The counters of a session. ``captured`` to ``lost`` are seconds of audio."""

    captured: float
    sent: float
    settled: float
    buffered: float
    lost: float
    partials: int
    finals: int
    connections: int
    ignored_frames: int
