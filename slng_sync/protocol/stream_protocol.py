"""The rules of one connection's conversation: what to send next, and what an answer means.

Decides what comes first, when audio may be sent, that finalize and the end leave in order, how long an answer
is waited for, when a keepalive is due. Has no socket, thread or clock: the time is an argument, in seconds of
any clock that never goes back.
"""

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional

from ..dialects.base import Decoded, Dialect, Failure, Finished, Message, Settled, text
from ..errors import ConnectError, ServerError, SlngError
from ..events import Flushed, Ready, Transcript
from ..waiting import NEVER
from .pause import Pause
from .rate_limit import RateLimit
from .send_queue import END, Mark, SendQueue

__all__ = ["StreamProtocol", "Timeouts"]

FIRST_SILENCE = 0.1
"""Seconds of silence that stand for a keepalive before the first audio, for models that accept only audio."""
HOLD_FOR_TRANSLATION = 1.0
"""Seconds that a finished transcript waits for its translation."""
SLOW_SERVER_TIMEOUT = 60.0
"""Seconds to wait longer for a server that is behind with the audio, or that still sends."""
START_WITHOUT_READY = 2.0
"""Seconds after which audio is sent without a ready, for ``Reson8(wait_for_ready=False)``."""
KEPT_SECONDS = 10.0
"""Seconds of audio that are kept for a replay before a finalize is asked for, if nothing else settles it."""
PAUSE_SECONDS = 0.4
"""The shortest pause for that finalize. A pause inside a word is shorter."""


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    ready: float = 10.0
    keepalive: float = 5.0
    finalize: float = 3.0
    end_form: float = 2.0


