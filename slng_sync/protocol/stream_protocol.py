"""One connection's conversation: what to say next, and what was heard.

Everything that the protocol asks of a client is decided here: what comes first, when audio may go, that
finalize and the end leave in order, how long an answer is waited for, when a keepalive is due. No socket,
no thread and no clock of its own: the time is handed in, in seconds of any clock that never goes back.
"""

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional

from ..dialects.base import Decoded, Dialect, Failure, Finished, Message, Settled, text
from ..errors import ConnectError, ServerError, SlngError
from ..events import Flushed, Ready, Transcript
from .pause import Pause
from .rate_limit import RateLimit
from .send_queue import END, Mark, SendQueue

__all__ = ["StreamProtocol", "Timeouts"]

FIRST_SILENCE = 0.1
"""What stands in for a keepalive before the first audio, where only audio will do."""
HOLD_FOR_TRANSLATION = 1.0
SLOW_SERVER_TIMEOUT = 60.0
"""Seconds for which a server may be silent that has much to listen to, or talk and still owe an answer."""
START_WITHOUT_READY = 2.0
KEPT_SECONDS = 10.0
"""Audio that is kept for a replay before a finalize is asked for, where nothing else settles it."""
PAUSE_SECONDS = 0.4
"""How long nobody must have spoken for that: no pause inside a word is as long."""


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    ready: float = 10.0
    keepalive: float = 5.0
    finalize: float = 3.0
    end_form: float = 2.0


