"""A session once more, from its trace: the same conversation over an empty line, with silence for audio.

What was said goes through the same ``StreamProtocol`` and the same decoders as it did then, over a send queue
whose audio stands where it stood. So the transcripts come out as they did, at their times.
"""

import functools
import time
from typing import Any, Iterable, Iterator, List, Optional

from .audio.format import AudioFormat
from .audio.paced import check_speed
from .callbacks.delivery import Delivery
from .callbacks.mailbox import Mailbox
from .callbacks.registry import Callbacks, RawFrame
from .dialects.base import Dialect
from .dialects.parsing import parse
from .errors import SlngError
from .events import Closed, Transcript
from .protocol.rate_limit import RateLimit
from .protocol.send_queue import END, FINALIZE, SendQueue
from .protocol.stream_protocol import StreamProtocol, Timeouts
from .storage.trace_reader import LONGEST_MESSAGE, TraceLine, damaged, opened, read_trace
from .transcript import TranscriptLog
from .validation import Path
from .waiting import NEVER

__all__ = ["Replay"]

LONGEST_SLEEP = 60.0
"""More at once is too long for some system's clock."""


class Replay:
    """What a traced session told, in order: transcripts, events and what the server reported as wrong.

    Iterate over it, once; ``log`` is the transcript so far. ``speed`` is how fast it goes: 1.0 as it was,
    infinity at once. With ``raw`` each frame of the server comes as well, before what is made of it.

    Raises ``AudioError`` where the file cannot be read, or makes no sense, with the number of the line.
    """

    def __init__(self, path: Path, *, speed: float = float("inf"), raw: bool = False) -> None:
        check_speed(speed)
        self._path = path
        self._speed = speed
        self._raw = raw
        self._items = _Items()
        self._mailbox = Mailbox(self._items, "manual")
        self._mailbox.start()
        self._delivery = Delivery(self._mailbox)
        self._talk: Optional[_Talk] = None
        self._unfinished: List[Transcript] = []
        self._refusal: Optional[SlngError] = None
        self._is_over = False

    @property
    def log(self) -> TranscriptLog:
        """All finals so far and the open partial."""
        return self._delivery.log

    def __iter__(self) -> Iterator[Any]:
        begun = time.monotonic()
        for line in read_trace(self._path):
            _sleep_until(begun + line.t / self._speed)
            self._take(line)
            yield from self._news()
            if self._is_over:
                return
        # Whoever wrote it was killed: nobody has asked for the last words.
        self._end(complete=False, drained=False)
        yield from self._news()

    def _news(self) -> List[Any]:
        self._mailbox.poll()
        return self._items.take()

    def _take(self, line: TraceLine) -> None:
        if self._talk is not None:
            self._deliver(self._talk.pass_time(line.t))
        if line.dir == "session":
            self._take_step(line)
        elif self._talk is None:
            raise damaged(line.name, "has a message before any connection: an older version wrote this trace")
        elif line.dir == "client":
            self._talk.say(line)
        elif line.kind == "text":
            self._deliver(self._talk.hear(line, raw=self._raw))

    def _take_step(self, line: TraceLine) -> None:
        if line.kind == "open":
            self._open(line)
        elif line.kind == "lost":
            self._lose(line)
        elif line.kind == "end":
            data = line.data if isinstance(line.data, dict) else {}
            self._end(complete=data.get("complete") is True, drained=data.get("drained") is True)

    def _open(self, line: TraceLine) -> None:
        dialect, audio_format = opened(line)
        self._talk, self._refusal = _Talk(dialect, audio_format, line.at or 0.0, line.t), None

    def _lose(self, line: TraceLine) -> None:
        """What is final of a broken line is told; the rest will be heard again."""
        if self._talk is None:
            return
        failure = self._talk.exchange.failure
        # Told only where no other connection was tried after it.
        self._refusal = failure if failure is not None and not failure.retryable else None
        last = self._talk.exchange.decoder.end(promote=True)
        self._deliver([each for each in last if each.complete])
        self._unfinished = [each for each in last if not each.complete]
        self._talk = None
        self._delivery.begin_overlap(line.at or 0.0)

    def _end(self, *, complete: bool, drained: bool) -> None:
        """The last words, what the server reported as wrong, and the end."""
        self._is_over, failure = True, self._refusal
        if self._talk is not None:
            failure = self._talk.exchange.failure
            self._deliver(self._talk.exchange.decoder.end(promote=drained))
        elif drained:
            self._deliver(self._unfinished)
        if failure is not None and not complete:
            self._delivery.put(failure)
        self._delivery.put(Closed(complete))

    def _deliver(self, items: Iterable[Any]) -> None:
        if self._delivery.deliver(items) and self._talk is not None:
            self._unfinished = []


