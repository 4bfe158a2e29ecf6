"""A session as the program uses it, from ``Client.listen()`` to ``close()``."""

import contextlib
import time
from typing import Iterator, Optional, Type

from ..audio.convert import Audio, to_pcm
from ..audio.format import AudioFormat
from ..errors import ConfigurationError, SessionClosed, WaitTimeout
from ..protocol.send_queue import FINALIZE, Mark
from ..system_limits import refused
from ..transcript import TranscriptLog
from ..validation import check_timeout
from ..waiting import NEVER
from .audio_input import AudioInput
from .capture import Capture
from .io_loop import Life, io_loop
from .lifetime import keep_track
from .shared_state import SharedState
from .state import State, Stats

__all__ = ["Session", "State", "Stats"]

CLOSE_TIMEOUT = 10.0
ABORT_TIMEOUT = 1.0
LOOK_UP_TIMEOUT = 0.2
LONGEST_TIMEOUT = 1e6
"""Seconds, about eleven days. Longer timeouts overflow the system's clock."""


class Session:
    """A session: one stream of audio and its transcripts. ``Client.listen()`` makes it. It is used once.

    Every method may be called from any thread and from inside a callback. A ``with`` block closes the session
    cleanly at its end.
    """

    def __init__(
        self, shared: SharedState, audio_input: AudioInput, capture: Optional[Capture], life: Life
    ) -> None:
        self._shared = shared
        self._audio_input = audio_input
        self._capture = capture
        self._life = life

    def open(self, *, wait: bool = True) -> "Session":
        """Connect and start the source. Return once the server accepts audio; at once with ``wait=False``.

        ``Client.listen()`` has done this: a session that was opened stays as it is. Raises ``ConnectError``,
        ``ServerError`` or ``AudioError``.
        """
        if self._shared.state is not State.NEW:
            return self
        try:
            self._begin_open(wait=wait)
            if wait:
                self._wait_open()
            self._start_capture()
        except BaseException:
            self.abort()
            raise
        return self

    def _begin_open(self, *, wait: bool = True) -> None:
        """Start to connect. Raises ``SlngError`` if the source, a file or a thread is not available."""
        shared = self._shared
        if shared.state is not State.NEW:
            raise SessionClosed(
                "A session can be opened only once.", hint="Client.listen() begins a new one."
            )
        shared.waits_for_open = wait
        if self._capture is not None:
            self._capture.check()
        if shared.files is not None:
            shared.files.open()
        shared.enter(State.CONNECTING)
        try:
            shared.mailbox.start()
            shared.wakeup.task = io_loop.start(self._life)
        except (OSError, RuntimeError) as error:
            self._give_back()
            raise refused(error) from error
        # The session may have changed before its task was known.
        shared.wake_up()
        keep_track(self)

    def _give_back(self) -> None:
        """Close a session that could not be handed to ``slng-io``."""
        shared = self._shared
        if shared.files is not None:
            shared.files.close(shared.queue, complete=False, drained=False)
        shared.mailbox.close()
        shared.enter(State.CLOSED)

    def _wait_open(self) -> None:
        """Wait until the server accepts audio.

        Raises ``ConnectError``, ``ServerError`` or ``SessionClosed``.
        """
        shared = self._shared
        shared.wait_for(lambda: shared.state >= State.STREAMING, None)
        if shared.never_opened:
            raise shared.outcome.claim() or SessionClosed("The session was closed while it was connecting.")

    def _start_capture(self) -> None:
        """Start to read the source, if there is one. Raises ``SlngError`` if the system has no thread."""
        if self._capture is not None:
            try:
                self._capture.start()
            except RuntimeError as error:
                raise refused(error) from error

    def close(self, timeout: float = CLOSE_TIMEOUT, wait: bool = True) -> bool:
        """Close cleanly: stop the source, send buffered audio, wait for the last words and all callbacks.

        Return True if the server has acknowledged everything and every callback has run. Takes at most
        ``timeout`` seconds, whatever the server does. A second call waits for the same end. Inside a
        callback, or with ``wait=False``, it starts the close and returns False at once. The event ``Closed``
        then reports the end.
        """
        check_timeout(timeout)
        if not wait:
            self._begin_close(timeout)
            return False
        complete = self._close_in_order(timeout)
        if self.state is State.CLOSED:
            self._shared.outcome.log_unreported()
        return complete

    def begin_close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Call ``close(timeout, wait=False)``."""
        self.close(timeout, wait=False)

    def abort(self) -> None:
        """End at once, without sending buffered audio or waiting for the server."""
        shared = self._shared
        shared.aborted = True
        shared.changes.notify()
        if self._capture is not None:
            self._capture.stop()
        shared.wake_up()
        if shared.may_wait:
            self._join(ABORT_TIMEOUT)

    def _begin_close(self, timeout: float) -> None:
        shared = self._shared
        timeout = min(timeout, LONGEST_TIMEOUT)
        with shared.lock:
            if shared.state < State.STREAMING and (shared.waits_for_open or not shared.queue.captured):
                shared.aborted = True
            elif shared.state < State.CLOSED:
                # Leave a little time for the callbacks.
                shared.shorten_deadline(timeout - min(0.5, timeout / 4))
                shared.enter(State.DRAINING)
        shared.changes.notify()
        if self._capture is not None:
            self._capture.stop()
        shared.wake_up()

    def _close_in_order(self, timeout: float) -> bool:
        """Close within ``timeout`` seconds. Return what ``close`` returns."""
        shared = self._shared
        timeout = min(timeout, LONGEST_TIMEOUT)
        until = time.monotonic() + timeout
        self._begin_close(timeout)
        if not shared.may_wait:
            return False
        delivered = self._join(until - time.monotonic())
        return shared.complete and delivered

    def _join(self, timeout: float) -> bool:
        """Wait for the end and for the threads. Return whether every callback has run."""
        shared = self._shared
        until = time.monotonic() + timeout
        if shared.state is not State.NEW:
            shared.wait_for(lambda: shared.state is State.CLOSED, max(0.0, timeout))
        if self._capture is not None:
            # Not longer than STOP_TIMEOUT: the program's own iterator may never return.
            self._capture.join(max(0.0, min(until, self._capture.given_up_at) - time.monotonic()))
        if shared.attempt is not None:
            # A cancelled attempt ends at once, except during a name look-up, which cannot be interrupted.
            shared.attempt.join(min(LOOK_UP_TIMEOUT, until - time.monotonic()))
        delivered = shared.mailbox.join(max(0.0, until - time.monotonic()))
        io_loop.join(until - time.monotonic())
        return delivered

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until the session is over and every callback has run.

        Raises the error that ended the session, unless it was reported before. Raises ``WaitTimeout`` after
        ``timeout`` seconds.
        """
        check_timeout(timeout)
        shared = self._shared
        timeout = None if timeout is None else min(timeout, LONGEST_TIMEOUT)
        until = NEVER if timeout is None else time.monotonic() + timeout
        over = shared.wait_for(lambda: shared.state is State.CLOSED, timeout)
        # In slices, so that Ctrl-C is handled while a callback is slow.
        while over and not shared.mailbox.join(max(0.0, min(0.5, until - time.monotonic()))):
            over = time.monotonic() < until
        if not over:
            raise WaitTimeout(
                f"The session did not end within {timeout:g} s.", hint="Call close() to end it."
            )
        shared.outcome.raise_unreported()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        self._close_in_order(CLOSE_TIMEOUT)
        if kind is None and self.state is State.CLOSED:
            self._shared.outcome.raise_unreported()
        self._shared.outcome.log_unreported()

    # Input.

    def send(self, audio: Audio, *, timeout: Optional[float] = None) -> None:
        """Send audio: PCM bytes in ``audio_format``, or an array (frames, or frames x channels).

        Returns at once while the buffer has room. Otherwise waits for room, at most ``timeout`` seconds.
        Raises ``SessionClosed`` after the end, ``ConfigurationError`` if ``audio`` has another format, and
        ``WaitTimeout``, whose ``taken`` is the audio that still found room, in seconds.
        """
        if timeout is not None:
            check_timeout(timeout)
        self._audio_input.send(to_pcm(audio, self._shared.audio_format), timeout)

    def finalize(self, timeout: float = 3.0, wait: bool = True) -> bool:
        """Ask the server to make everything said so far final. Return True once it has confirmed that.

        Waits at most ``timeout`` seconds. With ``wait=False``, or inside a callback, it does not wait: the
        event ``Flushed`` reports the confirmation.
        """
        check_timeout(timeout)
        mark = self._request_finalize()
        if wait and self._shared.may_wait:
            self._shared.wait_for(lambda: mark.settled, min(timeout, LONGEST_TIMEOUT))
        return mark.confirmed

    def _request_finalize(self) -> Mark:
        shared = self._shared
        with shared.lock:
            if shared.is_leaving:
                raise shared.refusal()
            mark = shared.queue.request(FINALIZE)
        shared.wake_up()
        return mark

    def pause(self) -> None:
        """Stop sending audio until ``resume()``. The connection stays open.

        Audio from a microphone or from ``send()`` is skipped, and the session's clock goes on. A file waits.
        """
        self._audio_input.set_paused(True)

    def resume(self) -> None:
        """Send audio again after ``pause()``."""
        self._audio_input.set_paused(False)

    def mute(self, muted: bool = True) -> None:
        """Send silence instead of the audio until ``mute(False)``. The session's clock goes on."""
        self._audio_input.muted = bool(muted)

    @contextlib.contextmanager
    def hold(self) -> Iterator["Session"]:
        """Push-to-talk: send audio only inside the ``with`` block, and make it final at the end."""
        self.resume()
        try:
            yield self
        finally:
            self.pause()
            with contextlib.suppress(SessionClosed):
                self.finalize()

    # Output.

    def poll(self, timeout: float = 0.0) -> int:
        """Run the waiting callbacks on the calling thread, and return how many items were delivered.

        Waits at most ``timeout`` seconds for the first. Raises ``ConfigurationError`` unless the client has
        ``dispatch="manual"``.
        """
        check_timeout(timeout)
        if self._shared.settings.dispatch != "manual":
            raise ConfigurationError(
                'poll() requires Client(dispatch="manual"). In other modes callbacks run without it.'
            )
        return self._shared.mailbox.poll(min(timeout, LONGEST_TIMEOUT))

    @property
    def audio_format(self) -> AudioFormat:
        """The format of bytes for ``send``."""
        return self._shared.audio_format

    @property
    def state(self) -> State:
        """The state of the session."""
        # With the lock, because the end is reported and the state set in one step.
        with self._shared.lock:
            return self._shared.state

    @property
    def id(self) -> Optional[str]:
        """The server's id of the session, if it sent one."""
        return self._shared.delivery.session_id

    @property
    def channel(self) -> Optional[str]:
        """The name of the channel, if each channel of the source has its own session."""
        return self._shared.delivery.channel

    @property
    def transcript(self) -> TranscriptLog:
        """All finals so far and the open partial. It grows while the session is open."""
        return self._shared.delivery.log

    @property
    def stats(self) -> Stats:
        """The counters of the session so far."""
        shared, queue = self._shared, self._shared.queue
        seconds = self.audio_format.seconds
        with shared.lock:
            return Stats(
                captured=seconds(queue.captured),
                sent=seconds(queue.sent),
                settled=seconds(queue.settled),
                buffered=seconds(queue.unsent),
                lost=seconds(self._audio_input.lost),
                partials=shared.delivery.partials,
                finals=shared.delivery.finals,
                connections=shared.connections,
                ignored_frames=shared.ignored_messages,
            )

    @property
    def source_seconds(self) -> Optional[float]:
        """The length of the source in seconds, if known."""
        return None if self._capture is None else self._capture.duration

    def __repr__(self) -> str:
        return f"<Session {self._shared.dialect.model}, {self.audio_format}, {self.state.name.lower()}>"

    def _forget_parent(self) -> None:
        """Mark the session as dead in the child of a fork."""
        self._life.forget_parent()
        self._shared.forget_parent()
