"""One connection's conversation: what to say next, and what was heard.

Everything that the protocol asks of a client is decided here: what comes first, when audio may go, that
finalize and the end leave in order, how long an answer is waited for, when a keepalive is due. No socket,
no thread and no clock of its own: the time is handed in, in seconds of any clock that never goes back.
"""

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional

from ..dialects.base import Dialect, Failure, Finished, Frame, Heard, Settled, text
from ..errors import ConnectError, ServerError, SlngError
from ..events import Flushed, Ready, Transcript
from .send_queue import END, FINALIZE, Mark, SendQueue

__all__ = ["RateLimit", "StreamProtocol", "Timeouts"]

FIRST_SILENCE = 0.1
"""What stands in for a keepalive before the first audio, where only audio will do."""
HOLD_FOR_TRANSLATION = 1.0
PATIENCE = 60.0
"""Seconds for which a server may be silent that has much to listen to, or talk and still owe an answer."""
START_WITHOUT_READY = 2.0


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    ready: float = 10.0
    keepalive: float = 5.0
    finalize: float = 3.0
    end_form: float = 2.0


class RateLimit:
    """Keeps under the gateway's cap of 2000 messages a minute: 1500 on average, a few at once.

    ``free_at`` is when the next one may go.
    """

    __slots__ = ("_interval", "_saved", "free_at")

    def __init__(self, now: float, *, per_second: float = 25.0, burst: float = 50.0) -> None:
        self._interval = 1.0 / per_second
        # A hair more, so that rounding takes none of them away.
        self._saved = (burst - 1.0) * self._interval + 1e-6
        self.free_at = now - self._saved

    def spend(self, now: float) -> None:
        """A message goes."""
        # Who was silent has saved up no more than a burst.
        earliest = now - self._saved
        self.free_at = (self.free_at if self.free_at > earliest else earliest) + self._interval


