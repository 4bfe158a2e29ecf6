"""Offline replay of a session from its trace, with silence in place of the audio.

The recorded messages go through the same ``StreamProtocol`` and the same decoders as in the session. The send
queue holds silence at the positions of the original audio. So the transcripts and their times are the same.
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
from .protocol.send_queue import END, FINALIZE, SETTLE, SendQueue
from .protocol.stream_protocol import StreamProtocol, Timeouts
from .storage.trace_reader import LONGEST_MESSAGE, TraceLine, damaged, opened, read_trace
from .transcript import TranscriptLog
from .validation import Path
from .waiting import NEVER

__all__ = ["Replay"]

LONGEST_SLEEP = 60.0
"""Longest single sleep in seconds. ``time.sleep`` overflows on some systems for longer times."""


class Replay:
    """The items of a traced session, in order: transcripts, events, and errors that the server reported.

    Iterate over it once. ``log`` is the transcript so far. ``speed`` is the pace: 1.0 for the original one,
    infinity for no delays. With ``raw``, each message of the server precedes the items decoded from it.

    Iterating raises ``AudioError`` if the file cannot be read or is not a valid trace. It names the line.
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
        self._conversation: Optional[_Conversation] = None
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
            self._replay_line(line)
            yield from self._new_items()
            if self._is_over:
                return
        # The trace has no end because the process was killed. So the session never waited for the last words.
        self._end(complete=False, drained=False)
        yield from self._new_items()

    def _new_items(self) -> List[Any]:
        self._mailbox.poll()
        return self._items.take()

    def _replay_line(self, line: TraceLine) -> None:
        if self._conversation is not None:
            self._deliver(self._conversation.advance(line.t))
        if line.dir == "session":
            self._change_state(line)
        elif self._conversation is None:
            raise damaged(line.name, "has a message before any connection: an older version wrote this trace")
        elif line.dir == "client":
            self._conversation.send(line)
        elif line.kind == "text":
            self._deliver(self._conversation.receive(line, raw=self._raw))

    def _change_state(self, line: TraceLine) -> None:
        if line.kind == "open":
            self._open(line)
        elif line.kind == "lost":
            self._lose(line)
        elif line.kind == "end":
            data = line.data if isinstance(line.data, dict) else {}
            self._end(complete=data.get("complete") is True, drained=data.get("drained") is True)

    def _open(self, line: TraceLine) -> None:
        dialect, audio_format = opened(line)
        self._conversation = _Conversation(dialect, audio_format, line.at or 0.0, line.t)
        self._refusal = None

    def _lose(self, line: TraceLine) -> None:
        """Deliver the finals of a lost connection. The audio of the other words was sent again."""
        if self._conversation is None:
            return
        failure = self._conversation.protocol.failure
        # A failure is reported only if the session did not try another connection after it.
        self._refusal = failure if failure is not None and not failure.retryable else None
        last = self._conversation.protocol.decoder.end(promote=True)
        self._deliver([each for each in last if each.complete])
        self._unfinished = [each for each in last if not each.complete]
        self._conversation = None
        self._delivery.begin_overlap(line.at or 0.0)

    def _end(self, *, complete: bool, drained: bool) -> None:
        """Deliver the last words, the server's error if there is one, and ``Closed``."""
        self._is_over, failure = True, self._refusal
        if self._conversation is not None:
            failure = self._conversation.protocol.failure
            self._deliver(self._conversation.protocol.decoder.end(promote=drained))
        elif drained:
            self._deliver(self._unfinished)
        if failure is not None and not complete:
            self._delivery.put(failure)
        self._delivery.put(Closed(complete))

    def _deliver(self, items: Iterable[Any]) -> None:
        if self._delivery.deliver(items) and self._conversation is not None:
            self._unfinished = []


class _Items(Callbacks):
    """A collector of the items that the mailbox delivers, in place of callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self._items: List[Any] = []

    def deliver(self, item: Any) -> None:
        """Append an item."""
        self._items.append(item)

    def take(self) -> List[Any]:
        """Return the collected items and forget them."""
        items, self._items = self._items, []
        return items


class _Conversation:
    """The replay of one connection, whose audio began at ``begin`` seconds of the session's clock."""

    def __init__(self, dialect: Dialect, audio_format: AudioFormat, begin: float, now: float) -> None:
        # The trace says when each message was sent. So no message waits for a full chunk, for the rate limit,
        # for ready or for room in the queue.
        self._queue = SendQueue(
            audio_format,
            capacity_seconds=1e12,
            chunk_seconds=0.0,
            longest_seconds=LONGEST_MESSAGE + 1.0,
            begin=audio_format.frames(begin),
        )
        self.protocol = StreamProtocol(
            dialect,
            self._queue,
            Timeouts(ready=NEVER, keepalive=NEVER, end_form=NEVER),
            now,
            RateLimit(now, per_second=NEVER),
            asks_to_settle=False,
        )
        self._now = now
        self._flush()

    def advance(self, now: float) -> List[Transcript]:
        """Advance the clock. Return the transcripts whose hold time has expired."""
        self._now = max(self._now, now)
        self._flush()
        return self.protocol.release(self._now)

    def send(self, line: TraceLine) -> None:
        """Replay a message of the client."""
        if line.what == "audio":
            self._send_audio(line)
        elif line.what == SETTLE:
            self._queue.request_settling()
            self._flush()
        elif line.what in (FINALIZE, END):
            self._move_to(line)
            if line.what == FINALIZE or not self._queue.ending:
                self._queue.request(line.what)
            self._flush()

    def receive(self, line: TraceLine, *, raw: bool) -> List[Any]:
        """Replay a message of the server. Return the decoded items, with ``raw`` the message first."""
        frame = parse(line.data.encode("utf-8", "replace")) if isinstance(line.data, str) else None
        if frame is None:
            return []
        items: List[Any] = self.protocol.handle_message(frame, self._now)
        return [RawFrame(frame), *items] if raw else items

    def _send_audio(self, line: TraceLine) -> None:
        if line.seconds is None:
            raise damaged(line.name, "has audio without a length")
        if line.at is None:
            self._queue.padding(line.seconds)
            return
        self._move_to(line)
        frames = self._queue.audio_format.frames(line.seconds)
        self._queue.put(_silence(frames * self._queue.audio_format.frame_bytes))
        # The session sent this audio, so the server was ready.
        self.protocol.ready = True
        self._flush()

    def _move_to(self, line: TraceLine) -> None:
        """Advance the session's clock to the position of a message."""
        if line.at is None:
            return
        gap = self._queue.audio_format.frames(line.at) - self._queue.captured
        if gap < 0:
            raise damaged(line.name, "goes back in time: an earlier line has sent this audio")
        self._queue.skip(gap)

    def _flush(self) -> None:
        """Take all messages from the protocol, as if they were sent."""
        while self.protocol.next_message(self._now) is not None:
            pass


@functools.lru_cache(maxsize=8)
def _silence(size: int) -> bytes:
    """Return ``size`` zero bytes, the same object for recent sizes: the queue may keep hours of silence."""
    return bytes(size)


def _sleep_until(moment: float) -> None:
    while True:
        left = moment - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, LONGEST_SLEEP))
