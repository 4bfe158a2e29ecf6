"""A connection in use: the conversation, the WebSocket under it, and the pulse of the other side.

Nothing here waits; every method is called with the session's lock held.
"""

from typing import TYPE_CHECKING, Any, List, Optional

from ..callbacks.registry import RawFrame
from ..dialects.failures import is_failure
from ..dialects.parsing import best_parse
from ..errors import ConnectionLost, SlngError
from ..protocol.stream_protocol import StreamProtocol
from ..transport.connection import Closed, Connection, Received
from ..transport.frames import BINARY, TEXT, Bytes
from ..waiting import NEVER

if TYPE_CHECKING:
    from ..storage.trace_writer import TraceWriter

__all__ = ["Heartbeat", "Line"]

EARLIEST_RENEWAL = 0.9
LATEST_RENEWAL = 0.98
"""Shares of a connection's longest time: from the first on a pause ends it, at the second anything."""


class Heartbeat:
    """Whether the other side still lives: a ping at intervals, and a limit for any answer to it.

    ``ping_at`` is when to ask next, ``NEVER`` while an answer is waited for.
    """

    __slots__ = ("_heard_at", "_interval", "_lost_at", "_pinged_at", "_timeout", "begun", "ping_at")

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self.begun = now
        self.ping_at = now + interval
        self._interval = interval
        self._timeout = timeout
        self._heard_at = self._pinged_at = now
        self._lost_at = NEVER

    def heard(self, now: float) -> None:
        """Anything at all came."""
        self._heard_at = now
        if self._lost_at != NEVER:
            self._lost_at = NEVER
            self.ping_at = self._pinged_at + self._interval

    def pinged(self, now: float) -> None:
        """A ping went out."""
        self._pinged_at = now
        self._lost_at = now + self._timeout
        self.ping_at = NEVER

    def is_lost(self, now: float) -> bool:
        """Whether nothing came in time after a ping."""
        return now >= self._lost_at

    def silence(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return now - self._heard_at

    @property
    def limit(self) -> float:
        """The longest time in which a dead connection goes unnoticed."""
        return self._interval + self._timeout

    @property
    def due(self) -> float:
        """When there is something to do next."""
        return min(self.ping_at, self._lost_at)


class Line:
    """One connection from its opening to its close."""

    __slots__ = """
        _answered _begun _parse _trace closed connection exchange ignored pulse transport
    """.split()

    def __init__(
        self,
        connection: Connection,
        exchange: StreamProtocol,
        pulse: Heartbeat,
        trace: "Optional[TraceWriter]" = None,
    ) -> None:
        self.connection = connection
        self.transport = connection.transport
        self.exchange = exchange
        self.pulse = pulse
        self.closed: Optional[Closed] = None
        self.ignored = 0
        self._begun = pulse.begun
        self._answered = (pulse.begun, 0)
        self._parse = best_parse()
        self._trace = trace
        if trace is not None:
            trace.opened(exchange, connection.redaction)

    @property
    def backlog(self) -> bool:
        """Whether the socket has to be waited for before more can be sent."""
        return self.transport.backlog > 0

    def has_held(self, now: float, seconds: float) -> bool:
        """Whether it was up for so long."""
        return now >= self._begun + seconds

    def due(self, now: float) -> float:
        """When something has to be done although nothing came."""
        return now if self.connection.has_more else min(self.exchange.due(now), self.pulse.due)

    def pass_on(self, pcm: bytes, now: float) -> bool:
        """Send audio as it comes; False where something waits. Raises ``ConnectionLost``."""
        if self.transport.backlog or now >= self.pulse.ping_at:
            return False
        frame = self.exchange.pass_on(pcm, now)
        if frame is None:
            return False
        if self._trace is not None:
            self._trace.sent(frame)
        try:
            self.connection.send(frame)
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error
        return True

    def pump(self, now: float) -> None:
        """Send what may be sent. Raises ``ConnectionLost``, and what the conversation gives up on."""
        try:
            if self.transport.backlog:
                self.transport.flush()
            if now >= self.pulse.ping_at:
                self.connection.ping()
                self.pulse.pinged(now)
            while not self.transport.backlog:
                frame = self.exchange.next_frame(now)
                if frame is None:
                    return
                if self._trace is not None:
                    self._trace.sent(frame)
                self.connection.send(frame)
                if self.exchange.queue.is_drained:
                    return
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error

    def take_in(self, now: float, *, raw: bool = False) -> List[Any]:
        """What has come and what it means, in order; with ``raw`` each frame as well."""
        if self.closed is not None:
            return []
        try:
            received = self.connection.receive()
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error
        if received:
            self.pulse.heard(now)
        items: List[Any] = []
        for each in received:
            if self._trace is not None:
                self._write_down(self._trace, each)
            if isinstance(each, Closed):
                self.closed = each
            elif each.opcode == TEXT:
                self._answered = (now, self.exchange.queue.stream_sent)
                items += self._hear(each.payload, now, raw)
            elif each.opcode == BINARY:
                self.ignored += 1
        return items

    def hang_up(self) -> None:
        """Tell the other side that we close, and write what is left as far as it goes."""
        try:
            self.connection.close_frame()
            self.transport.flush()
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error

    def check_pulse(self, now: float) -> None:
        """Raise ``ConnectionLost`` where the other side gives no sign of life."""
        if self.pulse.is_lost(now):
            raise self.lost(f"no sign of life for {self.pulse.silence(now):.0f} s")
        if self._is_unanswered(now):
            raise self.lost(f"audio goes out and nothing has come back for {self.pulse.limit:g} s")

    def check_age(self, now: float, longest: float) -> None:
        """Raise ``ConnectionLost`` before the connection is older than it may be, if possible at a pause."""
        age = now - self._begun
        if age < longest * EARLIEST_RENEWAL:
            return
        pausing = self.exchange.accepted and not self.exchange.decoder.pending
        if pausing or age >= longest * LATEST_RENEWAL:
            raise self.lost("it has reached max_connection_seconds", 1000)

    def wants_attention(self, now: float, longest: float) -> bool:
        """Whether there is more to do than to go on listening."""
        return (
            self.closed is not None
            or self.transport.backlog > 0
            or self.exchange.is_ending
            or now - self._begun >= longest * EARLIEST_RENEWAL
        )

    def check_closed(self) -> bool:
        """Whether the other side has closed in order; raises where it should not have."""
        if self.closed is None:
            return False
        if self.exchange.failure is None and not self.exchange.may_close(self.closed.code):
            raise self.lost(self.closed.reason, self.closed.code)
        return True

    def lost(self, reason: str, code: int = 1006) -> ConnectionLost:
        """The error for a connection that broke."""
        unsettled = self.exchange.queue.unsettled_seconds
        return ConnectionLost(
            f"The connection was lost (code {code}{': ' + reason if reason else ''}); "
            f"{unsettled:.1f} s of audio were not answered for.",
            code=code,
            reason=reason,
            unsettled=unsettled,
            hint=self.exchange.advice or "Check the network, and start a new session.",
        )

    def failure(self) -> Optional[SlngError]:
        """The error that the server has reported, with what to try."""
        error = self.exchange.failure
        if error is not None and self.exchange.advice and not error.retryable:
            error.hint = self.exchange.advice
        return error

    def note_loss(self, reason: str) -> None:
        """Write down that another line will take the place of this one."""
        if self._trace is not None:
            self._trace.lost(reason)

    @staticmethod
    def _write_down(trace: "TraceWriter", received: Received) -> None:
        if isinstance(received, Closed):
            trace.closed(received.code, received.reason)
        elif received.opcode in (TEXT, BINARY):
            trace.received(bytes(received.payload), received.opcode == BINARY)

    def _is_unanswered(self, now: float) -> bool:
        """Whether the server lives but has forgotten the stream: a frame comes for all audio, in time."""
        answered_at, answered = self._answered
        queue = self.exchange.queue
        unanswered = queue.audio_format.seconds(queue.stream_sent - answered)
        limit = self.pulse.limit
        return self.exchange.dialect.answers_audio and now - answered_at >= limit and unanswered >= limit / 2

    def _hear(self, payload: Bytes, now: float, raw: bool) -> List[Any]:
        frame = self._parse(payload)
        if frame is None:
            self.ignored += 1
            return []
        if is_failure(frame):
            # A server that repeats the key must not get it into an error, a log or a callback.
            frame = self.connection.redaction.frame(frame)
        heard: List[Any] = self.exchange.hear(frame, now)
        return [RawFrame(frame), *heard] if raw else heard
