"""What the threads of a session share: its state, its audio, its line; and who may do what to them.

Three threads: ``slng-io`` opens the connection, waits, reads, times and closes; ``slng-callbacks`` runs the
user's functions; ``slng-capture`` reads the source. One lock guards the send queue and the line; nobody holds
it while waiting or while user code runs. Whoever puts audio in sends it at once where the connection takes
it, so that in the common case no other thread is woken.
"""

import threading
import time
from typing import Any, Callable, Optional

from .audio.format import AudioFormat
from .audio.source import AudioSource
from .callbacks import Callbacks
from .capture import Capture
from .delivery import Delivery
from .dialects.base import Dialect
from .dispatch import Dispatch
from .errors import SessionClosed, SlngError
from .intake import Intake
from .line import Line
from .outcome import Outcome
from .recording import AudioRecord, MessageTrace, Path
from .send_queue import FINALIZE, Mark, SendQueue
from .spill import Spill
from .state import Settings, State, Stats
from .transport import WakeUp
from .waiting import NEVER, wait_for

__all__ = ["Stream"]


class Stream:
    """One stream of audio, below the public face of its session. Methods may be called from any thread.

    ``changed`` is the lock, and is notified of every change; ``line`` is there while a connection is in use;
    ``close_by`` is when the stream has to have ended, on the monotonic clock.
    """

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
        tap: Callable[[Any], None] = lambda item: None,
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
        self._record_path = record
        self._trace_path = trace
        self.trace: Optional[MessageTrace] = None
        self.changed = threading.Condition()
        self.queue = SendQueue(
            audio_format,
            capacity_seconds=settings.buffer_seconds,
            chunk_seconds=settings.chunk_seconds,
            store=None if settings.spill is None else Spill(settings.spill, audio_format),
        )
        self.intake = Intake(
            self.queue,
            self.changed,
            pump=self.pump,
            is_over=lambda: self._is_over,
            tell=self.delivery.tell,
        )
        self.wake: Optional[WakeUp] = None
        self.line: Optional[Line] = None
        self.fault: Optional[SlngError] = None
        self.close_by = NEVER
        self.aborted = False
        self.connections = self.ignored = 0
        self._thread: Optional[threading.Thread] = None

    # From beginning to end, for the session.

    def start(self, io_thread: threading.Thread) -> None:
        """Start the thread that connects, unless the source can't be had."""
        if self.capture is not None:
            self.capture.check()
        self._open_files()
        self.wake = WakeUp()
        self.enter(State.CONNECTING)
        self.dispatch.start()
        self._thread = io_thread
        io_thread.start()

    def start_capture(self) -> None:
        """Start to read the source, if there is one."""
        if self.capture is not None:
            self.capture.start()

    def begin_close(self, timeout: float) -> None:
        """Begin to end in order, within ``timeout`` seconds; a stream that is not open yet ends at once."""
        with self.changed:
            if State.STREAMING <= self.state < State.CLOSED:
                # A little is left for the callbacks.
                self.close_by = min(self.close_by, time.monotonic() + timeout - min(0.5, timeout / 4))
                self.enter(State.DRAINING)
            elif self.state < State.STREAMING:
                self.aborted = True
        self.stop_capture()
        self._wake_up()

    def abort(self) -> None:
        """End at once."""
        with self.changed:
            self.aborted = True
            if self.line is not None:
                self.line.connection.shut_down()
            self.changed.notify_all()
        self.stop_capture()
        self._wake_up()

    def join(self, timeout: float) -> bool:
        """Wait for the threads; whether every callback has run."""
        until = time.monotonic() + timeout
        if self._thread is not None:
            self._thread.join(max(0.0, timeout))
        if self.capture is not None:
            self.capture.join(max(0.0, until - time.monotonic()))
        return self.dispatch.join(max(0.0, until - time.monotonic()))

    def forget_parent(self) -> None:
        """After a fork: the threads and the connection are the parent's. Here the stream is dead."""
        self.changed = threading.Condition()
        if self.line is not None:
            self.line.connection.close()
            self.line = None
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
        return wait_for(self.changed, condition, timeout)

    @property
    def may_wait(self) -> bool:
        """Whether the calling thread may wait for the stream: its own threads may not."""
        return not self.dispatch.in_callback and threading.current_thread() is not self._thread

    # What the session asks for.

    def send(self, pcm: bytes, timeout: Optional[float]) -> None:
        """Put audio in, waiting for room. Raises what has ended the stream, and ``WaitTimeout``."""
        with self.changed:
            self._check_open()
            if not self.intake.put(pcm, timeout):
                raise self.outcome.claim() or SessionClosed("The session ended before the audio was sent.")

    def finalize(self) -> Mark:
        """Ask that everything so far becomes final; the mark tells when it has."""
        with self.changed:
            self._check_open()
            mark = self.queue.request(FINALIZE)
            self.pump()
        self._wake_up()
        return mark

    def pause(self, paused: bool) -> None:
        """Withhold audio, or let it flow again."""
        with self.changed:
            self.intake.paused = paused
            self.changed.notify_all()

    def stats(self) -> Stats:
        """What was done so far."""
        with self.changed:
            seconds = self.audio_format.seconds
            return Stats(
                captured=seconds(self.queue.captured),
                sent=seconds(self.queue.sent),
                settled=seconds(self.queue.settled),
                buffered=seconds(self.queue.unsent),
                lost=seconds(self.intake.lost),
                partials=self.delivery.partials,
                finals=self.delivery.finals,
                connections=self.connections,
                ignored_frames=self.ignored + (self.line.ignored if self.line else 0),
            )

    def _check_open(self) -> None:
        if self.state >= State.DRAINING or self.aborted:
            raise self.outcome.claim() or SessionClosed(
                "The session is over.", hint="Client.listen() begins a new one."
            ) from self.outcome.error

    def _put_captured(self, pcm: bytes) -> bool:
        """Take a piece from the source, on its thread. False where no more is wanted."""
        with self.changed:
            if self._is_over:
                return False
            if self.capture is not None and self.capture.live:
                self.intake.put_live(pcm)
            else:
                self.changed.wait_for(lambda: not self.intake.paused or self._is_leaving)
                self.intake.put(pcm, None)
            return not self._is_over

    def pump(self) -> None:
        """Send what may be sent; called with the lock held, by whoever has put something in."""
        line = self.line
        if line is None or self.fault is not None:
            # A line that is only put up again when there is something to say.
            self._wake_up()
            return
        now = time.monotonic()
        room = self.queue.room
        try:
            line.pump(now)
        except SlngError as fault:
            # For the I/O thread to tell: it is not the matter of whoever happened to send.
            self.fault = fault
        self.intake.lose_unreadable()
        if self.queue.room > room:
            self.changed.notify_all()
        if self.fault is not None or line.backlog or line.exchange.is_limited(now):
            self._wake_up()

    def _open_files(self) -> None:
        if self._record_path is not None:
            self.intake.record = AudioRecord(self._record_path, self.audio_format)
        if self._trace_path is not None:
            try:
                self.trace = MessageTrace(self._trace_path)
            except BaseException:
                self.close_files()
                raise

    def close_files(self) -> None:
        with self.changed:
            for file in (self.intake.record, self.trace):
                if file is not None:
                    file.close()
            self.intake.record = self.trace = None
            self.queue.leave(complete=self.complete)

    # Small things.

    def enter(self, state: State) -> None:
        """The one place where the state changes. What ends does not begin again."""
        with self.changed:
            if state is State.CLOSED or self.state < State.DRAINING:
                self.state = state
            self.changed.notify_all()

    @property
    def _is_over(self) -> bool:
        return self.state is State.CLOSED or self.aborted

    @property
    def is_capturing(self) -> bool:
        return self.capture is not None and not self.capture.ended

    @property
    def _is_leaving(self) -> bool:
        return self.state >= State.DRAINING or self.aborted

    def stop_capture(self) -> None:
        if self.capture is not None:
            self.capture.stop()

    def _wake_up(self) -> None:
        if self.wake is not None and threading.current_thread() is not self._thread:
            self.wake.ring()

    def hang_up(self) -> None:
        with self.changed:
            if self.line is not None:
                self.ignored += self.line.ignored
                self.line.connection.close()
            self.line = None
            self.fault = None
