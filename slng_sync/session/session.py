"""One stream of audio as its user holds it, from ``Client.listen()`` to ``close()``."""

import contextlib
import time
from typing import Iterator, Optional, Type

from ..audio.convert import Audio, to_pcm
from ..audio.format import AudioFormat
from ..errors import ConfigurationError, SessionClosed, WaitTimeout
from ..transcript import TranscriptLog
from ..validation import check_timeout
from ..waiting import NEVER
from .io_thread import IoThread
from .lifetime import keep_track
from .state import State, Stats
from .stream import Stream

__all__ = ["Session", "State", "Stats"]

CLOSE_TIMEOUT = 10.0
ABORT_LIMIT = 1.0
LONGEST_TIMEOUT = 1e6
"""Eleven days: what is longer is for ever to a program, and too long for the system's clock."""


class Session:
    """One stream of audio and its transcripts. Made by ``Client.listen()``; used once.

    Every method may be called from any thread and from inside a callback. As a context manager it closes
    in order when it is left.
    """

    def __init__(self, stream: Stream, io: IoThread) -> None:
        self._stream = stream
        self._io = io

    def open(self) -> "Session":
        """Connect, and start the source. Returns when audio is taken; raises what stands against it."""
        try:
            self.begin_open()
            self.wait_open()
            self._stream.start_capture()
        except BaseException:
            self.abort()
            raise
        return self

    def begin_open(self) -> None:
        """Begin to connect, and do not wait for it."""
        self._stream.start(self._io.run)
        keep_track(self)

    def wait_open(self) -> None:
        """Wait until audio is taken; raises what stands against it."""
        stream = self._stream
        stream.wait_for(lambda: stream.state >= State.STREAMING, None)
        if stream.never_opened:
            raise stream.outcome.claim() or SessionClosed("The session was closed while it connected.")

    def close(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """End in order: stop the source, send the rest, wait for the last words, deliver every callback.

        Returns True if nothing was left open. Takes ``timeout`` seconds at most, whatever the server does.
        Called again, or by several threads, it waits for the same end. Inside a callback it does not wait.
        """
        check_timeout(timeout)
        complete = close_in_order(self._stream, timeout)
        if self.state is State.CLOSED:
            self._stream.outcome.log_untold()
        return complete

    def begin_close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Begin what ``close`` does, and do not wait for it."""
        check_timeout(timeout)
        self._stream.begin_close(timeout)

    def abort(self) -> None:
        """End at once: nothing more is sent, and nothing waited for."""
        self._stream.abort()
        if self._stream.may_wait:
            self._stream.join(ABORT_LIMIT)

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until the session is over and every callback has run.

        Raises what ended it, if that was not told before, and ``WaitTimeout`` where time was up.
        """
        check_timeout(timeout)
        stream = self._stream
        timeout = None if timeout is None else min(timeout, LONGEST_TIMEOUT)
        until = NEVER if timeout is None else time.monotonic() + timeout
        over = stream.wait_for(lambda: stream.state is State.CLOSED, timeout)
        # In slices, so that Ctrl-C gets through while a callback takes its time.
        while over and not stream.dispatch.join(min(0.5, until - time.monotonic())):
            over = time.monotonic() < until
        if not over:
            raise WaitTimeout(f"The session was not over within {timeout:g} s.", hint="close() ends it.")
        stream.outcome.raise_untold()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        close_in_order(self._stream, CLOSE_TIMEOUT)
        if kind is None and self.state is State.CLOSED:
            self._stream.outcome.raise_untold()
        self._stream.outcome.log_untold()

    # What goes in.

    def send(self, audio: Audio, *, timeout: Optional[float] = None) -> None:
        """Send audio: PCM bytes in ``audio_format``, or an array (frames, or frames x channels).

        Returns at once while the buffer has room; else waits for it, at most ``timeout`` seconds. Raises
        ``SessionClosed`` after the end, ``WaitTimeout``, which tells how much was ``taken`` all the same,
        ``ConfigurationError`` for what is no such audio.
        """
        if timeout is not None:
            check_timeout(timeout)
        self._stream.send(to_pcm(audio, self._stream.audio_format), timeout)

    def finalize(self, timeout: float = 3.0, wait: bool = True) -> bool:
        """Make everything said so far final. True once the server has confirmed it.

        With ``wait=False``, or inside a callback, it only asks; the answer is the event ``Flushed``.
        """
        check_timeout(timeout)
        mark = self._stream.finalize()
        if wait and self._stream.may_wait:
            self._stream.wait_for(lambda: mark.settled, timeout)
        return mark.confirmed

    def pause(self) -> None:
        """Withhold audio until ``resume()``; the connection is kept.

        What a microphone hears, or ``send()`` is given meanwhile, is passed over, and the session's clock
        goes on; a recording waits.
        """
        self._stream.pause(True)

    def resume(self) -> None:
        """Let audio flow again."""
        self._stream.pause(False)

    def mute(self, muted: bool = True) -> None:
        """Send silence instead of what is heard, until ``mute(False)``: the stream and its clock go on."""
        self._stream.muted = bool(muted)

    @contextlib.contextmanager
    def hold(self) -> Iterator["Session"]:
        """Push-to-talk: audio flows inside the ``with``, and what was said is made final at its end."""
        self.resume()
        try:
            yield self
        finally:
            self.pause()
            with contextlib.suppress(SessionClosed):
                self.finalize()

    # What comes out.

    def poll(self, timeout: float = 0.0) -> int:
        """Run the callbacks that are due, where ``dispatch="manual"``; tell how many deliveries there were.

        Waits at most ``timeout`` seconds for the first.
        """
        check_timeout(timeout)
        if self._stream.settings.dispatch != "manual":
            raise ConfigurationError(
                'poll() needs Client(dispatch="manual"): here callbacks run by themselves.'
            )
        return self._stream.dispatch.poll(min(timeout, LONGEST_TIMEOUT))

    @property
    def audio_format(self) -> AudioFormat:
        """What ``send`` takes as bytes."""
        return self._stream.audio_format

    @property
    def state(self) -> State:
        """Where the session is in its life."""
        return self._stream.state

    @property
    def id(self) -> Optional[str]:
        """The server's id of the session, where it gave one."""
        return self._stream.delivery.session_id

    @property
    def channel(self) -> Optional[str]:
        """The name of the channel that is heard, where those of a source are heard apart."""
        return self._stream.delivery.channel

    @property
    def transcript(self) -> TranscriptLog:
        """All finals so far and the open partial; grows while the session lives."""
        return self._stream.delivery.log

    @property
    def stats(self) -> Stats:
        """What was done so far."""
        return self._stream.stats()

    @property
    def source_seconds(self) -> Optional[float]:
        """How much audio the source has in all, where it knows."""
        return self._stream.capture.duration if self._stream.capture is not None else None

    def __repr__(self) -> str:
        return f"<Session {self._stream.dialect.model}, {self.audio_format}, {self.state.name.lower()}>"

    def forget_parent(self) -> None:
        """After a fork, in the child: the session is dead, and says so."""
        self._stream.forget_parent()


def close_in_order(stream: Stream, timeout: float) -> bool:
    """End a stream in order, within ``timeout`` seconds; whether nothing was left open."""
    timeout = min(timeout, LONGEST_TIMEOUT)
    until = time.monotonic() + timeout
    stream.begin_close(timeout)
    if not stream.may_wait:
        return False
    stream.wait_for(lambda: stream.state is State.CLOSED, until - time.monotonic())
    delivered = stream.join(until - time.monotonic())
    return stream.complete and delivered
