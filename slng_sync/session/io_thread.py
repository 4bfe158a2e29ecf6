"""What owns the connection: it opens, restores, times, closes, and reads where nobody else does.

It has a thread, ``slng-io``, except while nothing is to be done on a line but to speak and to listen: then
the timekeeper of all streams does what is due.
"""

import contextlib
import functools
import time
from typing import Any, Callable, List, Optional, Sequence

from ..callbacks.registry import Callbacks
from ..dialects.base import Dialect
from ..errors import ConnectionLost, ServerError, SessionClosed, SlngError
from ..events import Closed, Reconnected, Reconnecting, Transcript
from ..log import logger
from ..protocol.backoff import Backoff, Outage
from ..protocol.send_queue import END, FINALIZE
from ..protocol.stream_protocol import StreamProtocol
from ..transport.connecting import Opening
from ..transport.connection import open_connection
from ..transport.transport import Watch
from ..waiting import NEVER
from .line import Heartbeat, Line
from .state import State
from .stream import Stream
from .timekeeper import timekeeper

__all__ = ["IoThread"]

GOODBYE = 1.0
"""How long the other side may take to close as well."""
LINGER = 2.0
"""Seconds that a thread stays after there was more for it to do than to keep the time."""
BUSY = 0.01
"""When to try again where somebody sends or reads in this moment; the timekeeper waits for nobody."""
STEADY = 60.0
"""A connection that has held this long has worked, even if nobody spoke."""


