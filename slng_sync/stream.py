"""The engine of a session: one stream of audio, the threads that serve it, and its state.

Three threads: ``slng-io`` opens the connection, waits, reads, times and closes; ``slng-callbacks`` runs the
user's functions; ``slng-capture`` reads the source. One lock guards the send queue and the line; nobody holds
it while waiting or while user code runs. Whoever puts audio in sends it at once where the connection takes
it, so that in the common case no other thread is woken.
"""

import contextlib
import threading
import time
from typing import Any, Callable, Iterable, List, Optional

from .audio.format import AudioFormat
from .audio.source import AudioSource
from .callbacks import Callbacks
from .capture import Capture
from .connection import open_connection
from .delivery import Delivery
from .dialects.base import Dialect
from .dispatch import Dispatch
from .errors import ConnectionLost, ServerError, SessionClosed, SlngError
from .events import Closed, Reconnected, Reconnecting, Transcript
from .exchange import Exchange
from .intake import Intake
from .line import Line, Pulse
from .log import logger
from .opening import Opening
from .outcome import Outcome
from .recording import AudioRecord, MessageTrace, Path
from .retry import Outage, RetrySchedule
from .send_queue import END, FINALIZE, Mark, SendQueue
from .state import Settings, State, Stats
from .transport import WakeUp, wait
from .waiting import NEVER, wait_for

__all__ = ["Stream"]

GOODBYE = 1.0
"""How long the other side may take to close as well."""
STEADY = 60.0
"""A connection that has held this long has worked, even if nobody spoke."""