class _Items(Callbacks):
    """What the mailbox delivers, in the place of callbacks: frames are not unpacked."""

    def __init__(self) -> None:
        super().__init__()
        self._items: List[Any] = []

    def deliver(self, item: Any) -> None:
        """Keep an item."""
        self._items.append(item)

    def take(self) -> List[Any]:
        """Return what was kept, and keep it no longer."""
        items, self._items = self._items, []
        return items


class _Talk:
    """The conversation on one connection, which began at ``begin`` seconds of the session's clock."""

    def __init__(self, dialect: Dialect, audio_format: AudioFormat, begin: float, now: float) -> None:
        # What was sent was sent: no message waits here for others, for its cap, for ready or for room.
        self._queue = SendQueue(
            audio_format,
            capacity_seconds=1e12,
            chunk_seconds=0.0,
            longest_seconds=LONGEST_MESSAGE + 1.0,
            begin=audio_format.frames(begin),
        )
        timing = Timeouts(ready=NEVER, keepalive=NEVER, end_form=NEVER)
        self.exchange = StreamProtocol(dialect, self._queue, timing, now, RateLimit(now, per_second=NEVER))
        self._now = now
        self._say()

    def pass_time(self, now: float) -> List[Transcript]:
        """What has waited long enough by now; what was asked for too long ago is given up."""
        self._now = max(self._now, now)
        self._say()
        return self.exchange.release(self._now)

    def say(self, line: TraceLine) -> None:
        """A message of the client's."""
        if line.what == "audio":
            self._speak(line)
        elif line.what in (FINALIZE, END):
            self._move_to(line)
            if line.what == FINALIZE or not self._queue.ending:
                self._queue.request(line.what)
            self._say()

    def hear(self, line: TraceLine, *, raw: bool) -> List[Any]:
        """A message of the server's, and what it means; with ``raw`` the frame as well."""
        frame = parse(line.data.encode("utf-8", "replace")) if isinstance(line.data, str) else None
        if frame is None:
            return []
        heard: List[Any] = self.exchange.handle_message(frame, self._now)
        return [RawFrame(frame), *heard] if raw else heard

    def _speak(self, line: TraceLine) -> None:
        if line.seconds is None:
            raise damaged(line.name, "has audio of no length")
        if line.at is None:
            self._queue.padding(line.seconds)
            return
        self._move_to(line)
        frames = self._queue.audio_format.frames(line.seconds)
        self._queue.put(_silence(frames * self._queue.audio_format.frame_bytes))
        # It went out, so it might.
        self.exchange.ready = True
        self._say()

    def _move_to(self, line: TraceLine) -> None:
        """Let the session's clock go on to where a message belongs."""
        if line.at is None:
            return
        gap = self._queue.audio_format.frames(line.at) - self._queue.captured
        if gap < 0:
            raise damaged(line.name, "goes back in time: its audio was sent before")
        self._queue.skip(gap)

    def _say(self) -> None:
        """Let the exchange say what it has to say; nobody hears it."""
        while self.exchange.next_message(self._now) is not None:
            pass


@functools.lru_cache(maxsize=8)
def _silence(size: int) -> bytes:
    """The same again where it can be: the queue may keep hours of it."""
    return bytes(size)


def _sleep_until(moment: float) -> None:
    while True:
        left = moment - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, LONGEST_SLEEP))