class StreamProtocol:
    """The conversation on one connection, over a send queue that may outlive it.

    ``is_limited``   whether the last message had to wait for the rate limit
    ``deadline``     when the session ends, whether or not the server has answered
    ``ready``        whether audio may be sent
    ``accepted``     whether the server has let the stream begin
    ``asked_at``     when the finalizes without an answer were sent
    ``finished``     whether the server has said everything
    ``failure``      the error that the server has reported

    With ``asks_to_settle=False`` no finalize is sent but those that are put into the queue.
    """

    __slots__ = """
        _bytes_per_second _caught_up_at _end_mark _end_messages _ended_at _held_at _keepalive _opened_at
        _pause _rate_limit _received_at _sent_at _start_message _timeouts accepted asked_at deadline decoder
        dialect failure finished is_limited queue ready
    """.split()

    def __init__(
        self,
        dialect: Dialect,
        queue: SendQueue,
        timeouts: Timeouts,
        now: float,
        rate_limit: Optional[RateLimit] = None,
        asks_to_settle: bool = True,
    ) -> None:
        self.dialect = dialect
        self.queue = queue
        self.decoder = dialect.decoder(queue.timeline())
        self.ready = False
        self.accepted = False
        self.finished = False
        self.is_limited = False
        self.deadline = NEVER
        self.failure: Optional[SlngError] = None
        self._timeouts = timeouts
        self._keepalive = timeouts.keepalive
        self._rate_limit = rate_limit or RateLimit(now)
        self._opened_at = self._sent_at = self._received_at = now
        # When a server that hears audio in the pace of speech has heard all that was sent.
        self._caught_up_at = now
        self._start_message: Optional[Message] = dialect.start(queue.audio_format)
        self.asked_at: List[float] = []
        self._end_mark: Optional[Mark] = None
        self._end_messages: List[Message] = []
        self._ended_at: Optional[float] = None
        self._held_at: Optional[float] = None
        self._pause = Pause(queue.audio_format) if dialect.settles_by_finalize and asks_to_settle else None
        self._bytes_per_second = queue.audio_format.sample_rate * queue.audio_format.frame_bytes

    @property
    def is_steady(self) -> bool:
        """Whether audio flows, nothing ends, and no transcript waits for its translation."""
        return self.ready and not self.finished and self.failure is None and self._held_at is None

    # What to send.

    def next_message(self, now: float) -> Optional[Message]:
        """Return the next message, or None if nothing is to be sent now.

        Raises ``ConnectError`` if the server has not become ready in time.
        """
        self.is_limited = now < self._rate_limit.free_at
        if self.is_limited:
            return None
        message = self._choose(now)
        if message is not None:
            self._rate_limit.spend(now)
            self._sent_at = now
        return message

    def due(self, now: float) -> float:
        """Return when to look again even if nothing arrives and no audio is put in."""
        due = self._rate_limit.free_at if self._rate_limit.free_at > now else NEVER
        if self._ended_at is not None:
            timeout = self._timeouts.end_form if self._end_messages else self.dialect.end_limit
            due = min(due, self._overdue_from(self._ended_at) + timeout)
        elif self.ready:
            due = min(due, self._sent_at + self._keepalive)
        else:
            due = min(due, self._opened_at + self._ready_timeout)
        if self.asked_at:
            due = min(due, self._finalize_deadline(self.asked_at[0]))
        if self._held_at is not None:
            due = min(due, self._held_at + HOLD_FOR_TRANSLATION)
        return due

    def settle_in_a_pause(self) -> None:
        """Ask for a finalize if much audio is kept that nothing else settles, and nobody speaks.

        A finalize inside a word would cut it in two. If the speaker never pauses, it is asked for all the
        same, before the queue has no room to keep what a replay needs.
        """
        if self.asked_at or self._ended_at is not None or self._end_mark is not None:
            return
        pause = self._pause
        is_pausing = pause is not None and pause.seconds >= PAUSE_SECONDS
        if self.queue.is_crowded or (is_pausing and self.queue.kept_seconds >= KEPT_SECONDS):
            self.queue.request_settling()

    def _choose(self, now: float) -> Optional[Message]:
        if self._start_message is not None:
            message, self._start_message = self._start_message, None
            self.ready = not self.dialect.needs_ready
            return message
        if not (self.ready or self._is_ready(now)):
            return None
        if self.asked_at:
            self._expire_requests(now)
        if self._ended_at is not None:
            return self._next_end_message(now)
        if self._end_mark is not None:
            return self._end(now)
        is_silent = now >= self._sent_at + self._keepalive
        taken = self.queue.take(flush=is_silent)
        if isinstance(taken, Mark):
            return self._ask(taken, now)
        if taken is not None:
            return self._audio(taken, now)
        return self._keepalive_message() if is_silent else None

    def _audio(self, pcm: bytes, now: float) -> Message:
        # Half as much is enough to learn how loud speech is.
        if self._pause is not None and self.queue.kept_seconds > KEPT_SECONDS / 2:
            self._pause.hear(pcm)
            self.settle_in_a_pause()
        begun = self._caught_up_at if self._caught_up_at > now else now
        self._caught_up_at = begun + len(pcm) / self._bytes_per_second
        return self.dialect.audio(pcm)

    def _keepalive_message(self) -> Message:
        if self.dialect.needs_first_audio and not self.queue.stream_sent:
            return self.dialect.audio(self.queue.padding(FIRST_SILENCE))
        return self.dialect.keepalive()

    @property
    def _ready_timeout(self) -> float:
        waits = getattr(self.dialect, "wait_for_ready", True)
        return self._timeouts.ready if waits else min(START_WITHOUT_READY, self._timeouts.ready)

    def _is_ready(self, now: float) -> bool:
        if now >= self._opened_at + self._ready_timeout:
            self.ready = not getattr(self.dialect, "wait_for_ready", True)
            if not self.ready:
                raise self._not_ready()
        return self.ready

    def _not_ready(self) -> ConnectError:
        return ConnectError(
            f"The server accepted the connection but was not ready within {self._timeouts.ready:g} s.",
            hint="Try again later, or give Client a longer ready_timeout.",
            retryable=True,
        )

    # Requests and the end.

    def _ask(self, mark: Mark, now: float) -> Optional[Message]:
        if mark.kind == END:
            self._end_mark = mark
            return self._end(now)
        if not self.queue.stream_sent:
            # No audio was sent on this connection, so all of it is final.
            self.queue.answer()
            return self._choose(now)
        self.asked_at.append(now)
        return self.dialect.finalize()

    def _end(self, now: float) -> Optional[Message]:
        """Say that no audio follows, once every finalize was answered or given up."""
        if self.asked_at:
            return self._keepalive_message() if now >= self._sent_at + self._keepalive else None
        self._ended_at = now
        if not self.queue.stream_sent:
            # An end of stream without audio is an error to Soniox: the socket is closed instead.
            self.finished = True
            return None
        self._end_messages.extend(self.dialect.end())
        return self._end_messages.pop(0)

    def _next_end_message(self, now: float) -> Optional[Message]:
        assert self._ended_at is not None
        if not self._end_messages or self.finished:
            return None
        if now < self._overdue_from(self._ended_at) + self._timeouts.end_form:
            return None
        self._ended_at = now
        return self._end_messages.pop(0)

    def _expire_requests(self, now: float) -> None:
        while self.asked_at and now >= self._finalize_deadline(self.asked_at[0]):
            self.asked_at.pop(0)
            self.queue.answer(confirmed=False)

    def _finalize_deadline(self, asked: float) -> float:
        """Return when to give up a finalize, with time left for the answer to the end."""
        in_time = max(asked + self._timeouts.finalize, self.deadline - self.dialect.end_limit)
        return min(self._overdue_from(asked) + self._timeouts.finalize, in_time)

    def _overdue_from(self, asked: float) -> float:
        """Return from when on an answer is overdue: at the end, not while the server is behind."""
        if self._end_mark is None:
            return asked
        caught_up = max(asked, self._caught_up_at)
        received = max(asked, self._received_at)
        # A server in the pace of speech may be silent until it has caught up; a slower one keeps sending.
        return max(
            min(caught_up, received + SLOW_SERVER_TIMEOUT), min(received, caught_up + SLOW_SERVER_TIMEOUT)
        )

    def over(self, now: float) -> bool:
        """Return whether the server says no more, so that the connection may be closed."""
        if self.failure is not None or self.finished:
            return True
        return (
            self._ended_at is not None
            and not self._end_messages
            and now >= self._overdue_from(self._ended_at) + self.dialect.end_limit
        )

    def may_close(self, code: int) -> bool:
        """Note that the server closes. Return whether nothing is left unanswered."""
        if self._ended_at is not None:
            self.finished = self.finished or code == 1000
            return True
        return self.finished or (code == 1000 and not self.queue.unsettled_seconds)

    @property
    def complete(self) -> bool:
        """Whether everything that was sent has become final."""
        return (self.finished or self.queue.is_finalized) and not self.decoder.pending

    @property
    def advice(self) -> str:
        """What to try if the server does not let the stream begin."""
        return "" if self.accepted or not self.queue.stream_sent else self.dialect.advice()

    # What has arrived.

    def handle_message(self, message: Mapping[str, Any], now: float) -> List[Decoded]:
        """Return what a message means for the session: transcripts and events."""
        self._received_at = now
        ahead = self._caught_up_at - now
        self.queue.under_way = ahead if ahead > 0.0 else 0.0
        decoded: List[Decoded] = []
        for each in self.decoder(message):
            if isinstance(each, Transcript) or not self._note(each):
                decoded.append(each)
        if not self.accepted and self.failure is None and self.ready:
            self.accepted = text(message.get("type")).lower() != "ready"
        if not self.decoder.held:
            self._held_at = None
        elif self._held_at is None:
            self._held_at = now
        if self.queue.is_crowded:
            self.settle_in_a_pause()
        return decoded

    def release(self, now: float) -> List[Transcript]:
        """Return transcripts that have waited long enough for their translation."""
        if self._held_at is None or now < self._held_at + HOLD_FOR_TRANSLATION:
            return []
        self._held_at = None
        return self.decoder.release()

    def _note(self, decoded: Decoded) -> bool:
        """Note what concerns the conversation. Return True if it is no news for the session."""
        if isinstance(decoded, Settled):
            self.queue.settle(decoded.seconds)
            return True
        if isinstance(decoded, Finished):
            self.finished = True
            return True
        if isinstance(decoded, Failure):
            self._fail(decoded.error)
            return True
        if isinstance(decoded, Ready):
            # A ready of the gateway that a model does not need, or a second one, is no news.
            known, self.ready = self.ready, True
            return known
        return isinstance(decoded, Flushed) and self._note_flushed()

    def _note_flushed(self) -> bool:
        if self.asked_at:
            self.asked_at.pop(0)
        if self._end_mark is not None and not self.asked_at:
            # All audio came before it.
            self._caught_up_at = self._received_at
        mark = self.queue.answer()
        return mark is not None and mark.is_own

    def _fail(self, error: SlngError) -> None:
        if self._ended_at is not None and isinstance(error, ServerError) and error.status == 400:
            # Native Soniox refuses the documented end of the stream. It has received all audio by then.
            self.finished = True
        else:
            self.failure = self.failure or error