class StreamProtocol:
    """The conversation on one connection, over a send queue that may outlive it.

    ``is_limited`` where a message was to be said and had to wait for the message cap. ``close_by`` is when
    the session ends, whatever was answered.
    """

    __slots__ = """
        _asked_at _budget _bytes_per_second _caught_up_at _end_forms _end_mark _ended_at _greeting _heard_at
        _held_at _opened_at _spoke_at _timing accepted close_by decoder dialect failure finished is_limited
        queue ready
    """.split()

    def __init__(
        self,
        dialect: Dialect,
        queue: SendQueue,
        timing: Timeouts,
        now: float,
        budget: Optional[RateLimit] = None,
    ) -> None:
        self.dialect = dialect
        self.queue = queue
        self.decoder = dialect.decoder(queue.timeline())
        self.ready = False
        self.accepted = False
        self.finished = False
        self.is_limited = False
        self.close_by = float("inf")
        self.failure: Optional[SlngError] = None
        self._timing = timing
        self._ended_at: Optional[float] = None
        self._opened_at = now
        self._spoke_at = now
        self._greeting: Optional[Frame] = dialect.start(queue.audio_format)
        self._asked_at: List[float] = []
        self._end_mark: Optional[Mark] = None
        self._end_forms: List[Frame] = []
        self._heard_at = now
        self._held_at: Optional[float] = None
        self._caught_up_at = now
        self._bytes_per_second = queue.audio_format.sample_rate * queue.audio_format.frame_bytes
        self._budget = budget or RateLimit(now)

    # What to say.

    def next_frame(self, now: float) -> Optional[Frame]:
        """The next message, or None where nothing is to be said now. Raises where waiting is over."""
        self.is_limited = now < self._budget.free_at
        if self.is_limited:
            return None
        frame = self._choose(now)
        if frame is not None:
            self._budget.spend(now)
            self._spoke_at = now
        return frame

    def pass_on(self, pcm: bytes, now: float) -> Optional[Frame]:
        """The message for audio that can leave as it comes; None where it has to be put in and wait."""
        if not self.ready or self._end_mark is not None or now < self._budget.free_at:
            return None
        if not self.queue.pass_on(pcm):
            return None
        self._budget.spend(now)
        self._spoke_at = now
        return self._audio(pcm, now)

    def due(self, now: float) -> float:
        """When something may have to be said or given up although nothing was heard or captured."""
        times = [self._budget.free_at if self._budget.free_at > now else float("inf")]
        if self._ended_at is not None:
            limit = self._timing.end_form if self._end_forms else self.dialect.end_limit
            times.append(self._waited_since(self._ended_at) + limit)
        elif self.ready:
            times.append(self._spoke_at + self._timing.keepalive)
        else:
            times.append(self._opened_at + self._ready_limit)
        if self._asked_at:
            times.append(self._give_up_at(self._asked_at[0]))
        if self._held_at is not None:
            times.append(self._held_at + HOLD_FOR_TRANSLATION)
        return min(times)

    def _choose(self, now: float) -> Optional[Frame]:
        if self._greeting is not None:
            frame, self._greeting = self._greeting, None
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
        if self.queue.is_crowded and not self._asked_at:
            # Nothing has been settled for long. A finalize settles, so that a replay need not lose anything.
            self.queue.request(FINALIZE)
        taken = self.queue.take(flush=self._is_silent(now))
        if isinstance(taken, Mark):
            return self._ask(taken, now)
        if taken is not None:
            return self._audio(taken, now)
        return self._keepalive(now)

    def _audio(self, pcm: bytes, now: float) -> Frame:
        """A message with audio; a server that listens in the pace of speech hears it one after the other."""
        begun = self._caught_up_at if self._caught_up_at > now else now
        self._caught_up_at = begun + len(pcm) / self._bytes_per_second
        return self.dialect.audio(pcm)

    def _is_silent(self, now: float) -> bool:
        return now >= self._spoke_at + self._timing.keepalive

    def _keepalive(self, now: float) -> Optional[Frame]:
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

    def _ask(self, mark: Mark, now: float) -> Optional[Frame]:
        if mark.kind == END:
            self._end_mark = mark
            return self._end(now)
        if not self.queue.stream_sent:
            # Nothing was said on this connection, so all of it is final.
            self.queue.answer()
            return self._choose(now)
        self._asked_at.append(now)
        return self.dialect.finalize()

    def _end(self, now: float) -> Optional[Frame]:
        """Say that the audio is over, once every finalize was answered or given up."""
        if self._asked_at:
            return self._keepalive(now)
        self._ended_at = now
        if not self.queue.stream_sent:
            # An end of stream without audio is an error to Soniox: the socket is closed instead.
            self.finished = True
            return None
        self._end_forms.extend(self.dialect.end())
        return self._end_forms.pop(0)

    def _next_end_form(self, now: float) -> Optional[Frame]:
        assert self._ended_at is not None
        if not self._end_forms or self.finished:
            return None
        if now < self._waited_since(self._ended_at) + self._timing.end_form:
            return None
        self._ended_at = now
        return self._end_forms.pop(0)

    def _expire_requests(self, now: float) -> None:
        while self._asked_at and now >= self._give_up_at(self._asked_at[0]):
            self._asked_at.pop(0)
            self.queue.answer(confirmed=False)

    def _give_up_at(self, asked: float) -> float:
        """When a finalize is not waited for any longer; what is left then is for the answer to the end."""
        in_time = max(asked + self._timing.finalize, self.close_by - self.dialect.end_limit)
        return min(self._waited_since(asked) + self._timing.finalize, in_time)

    def _waited_since(self, asked: float) -> float:
        """From when on an answer is overdue. Once all audio is out, not while the server is still behind."""
        if self._end_mark is None:
            return asked
        caught_up = max(asked, self._caught_up_at)
        heard = max(asked, self._heard_at)
        # One that listens in the pace of speech may be silent until then; a slower one goes on talking.
        return max(min(caught_up, heard + PATIENCE), min(heard, caught_up + PATIENCE))

    def over(self, now: float) -> bool:
        """Whether the server has said all it will, so that the connection may be closed."""
        if self.failure is not None or self.finished:
            return True
        return (
            self._ended_at is not None
            and not self._end_forms
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

    def hear(self, frame: Mapping[str, Any], now: float) -> List[Heard]:
        """What a frame means, as far as it is anybody else's business."""
        self._heard_at = now
        ahead = self._caught_up_at - now
        self.queue.under_way = ahead if ahead > 0.0 else 0.0
        heard: List[Heard] = []
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

    def _note(self, heard: Heard) -> bool:
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
                self._caught_up_at = self._heard_at
            self.queue.answer()
        return False

    def _fail(self, error: SlngError) -> None:
        if self._ended_at is not None and isinstance(error, ServerError) and error.status == 400:
            # Native Soniox does not know the documented end of stream. All audio came before it.
            self.finished = True
        else:
            self.failure = self.failure or error
