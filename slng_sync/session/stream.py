"""What the threads of a session share: its state, its audio, its line; and who may do what to them.

Three threads: ``slng-io`` opens the connection, times, restores and closes, and leaves the timing to the
timekeeper of all streams while there is nothing else; ``slng-callbacks`` runs the user's functions, and
between them reads the connection; ``slng-capture`` reads the source. One lock guards the send queue and the
line; nobody holds it while waiting or while user code runs. Whoever puts audio in sends it at once where the
connection takes it: a chunk wakes nobody, and a frame one thread.
"""

import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Union

from ..audio.format import AudioFormat
from ..callbacks.delivery import ChannelDelivery, Delivery
from ..callbacks.dispatch import Dispatch
from ..callbacks.registry import Callbacks
from ..dialects.base import Dialect
from ..errors import SessionClosed, SlngError
from ..events import AudioLost, Event, Level, MicrophoneLost, MicrophoneRestored
from ..protocol.send_queue import FINALIZE, Mark, SendQueue
from ..system_limits import refused
from ..transport.transport import WakeUp
from ..validation import Path
from ..waiting import NEVER, Changes
from .audio_input import AudioInput
from .capture import Capture
from .line import Line
from .outcome import Outcome
from .reader import Reader
from .state import Settings, State, Stats
from .timekeeper import timekeeper

# What few sessions need is loaded with the first of them that does.
if TYPE_CHECKING:
    from ..audio.source import AudioSource
    from ..audio.voice_gate import Heard, VoiceGate
    from ..storage.spill import Spill
    from ..storage.trace_writer import TraceWriter
    from ..storage.writer import FileWriter

__all__ = ["Stream"]

FILES_TIMEOUT = 2.0

# For the paths of every chunk and frame: some Pythons look a member up by a function in Python.
STREAMING, DRAINING = State.STREAMING, State.DRAINING


