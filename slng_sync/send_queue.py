"""The send queue: audio that was captured, sent, settled; and with it the session's clock.

Three marks on one run of frames, ``settled <= sent <= captured``:

- ``captured``: put in by the source. Time that was withheld or lost counts as well.
- ``sent``: handed to the connection.
- ``settled``: answered for by the server, and forgotten here.

What was sent but not settled is kept: after a lost connection ``rewind`` puts it back, and the ordinary
way of sending does the rest. Requests to finalize and to end are marks on the same run, so they leave
in the order in which they were asked for. No I/O, no lock, no thread: its owner holds a lock.
"""

from collections import deque
from typing import Deque, List, Optional, Tuple, Union

from .audio.format import AudioFormat
from .clock import StreamClock

__all__ = ["END", "FINALIZE", "Mark", "SendQueue"]

FINALIZE = "finalize"
END = "end"

Chunk = Tuple[int, bytes]
"""Where the audio begins on the session's clock, in frames, and the audio."""


class Mark:
    """A request at a position of the queue, in frames. ``settled`` once it was answered or given up."""

    __slots__ = ("confirmed", "kind", "position", "settled")

    def __init__(self, kind: str, position: int, *, settled: bool = False, confirmed: bool = False) -> None:
        self.kind = kind
        self.position = position
        self.settled = settled
        self.confirmed = confirmed

    def settle(self, *, confirmed: bool) -> None:
        """Answered by the server, or given up."""
        self.confirmed = confirmed
        self.settled = True