class Stream:
    """What a session does, below its public face. Methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        dialect: Dialect,
        audio_format: AudioFormat,
        callbacks: Callbacks,
        *,
        source: Optional[AudioSource] = None,
        record: Optional[Path] = None,
        trace: Optional[Path] = None,
        raises: bool = False,
        tap: Callable[[Any], None] = lambda item: None,
        accepted: Callable[[Dialect], None] = lambda dialect: None,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.audio_format = audio_format
        self.state = State.NEW
        self.outcome = Outcome()
        self.dispatch = Dispatch(settings.dispatch, callbacks.deliver)
        self.delivery = Delivery(self.dispatch, tap)
        self.capture = Capture(source, audio_format, self._put_captured, self._wake_up) if source else None
        self.complete = False
        self.never_opened = False
        self._callbacks = callbacks
        self._record_path = record
        self._trace_path = trace
        self._trace: Optional[MessageTrace] = None
        self._raises = raises
        self._accepted = accepted
        self._changed = threading.Condition()
        self._queue = SendQueue(
            audio_format, capacity_seconds=settings.buffer_seconds, chunk_seconds=settings.chunk_seconds
        )
        self._intake = Intake(
            self._queue,
            self._changed,
            pump=self._pump,
            is_over=lambda: self._is_over,
            tell=self.delivery.tell,
        )
        self._wake: Optional[WakeUp] = None
        self._line: Optional[Line] = None
        self._fault: Optional[SlngError] = None
        self._schedule = RetrySchedule(settings.max_attempts if settings.reconnect else 0)
        self._refusal: Optional[SlngError] = None
        self._outage: Optional[Outage] = None
        self._unfinished: List[Transcript] = []
        self._close_by = NEVER
        self._aborted = False
        self._connections = self._ignored = 0
        # Daemon: at the end of the process ``lifetime`` gives it its time.
        self._thread = threading.Thread(target=self._run, name="slng-io", daemon=True)

    # From beginning to end, for the session.

    def start(self) -> None:
        """Start to connect, unless the source can't be had."""
        if self.capture is not None:
            self.capture.check()
        self._open_files()
        self._wake = WakeUp()
        self._enter(State.CONNECTING)
        self.dispatch.start()
        self._thread.start()

    def start_capture(self) -> None:
        """Start to read the source, if there is one."""
        if self.capture is not None:
            self.capture.start()

    def begin_close(self, timeout: float) -> None:
        """Begin to end in order, within ``timeout`` seconds; a stream that is not open yet ends at once."""
        with self._changed:
            if State.STREAMING <= self.state < State.CLOSED:
                # A little is left for the callbacks.
                self._close_by = min(self._close_by, time.monotonic() + timeout - min(0.5, timeout / 4))
                self._enter(State.DRAINING)
            elif self.state < State.STREAMING:
                self._aborted = True
        self._stop_capture()
        self._wake_up()

    def abort(self) -> None:
        """End at once."""
        with self._changed:
            self._aborted = True
            if self._line is not None:
                self._line.connection.shut_down()
            self._changed.notify_all()
        self._stop_capture()
        self._wake_up()

    def join(self, timeout: float) -> bool:
        """Wait for the threads; whether every callback has run."""
        until = time.monotonic() + timeout
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        if self.capture is not None:
            self.capture.join(max(0.0, until - time.monotonic()))
        return self.dispatch.join(max(0.0, until - time.monotonic()))

    def forget_parent(self) -> None:
        """After a fork: the threads and the connection are the parent's. Here the stream is dead."""
        self._changed = threading.Condition()
        if self._line is not None:
            self._line.connection.close()
            self._line = None
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self.outcome = Outcome()
            self.outcome.set(
                SessionClosed(
                    "The session belongs to the process that opened it.", hint="Open one in the child."
                )
            )

    def wait_for(self, condition: Callable[[], object], timeout: Optional[float]) -> bool:
        """Wait until something holds; False where time was up. The condition is asked with the lock held."""
        return wait_for(self._changed, condition, timeout)

    @property
    def may_wait(self) -> bool:
        """Whether the calling thread may wait for the stream: its own threads may not."""
        return not self.dispatch.in_callback and threading.current_thread() is not self._thread

    # What the session asks for.

    def send(self, pcm: bytes, timeout: Optional[float]) -> None:
        """Put audio in, waiting for room. Raises what has ended the stream, and ``WaitTimeout``."""
        with self._changed:
            self._check_open()
            if not self._intake.put(pcm, timeout):
                raise self.outcome.claim() or SessionClosed("The session ended before the audio was sent.")

    def finalize(self) -> Mark:
        """Ask that everything so far becomes final; the mark tells when it has."""
        with self._changed:
            self._check_open()
            mark = self._queue.request(FINALIZE)
            self._pump()
        self._wake_up()
        return mark

    def pause(self, paused: bool) -> None:
        """Withhold audio, or let it flow again."""
        with self._changed:
            self._intake.paused = paused
            self._changed.notify_all()

    def stats(self) -> Stats:
        """What was done so far."""
        with self._changed:
            seconds = self.audio_format.seconds
            return Stats(
                captured=seconds(self._queue.captured),
                sent=seconds(self._queue.sent),
                settled=seconds(self._queue.settled),
                buffered=seconds(self._queue.unsent),
                lost=seconds(self._intake.lost),
                partials=self.delivery.partials,
                finals=self.delivery.finals,
                connections=self._connections,
                ignored_frames=self._ignored + (self._line.ignored if self._line else 0),
            )

    def _check_open(self) -> None:
        if self.state >= State.DRAINING or self._aborted:
            raise self.outcome.claim() or SessionClosed(
                "The session is over.", hint="Client.listen() begins a new one."
            ) from self.outcome.error

    def _put_captured(self, pcm: bytes) -> bool:
        """Take a piece from the source, on its thread. False where no more is wanted."""
        with self._changed:
            if self._is_over:
                return False
            if self.capture is not None and self.capture.live:
                self._intake.put_live(pcm)
            else:
                self._changed.wait_for(lambda: not self._intake.paused or self._is_leaving)
                self._intake.put(pcm, None)
            return not self._is_over

    def _pump(self) -> None:
        """Send what may be sent; called with the lock held, by whoever has put something in."""
        line = self._line
        if line is None or self._fault is not None:
            # A line that is only put up again when there is something to say.
            self._wake_up()
            return
        now = time.monotonic()
        room = self._queue.room
        try:
            line.pump(now)
        except SlngError as fault:
            # For the I/O thread to tell: it is not the matter of whoever happened to send.
            self._fault = fault
        if self._queue.room > room:
            self._changed.notify_all()
        if self._fault is not None or line.backlog or line.exchange.is_limited(now):
            self._wake_up()

    # The I/O thread.

    def _run(self) -> None:
        error: Optional[SlngError] = None
        try:
            self._connect()
            self._serve()
        except SlngError as failure:
            error = failure
        except Exception as failure:
            # A mistake of ours: told like any other error, not lost with the thread.
            logger.exception("the I/O thread failed")
            error = SlngError(
                f"An unexpected {type(failure).__name__} ended the session; its stack is in the log."
            )
            error.__cause__ = failure
        self._finish(error)

    def _connect(self) -> None:
        settings = self.settings
        timeout = min(settings.connect_timeout, self._close_by - time.monotonic())
        assert self._wake is not None
        opening = Opening(
            settings.route.address, timeout, time.monotonic() + timeout, self._wake, lambda: self._aborted
        )
        connection = open_connection(settings.route, self.dialect.path, opening)
        with self._changed:
            now = time.monotonic()
            exchange = Exchange(self.dialect, self._queue, settings.timing, now)
            pulse = Pulse(settings.ping_interval, settings.ping_timeout, now)
            self._line = Line(connection, exchange, pulse, self._trace)
            self._connections += 1
            if self.state < State.STREAMING:
                self._enter(State.WAITING_READY)

    def _serve(self) -> None:
        """Stay on one line after the other until everything was said."""
        while self._line is not None:
            try:
                self._stay(self._line)
                return
            except SlngError as cause:
                if self._takes_nothing_along(cause):
                    return
                self._restore(self._line, cause)

    def _stay(self, line: Line) -> None:
        """Wait, read and send until the conversation is over. Raises what ended it too early."""
        while self._tend(line):
            self._wait(line, line.due(time.monotonic()))
            self._take_in(line)
        self._say_goodbye(line)
        error = line.failure()
        if error is not None:
            raise error
        if self.state < State.DRAINING:
            raise line.lost("the server ended the stream", 1000)

    # When a line breaks.

    def _restore(self, line: Line, cause: SlngError) -> None:
        """Put a new line in the place of a broken one. Raises what stands against it."""
        if self._refusal is not None and not line.exchange.accepted:
            # The other form of the start did no better; what the first one met says more.
            raise self._refusal
        other_form = None if line.exchange.accepted else self._other_form(cause)
        if self._aborted or not (other_form or self._may_reconnect):
            raise cause
        self._leave(line)
        if other_form is None:
            self._reconnect(Outage(time.monotonic(), cause))
            return
        logger.info("the server refused the start of the stream; trying its other form")
        self.dialect, self._refusal = other_form, cause
        try:
            self._connect()
        except SlngError:
            raise cause from None

    def _other_form(self, refused: SlngError) -> Optional[Dialect]:
        """Another way to put the start, where it may be the start that the server refused."""
        by_policy = isinstance(refused, ConnectionLost) and refused.code == 1008
        as_wrong = isinstance(refused, ServerError) and refused.status == 400
        return self.dialect.alternative() if by_policy or as_wrong else None

    @property
    def _may_reconnect(self) -> bool:
        return self.settings.reconnect and self.state >= State.STREAMING

    def _leave(self, line: Line) -> None:
        """Deliver what is final of a broken line, and put what is not settled back to be sent again."""
        with self._changed:
            if line.has_held(time.monotonic(), STEADY):
                self._schedule.worked()
            last = line.exchange.decoder.end(promote=True)
            self._deliver([each for each in last if each.complete])
            self._unfinished = [each for each in last if not each.complete]
            with contextlib.suppress(SlngError):
                line.hang_up()
            self._hang_up()
            lost = self._queue.rewind()
            if lost:
                self._intake.lose(lost, "it could not be kept until the connection was back")
                self._intake.tell_losses()
            self.delivery.begin_seam(self._queue.start(0.0))

    def _reconnect(self, outage: Outage) -> None:
        """Try until there is a line again, or there is no sense in it any more."""
        if self.state is State.STREAMING:
            self._enter(State.RECONNECTING)
        while self._line is None and self._needs_line(outage):
            delay = self._schedule.next_delay(outage.last)
            if delay is None:
                raise outage.given_up(self._queue.unsettled_seconds)
            outage.attempts += 1
            self._deliver([Reconnecting(self._schedule.attempt, delay, outage.last)])
            if not self._rest(delay):
                raise outage.given_up(self._queue.unsettled_seconds)
            try:
                self._connect()
            except SlngError as error:
                outage.last = error
        self._outage = outage

    def _needs_line(self, outage: Outage) -> bool:
        """Wait until there is a reason to connect again; False where the session ends without one."""
        while (
            outage.is_orderly and not self._has_reason and self.state < State.DRAINING and not self._aborted
        ):
            self._sleep(None, NEVER)
        return self._has_reason or self.state < State.DRAINING

    @property
    def _has_reason(self) -> bool:
        return self._is_capturing or self._queue.unsettled_seconds > 0

    def _rest(self, seconds: float) -> bool:
        """Wait before an attempt; False where the session has no time left for it."""
        until = min(time.monotonic() + seconds, self._close_by)
        while not self._aborted and time.monotonic() < until:
            self._sleep(None, until)
        return not self._aborted and time.monotonic() < self._close_by

    def _takes_nothing_along(self, cause: SlngError) -> bool:
        """Whether a line that breaks now leaves nothing to be done: all is final, and no more will come."""
        with self._changed:
            line = self._line
            if line is None or self._has_reason or not line.exchange.complete:
                return False
            return self._queue.ending or (not self.settings.reconnect and Outage(0.0, cause).is_orderly)

    # What is due on a line.

    def _tend(self, line: Line) -> bool:
        """Do everything that is due. False where there is nothing left to wait for."""
        with self._changed:
            now = time.monotonic()
            if self._aborted:
                raise SessionClosed("The session was aborted.")
            line.check_pulse(now)
            if self.state is State.STREAMING:
                line.check_age(now, self.settings.max_connection_seconds)
            if line.check_closed():
                return False
            self._mark_the_end(now)
            self._pump()
            if self._fault is not None:
                self._hear_why(line, self._fault)
            if line.exchange.ready:
                self._note_ready(now)
            self._deliver(line.exchange.release(now))
            self._changed.notify_all()
            return not line.exchange.over(now) and now < self._close_by

    def _note_ready(self, now: float) -> None:
        if self.state < State.DRAINING:
            self._enter(State.STREAMING)
        if self._outage is not None:
            outage, self._outage = now - self._outage.begun, None
            self._deliver([Reconnected(outage, self._queue.unsettled_seconds)])

    def _hear_why(self, line: Line, fault: SlngError) -> None:
        """Before sending has failed the server may have said why: that counts, else the fault."""
        try:
            self._take_in(line)
        except SlngError:
            raise fault from None
        if line.exchange.failure is None and not line.check_closed():
            raise fault

    def _mark_the_end(self, now: float) -> None:
        """Once the source has ended, ask for the last words and for the end, in this order."""
        capture = self.capture
        if self.state is State.STREAMING and capture is not None and capture.ended:
            self._enter(State.DRAINING)
        if self.state is not State.DRAINING or self._queue.ending:
            return
        if capture is None or capture.ended or now >= capture.given_up_at:
            self._queue.request(FINALIZE)
            self._queue.request(END)

    def _wait(self, line: Line, until: float) -> None:
        with self._changed:
            until = min(until, self._close_by)
            if self.state is State.DRAINING and self.capture is not None and not self._queue.ending:
                until = min(until, self.capture.given_up_at)
            backlog = line.backlog
        self._sleep(line, until, write=backlog)

    def _take_in(self, line: Line) -> None:
        with self._changed:
            items = line.take_in(time.monotonic(), raw=self._callbacks.has("on_message"))
            if items and line.exchange.accepted:
                self._refusal = None
                self._accepted(self.dialect)
            self._deliver(items)
            self._changed.notify_all()

    def _say_goodbye(self, line: Line) -> None:
        """Close the WebSocket, giving the other side a moment to do the same."""
        until = min(time.monotonic() + GOODBYE, max(self._close_by, time.monotonic() + 0.1))
        try:
            while line.closed is None and not self._aborted and time.monotonic() < until:
                with self._changed:
                    if line.exchange.failure is None:
                        line.hang_up()
                    backlog = line.backlog
                self._sleep(line, until, write=backlog)
                self._take_in(line)
        except ConnectionLost:
            # Everything was said; that the other side does not say goodbye is its own affair.
            pass

    def _sleep(self, line: Optional[Line], until: float, *, write: bool = False) -> None:
        """Wait for the socket, a wake-up, or the time."""
        assert self._wake is not None
        sock = None if line is None else line.connection.transport.sock
        wait(sock, self._wake, until - time.monotonic(), write=write)
        self._wake.clear()

    def _deliver(self, items: Iterable[Any]) -> None:
        if self.delivery.deliver(items) and self._line is not None:
            self._schedule.worked()
            self._unfinished = []

    # The end.

    def _finish(self, error: Optional[SlngError]) -> None:
        """The last act of the I/O thread: tell what is left to tell, give everything back."""
        if self._aborted:
            error = None
        elif error is None and self.capture is not None:
            error = self.capture.error
        with self._changed:
            self._intake.tell_losses()
            promoted = self._last_words()
            self.complete = error is None and not promoted and self._is_complete
            self._queue.give_up()
        self._hang_up()
        self._stop_capture()
        self.never_opened = self.state < State.STREAMING
        self.outcome.set(error)
        if not self.never_opened:
            self._tell_the_end(error)
        self.dispatch.close()
        self._close_files()
        self._enter(State.CLOSED)
        if self._wake is not None:
            self._wake.close()

    def _open_files(self) -> None:
        if self._record_path is not None:
            self._intake.record = AudioRecord(self._record_path, self.audio_format)
        if self._trace_path is not None:
            try:
                self._trace = MessageTrace(self._trace_path)
            except BaseException:
                self._close_files()
                raise

    def _close_files(self) -> None:
        with self._changed:
            for file in (self._intake.record, self._trace):
                if file is not None:
                    file.close()
            self._intake.record = self._trace = None

    def _tell_the_end(self, error: Optional[SlngError]) -> None:
        """To ``on_error``, where there is one and no call is there to raise it."""
        if (
            error is not None
            and not self._raises
            and self._callbacks.has("on_error")
            and self.outcome.claim()
        ):
            self.dispatch.put(error)
        self.delivery.tell(Closed(self.complete))

    def _last_words(self) -> bool:
        """Deliver what is final, and the open partial where nobody will finish it; whether there was one."""
        promote = self.state is State.DRAINING and not self._aborted
        if self._line is not None:
            last = self._line.exchange.decoder.end(promote=promote)
        else:
            last = self._unfinished if promote else []
        self._deliver(last)
        return any(not transcript.complete for transcript in last)

    @property
    def _is_complete(self) -> bool:
        if self._aborted or self._queue.unsent:
            return False
        return self._line.exchange.complete if self._line is not None else self._queue.is_settled

    def _hang_up(self) -> None:
        with self._changed:
            if self._line is not None:
                self._ignored += self._line.ignored
                self._line.connection.close()
            self._line = None
            self._fault = None

    # Small things.

    def _enter(self, state: State) -> None:
        """The one place where the state changes. What ends does not begin again."""
        with self._changed:
            if state is State.CLOSED or self.state < State.DRAINING:
                self.state = state
            self._changed.notify_all()

    @property
    def _is_over(self) -> bool:
        return self.state is State.CLOSED or self._aborted

    @property
    def _is_capturing(self) -> bool:
        return self.capture is not None and not self.capture.ended

    @property
    def _is_leaving(self) -> bool:
        return self.state >= State.DRAINING or self._aborted

    def _stop_capture(self) -> None:
        if self.capture is not None:
            self.capture.stop()

    def _wake_up(self) -> None:
        if self._wake is not None and threading.current_thread() is not self._thread:
            self._wake.ring()