class StreamProtocol:
    """The conversation on one connection, over a send queue that may outlive it.

    ``is_limited`` where a message was to be said and had to wait for the message cap. ``deadline`` is when
    the session ends, whatever was answered.
    """

    __slots__ = """
        _asked_at _bytes_per_second _caught_up_at _end_mark _end_messages _ended_at _held_at _opened_at _pause
        _rate_limit _received_at _sent_at _start_message _timing accepted deadline decoder dialect failure
        finished is_limited queue ready
    """.split()

    def __init__(
        self,
        dialect: Dialect,
        queue: SendQueue,
        timing: Timeouts,
        now: float,
        rate_limit: Optional[RateLimit] = None,
    ) -> None:
        self.dialect = dialect
        self.queue = queue
        self.decoder = dialect.decoder(queue.timeline())
        self.ready = False
        self.accepted = False
        self.finished = False
        self.is_limited = False
        self.deadline = float("inf")
        self.failure: Optional[SlngError] = None
        self._timing = timing
        self._ended_at: Optional[float] = None
        self._opened_at = now
        self._sent_at = now
        self._start_message: Optional[Message] = dialect.start(queue.audio_format)
        self._asked_at: List[float] = []
        self._end_mark: Optional[Mark] = None
        self._end_messages: List[Message] = []
        self._received_at = now
        self._held_at: Optional[float] = None
        self._caught_up_at = now
        self._pause = Pause(queue.audio_format) if dialect.settles_by_finalize else None
        self._bytes_per_second = queue.audio_format.sample_rate * queue.audio_format.frame_bytes
        self._rate_limit = rate_limit or RateLimit(now)

    # What to say.

    def next_message(self, now: float) -> Optional[Message]:
        """The next message, or None where nothing is to be said now. Raises where waiting is over."""
        self.is_limited = now < self._rate_limit.free_at
        if self.is_limited:
            return None
        frame = self._choose(now)
        if frame is not None:
            self._rate_limit.spend(now)
            self._sent_at = now
        return frame

    def due(self, now: float) -> float:
        """When something may have to be said or given up although nothing was heard or captured."""
        times = [self._rate_limit.free_at if self._rate_limit.free_at > now else float("inf")]
        if self._ended_at is not None:
            limit = self._timing.end_form if self._end_messages else self.dialect.end_limit
            times.append(self._waited_since(self._ended_at) + limit)
        elif self.ready:
            times.append(self._sent_at + self._timing.keepalive)
        else:
            times.append(self._opened_at + self._ready_limit)
        if self._asked_at:
            times.append(self._finalize_deadline(self._asked_at[0]))
        if self._held_at is not None:
            times.append(self._held_at + HOLD_FOR_TRANSLATION)
        return min(times)

    def _choose(self, now: float) -> Optional[Message]:
        if self._start_message is not None:
            frame, self._start_message = self._start_message, None
            self.ready = not self.dialect.needs_ready
            return frame
        if not (self.ready or self._is_ready(now)):
            return None
        if self._asked_at:
            self._expire_requests(now)
        if self._ended_at is not None:
            return self._next_end_form(now)
        if self._end_mark is not None:
            return self._end(now)
        if not self._asked_at and self._wants_to_settle():
            self.queue.request_settling()
        taken = self.queue.take(flush=self._is_silent(now))
        if isinstance(taken, Mark):
            return self._ask(taken, now)
        if taken is not None:
            return self._audio(taken, now)
        return self._keepalive(now)

    def _wants_to_settle(self) -> bool:
        """Whether much audio is kept that a finalize would settle, and nobody speaks.

        A finalize inside a word would cut it in two. Where nobody ever pauses it is asked for all the same,
        before there is no room to keep what a replay would need.
        """
        if self.queue.is_crowded:
            return True
        pause = self._pause
        return (
            pause is not None and pause.seconds >= PAUSE_SECONDS and self.queue.kept_seconds >= KEPT_SECONDS
        )

    def _audio(self, pcm: bytes, now: float) -> Message:
        """A message with audio; a server that listens in the pace of speech hears it one after the other."""
        # Half as much is enough to learn how loud speech is.
        if self._pause is not None and self.queue.kept_seconds > KEPT_SECONDS / 2:
            self._pause.hear(pcm)
        begun = self._caught_up_at if self._caught_up_at > now else now
        self._caught_up_at = begun + len(pcm) / self._bytes_per_second
        return self.dialect.audio(pcm)

    def _is_silent(self, now: float) -> bool:
        return now >= self._sent_at + self._timing.keepalive

    def _keepalive(self, now: float) -> Optional[Message]:
        if not self._is_silent(now):
            return None
        if self.dialect.needs_first_audio and not self.queue.stream_sent:
            return self.dialect.audio(self.queue.padding(FIRST_SILENCE))
        return self.dialect.keepalive()

    @property
    def _ready_limit(self) -> float:
        waits = getattr(self.dialect, "wait_for_ready", True)
        return self._timing.ready if waits else min(START_WITHOUT_READY, self._timing.ready)

    def _is_ready(self, now: float) -> bool:
        if now >= self._opened_at + self._ready_limit:
            self.ready = not getattr(self.dialect, "wait_for_ready", True)
            if not self.ready:
                raise self._not_ready()
        return self.ready

    def _not_ready(self) -> ConnectError:
        return ConnectError(
            f"The server accepted the connection but was not ready within {self._timing.ready:g} s.",
            hint="Try again later, or give Client a longer ready_timeout.",
            retryable=True,
        )

    # Requests and the end.

    def _ask(self, mark: Mark, now: float) -> Optional[Message]:
        if mark.kind == END:
            self._end_mark = mark
            return self._end(now)
        if not self.queue.stream_sent:
            # Nothing was said on this connection, so all of it is final.
            self.queue.answer()
            return self._choose(now)
        self._asked_at.append(now)
        return self.dialect.finalize()

    def _end(self, now: float) -> Optional[Message]:
        """Say that the audio is over, once every finalize was answered or given up."""
        if self._asked_at:
            return self._keepalive(now)
        self._ended_at = now
        if not self.queue.stream_sent:
            # An end of stream without audio is an error to Soniox: the socket is closed instead.
            self.finished = True
            return None
        self._end_messages.extend(self.dialect.end())
        return self._end_messages.pop(0)

    def _next_end_form(self, now: float) -> Optional[Message]:
        assert self._ended_at is not None
        if not self._end_messages or self.finished:
            return None
        if now < self._waited_since(self._ended_at) + self._timing.end_form:
            return None
        self._ended_at = now
        return self._end_messages.pop(0)

    def _expire_requests(self, now: float) -> None:
        while self._asked_at and now >= self._finalize_deadline(self._asked_at[0]):
            self._asked_at.pop(0)
            self.queue.answer(confirmed=False)

    def _finalize_deadline(self, asked: float) -> float:
        """When a finalize is not waited for any longer; what is left then is for the answer to the end."""
        in_time = max(asked + self._timing.finalize, self.deadline - self.dialect.end_limit)
        return min(self._waited_since(asked) + self._timing.finalize, in_time)

    def _waited_since(self, asked: float) -> float:
        """From when on an answer is overdue. Once all audio is out, not while the server is still behind."""
        if self._end_mark is None:
            return asked
        caught_up = max(asked, self._caught_up_at)
        heard = max(asked, self._received_at)
        # One that listens in the pace of speech may be silent until then; a slower one goes on talking.
        return max(min(caught_up, heard + SLOW_SERVER_TIMEOUT), min(heard, caught_up + SLOW_SERVER_TIMEOUT))

    def over(self, now: float) -> bool:
        """Whether the server has said all it will, so that the connection may be closed."""
        if self.failure is not None or self.finished:
            return True
        return (
            self._ended_at is not None
            and not self._end_messages
            and now >= self._waited_since(self._ended_at) + self.dialect.end_limit
        )

    def may_close(self, code: int) -> bool:
        """Take note that the server closes; whether that leaves nothing unanswered."""
        if self._ended_at is not None:
            self.finished = self.finished or code == 1000
            return True
        return self.finished or (code == 1000 and not self.queue.unsettled_seconds)

    @property
    def complete(self) -> bool:
        """Whether everything that was sent has become final."""
        return (self.finished or self.queue.is_finalized) and not self.decoder.pending

    @property
    def is_ending(self) -> bool:
        """Whether the server has said that it is over, or something waits here for its time."""
        return self.finished or self.failure is not None or self._held_at is not None

    @property
    def advice(self) -> str:
        """What to try where the server would not even begin."""
        return "" if self.accepted or not self.queue.stream_sent else self.dialect.advice()

    # What was heard.

    def handle_message(self, frame: Mapping[str, Any], now: float) -> List[Decoded]:
        """What a frame means, as far as it is anybody else's business."""
        self._received_at = now
        ahead = self._caught_up_at - now
        self.queue.under_way = ahead if ahead > 0.0 else 0.0
        heard: List[Decoded] = []
        for each in self.decoder(frame):
            if isinstance(each, Transcript) or not self._note(each):
                heard.append(each)
        if not self.accepted and self.failure is None and self.ready:
            self.accepted = text(frame.get("type")).lower() != "ready"
        if not self.decoder.held:
            self._held_at = None
        elif self._held_at is None:
            self._held_at = now
        return heard

    def release(self, now: float) -> List[Transcript]:
        """Transcripts that have waited long enough for what may belong to them."""
        if self._held_at is None or now < self._held_at + HOLD_FOR_TRANSLATION:
            return []
        self._held_at = None
        return self.decoder.release()

    def _note(self, heard: Decoded) -> bool:
        """Take notice of what was heard; True where it is nobody else's business."""
        if isinstance(heard, Settled):
            self.queue.settle(heard.seconds)
            return True
        if isinstance(heard, Finished):
            self.finished = True
            return True
        if isinstance(heard, Failure):
            self._fail(heard.error)
            return True
        if isinstance(heard, Ready):
            # A greeting of the gateway where none is due, or a second one, is not news.
            known, self.ready = self.ready, True
            return known
        if isinstance(heard, Flushed):
            if self._asked_at:
                self._asked_at.pop(0)
            if self._end_mark is not None and not self._asked_at:
                # All audio came before it.
                self._caught_up_at = self._received_at
            mark = self.queue.answer()
            return mark is not None and mark.is_own
        return False

    def _fail(self, error: SlngError) -> None:
        if self._ended_at is not None and isinstance(error, ServerError) and error.status == 400:
            # Native Soniox does not know the documented end of stream. All audio came before it.
            self.finished = True
        else:
            self.failure = self.failure or error