class SendQueue:
    """A bounded run of audio with its marks. Lengths and positions are in frames."""

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        capacity_seconds: float = 120.0,
        chunk_seconds: float = 0.05,
        longest_seconds: float = 0.5,
    ) -> None:
        self.audio_format = audio_format
        self.capacity = audio_format.frames(capacity_seconds)
        self.chunk = max(1, audio_format.frames(chunk_seconds))
        self.longest = max(self.chunk, audio_format.frames(longest_seconds))
        self.captured = 0
        self.sent = 0
        self.settled = 0
        self.stream_sent = 0
        self._clock = StreamClock(audio_format.sample_rate)
        self._continues_at: Optional[int] = 0
        self._unsent: Deque[Chunk] = deque()
        self._unsent_frames = 0
        self._replay: Deque[Chunk] = deque()
        self._replay_frames = 0
        self._forgotten: Deque[Tuple[int, int]] = deque()
        self._waiting: Deque[Mark] = deque()
        self._asked: Deque[Mark] = deque()
        self._finalized_at: Optional[int] = None
        self._finalize_was_confirmed = False

    # What comes in.

    @property
    def unsent(self) -> int:
        """Frames that were captured and not sent yet."""
        return self._unsent_frames

    @property
    def room(self) -> int:
        """Frames that may be put before the queue is full."""
        return max(0, self.capacity - self._unsent_frames)

    def put(self, pcm: bytes) -> None:
        """Append whole frames. The caller keeps to ``room``."""
        width = self.audio_format.frame_bytes
        step = self.longest * width
        pieces = [pcm] if len(pcm) <= step else [pcm[at : at + step] for at in range(0, len(pcm), step)]
        for piece in pieces:
            frames = len(piece) // width
            self._unsent.append((self.captured, piece))
            self.captured += frames
            self._unsent_frames += frames
        self._forget_what_is_too_much()

    def skip(self, frames: int) -> None:
        """Let time pass without audio: it was withheld or lost before it came here."""
        self.captured += frames

    def drop_oldest(self, frames: int) -> int:
        """Throw away unsent audio, the oldest first, until ``frames`` of it are gone; tell how much went."""
        dropped = 0
        while dropped < frames and self._unsent:
            dropped += self._frames(self._unsent.popleft()[1])
        self._unsent_frames -= dropped
        return dropped

    def request(self, kind: str) -> Mark:
        """Mark the end of what was captured so far. Asked for twice at one place, it is one request."""
        if kind == FINALIZE and self.captured == self._finalized_at:
            # Nothing new to make final: asked again, it could only be answered as it was.
            return Mark(kind, self.captured, settled=True, confirmed=self._finalize_was_confirmed)
        for mark in (*self._asked, *self._waiting):
            if mark.kind == kind and mark.position == self.captured:
                return mark
        mark = Mark(kind, self.captured)
        self._waiting.append(mark)
        return mark

    @property
    def ending(self) -> bool:
        """Whether the end was asked for."""
        return any(mark.kind == END for mark in (*self._waiting, *self._asked))

    # What goes out.

    def take(self, *, flush: bool = False) -> Union[bytes, Mark, None]:
        """What to send next: audio, a mark, or None when there is less than a chunk.

        Audio before a mark, or before a gap, leaves however short it is; ``flush`` asks for the same
        at the end of the queue.
        """
        mark = self._waiting[0] if self._waiting else None
        if not self._unsent or (mark and mark.position <= self._unsent[0][0]):
            return self._take_mark(mark)
        start, first = self._unsent[0]
        if mark is None and len(self._unsent) == 1 and self.chunk <= self._frames(first):
            self._unsent.popleft()
            return self._sending(start, first)
        limit = self.longest if mark is None else min(self.longest, mark.position - start)
        length, must_leave = self._contiguous(limit)
        if length < self.chunk and not (flush or must_leave):
            return None
        return self._sending(start, self._cut(length))

    def padding(self, seconds: float) -> bytes:
        """Silence for the stream that is not on the session's clock."""
        frames = self.audio_format.frames(seconds)
        self.stream_sent += frames
        self._continues_at = None
        return bytes(frames * self.audio_format.frame_bytes)

    # What comes back.

    @property
    def asked(self) -> Optional[Mark]:
        """The oldest request that was sent and is not answered."""
        return self._asked[0] if self._asked else None

    def answer(self, *, confirmed: bool = True) -> Optional[Mark]:
        """Settle the oldest finalize that was sent; a confirmed one settles the audio before it.

        A confirmation that comes after its request was given up counts for what it is.
        """
        mark = self._asked.popleft() if self._asked and self._asked[0].kind == FINALIZE else None
        if mark is not None:
            mark.settle(confirmed=confirmed)
            self._finalized_at = mark.position
            self._finalize_was_confirmed = False
        if confirmed and self._finalized_at is not None:
            self._settle(self._finalized_at)
            self._finalize_was_confirmed = True
        return mark

    @property
    def is_finalized(self) -> bool:
        """Whether the server has confirmed that all that was captured is final."""
        return self._finalize_was_confirmed and self._finalized_at == self.captured

    def give_up(self) -> None:
        """Nothing will be answered any more."""
        for mark in (*self._asked, *self._waiting):
            mark.settle(confirmed=False)
        self._asked.clear()
        self._waiting.clear()

    def settle(self, seconds: float) -> None:
        """The server has answered for everything up to ``seconds`` of the session's clock."""
        # Rounded down: what is settled too late is only sent twice, what is settled too early is lost.
        self._settle(int(seconds * self.audio_format.sample_rate + 1e-3))

    def rewind(self) -> int:
        """Begin a new connection: what is not settled goes out again. Tells the frames that can't."""
        lost = sum(end - max(start, self.settled) for start, end in self._forgotten)
        self._forgotten.clear()
        self._cut_settled_replay()
        self.sent = self._replay[0][0] if self._replay else self.sent
        self.settled = self.sent
        self._unsent.extendleft(reversed(self._replay))
        self._unsent_frames += self._replay_frames
        self._replay.clear()
        self._replay_frames = 0
        self._waiting.extendleft(reversed(self._asked))
        self._asked.clear()
        self._finalized_at = None
        self.stream_sent = 0
        self._continues_at = None
        self._clock = StreamClock(self.audio_format.sample_rate, self.sent)
        return lost

    # The session's clock, in seconds.

    def start(self, stream_seconds: float) -> float:
        """When something began, by the server's count, on the session's clock."""
        return self._clock.start(stream_seconds)

    def end(self, stream_seconds: float) -> float:
        """When something ended, by the server's count, on the session's clock."""
        return self._clock.end(stream_seconds)

    @property
    def reached(self) -> float:
        """How far the server can have heard: the oldest open finalize, else all that was sent."""
        return self.audio_format.seconds(self._asked[0].position if self._asked else self.sent)

    @property
    def is_crowded(self) -> bool:
        """Whether so much was sent and not settled that there may soon be no room to keep it."""
        return self._replay_frames > self.capacity // 2

    @property
    def is_settled(self) -> bool:
        """Whether the server has answered for everything."""
        return not self._unsent and (not self._replay or self.settled >= self.sent)

    @property
    def unsettled_seconds(self) -> float:
        """Audio that was captured and is still here because nothing answered for it."""
        settled = max(0, self.settled - self._replay[0][0]) if self._replay else 0
        return self.audio_format.seconds(self._unsent_frames + self._replay_frames - settled)

    def _take_mark(self, mark: Optional[Mark]) -> Optional[Mark]:
        if mark is not None:
            self._waiting.popleft()
            self._asked.append(mark)
        return mark

    def _contiguous(self, limit: int) -> Tuple[int, bool]:
        """How many frames can leave as one message, and whether more cannot join them."""
        start = self._unsent[0][0]
        length = 0
        for begin, pcm in self._unsent:
            if begin != start + length:
                return length, True
            length += self._frames(pcm)
            if length >= limit:
                return limit, True
        return length, False

    def _cut(self, length: int) -> bytes:
        parts: List[bytes] = []
        while length > 0:
            start, pcm = self._unsent.popleft()
            frames = self._frames(pcm)
            if frames > length:
                at = length * self.audio_format.frame_bytes
                self._unsent.appendleft((start + length, pcm[at:]))
                pcm = pcm[:at]
            parts.append(pcm)
            length -= frames
        return b"".join(parts)

    def _sending(self, start: int, pcm: bytes) -> bytes:
        frames = self._frames(pcm)
        if start != self._continues_at:
            self._clock.anchor(self.stream_sent, start)
        self.stream_sent += frames
        self._continues_at = self.sent = start + frames
        self._unsent_frames -= frames
        self._replay.append((start, pcm))
        self._replay_frames += frames
        return pcm

    def _settle(self, position: int) -> None:
        self.settled = max(self.settled, min(position, self.sent))
        self._trim_replay()

    def _trim_replay(self) -> None:
        while self._replay and self._end(self._replay[0]) <= self.settled:
            self._replay_frames -= self._frames(self._replay.popleft()[1])
        while self._forgotten and self._forgotten[0][1] <= self.settled:
            self._forgotten.popleft()

    def _cut_settled_replay(self) -> None:
        if self._replay and self._replay[0][0] < self.settled:
            start, pcm = self._replay.popleft()
            done = self.settled - start
            self._replay.appendleft((self.settled, pcm[done * self.audio_format.frame_bytes :]))
            self._replay_frames -= done

    def _forget_what_is_too_much(self) -> None:
        while self._replay and self._unsent_frames + self._replay_frames > self.capacity:
            forgotten = self._replay.popleft()
            self._replay_frames -= self._frames(forgotten[1])
            start, end = forgotten[0], self._end(forgotten)
            if self._forgotten and self._forgotten[-1][1] == start:
                start = self._forgotten.pop()[0]
            self._forgotten.append((start, end))

    def _end(self, chunk: Chunk) -> int:
        return chunk[0] + self._frames(chunk[1])

    def _frames(self, pcm: bytes) -> int:
        return len(pcm) // self.audio_format.frame_bytes
