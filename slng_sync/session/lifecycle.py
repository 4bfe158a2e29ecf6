"""The life of a session on ``slng-io``: connecting, streaming, reconnecting, draining, the end.

Written as a generator that runs from top to bottom and yields wherever it would wait: the time at which it
goes on at the latest. Everything here runs on ``slng-io``, and nothing waits in any other way.
"""

import contextlib
import time
from typing import Any, Generator, List, Optional, Sequence

from ..callbacks.registry import Callbacks
from ..dialects.base import Dialect
from ..errors import ConnectError, ConnectionLost, ServerError, SessionClosed, SlngError
from ..events import Closed, Reconnected, Reconnecting, Transcript
from ..log import logger
from ..protocol.backoff import Backoff, Outage
from ..protocol.heartbeat import Heartbeat
from ..protocol.send_queue import END, FINALIZE
from ..protocol.stream_protocol import StreamProtocol
from ..system_limits import hint_at_limit
from ..transport.connecting import ConnectAttempt
from ..transport.connection import WebSocketConnection
from ..waiting import NEVER
from .audio_input import AudioInput
from .capture import Capture
from .connection import Connection
from .io_loop import Task
from .shared_state import SharedState
from .state import ModelChoice, State

__all__ = ["Lifecycle"]

# Some Pythons look up a member of an enumeration by a function in Python.
STREAMING = State.STREAMING

Steps = Generator[float, None, None]

CLOSE_TIMEOUT = 1.0
"""Seconds that the other side may take to close as well."""
CONNECT_GRACE = 0.2
"""Seconds that ``slng-connect`` may report its own error late, which says more."""
FILES_TIMEOUT = 2.0
"""Seconds that files may take to be written at the end; a hung disk never finishes."""
STEADY = 60.0
"""A connection that has held this long has worked, even if nobody spoke."""