class Stream:
    """One stream of audio, below the public face of its session. Methods may be called from any thread.

    ``lock`` guards it all, and ``changes`` tells of every change; ``line`` is there while a connection is in
    use; ``close_by`` is when the stream has to have ended, on the monotonic clock. ``call_keeper`` is there
    while the timekeeper does what the I/O thread would do.
    """

    __slots__ = """
        _ear _record_path _trace_audio _trace_path aborted audio_format call_keeper capture changes close_by
        complete connections delivery dialect dispatch fault ignored intake io_thread line lock muted
        never_opened outcome queue reader settings state trace wake writer
    """.split()

    def __init__(
        self,
        settings: Settings,
        dialect: Dialect,
        audio_format: AudioFormat,
        callbacks: Callbacks,
        *,
        source: "Optional[AudioSource]" = None,
        record: Optional[Path] = None,
        trace: Optional[Path] = None,
        trace_audio: bool = False,
        tap: Optional[Callable[[Any], None]] = None,
        channel: Optional[str] = None,
        ear: "Optional[VoiceGate]" = None,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.audio_format = audio_format
        self.state = State.NEW
        self.outcome = Outcome()
        self.reader = Reader(self.steady_line)
        self.dispatch = Dispatch(
            settings.dispatch,
            callbacks.deliver,
            idle=self.reader.wait,
            wake=self.reader.wake_up,
            leave=self.reader.close,
        )
        self.delivery = (
            Delivery(self.dispatch, tap) if channel is None else ChannelDelivery(channel, self.dispatch, tap)
        )
        self.capture = Capture(source, audio_format, self._put_captured, self.wake_up) if source else None
        self.muted = False
        self._ear = ear
        self.complete = False
        self.never_opened = False
        self._record_path = record
        self._trace_path = trace
        self._trace_audio = trace_audio
        self.trace: Optional[TraceWriter] = None
        self.changes = Changes()
        self.lock = self.changes.lock
        self.writer: Optional[FileWriter] = None
        if record is not None or trace is not None or settings.spill is not None:
            from ..storage import writer

            self.writer = writer.FileWriter(_Pump(self))
        self.queue = SendQueue(
            audio_format,
            capacity_seconds=settings.buffer_seconds,
            chunk_seconds=settings.chunk_seconds,
            store=self._store(settings.spill),
        )
        self.intake = AudioInput(
            self.queue,
            self.changes,
            pass_on=self._pass_on,
            pump=self.pump,
            is_over=lambda: self._is_over,
            tell=self.delivery.tell,
        )
        self.wake: Optional[WakeUp] = None
        self.call_keeper: Optional[Callable[[], None]] = None
        self.line: Optional[Line] = None
        self.fault: Optional[SlngError] = None
        self.close_by = NEVER
        self.aborted = False
        self.connections = self.ignored = 0
        self.io_thread: Optional[threading.Thread] = None

    # From beginning to end, for the session.

    def start(self, run: Callable[[], None]) -> None:
        """Start the thread that connects, unless the source can't be had; ``run`` is what it does.

        Raises ``SlngError`` where the system gives no more files or threads.
        """
        if self.capture is not None:
            self.capture.check()
        self._open_files()
        try:
            self.wake = WakeUp()
            self.reader.open()
            self.enter(State.CONNECTING)
            self.dispatch.start()
            self.start_io(run)
        except (OSError, RuntimeError) as error:
            self.close_files()
            self.give_back()
            raise refused(error) from error

    def start_io(self, run: Callable[[], None]) -> None:
        """Start an I/O thread. Raises RuntimeError where the system gives none."""
        # Daemon: at the end of the process ``lifetime`` gives it its time.
        self.io_thread = threading.Thread(target=run, name="slng-io", daemon=True)
        try:
            self.io_thread.start()
        except RuntimeError:
            self.io_thread = None
            raise

    def start_capture(self) -> None:
        """Start to read the source, if there is one. Raises ``SlngError`` where there is no thread for it."""
        if self.capture is not None:
            try:
                self.capture.start()
            except RuntimeError as error:
                raise refused(error) from error

    def begin_close(self, timeout: float) -> None:
        """Begin to end in order, within ``timeout`` seconds; a stream that is not open yet ends at once."""
        with self.lock:
            if State.STREAMING <= self.state < State.CLOSED:
                # A little is left for the callbacks.
                self.close_by = min(self.close_by, time.monotonic() + timeout - min(0.5, timeout / 4))
                if self.line is not None:
                    self.line.exchange.close_by = self.close_by
                self.enter(State.DRAINING)
            elif self.state < State.STREAMING:
                self.aborted = True
        self.stop_capture()
        self.wake_up()

    def abort(self) -> None:
        """End at once."""
        with self.lock:
            self.aborted = True
            if self.line is not None:
                self.line.connection.shut_down()
            self.changes.tell()
        self.stop_capture()
        self.wake_up()

    def join(self, timeout: float) -> bool:
        """Wait for the threads; whether every callback has run."""
        until = time.monotonic() + timeout
        if self.state is not State.NEW:
            # The thread that ends it may not have begun yet.
            self.wait_for(lambda: self.state is State.CLOSED, max(0.0, timeout))
        if self.io_thread is not None:
            self.io_thread.join(max(0.0, until - time.monotonic()))
        timekeeper.join(until - time.monotonic())
        if self.capture is not None:
            # No longer where the program's own iterator does not come back: all is said.
            self.capture.join(max(0.0, min(until, self.capture.given_up_at) - time.monotonic()))
        return self.dispatch.join(max(0.0, until - time.monotonic()))

    def give_back(self) -> None:
        """The last step: nothing more will be told, and nobody waits any more."""
        with self.lock:
            self.dispatch.close()
            self.enter(State.CLOSED)
        if self.wake is not None:
            self.wake.close()

    def forget_parent(self) -> None:
        """After a fork: the threads and the connection are the parent's. Here the stream is dead."""
        self.changes = Changes()
        self.lock = self.changes.lock
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
        return self.changes.wait_for(condition, timeout)

    @property
    def may_wait(self) -> bool:
        """Whether the calling thread may wait for the stream: its own may not, nor the one of all streams.

        There the garbage collector may close a generator of ``Client.stream`` that nobody has finished.
        """
        thread = threading.current_thread()
        return not (self.dispatch.in_callback or thread is self.io_thread or thread is timekeeper.thread)

    # What the session asks for.

    def send(self, pcm: bytes, timeout: Optional[float]) -> None:
        """Put audio in, waiting for room. Raises what has ended the stream, and ``WaitTimeout``."""
        with self.lock:
            if self.state >= DRAINING or self.aborted:
                raise self._refusal()
            paused = self.intake.paused
            if self._ear is None and not self.muted and not paused:
                fits = self.intake.put(pcm, timeout)
            else:
                fits = self._hear(pcm, lambda audio: self.intake.put(audio, timeout), withhold=paused)
            if not fits:
                raise self.outcome.claim() or SessionClosed("The session ended before the audio was sent.")

    def finalize(self) -> Mark:
        """Ask that everything so far becomes final; the mark tells when it has."""
        with self.lock:
            if self.state >= State.DRAINING or self.aborted:
                raise self._refusal()
            mark = self.queue.request(FINALIZE)
            self.pump()
        self.wake_up()
        return mark

    def pause(self, paused: bool) -> None:
        """Withhold audio, or let it flow again."""
        with self.lock:
            self.intake.paused = paused
            self.changes.tell()

    def stats(self) -> Stats:
        """What was done so far."""
        with self.lock:
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

    def _refusal(self) -> SlngError:
        error, ended_by = self.outcome.claim(), self.outcome.error
        if error is None and isinstance(ended_by, SessionClosed):
            error = SessionClosed(ended_by.message, hint=ended_by.hint)
        if error is None:
            error = SessionClosed("The session is over.", hint="Client.listen() begins a new one.")
            error.__cause__ = ended_by
        return error

    def _put_captured(self, pcm: Union[bytes, Event]) -> bool:
        """Take a piece from the source, or its news, on its thread. False where no more is wanted."""
        with self.lock:
            if self._is_over:
                return False
            if isinstance(pcm, Event):
                self._hear_of_source(pcm)
            elif self.capture is not None and self.capture.live:
                self._hear(pcm, self.intake.put_live, withhold=self.intake.paused)
            else:
                self.changes.wait_for(lambda: not self.intake.paused or self._is_leaving, None)
                # It may have ended meanwhile: what is put in after that would stay there.
                if not self._is_over and not self.intake.paused:
                    self._hear(pcm, lambda audio: self.intake.put(audio, None))
            return not self._is_over

    def _hear(self, pcm: bytes, put: Callable[[bytes], object], *, withhold: bool = False) -> bool:
        """Put in what is to be sent of some audio; False where the stream is over. The lock is held."""
        if self.muted:
            pcm = bytes(len(pcm))
        if self._ear is not None:
            return self._follow(self._ear.hear(pcm, withhold=withhold), put)
        if withhold:
            self.queue.skip(len(pcm) // self.audio_format.frame_bytes)
            return True
        return put(pcm) is not False

    def end_hearing(self) -> None:
        """No more will come: put in what was kept to be heard as a whole; called with the lock held."""
        if self._ear is not None:
            self._follow(self._ear.flush(), self.intake.put_live)

    def _follow(self, heard: "List[Heard]", put: Callable[[bytes], object]) -> bool:
        from ..audio.voice_gate import Withheld

        for each in heard:
            if isinstance(each, bytes):
                if put(each) is False:
                    return False
            elif isinstance(each, Withheld):
                self.queue.skip(each.frames)
            elif isinstance(each, Level):
                self.delivery.tell(each)
            else:
                self.queue.request(FINALIZE)
                self.pump()
        return True

    def _hear_of_source(self, event: Event) -> None:
        """What a source tells, and what it means for the audio; called with the lock held."""
        if isinstance(event, AudioLost):
            self.intake.miss(event.seconds)
        elif isinstance(event, MicrophoneRestored):
            self.intake.miss(event.lost)
        elif isinstance(event, MicrophoneLost) and self.state is State.STREAMING:
            # Nothing will follow for a time: what was said so far shall not wait for it.
            self.queue.request(FINALIZE)
            self.pump()
        self.delivery.tell(event)

    def _pass_on(self, pcm: bytes) -> bool:
        """Send audio as it comes, on the thread that brings it; False where it has to be put in."""
        line = self.line
        if line is None or self.fault is not None:
            return False
        now = time.monotonic()
        try:
            if not line.pass_on(pcm, now):
                return False
        except SlngError as fault:
            # For the I/O thread to tell: it is not the matter of whoever happened to send.
            self.fault = fault
        if self.intake.record is not None:
            self.intake.record.write(pcm)
        if self._is_stuck(line, now):
            self._hand_over()
        return True

    def pump(self) -> None:
        """Send what may be sent; called with the lock held, by whoever has put something in."""
        line = self.line
        if line is None or self.fault is not None:
            # A line that is only put up again when there is something to say.
            self.wake_up()
            return
        now = time.monotonic()
        try:
            line.pump(now)
        except SlngError as fault:
            # For the I/O thread to tell: it is not the matter of whoever happened to send.
            self.fault = fault
        if self.queue.unreadable:
            self.intake.lose_unreadable()
        self.changes.tell()
        if line.exchange.is_limited or self._is_stuck(line, now):
            self._hand_over()

    def _is_stuck(self, line: Line, now: float) -> bool:
        return self.fault is not None or line.transport.backlog > 0 or now >= self.reader.missed_at

    def _hand_over(self) -> None:
        """Let the I/O thread do what whoever sends cannot wait for; and read, if nobody does."""
        self.reader.missed_at = NEVER
        self.wake_up()

    def _open_files(self) -> None:
        try:
            self._open_record_and_trace()
        except BaseException:
            self.close_files()
            raise

    def _open_record_and_trace(self) -> None:
        if self._record_path is not None:
            from ..storage.recorder import Recorder

            assert self.writer is not None
            self.intake.record = Recorder(self._record_path, self.audio_format, self.writer)
        if self._trace_path is not None:
            from ..storage.trace_writer import TraceWriter

            assert self.writer is not None
            self.trace = TraceWriter(self._trace_path, self.writer, audio=self._trace_audio)

    def close_files(self) -> None:
        with self.lock:
            if self.intake.record is not None:
                self.intake.record.close()
            if self.trace is not None:
                drained = self.state is State.DRAINING and not self.aborted
                self.trace.end(complete=self.complete, drained=drained)
            self.intake.record = self.trace = None
            self.queue.leave(complete=self.complete)
        if self.writer is not None:
            self.writer.close()
            wait([self.writer.done], timeout=FILES_TIMEOUT)
            self.writer.abandon()
            for problem in self.writer.take_problems():
                self.delivery.tell(problem)

    def _store(self, folder: Optional[str]) -> "Optional[Spill]":
        if folder is None:
            return None
        from ..storage.spill import Spill

        assert self.writer is not None
        return Spill(folder, self.audio_format, self.writer)

    # Small things.

    def enter(self, state: State) -> None:
        """The one place where the state changes. What ends does not begin again."""
        with self.lock:
            if state is State.CLOSED or self.state < State.DRAINING:
                self.state = state
            self.changes.tell()

    @property
    def _is_over(self) -> bool:
        return self.state is State.CLOSED or self.aborted

    def steady_line(self) -> Optional[Line]:
        """The line, while nothing is to be done on it but to speak and to listen."""
        line = self.line
        if line is None or self.state is not STREAMING or self.fault is not None:
            return None
        return line if line.closed is None and line.exchange.failure is None else None

    @property
    def is_capturing(self) -> bool:
        return self.capture is not None and not self.capture.ended

    @property
    def _is_leaving(self) -> bool:
        return self.state >= State.DRAINING or self.aborted

    def stop_capture(self) -> None:
        if self.capture is not None:
            self.capture.stop()

    def wake_up(self) -> None:
        """Let the I/O thread, or who stands in for it, see what has changed."""
        call_keeper = self.call_keeper
        if call_keeper is not None:
            call_keeper()
        elif self.wake is not None and threading.current_thread() is not self.io_thread:
            self.wake.ring()

    def hang_up(self) -> None:
        with self.lock:
            if self.line is not None:
                self.ignored += self.line.ignored
                line, self.line = self.line, None
                # Woken first: who waits for a socket that is closed waits for whatever has its number next.
                self.reader.wake_up()
                line.connection.close()
            self.fault = None


class _Pump:
    """The wake-up of a ``FileWriter``: audio was loaded, or there is a problem to deliver."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def set(self) -> None:
        """Send what was loaded and deliver problems."""
        stream = self._stream
        # Whoever holds the lock longer waits for the files, and takes the problems itself.
        if stream.lock.acquire(timeout=0.5):
            try:
                if stream.writer is not None and stream.state < State.CLOSED:
                    for problem in stream.writer.take_problems():
                        stream.delivery.tell(problem)
                    stream.pump()
            finally:
                stream.lock.release()
        stream.wake_up()
