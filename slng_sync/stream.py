"""The engine of a session: one stream of audio, the threads that serve it, and its state.

Three threads: ``slng-io`` opens the connection, waits, reads, times and closes; ``slng-callbacks`` runs the
user's functions; ``slng-capture`` reads the source. One lock guards the send queue and the line; nobody holds
it while waiting or while user code runs. Whoever puts audio in sends it at once where the connection takes
it, so that in the common case no other thread is woken.
"""

import os
import threading
import time
from typing import Any, Callable, List, Optional

from .audio.format import AudioFormat
from .audio.source import AudioSource
from .callbacks import Callbacks
from .capture import Capture
from .connection import open_connection
from .dialects.base import Dialect
from .dispatch import Dispatch
from .errors import ConnectionLost, ServerError, SessionClosed, SlngError, WaitTimeout
from .events import AudioLost, Closed, Ready, Transcript
from .exchange import Exchange
from .line import Line, Pulse
from .log import logger
from .opening import Opening
from .outcome import Outcome
from .recording import AudioRecord, MessageTrace
from .send_queue import END, FINALIZE, Mark, SendQueue
from .state import Settings, State, Stats
from .transcript import TranscriptLog
from .transport import WakeUp, wait

__all__ = ["Stream"]

GOODBYE = 1.0
"""How long the other side may take to close as well."""
NEVER = float("inf")


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
        record: Optional[AudioRecord] = None,
        trace: Optional[MessageTrace] = None,
        raises: bool = False,
        tap: Callable[[Any], None] = lambda item: None,
        accepted: Callable[[Dialect], None] = lambda dialect: None,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.audio_format = audio_format
        self.state = State.NEW
        self.id: Optional[str] = None
        self.log = TranscriptLog()
        self.outcome = Outcome()
        self.dispatch = Dispatch(settings.dispatch, callbacks.deliver)
        self.capture = Capture(source, audio_format, self._put_captured, self._wake_up) if source else None
        self.complete = False
        self.never_opened = False
        self._callbacks = callbacks
        self._record = record
        self._trace = trace
        self._raises = raises
        self._tap = tap
        self._accepted = accepted
        self._changed = threading.Condition()
        self._queue = SendQueue(
            audio_format, capacity_seconds=settings.buffer_seconds, chunk_seconds=settings.chunk_seconds
        )
        self._wake = WakeUp()
        self._line: Optional[Line] = None
        self._fault: Optional[SlngError] = None
        self._close_by = NEVER
        self._aborted = False
        self._paused = False
        self._lost = self._partials = self._finals = self._connections = self._ignored = 0
        # Daemon: at the end of the process ``lifetime`` gives it its time.
        self._thread = threading.Thread(target=self._run, name="slng-io", daemon=True)

    # From beginning to end, for the session.

    def start(self) -> None:
        """Start to connect, unless the source can't be had."""
        if self.capture is not None:
            self.capture.check()
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

    def wait_for(self, condition: Callable[[], bool], timeout: Optional[float]) -> bool:
        """Wait until something holds; False where time was up. The condition is asked with the lock held."""
        until = NEVER if timeout is None else time.monotonic() + timeout
        # On Windows in slices, or Ctrl-C would not get through.
        longest = 0.5 if os.name == "nt" else NEVER
        with self._changed:
            while True:
                left = min(until - time.monotonic(), longest)
                if self._changed.wait_for(condition, None if left == NEVER else left):
                    return True
                if time.monotonic() >= until:
                    return False

    @property
    def may_wait(self) -> bool:
        """Whether the calling thread may wait for the stream: its own threads may not."""
        return not self.dispatch.in_callback and threading.current_thread() is not self._thread

    # What the session asks for.

    def send(self, pcm: bytes, timeout: Optional[float]) -> None:
        """Put audio in, waiting for room. Raises what has ended the stream, and ``WaitTimeout``."""
        with self._changed:
            self._check_open()
            if not self._put(pcm, timeout):
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
            self._paused = paused
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
                lost=seconds(self._lost),
                partials=self._partials,
                finals=self._finals,
                connections=self._connections,
                ignored_frames=self._ignored + (self._line.ignored if self._line else 0),
            )

    def _check_open(self) -> None:
        if self.state >= State.DRAINING or self._aborted:
            raise self.outcome.claim() or SessionClosed(
                "The session is over.", hint="Client.listen() begins a new one."
            ) from self.outcome.error

    # Audio, on the thread that brings it.

    def _put_captured(self, pcm: bytes) -> bool:
        """Take a piece from the source. False where no more is wanted."""
        with self._changed:
            if self.capture is not None and self.capture.live:
                self._put_live(pcm)
            else:
                self._changed.wait_for(lambda: not self._paused or self._is_leaving)
                self._put(pcm, None)
            return not self._is_over

    def _put_live(self, pcm: bytes) -> None:
        """A microphone cannot wait: paused audio is passed over, and a full buffer loses its oldest."""
        frames = len(pcm) // self.audio_format.frame_bytes
        if self._paused:
            self._queue.skip(frames)
            return
        dropped = self._queue.drop_oldest(frames - self._queue.room)
        if dropped:
            self._lost += dropped
            self.dispatch.put(
                AudioLost(self.audio_format.seconds(dropped), "the connection was slower than speech")
            )
        self._append(pcm)

    def _put(self, pcm: bytes, timeout: Optional[float]) -> bool:
        """Put audio in as there is room; called with the lock held. False where the session ended."""
        width = self.audio_format.frame_bytes
        until = None if timeout is None else time.monotonic() + timeout
        while pcm and not self._is_over:
            fits = self._queue.room * width
            if not fits:
                self._wait_for_room(until)
                continue
            self._append(pcm if len(pcm) <= fits else pcm[:fits])
            pcm = pcm[fits:]
        return not pcm

    def _append(self, pcm: bytes) -> None:
        if self._record is not None:
            self._record.write(pcm)
        self._queue.put(pcm)
        self._pump()

    def _wait_for_room(self, until: Optional[float]) -> None:
        timeout = None if until is None else until - time.monotonic()
        if not self.wait_for(lambda: self._queue.room > 0 or self._is_over, timeout):
            raise WaitTimeout(
                "The send buffer was full for too long.", hint="The connection is slower than the audio."
            )

    def _pump(self) -> None:
        """Send what may be sent; called with the lock held, by whoever has put something in."""
        line = self._line
        if line is None or self._fault is not None:
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
            self._converse()
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
        until = time.monotonic() + settings.connect_timeout
        opening = Opening(
            settings.route.address, settings.connect_timeout, until, self._wake, lambda: self._aborted
        )
        connection = open_connection(settings.route, self.dialect.path, opening)
        with self._changed:
            now = time.monotonic()
            exchange = Exchange(self.dialect, self._queue, settings.timing, now)
            pulse = Pulse(settings.ping_interval, settings.ping_timeout, now)
            self._line = Line(connection, exchange, pulse, self._trace)
            self._connections += 1
            self._enter(State.WAITING_READY)

    def _converse(self) -> None:
        """Stay on the line until everything was said; once more in other words where that may help."""
        assert self._line is not None
        try:
            self._stay(self._line)
        except (ServerError, ConnectionLost) as refused:
            alternative = self._alternative(self._line, refused)
            if alternative is None:
                raise
            self._begin_again(alternative, refused)

    def _alternative(self, line: Line, refused: SlngError) -> Optional[Dialect]:
        """Another way to put the start, where it was the start that the server refused."""
        if line.exchange.accepted or self._aborted:
            return None
        by_policy = isinstance(refused, ConnectionLost) and refused.code == 1008
        as_wrong = isinstance(refused, ServerError) and refused.status == 400
        return self.dialect.alternative() if by_policy or as_wrong else None

    def _begin_again(self, dialect: Dialect, refused: SlngError) -> None:
        logger.info("the server refused the start of the stream; trying its other form")
        self._hang_up()
        with self._changed:
            self.dialect = dialect
            self._queue.rewind()
        try:
            self._connect()
            assert self._line is not None
            self._stay(self._line)
        except SlngError as error:
            # The first refusal says more, unless the second attempt got further.
            raise (error if self._line is not None and self._line.exchange.accepted else refused) from None

    def _stay(self, line: Line) -> None:
        """Wait, read and send until the conversation is over. Raises what ended it too early."""
        while self._tend(line):
            self._wait(line, line.due(time.monotonic()))
            self._take_in(line)
        self._say_goodbye(line)
        error = line.failure()
        if error is not None:
            raise error
        if self.state is State.STREAMING and (self._is_capturing or self._queue.unsettled_seconds):
            raise line.lost("the server ended the stream", 1000)

    def _tend(self, line: Line) -> bool:
        """Do everything that is due. False where there is nothing left to wait for."""
        with self._changed:
            now = time.monotonic()
            if self._aborted:
                raise SessionClosed("The session was aborted.")
            line.check_pulse(now)
            if line.check_closed():
                return False
            self._mark_the_end(now)
            self._pump()
            if self._fault is not None:
                self._hear_why(line, self._fault)
            if line.exchange.ready and self.state < State.STREAMING:
                self._enter(State.STREAMING)
            self._deliver(line.exchange.release(now))
            self._changed.notify_all()
            return not line.exchange.over(now) and now < self._close_by

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
        self._sleep(line, until, backlog)

    def _take_in(self, line: Line) -> None:
        with self._changed:
            items = line.take_in(time.monotonic(), raw=self._callbacks.has("on_message"))
            if items and line.exchange.accepted:
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
                self._sleep(line, until, backlog)
                self._take_in(line)
        except ConnectionLost:
            # Everything was said; that the other side does not say goodbye is its own affair.
            pass

    def _sleep(self, line: Line, until: float, backlog: bool) -> None:
        wait(line.connection.transport.sock, self._wake, until - time.monotonic(), write=backlog)
        self._wake.clear()

    def _deliver(self, items: List[Any]) -> None:
        for item in items:
            if isinstance(item, Transcript):
                self.log.add(item)
                self._finals += item.is_final
                self._partials += not item.is_final
            elif isinstance(item, Ready):
                self.id = item.session_id
            self._tap(item)
            self.dispatch.put(item)

    # The end.

    def _finish(self, error: Optional[SlngError]) -> None:
        """The last act of the I/O thread: tell what is left to tell, give everything back."""
        if self._aborted:
            error = None
        elif error is None and self.capture is not None:
            error = self.capture.error
        with self._changed:
            promoted = self._last_words(promote=self.state is State.DRAINING and not self._aborted)
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
        self._wake.close()

    def _close_files(self) -> None:
        with self._changed:
            for file in (self._record, self._trace):
                if file is not None:
                    file.close()
            self._record = None

    def _tell_the_end(self, error: Optional[SlngError]) -> None:
        """To ``on_error``, where there is one and no call is there to raise it."""
        if (
            error is not None
            and not self._raises
            and self._callbacks.has("on_error")
            and self.outcome.claim()
        ):
            self.dispatch.put(error)
        closed = Closed(self.complete)
        self._tap(closed)
        self.dispatch.put(closed)

    def _last_words(self, *, promote: bool) -> bool:
        """Deliver what is final, and the open partial where nobody will finish it; whether there was one."""
        if self._line is None:
            return False
        last = self._line.exchange.decoder.end(promote=promote)
        self._deliver(last)
        return any(not transcript.complete for transcript in last)

    @property
    def _is_complete(self) -> bool:
        return self._line is not None and self._line.exchange.complete and not self._queue.unsent

    def _hang_up(self) -> None:
        with self._changed:
            if self._line is not None:
                self._ignored += self._line.ignored
                self._line.connection.close()
            self._line = None
            self._fault = None

    # Small things.

    def _enter(self, state: State) -> None:
        """The one place where the state changes."""
        with self._changed:
            self.state = max(state, self.state)
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
        if threading.current_thread() is not self._thread:
            self._wake.ring()
