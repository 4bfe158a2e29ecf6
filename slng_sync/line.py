"""A connection in use: the conversation, the WebSocket under it, and the pulse of the other side.

Nothing here waits; every method is called with the session's lock held.
"""

from typing import Any, List, Optional

from .callbacks import RawFrame
from .connection import Closed, Connection, Message, Received
from .dialects.failures import failure_in
from .errors import ConnectionLost, SlngError
from .exchange import Exchange, parse
from .recording import MessageTrace

__all__ = ["Line", "Pulse"]

EARLIEST_RENEWAL = 0.9
LATEST_RENEWAL = 0.98
"""Shares of a connection's longest time: from the first on a pause ends it, at the second anything."""


class Pulse:
    """Whether the other side still lives: a ping at intervals, and a limit for any answer to it."""

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self.begun = now
        self._interval = interval
        self._timeout = timeout
        self._pinged_at = now
        self._heard_at = now
        self._waiting = False

    def heard(self, now: float) -> None:
        """Anything at all came."""
        self._heard_at = now
        self._waiting = False

    def pinged(self, now: float) -> None:
        """A ping went out."""
        self._pinged_at = now
        self._waiting = True

    def wants_ping(self, now: float) -> bool:
        """Whether it is time to ask."""
        return not self._waiting and now >= self._pinged_at + self._interval

    def is_lost(self, now: float) -> bool:
        """Whether nothing came in time after a ping."""
        return self._waiting and now >= self._pinged_at + self._timeout

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
        return self._pinged_at + (self._timeout if self._waiting else self._interval)


class Line:
    """One connection from its opening to its close."""

    def __init__(
        self, connection: Connection, exchange: Exchange, pulse: Pulse, trace: Optional[MessageTrace] = None
    ) -> None:
        self.connection = connection
        self.exchange = exchange
        self.pulse = pulse
        self.closed: Optional[Closed] = None
        self.ignored = 0
        self._begun = pulse.begun
        self._answered = (pulse.begun, 0)
        self._trace = trace

    @property
    def backlog(self) -> bool:
        """Whether the socket has to be waited for before more can be sent."""
        return self.connection.transport.backlog > 0

    def has_held(self, now: float, seconds: float) -> bool:
        """Whether it was up for so long."""
        return now >= self._begun + seconds

    def due(self, now: float) -> float:
        """When something has to be done although nothing came."""
        return now if self.connection.has_more else min(self.exchange.due(now), self.pulse.due)

    def pump(self, now: float) -> None:
        """Send what may be sent. Raises ``ConnectionLost``, and what the conversation gives up on."""
        try:
            self.connection.transport.flush()
            if self.pulse.wants_ping(now):
                self.connection.ping()
                self.pulse.pinged(now)
            while not self.backlog:
                frame = self.exchange.next_frame(now)
                if frame is None:
                    return
                if self._trace is not None:
                    self._trace.sent(frame)
                self.connection.send(frame)
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error

    def take_in(self, now: float, *, raw: bool = False) -> List[Any]:
        """What has come and what it means, in order; with ``raw`` each frame as well."""
        try:
            received = self.connection.receive()
        except OSError as error:
            raise self.lost(error.strerror or type(error).__name__) from error
        if received:
            self.pulse.heard(now)
        if any(isinstance(each, Message) for each in received):
            self._answered = (now, self.exchange.queue.stream_sent)
        items: List[Any] = []
        for each in received:
            self._write_down(each)
            if isinstance(each, Message):
                items += self._hear(each, now, raw)
            elif isinstance(each, Closed):
                self.closed = each
        return items

    def hang_up(self) -> None:
        """Tell the other side that we close, and write what is left as far as it goes."""
        try:
            self.connection.close_frame()
            self.connection.transport.flush()
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
        pausing = self.exchange.accepted and not self.exchange.decoder.pending
        if age >= longest * LATEST_RENEWAL or (pausing and age >= longest * EARLIEST_RENEWAL):
            raise self.lost("it has reached max_connection_seconds", 1000)

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

    def _write_down(self, received: Received) -> None:
        if self._trace is not None and isinstance(received, Message):
            self._trace.received(received.payload, received.binary)
        elif self._trace is not None and isinstance(received, Closed):
            self._trace.closed(received.code, received.reason)

    def _is_unanswered(self, now: float) -> bool:
        """Whether the server lives but has forgotten the stream: a frame comes for all audio, in time."""
        answered_at, answered = self._answered
        queue = self.exchange.queue
        unanswered = queue.audio_format.seconds(queue.stream_sent - answered)
        limit = self.pulse.limit
        return self.exchange.dialect.answers_audio and now - answered_at >= limit and unanswered >= limit / 2

    def _hear(self, message: Message, now: float, raw: bool) -> List[Any]:
        frame = None if message.binary else parse(message.payload)
        if frame is None:
            self.ignored += 1
            return []
        if failure_in(frame) is not None:
            # A server that repeats the key must not get it into an error, a log or a callback.
            frame = self.connection.redaction.frame(frame)
        heard: List[Any] = [RawFrame(frame)] if raw else []
        return heard + self.exchange.hear(frame, now)