class Lifecycle:
    """One connection after the other, from the first attempt to the last word.

    ``raises`` says that a call is waiting to raise what ends the session. ``model`` is updated once the
    server has let the stream begin.
    """

    __slots__ = """
        _audio_input _backoff _callbacks _capture _connection _error _model _outage _raises _refusal _shared
        _unfinished
    """.split()

    def __init__(
        self,
        shared: SharedState,
        audio_input: AudioInput,
        capture: Optional[Capture],
        callbacks: Callbacks,
        model: ModelChoice,
        *,
        raises: bool = False,
    ) -> None:
        settings = shared.settings
        self._shared = shared
        self._audio_input = audio_input
        self._capture = capture
        self._callbacks = callbacks
        self._raises = raises
        self._model = model
        self._backoff = Backoff(settings.max_attempts if settings.reconnect else 0)
        self._connection: Optional[Connection] = None
        self._refusal: Optional[SlngError] = None
        self._error: Optional[SlngError] = None
        self._outage: Optional[Outage] = None
        self._unfinished: List[Transcript] = []

    def run(self) -> Steps:
        """Live from the first connection to the end."""
        error: Optional[SlngError] = None
        try:
            yield from self._connect()
            yield from self._stream_and_reconnect()
        except SlngError as failure:
            error = failure
        except GeneratorExit:
            # The process ends, or this is the child of a fork.
            raise
        except BaseException as failure:
            # SystemExit too, from a program's own dialect: it must not end the thread of all sessions.
            error = _mistake(failure)
        yield from self._end(error)

    def fail(self, error: BaseException) -> None:
        """End a session whose ``run`` has raised. Callers that wait for the end must find it."""
        self._shared.outcome.set(_mistake(error))
        self._shared.never_opened = self._shared.state < State.STREAMING
        steps = (self._close_connection, self._shared.queue.give_up, self._stop_capture, self._release_files)
        for step in steps:
            with contextlib.suppress(Exception):
                step()
        self._shared.enter(State.CLOSED)
        with contextlib.suppress(Exception):
            self._shared.mailbox.put(Closed(False))
        self._shared.mailbox.close()

    def forget_parent(self) -> None:
        """Close the connection's socket in the child of a fork; the parent's goes on."""
        if self._connection is not None:
            self._connection.websocket.close()

    # Connecting.

    def _connect(self) -> Steps:
        """Connect, within the timeout of the client and the deadline of the session."""
        shared = self._shared
        settings = shared.settings
        if shared.aborted:
            raise SessionClosed("The session was closed before it connected.")
        timeout = max(0.1, min(settings.connect_timeout, shared.deadline - time.monotonic()))
        try:
            shared.attempt = attempt = ConnectAttempt(settings.endpoint, shared.dialect.path, timeout)
            done = attempt.start()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConnectError(
                f"The connection could not be opened: {reason}.", hint=hint_at_limit(error), retryable=True
            ) from error
        done.add_done_callback(lambda _: shared.wake_up())
        try:
            yield from self._wait_for(attempt)
            websocket = attempt.take()
        except BaseException:
            # A connection that is made and not taken is closed.
            attempt.cancel()
            raise
        self._begin_connection(websocket)

    def _wait_for(self, attempt: ConnectAttempt) -> Steps:
        """Wait for an attempt to end, and a little longer than its deadline for what it has to say."""
        shared, deadline, done = self._shared, attempt.deadline + CONNECT_GRACE, attempt.future
        while not done.done():
            if shared.aborted:
                raise SessionClosed("The session was closed while it was connecting.")
            if time.monotonic() >= min(deadline, shared.deadline):
                raise attempt.timeout_error()
            yield min(deadline, shared.deadline)

    def _begin_connection(self, websocket: WebSocketConnection) -> None:
        shared, settings, now = self._shared, self._shared.settings, time.monotonic()
        try:
            protocol = StreamProtocol(shared.dialect, shared.queue, settings.timing, now)
            heartbeat = Heartbeat(settings.ping_interval, settings.ping_timeout, now)
            trace = None if shared.files is None else shared.files.trace
            self._connection = Connection(websocket, protocol, heartbeat, trace)
            self._task.watch(websocket.sock)
        except BaseException:
            websocket.close()
            raise
        shared.connections += 1
        if shared.state < State.STREAMING:
            shared.enter(State.WAITING_READY)

    @property
    def _task(self) -> Task:
        task = self._shared.wakeup.task
        assert task is not None
        return task

    # Streaming.

    def _stream_and_reconnect(self) -> Steps:
        """Use one connection after the other until everything was said."""
        while self._connection is not None:
            try:
                yield from self._stream(self._connection)
                return
            except SlngError as cause:
                if self._has_nothing_left(self._connection, cause):
                    return
                yield from self._restore(self._connection, cause)

    def _stream(self, connection: Connection) -> Steps:
        """Send and receive until the conversation is over. Raises what ends it too early."""
        task, shared, wakeup = self._task, self._shared, self._shared.wakeup
        due, is_steady = 0.0, False
        while True:
            now = time.monotonic()
            if not is_steady or wakeup.is_set or now >= due or shared.state is not STREAMING:
                wakeup.is_set = False
                if not self._advance(connection, now):
                    break
                due, is_steady = self._next_time(connection, now), connection.is_steady
            elif task.was_woken:
                # Nothing has happened but that audio came: most passes are so.
                self._flush(connection, now)
                if connection.has_new_deadline:
                    due = min(due, connection.due(now))
            yield due
            # Not once it is known why the conversation ends: a break after that says nothing more.
            if (task.is_readable or connection.websocket.has_more) and connection.protocol.failure is None:
                self._receive(connection)
                due, is_steady = min(due, connection.due(now)), connection.is_steady
        yield from self._say_goodbye(connection)
        error = connection.failure()
        if error is not None:
            raise error
        if self._shared.state < State.DRAINING:
            raise connection.lost("the server ended the stream", 1000)

    def _advance(self, connection: Connection, now: float) -> bool:
        """Do everything that is due. Return False when there is nothing left to wait for."""
        shared, protocol = self._shared, connection.protocol
        if shared.aborted:
            raise SessionClosed("The session was aborted.")
        connection.check_alive(now)
        if shared.state is State.STREAMING:
            connection.check_age(now, shared.settings.max_connection_seconds)
        if connection.check_closed():
            return False
        self._ask_for_the_end(now)
        protocol.deadline = shared.deadline
        self._flush(connection, now)
        if protocol.ready:
            self._note_ready(now)
        self._deliver(protocol.release(now))
        if shared.files is not None:
            self._report_file_problems()
        return not protocol.over(now) and now < shared.deadline

    def _flush(self, connection: Connection, now: float) -> None:
        """Send what may be sent now."""
        try:
            connection.flush(now)
        except ConnectionLost as fault:
            self._look_for_the_reason(connection, fault)
        self._task.watch_writing(connection.websocket.backlog > 0)
        if self._shared.queue.unreadable:
            self._audio_input.lose_unreadable()
        if self._shared.changes.has_waiters:
            self._shared.changes.notify()

    def _look_for_the_reason(self, connection: Connection, fault: ConnectionLost) -> None:
        """Before sending failed the server may have said why: that counts, otherwise the fault."""
        try:
            if connection.protocol.failure is None:
                self._receive(connection)
        except SlngError:
            raise fault from None
        if connection.protocol.failure is None and not connection.check_closed():
            raise fault

    def _next_time(self, connection: Connection, now: float) -> float:
        capture, shared = self._capture, self._shared
        until = min(connection.due(now), shared.deadline)
        if capture is not None and shared.state is State.DRAINING and not shared.queue.ending:
            until = min(until, capture.given_up_at)
        return until

    def _receive(self, connection: Connection) -> None:
        """Deliver what has arrived."""
        self._task.is_readable = False
        was_accepted = connection.protocol.accepted
        items = connection.receive(time.monotonic(), raw=self._callbacks.want_frames)
        if not was_accepted and connection.protocol.accepted:
            self._refusal = None
            self._model.dialect = self._shared.dialect
        self._deliver(items)
        # What was settled makes room, and what was answered is waited for.
        if self._shared.changes.has_waiters:
            self._shared.changes.notify()

    def _deliver(self, items: Sequence[Any]) -> None:
        if items:
            self._task.has_news = True
            if self._shared.delivery.deliver(items) and self._connection is not None:
                self._backoff.worked()
                self._unfinished = []

    def _note_ready(self, now: float) -> None:
        shared = self._shared
        if shared.state < State.DRAINING and shared.state is not State.STREAMING:
            shared.enter(State.STREAMING)
        if self._outage is not None:
            outage, self._outage = now - self._outage.begun, None
            self._deliver([Reconnected(outage, shared.queue.unsettled_seconds)])

    def _ask_for_the_end(self, now: float) -> None:
        """Once the source has ended, ask for the last words and for the end, in this order."""
        shared, capture = self._shared, self._capture
        if shared.state is State.STREAMING and capture is not None and capture.ended:
            shared.enter(State.DRAINING)
        if shared.state is not State.DRAINING or shared.queue.ending:
            return
        if capture is None or capture.ended or now >= capture.given_up_at:
            self._audio_input.end()
            shared.queue.request(FINALIZE)
            shared.queue.request(END)

    def _say_goodbye(self, connection: Connection) -> Steps:
        """Close the WebSocket, giving the other side a moment to do the same."""
        now = time.monotonic()
        until = min(now + CLOSE_TIMEOUT, max(self._shared.deadline, now + 0.1))
        # Everything was said: a break now, or an answer that never comes, changes nothing.
        with contextlib.suppress(SlngError):
            while connection.closed is None and not self._shared.aborted and time.monotonic() < until:
                if connection.protocol.failure is None:
                    connection.send_close()
                self._task.watch_writing(connection.websocket.backlog > 0)
                yield until
                if self._task.is_readable or connection.websocket.has_more:
                    self._receive(connection)

    # Reconnecting.

    def _restore(self, connection: Connection, cause: SlngError) -> Steps:
        """Put a new connection in the place of a broken one. Raises what stands against it."""
        if self._refusal is not None and not connection.protocol.accepted:
            # The other form of the start did no better; what the first one met says more.
            raise self._refusal
        other_form = None if connection.protocol.accepted else self._other_form(cause)
        if self._shared.aborted or not (other_form or self._may_reconnect):
            raise cause
        self._leave(connection, cause)
        if other_form is None:
            begun = time.monotonic() if self._outage is None else self._outage.begun
            yield from self._reconnect(Outage(begun, cause))
            return
        logger.info("the server refused the start of the stream; trying its other form")
        self._shared.dialect, self._refusal = other_form, cause
        try:
            yield from self._connect()
        except SlngError:
            raise cause from None

    def _other_form(self, refused: SlngError) -> Optional[Dialect]:
        """Another way to put the start, where it may be the start that the server refused."""
        by_policy = isinstance(refused, ConnectionLost) and refused.code == 1008
        as_wrong = isinstance(refused, ServerError) and refused.status == 400
        return self._shared.dialect.alternative() if by_policy or as_wrong else None

    @property
    def _may_reconnect(self) -> bool:
        return self._shared.settings.reconnect and self._shared.state >= State.STREAMING

    def _leave(self, connection: Connection, cause: SlngError) -> None:
        """Deliver what is final of a broken connection; put back what is not settled, to be sent again."""
        shared = self._shared
        if time.monotonic() >= connection.heartbeat.begun + STEADY:
            self._backoff.worked()
        last = connection.protocol.decoder.end(promote=True)
        self._deliver([each for each in last if each.complete])
        self._unfinished = [each for each in last if not each.complete]
        with contextlib.suppress(SlngError):
            connection.send_close()
        self._close_connection()
        lost = shared.queue.rewind()
        if lost:
            self._audio_input.lose(lost, "it could not be kept until the connection was back")
            self._audio_input.report_losses()
        shared.delivery.begin_overlap(shared.queue.start(0.0))
        connection.note_loss(cause.message)
        shared.changes.notify()

    def _reconnect(self, outage: Outage) -> Steps:
        """Try until there is a connection again, or trying makes no sense any more."""
        shared = self._shared
        if shared.state is State.STREAMING:
            shared.enter(State.RECONNECTING)
        while self._connection is None and not shared.aborted:
            yield from self._wait_for_a_reason(outage)
            if not (self._has_reason or shared.state < State.DRAINING):
                break
            delay = self._backoff.next_delay(outage.last)
            if delay is None:
                raise outage.given_up(shared.queue.unsettled_seconds)
            outage.attempts += 1
            self._deliver([Reconnecting(self._backoff.attempt, delay, outage.last)])
            yield from self._pause(delay)
            if shared.aborted or time.monotonic() >= shared.deadline:
                raise outage.given_up(shared.queue.unsettled_seconds)
            try:
                yield from self._connect()
            except SlngError as error:
                outage.last = error
        self._outage = outage

    def _wait_for_a_reason(self, outage: Outage) -> Steps:
        """After the server has ended an idle stream, wait until there is audio, or the end."""
        while outage.is_orderly and not self._has_reason and not self._shared.is_leaving:
            yield NEVER

    @property
    def _has_reason(self) -> bool:
        is_capturing = self._capture is not None and not self._capture.ended
        return is_capturing or self._shared.queue.unsettled_seconds > 0

    def _pause(self, seconds: float) -> Steps:
        """Wait before an attempt, or until the session has to end."""
        until = time.monotonic() + seconds
        while not self._shared.aborted and time.monotonic() < min(until, self._shared.deadline):
            yield min(until, self._shared.deadline)

    def _has_nothing_left(self, connection: Connection, cause: SlngError) -> bool:
        """Whether a break now leaves nothing to do: all is final, and no more audio comes."""
        shared = self._shared
        if self._connection is None or self._has_reason or not connection.protocol.complete:
            return False
        return shared.queue.ending or (not shared.settings.reconnect and Outage(0.0, cause).is_orderly)

    # The end.

    def _end(self, error: Optional[SlngError]) -> Steps:
        """Deliver what is left, give everything back, report the end."""
        shared = self._shared
        if shared.aborted:
            error = None
        elif error is None and self._capture is not None:
            error = self._capture.error
        self._audio_input.report_losses()
        try:
            promoted = self._last_words()
            shared.complete = error is None and not promoted and self._is_complete
        except Exception as failure:
            # A mistake in the program's own dialect. Callers that wait for the end must find it all the same.
            error = error or _mistake(failure)
        shared.queue.give_up()
        self._close_connection()
        self._stop_capture()
        shared.never_opened = shared.state < State.STREAMING
        yield from self._close_files()
        self._error = error

    def _stop_capture(self) -> None:
        if self._capture is not None:
            self._capture.stop_elsewhere()

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._shared.ignored_messages += connection.ignored
            try:
                # Before it is closed: its number may be another socket's after that.
                self._task.unwatch()
            finally:
                connection.websocket.close()

    def _close_files(self) -> Steps:
        """Have the files completed before the end is reported; a disk that hangs is not waited for long."""
        shared, files = self._shared, self._shared.files
        if files is None:
            return
        drained = shared.state is State.DRAINING and not shared.aborted
        done = files.close(shared.queue, complete=shared.complete, drained=drained)
        done.add_done_callback(lambda _: shared.wake_up())
        until = min(time.monotonic() + FILES_TIMEOUT, max(shared.deadline, time.monotonic() + 0.1))
        while not done.done() and time.monotonic() < until:
            yield until
        files.abandon()
        self._report_file_problems()

    def _release_files(self) -> None:
        """Have the files closed without waiting, for a session that failed; no writer's thread stays."""
        if self._shared.files is not None:
            self._shared.files.close(self._shared.queue, complete=False, drained=False)

    def _report_file_problems(self) -> None:
        files = self._shared.files
        if files is not None:
            for problem in files.take_problems():
                self._task.has_news = True
                self._shared.delivery.put(problem)

    def end_pass(self) -> None:
        """Ask for the delivery of what this pass has brought."""
        self._shared.mailbox.ask()

    def report_end(self) -> None:
        """Report the end in one step: a callback that is told of it finds the session closed."""
        shared, error = self._shared, self._error
        is_told = not shared.never_opened or not shared.waits_for_open
        with shared.lock:
            shared.outcome.set(error)
            if error is not None and is_told and not self._raises and self._callbacks.has("on_error"):
                shared.outcome.claim()
                shared.mailbox.put(error)
            if is_told:
                shared.delivery.put(Closed(shared.complete))
            shared.mailbox.close()
            shared.enter(State.CLOSED)
        self._log_what_is_missing(error)

    def _log_what_is_missing(self, error: Optional[SlngError]) -> None:
        """For a call that waits for a transcript and receives no events; ``Session.close`` returns it."""
        shared = self._shared
        is_cut_short = error is None and not (shared.complete or shared.aborted)
        if is_cut_short and self._raises and not self._callbacks.has("on_event"):
            logger.warning("the transcript is not complete: the server did not acknowledge the last audio")

    def _last_words(self) -> bool:
        """Deliver what is final, and the open partial if nothing finishes it. Return whether there is one."""
        shared = self._shared
        promote = shared.state is State.DRAINING and not shared.aborted
        if self._connection is not None:
            last = self._connection.protocol.decoder.end(promote=promote)
        else:
            last = self._unfinished if promote else []
        self._deliver(last)
        return any(not transcript.complete for transcript in last)

    @property
    def _is_complete(self) -> bool:
        queue = self._shared.queue
        if self._shared.aborted or queue.unsent:
            return False
        return queue.is_settled if self._connection is None else self._connection.protocol.complete


def _mistake(failure: BaseException) -> SlngError:
    """The error for a mistake of ours, or of a program's own dialect. Its stack goes into the log."""
    logger.error("a session failed on slng-io", exc_info=failure)
    error = SlngError(f"An unexpected {type(failure).__name__} ended the session; its stack is in the log.")
    error.__cause__ = failure
    return error
