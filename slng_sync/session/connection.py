"""One WebSocket in use, with the conversation on it and the heartbeat of the other side.

Only ``slng-io`` calls this, and nothing here waits.
"""

from typing import TYPE_CHECKING, Any, List, Optional

from ..callbacks.registry import RawFrame
from ..dialects.failures import is_failure
from ..dialects.parsing import best_parse
from ..errors import ConnectionLost, SlngError
from ..protocol.heartbeat import Heartbeat
from ..protocol.stream_protocol import StreamProtocol
from ..transport.connection import BINARY, TEXT, Closed, Received, WebSocketConnection

if TYPE_CHECKING:
    from ..storage.trace_writer import TraceWriter

__all__ = ["Connection"]

EARLIEST_RENEWAL = 0.9
LATEST_RENEWAL = 0.98
"""Shares of a connection's longest time: from the first on it ends at a pause, at the second in any case."""


class Connection:
    """One connection of a session, from the upgrade to the close.

    ``closed`` is what the server closed with; ``ignored`` counts messages that mean nothing.
    """

    __slots__ = """
        _answered _parse _trace closed heartbeat ignored protocol websocket
    """.split()

    def __init__(
        self,
        websocket: WebSocketConnection,
        protocol: StreamProtocol,
        heartbeat: Heartbeat,
        trace: "Optional[TraceWriter]" = None,
    ) -> None:
        self.websocket = websocket
        self.protocol = protocol
        self.heartbeat = heartbeat
        self.closed: Optional[Closed] = None
        self.ignored = 0
        # When the server answered last, and how much audio had been sent by then.
        self._answered = (heartbeat.begun, 0)
        self._parse = best_parse()
        self._trace = trace
        if trace is not None:
            trace.opened(protocol, websocket.redaction)

    @property
    def is_steady(self) -> bool:
        """Whether the conversation goes on, and nothing in it waits for its time or for the socket."""
        return self.closed is None and not self.websocket.backlog and self.protocol.is_steady

    @property
    def has_new_deadline(self) -> bool:
        """Whether what was sent last may have to be followed up earlier than anything else."""
        protocol = self.protocol
        return protocol.is_limited or bool(protocol.asked_at) or self.websocket.backlog > 0

    def due(self, now: float) -> float:
        """Return when there is something to do even if nothing arrives."""
        return now if self.websocket.has_more else min(self.protocol.due(now), self.heartbeat.due)

    def flush(self, now: float) -> None:
        """Send what may be sent. Raises ``ConnectionLost``, and what the protocol gives up on."""
        websocket = self.websocket
        try:
            if websocket.backlog:
                websocket.flush()
            if now >= self.heartbeat.ping_at:
                websocket.ping()
                self.heartbeat.pinged(now)
            while not websocket.backlog:
                message = self.protocol.next_message(now)
                if message is None:
                    return
                if self._trace is not None:
                    self._trace.sent(message)
                websocket.send(message)
                websocket.flush()
                if self.protocol.queue.is_drained:
                    return
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error

    def receive(self, now: float, *, raw: bool = False) -> List[Any]:
        """Return what has arrived and what it means, in order; with ``raw`` each message as well.

        Raises ``ConnectionLost``, ``ProtocolError``.
        """
        if self.closed is not None:
            return []
        try:
            received = self.websocket.receive()
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error
        if received:
            self.heartbeat.received(now)
        items: List[Any] = []
        for each in received:
            if self._trace is not None:
                self._write_down(self._trace, each)
            if isinstance(each, Closed):
                self.closed = each
            elif each.opcode == TEXT:
                self._answered = (now, self.protocol.queue.stream_sent)
                items += self._decode(each.payload, now, raw)
            elif each.opcode == BINARY:
                self.ignored += 1
        return items

    def send_close(self) -> None:
        """Say that this side closes, and write what is left if the socket takes it."""
        try:
            self.websocket.send_close()
            self.websocket.flush()
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error

    def check_alive(self, now: float) -> None:
        """Raise ``ConnectionLost`` if the other side gives no sign of life."""
        if self.heartbeat.is_lost(now):
            raise self.lost(f"no sign of life for {self.heartbeat.silence(now):.0f} s")
        if self._is_unanswered(now):
            raise self.lost(f"audio was sent and nothing came back for {self.heartbeat.limit:g} s")

    def check_age(self, now: float, longest: float) -> None:
        """Raise ``ConnectionLost`` before the connection is older than it may be, if possible at a pause."""
        age = now - self.heartbeat.begun
        if age < longest * EARLIEST_RENEWAL:
            return
        pausing = self.protocol.accepted and not self.protocol.decoder.pending
        if pausing or age >= longest * LATEST_RENEWAL:
            raise self.lost("it has reached max_connection_seconds", 1000)

    def check_closed(self) -> bool:
        """Return whether the other side has closed in order. Raises ``ConnectionLost`` otherwise."""
        if self.closed is None:
            return False
        if self.protocol.failure is None and not self.protocol.may_close(self.closed.code):
            raise self.lost(self.closed.reason, self.closed.code)
        return True

    def lost(self, reason: str, code: int = 1006) -> ConnectionLost:
        """Return the error for a connection that broke."""
        unsettled = self.protocol.queue.unsettled_seconds
        return ConnectionLost(
            f"The connection was lost (code {code}{': ' + reason if reason else ''}); "
            f"{unsettled:.1f} s of audio had not been acknowledged.",
            code=code,
            reason=reason,
            unsettled=unsettled,
            hint=self.protocol.advice or "Check the network, and start a new session.",
        )

    def failure(self) -> Optional[SlngError]:
        """Return the error that the server has reported, with what to try."""
        error = self.protocol.failure
        if error is not None and self.protocol.advice and not error.retryable:
            error.hint = self.protocol.advice
        return error

    def note_loss(self, reason: str) -> None:
        """Write down that another connection takes the place of this one."""
        if self._trace is not None:
            self._trace.lost(reason)

    @staticmethod
    def _write_down(trace: "TraceWriter", received: Received) -> None:
        if isinstance(received, Closed):
            trace.closed(received.code, received.reason)
        elif received.opcode in (TEXT, BINARY):
            trace.received(received.payload, received.opcode == BINARY)

    def _is_unanswered(self, now: float) -> bool:
        """Whether the server lives but has forgotten the stream: it answers all audio in time otherwise."""
        if not self.protocol.dialect.answers_audio:
            return False
        answered_at, answered = self._answered
        limit = self.heartbeat.limit
        if now - answered_at < limit:
            return False
        queue = self.protocol.queue
        return queue.audio_format.seconds(queue.stream_sent - answered) >= limit / 2

    def _decode(self, payload: bytes, now: float, raw: bool) -> List[Any]:
        message = self._parse(payload)
        if message is None:
            self.ignored += 1
            return []
        if is_failure(message):
            # A server that repeats the key must not get it into an error, a log or a callback.
            message = self.websocket.redaction.frame(message)
        decoded: List[Any] = self.protocol.handle_message(message, now)
        return [RawFrame(message), *decoded] if raw else decoded