class IoThread:
    """One line after the other, from the first connection to the last word.

    ``raises`` says that a call is there to raise what ends the stream; ``accepted`` is told the dialect with
    which the server has let the stream begin.
    """

    __slots__ = """
        _accepted _callbacks _leave_at _outage _raises _refusal _schedule _stream _unfinished _watch
    """.split()

    def __init__(
        self,
        stream: Stream,
        callbacks: Callbacks,
        *,
        raises: bool = False,
        accepted: Callable[[Dialect], None] = lambda dialect: None,
    ) -> None:
        settings = stream.settings
        self._stream = stream
        self._callbacks = callbacks
        self._raises = raises
        self._accepted = accepted
        self._schedule = Backoff(settings.max_attempts if settings.reconnect else 0)
        self._refusal: Optional[SlngError] = None
        self._outage: Optional[Outage] = None
        self._unfinished: List[Transcript] = []
        self._watch: Optional[Watch] = None
        self._leave_at = NEVER
        stream.reader.read = self._read_along

    def run(self) -> None:
        """What the thread does, at first and again; it returns at the end, or where it is not needed."""
        error: Optional[SlngError] = None
        try:
            if self._stream.line is None:
                self._connect()
            if not self._serve():
                return
        except SlngError as failure:
            error = failure
        except Exception as failure:
            error = _mistake(failure)
        self._finish(error)

    def _connect(self) -> None:
        stream = self._stream
        settings = stream.settings
        timeout = max(0.1, min(settings.connect_timeout, stream.close_by - time.monotonic()))
        assert stream.wake is not None
        opening = Opening(
            settings.route.address,
            timeout,
            time.monotonic() + timeout,
            stream.wake,
            lambda: stream.aborted,
        )
        connection = open_connection(settings.route, stream.dialect.path, opening)
        with stream.lock:
            now = time.monotonic()
            exchange = StreamProtocol(stream.dialect, stream.queue, settings.timing, now)
            exchange.close_by = stream.close_by
            pulse = Heartbeat(settings.ping_interval, settings.ping_timeout, now)
            stream.line = Line(connection, exchange, pulse, stream.trace)
            stream.connections += 1
            if stream.state < State.STREAMING:
                stream.enter(State.WAITING_READY)

    def _serve(self) -> bool:
        """Stay on one line after the other until everything was said. False where it is left for now."""
        stream = self._stream
        while stream.line is not None:
            try:
                return self._stay(stream.line)
            except SlngError as cause:
                if self._takes_nothing_along(cause):
                    break
                self._restore(stream.line, cause)
        return True

    def _stay(self, line: Line) -> bool:
        """Wait, read and send until the conversation is over. Raises what ended it too early.

        False where nobody is needed here any more, for now.
        """
        self._leave_at = time.monotonic() + LINGER if self._may_leave else NEVER
        while self._tend(line):
            if self._has_left(line):
                return False
            self._wait(line, line.due(time.monotonic()))
            with self._stream.lock:
                # Not once it is known why it ends: a break after that says nothing more.
                if line.exchange.failure is None:
                    self._take_in(line, time.monotonic())
        self._say_goodbye(line)
        error = line.failure()
        if error is not None:
            raise error
        if self._stream.state < State.DRAINING:
            raise line.lost("the server ended the stream", 1000)
        return True

    # While nothing is to be done on a line but to speak and to listen.

    @property
    def _may_leave(self) -> bool:
        """Whether another thread reads, and nothing here may have to wait for a disk."""
        stream = self._stream
        polled = stream.settings.dispatch == "manual"
        return not polled and stream.trace is None and stream.queue.store is None

    def _has_left(self, line: Line) -> bool:
        """Leave a line to the timekeeper, if it is steady and another thread reads it."""
        stream = self._stream
        with stream.lock:
            now = time.monotonic()
            if now < self._leave_at:
                return False
            if stream.steady_line() is not line or not stream.reader.is_listening or line.backlog:
                self._leave_at = now + LINGER
                return False
            # It has a look at once: what has changed before it could be called is not missed.
            stream.call_keeper = functools.partial(timekeeper.call, self)
            try:
                timekeeper.keep(self)
            except (OSError, RuntimeError):
                stream.call_keeper, self._leave_at = None, NEVER
                return False
            self._watch = None
            return True

    def tend(self) -> Optional[float]:
        """Do what is due for the timekeeper: when to come again, None where there is more to do than that."""
        stream = self._stream
        if stream.io_thread is not None and stream.io_thread.is_alive():
            # It is about to end, and nobody else would know of it.
            return time.monotonic() + BUSY
        if not stream.lock.acquire(blocking=False):
            return time.monotonic() + BUSY
        try:
            stream.io_thread = None
            line = stream.steady_line()
            if line is None or stream.reader.is_missed(time.monotonic()) or not self._tend(line):
                return None
            if stream.steady_line() is None or line.backlog or line.exchange.is_limited:
                return None
            now = time.monotonic()
            return max(now + BUSY, min(line.due(now), stream.reader.missed_at))
        except SlngError:
            # It lies in the line: who goes on meets it again, and tells it.
            return None
        except Exception as failure:
            stream.fault = _mistake(failure)
            return None
        finally:
            stream.lock.release()

    def go_on(self) -> None:
        """The timekeeper has seen that there is more to do."""
        stream = self._stream
        stream.call_keeper = None
        try:
            stream.start_io(self.run)
        except RuntimeError:
            # The system gives no thread; at the end of a process Python 3.12 and later do not.
            stream.reader.lend(self.run)

    # When a line breaks.

    def _restore(self, line: Line, cause: SlngError) -> None:
        """Put a new line in the place of a broken one. Raises what stands against it."""
        if self._refusal is not None and not line.exchange.accepted:
            # The other form of the start did no better; what the first one met says more.
            raise self._refusal
        other_form = None if line.exchange.accepted else self._other_form(cause)
        if self._stream.aborted or not (other_form or self._may_reconnect):
            raise cause
        self._leave(line, cause)
        if other_form is None:
            begun = time.monotonic() if self._outage is None else self._outage.begun
            self._reconnect(Outage(begun, cause))
            return
        logger.info("the server refused the start of the stream; trying its other form")
        self._stream.dialect, self._refusal = other_form, cause
        try:
            self._connect()
        except SlngError:
            raise cause from None

    def _other_form(self, refused: SlngError) -> Optional[Dialect]:
        """Another way to put the start, where it may be the start that the server refused."""
        by_policy = isinstance(refused, ConnectionLost) and refused.code == 1008
        as_wrong = isinstance(refused, ServerError) and refused.status == 400
        return self._stream.dialect.alternative() if by_policy or as_wrong else None

    @property
    def _may_reconnect(self) -> bool:
        return self._stream.settings.reconnect and self._stream.state >= State.STREAMING

    def _leave(self, line: Line, cause: SlngError) -> None:
        """Deliver what is final of a broken line, and put what is not settled back to be sent again."""
        stream = self._stream
        with stream.lock:
            if line.has_held(time.monotonic(), STEADY):
                self._schedule.worked()
            last = line.exchange.decoder.end(promote=True)
            self._deliver([each for each in last if each.complete])
            self._unfinished = [each for each in last if not each.complete]
            with contextlib.suppress(SlngError):
                line.hang_up()
            stream.hang_up()
            lost = stream.queue.rewind()
            if lost:
                stream.intake.lose(lost, "it could not be kept until the connection was back")
                stream.intake.tell_losses()
            stream.delivery.begin_overlap(stream.queue.start(0.0))
            line.note_loss(cause.message)

    def _reconnect(self, outage: Outage) -> None:
        """Try until there is a line again, or there is no sense in it any more."""
        stream = self._stream
        if stream.state is State.STREAMING:
            stream.enter(State.RECONNECTING)
        while stream.line is None and not stream.aborted and self._needs_line(outage):
            delay = self._schedule.next_delay(outage.last)
            if delay is None:
                raise outage.given_up(stream.queue.unsettled_seconds)
            outage.attempts += 1
            self._deliver([Reconnecting(self._schedule.attempt, delay, outage.last)])
            if not self._rest(delay):
                raise outage.given_up(stream.queue.unsettled_seconds)
            try:
                self._connect()
            except SlngError as error:
                outage.last = error
        self._outage = outage

    def _needs_line(self, outage: Outage) -> bool:
        """Wait until there is a reason to connect again; False where the session ends without one."""
        stream = self._stream
        while (
            outage.is_orderly
            and not self._has_reason
            and stream.state < State.DRAINING
            and not stream.aborted
        ):
            self._sleep(None, NEVER)
        return self._has_reason or stream.state < State.DRAINING

    @property
    def _has_reason(self) -> bool:
        return self._stream.is_capturing or self._stream.queue.unsettled_seconds > 0

    def _rest(self, seconds: float) -> bool:
        """Wait before an attempt; False where the session has no time left for it."""
        stream = self._stream
        until = min(time.monotonic() + seconds, stream.close_by)
        while not stream.aborted and time.monotonic() < until:
            self._sleep(None, until)
        return not stream.aborted and time.monotonic() < stream.close_by

    def _takes_nothing_along(self, cause: SlngError) -> bool:
        """Whether a line that breaks now leaves nothing to be done: all is final, and no more will come."""
        stream = self._stream
        with stream.lock:
            line = stream.line
            if line is None or self._has_reason or not line.exchange.complete:
                return False
            return stream.queue.ending or (not stream.settings.reconnect and Outage(0.0, cause).is_orderly)

    # What is due on a line.

    def _tend(self, line: Line) -> bool:
        """Do everything that is due. False where there is nothing left to wait for."""
        stream = self._stream
        with stream.lock:
            now = time.monotonic()
            if stream.aborted:
                raise SessionClosed("The session was aborted.")
            line.check_pulse(now)
            if stream.state is State.STREAMING:
                line.check_age(now, stream.settings.max_connection_seconds)
            if line.check_closed():
                return False
            self._mark_the_end(now)
            stream.pump()
            if stream.fault is not None:
                self._hear_why(line, stream.fault)
            if line.exchange.ready:
                self._note_ready(now)
            self._deliver(line.exchange.release(now))
            stream.changes.tell()
            return not line.exchange.over(now) and now < stream.close_by

    def _note_ready(self, now: float) -> None:
        stream = self._stream
        if stream.state < State.DRAINING and stream.state is not State.STREAMING:
            stream.enter(State.STREAMING)
            # There is a line to listen to.
            stream.reader.wake_up()
        if self._outage is not None:
            outage, self._outage = now - self._outage.begun, None
            self._deliver([Reconnected(outage, stream.queue.unsettled_seconds)])

    def _hear_why(self, line: Line, fault: SlngError) -> None:
        """Before sending has failed the server may have said why: that counts, else the fault."""
        try:
            if line.exchange.failure is None:
                self._take_in(line, time.monotonic())
        except SlngError:
            raise fault from None
        if line.exchange.failure is None and not line.check_closed():
            raise fault

    def _mark_the_end(self, now: float) -> None:
        """Once the source has ended, ask for the last words and for the end, in this order."""
        stream = self._stream
        capture = stream.capture
        if stream.state is State.STREAMING and capture is not None and capture.ended:
            stream.enter(State.DRAINING)
        if stream.state is not State.DRAINING or stream.queue.ending:
            return
        if capture is None or capture.ended or now >= capture.given_up_at:
            stream.end_hearing()
            stream.queue.request(FINALIZE)
            stream.queue.request(END)

    def _wait(self, line: Line, until: float) -> None:
        stream = self._stream
        with stream.lock:
            until = min(until, stream.close_by)
            if time.monotonic() < self._leave_at:
                until = min(until, self._leave_at)
            if stream.state is State.DRAINING and stream.capture is not None and not stream.queue.ending:
                until = min(until, stream.capture.given_up_at)
            backlog = line.backlog
            is_read = stream.steady_line() is not None and stream.reader.is_listening and not backlog
        self._sleep(None if is_read else line, until, write=backlog)

    def _take_in(self, line: Line, now: float) -> None:
        """Hear what has come; called with the lock held."""
        was_accepted = line.exchange.accepted
        items = line.take_in(now, raw=self._callbacks.want_frames)
        if not was_accepted and line.exchange.accepted:
            self._refusal = None
            self._accepted(self._stream.dialect)
        self._deliver(items)
        self._stream.changes.tell()

    def _read_along(self, line: Line) -> None:
        """Take in what has come on the thread that runs the callbacks, while all goes well."""
        stream = self._stream
        with stream.lock:
            if stream.steady_line() is not line:
                return
            now = time.monotonic()
            try:
                self._take_in(line, now)
            except SlngError as fault:
                stream.fault = fault
            except Exception as failure:
                stream.fault = _mistake(failure)
            longest = stream.settings.max_connection_seconds
            if stream.fault is not None or line.wants_attention(now, longest):
                stream.wake_up()

    def _say_goodbye(self, line: Line) -> None:
        """Close the WebSocket, giving the other side a moment to do the same."""
        stream = self._stream
        until = min(time.monotonic() + GOODBYE, max(stream.close_by, time.monotonic() + 0.1))
        try:
            while line.closed is None and not stream.aborted and time.monotonic() < until:
                with stream.lock:
                    if line.exchange.failure is None:
                        line.hang_up()
                    backlog = line.backlog
                self._sleep(line, until, write=backlog)
                with stream.lock:
                    self._take_in(line, time.monotonic())
        except SlngError:
            # Everything was said; that the other side does not say goodbye is its own affair.
            pass

    def _sleep(self, line: Optional[Line], until: float, *, write: bool = False) -> None:
        """Wait for the socket, a wake-up, or the time."""
        sock = None if line is None else line.connection.transport.sock
        if self._watch is None or self._watch.sock is not sock:
            assert self._stream.wake is not None
            self._watch = Watch(self._stream.wake, sock)
        self._watch.wait(until - time.monotonic(), write=write)

    def _deliver(self, items: Sequence[Any]) -> None:
        if items and self._stream.delivery.deliver(items) and self._stream.line is not None:
            self._schedule.worked()
            self._unfinished = []

    # The end.

    def _finish(self, error: Optional[SlngError]) -> None:
        """The last act of the I/O thread: tell what is left to tell, give everything back."""
        stream = self._stream
        if stream.aborted:
            error = None
        elif error is None and stream.capture is not None:
            error = stream.capture.error
        with stream.lock:
            stream.intake.tell_losses()
            try:
                promoted = self._last_words()
                stream.complete = error is None and not promoted and self._is_complete
            except Exception as failure:
                # In a program's own dialect: whoever waits for the end must find it all the same.
                mistake = _mistake(failure)
                error = error or mistake
            stream.queue.give_up()
        stream.hang_up()
        stream.stop_capture()
        stream.never_opened = stream.state < State.STREAMING
        stream.outcome.set(error)
        with stream.lock:
            # In one step: whoever is told of the end finds that it is.
            stream.close_files()
            if not stream.never_opened:
                self._tell_the_end(error)
            stream.give_back()
        self._log_what_is_missing(error)

    def _tell_the_end(self, error: Optional[SlngError]) -> None:
        """To ``on_error``, where there is one and no call is there to raise it."""
        stream = self._stream
        if (
            error is not None
            and not self._raises
            and self._callbacks.has("on_error")
            and stream.outcome.claim()
        ):
            stream.dispatch.put(error)
        stream.delivery.put(Closed(stream.complete))

    def _log_what_is_missing(self, error: Optional[SlngError]) -> None:
        """For who waits for a transcript and hears of no events; a session's ``close`` returns it."""
        is_cut_short = error is None and not (self._stream.complete or self._stream.aborted)
        if is_cut_short and self._raises and not self._callbacks.has("on_event"):
            logger.warning("the transcript is not complete: the server did not answer for the last of it")

    def _last_words(self) -> bool:
        """Deliver what is final, and the open partial where nobody will finish it; whether there was one."""
        stream = self._stream
        promote = stream.state is State.DRAINING and not stream.aborted
        if stream.line is not None:
            last = stream.line.exchange.decoder.end(promote=promote)
        else:
            last = self._unfinished if promote else []
        self._deliver(last)
        return any(not transcript.complete for transcript in last)

    @property
    def _is_complete(self) -> bool:
        stream = self._stream
        if stream.aborted or stream.queue.unsent:
            return False
        return stream.line.exchange.complete if stream.line is not None else stream.queue.is_settled


def _mistake(failure: Exception) -> SlngError:
    """A mistake of ours: told like any other error, not lost with the thread."""
    logger.error("a thread of a session failed", exc_info=failure)
    error = SlngError(f"An unexpected {type(failure).__name__} ended the session; its stack is in the log.")
    error.__cause__ = failure
    return error
