"""The send queue: audio that was captured, sent, settled; and with it the session's clock.

Three marks on one run of frames, ``settled <= sent <= captured``:

- ``captured``: put in by the source. Time that was withheld or lost counts as well.
- ``sent``: handed to the connection.
- ``settled``: answered for by the server, and forgotten here.

What was sent but not settled is kept: after a lost connection ``rewind`` puts it back, and the ordinary
way of sending does the rest. Requests to finalize and to end are marks on the same run, so they leave
in the order in which they were asked for. No I/O and no thread. Its lock makes each method atomic; the
owner may share a lock of its own to make several calls one step.

What is more than its capacity goes into a ``Store``, where there is one, and is read back when it is sent.
"""

import threading
from typing import Any, List, Optional, Tuple, Union

from ..audio.format import AudioFormat
from .audio_buffer import Audio, AudioBuffer, Chunk, Store
from .clock import StreamClock

__all__ = ["END", "FINALIZE", "SETTLE", "Mark", "SendQueue"]

CROWDED_SECONDS = 10.0
"""The least audio between two finalizes that nobody but the queue asks for."""
UNANSWERED = 1000
"""Finalizes without an answer to remember; more are never under way."""
FINALIZE = "finalize"
END = "end"
SETTLE = "settle"
"""In a trace, a finalize that only the client itself has asked for."""


class Mark:
    """A request at a position of the queue, in frames. ``settled`` once it was answered or given up."""

    __slots__ = ("confirmed", "is_own", "kind", "position", "settled")

    def __init__(self, kind: str, position: int, *, settled: bool = False, confirmed: bool = False) -> None:
        self.kind = kind
        self.position = position
        self.settled = settled
        self.confirmed = confirmed
        self.is_own = False
        """Whether only the client itself has asked, so that its user need not hear of the answer."""

    def settle(self, *, confirmed: bool) -> None:
        """Answered by the server, or given up."""
        self.confirmed = confirmed
        self.settled = True


class ConnectionTime:
    """The session's clock as one connection tells it: it stays true when the next one has begun."""

    __slots__ = ("_queue", "end", "start")

    def __init__(self, queue: "SendQueue", clock: StreamClock) -> None:
        self._queue = queue
        self.start = clock.start
        self.end = clock.end

    @property
    def reached(self) -> float:
        """How far the server can have heard."""
        return self._queue.reached

    @property
    def heard(self) -> float:
        """How far it must have heard, if it keeps up with speech."""
        return self._queue.heard


class SendQueue:
    """A bounded run of audio with its marks. Lengths and positions are in frames.

    ``begin`` is where the first audio stands on the session's clock; ``unreadable`` counts the frames that
    the store could not give back.
    """

    __slots__ = """
        _asked _clock _continues_at _finalize_was_confirmed _finalized_at _forgotten _replay _unanswered
        _unsent _waiting _width audio_format capacity captured chunk lock longest sent settled store
        stream_sent under_way unreadable
    """.split()

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        capacity_seconds: float = 120.0,
        chunk_seconds: float = 0.05,
        longest_seconds: float = 0.5,
        store: Optional[Store] = None,
        begin: int = 0,
        lock: Optional[Any] = None,
    ) -> None:
        self.lock = lock or threading.RLock()
        self.audio_format = audio_format
        self.capacity = audio_format.frames(capacity_seconds)
        self.chunk = max(1, audio_format.frames(chunk_seconds))
        self.longest = max(self.chunk, audio_format.frames(longest_seconds))
        self.captured = begin
        self.sent = begin
        self.settled = begin
        self.stream_sent = 0
        self.unreadable = 0
        self.store = store
        self._width = audio_format.frame_bytes
        self._clock = StreamClock(audio_format.sample_rate, begin)
        self._continues_at: Optional[int] = begin
        self._unsent = AudioBuffer(audio_format.frame_bytes)
        self._replay = AudioBuffer(audio_format.frame_bytes)
        # Lists, though taken from in front: they are short, and an empty deque is as large as ten of them.
        self._forgotten: List[Tuple[int, int]] = []
        self._waiting: List[Mark] = []
        self._asked: List[Mark] = []
        self._unanswered: List[int] = []
        self._finalized_at: Optional[int] = None
        self._finalize_was_confirmed = False
        self.under_way = 0.0

    # What comes in.

    @property
    def unsent(self) -> int:
        """Frames that were captured and not sent yet."""
        return self._unsent.frames

    @property
    def room(self) -> int:
        """Frames that may be put before the queue is full."""
        # Up to one half is left to what was sent and may have to be sent again.
        kept, half = self._replay.in_memory, self.capacity // 2
        room = self.capacity - self._unsent.frames - (kept if kept < half else half)
        return room if room > 0 else 0

    @property
    def excess(self) -> int:
        """Frames in memory for which there is no room: somebody could not wait, and no store took them."""
        return max(0, self._unsent.in_memory - self.capacity)

    def put(self, pcm: bytes) -> None:
        """Append whole frames. Who can wait keeps to ``room``; who cannot drops the ``excess``."""
        with self.lock:
            step = self.longest * self._width
            pieces = [pcm] if len(pcm) <= step else [pcm[at : at + step] for at in range(0, len(pcm), step)]
            for piece in pieces:
                audio = piece if self.store is None else self._kept(self.store, piece)
                self._unsent.append(Chunk(self.captured, audio))
                self.captured += len(piece) // self._width
            if self._unsent.in_memory + self._replay.in_memory > self.capacity:
                self._forget_what_is_too_much()

    def skip(self, frames: int) -> None:
        """Let time pass without audio: it was withheld or lost before it came here."""
        with self.lock:
            self.captured += frames

    def drop_oldest(self, frames: int) -> int:
        """Throw away unsent audio, the oldest in memory first, until ``frames`` of it are gone.

        Tells how much went.
        """
        with self.lock:
            before = self._unsent.frames
            while before - self._unsent.frames < frames and self._unsent.in_memory:
                self._unsent.pop_oldest_in_memory()
            return before - self._unsent.frames

    def request(self, kind: str) -> Mark:
        """Mark the end of what was captured so far. Asked for twice at one place, it is one request."""
        with self.lock:
            if kind == FINALIZE and self.captured == self._finalized_at:
                # Nothing new to make final: asked again, it could only be answered as it was.
                return Mark(kind, self.captured, settled=True, confirmed=self._finalize_was_confirmed)
            if kind == FINALIZE and self.stream_sent == 0 and self.is_settled:
                # Nothing was said on this connection, and all that was said before is final.
                return Mark(kind, self.captured, settled=True, confirmed=True)
            for mark in (*self._asked, *self._waiting):
                if mark.kind == kind and mark.position == self.captured:
                    mark.is_own = False
                    return mark
            mark = Mark(kind, self.captured)
            self._waiting.append(mark)
            return mark

    def request_settling(self) -> None:
        """Mark the end of what was sent so far: once the server has made it final, it need not be kept."""
        with self.lock:
            mark = Mark(FINALIZE, self.sent)
            mark.is_own = True
            self._waiting.insert(0, mark)

    @property
    def is_drained(self) -> bool:
        """Whether everything that was put or asked for has been taken."""
        return not self._unsent.frames and not self._waiting

    @property
    def ending(self) -> bool:
        """Whether the end was asked for."""
        return any(mark.kind == END for mark in (*self._waiting, *self._asked))

    # What goes out.

    def take(self, *, flush: bool = False) -> Union[bytes, Mark, None]:
        """What to send next: audio, a mark, or None when there is less than a chunk.

        Audio before a mark, or before a gap, leaves however short it is; ``flush`` asks for the same
        at the end of the queue. None as well while the store loads the audio that is next.
        """
        with self.lock:
            while True:
                mark = self._waiting[0] if self._waiting else None
                if not self._unsent.frames or (mark and mark.position <= self._unsent.start):
                    return self._take_mark(mark)
                length = self._sendable(mark, flush)
                if not length:
                    return None
                pcm = self._send(length)
                # Empty, where it could not be read back: what comes after it is next.
                if pcm or pcm is None:
                    return pcm

    def padding(self, seconds: float) -> bytes:
        """Silence for the stream that is not on the session's clock."""
        with self.lock:
            frames = self.audio_format.frames(seconds)
            self.stream_sent += frames
            self._continues_at = None
            return bytes(frames * self.audio_format.frame_bytes)

    # What comes back.

    @property
    def asked(self) -> Optional[Mark]:
        """The oldest request that was sent and is not answered."""
        return self._asked[0] if self._asked else None

    @property
    def last_asked(self) -> Optional[Mark]:
        """The newest of them."""
        return self._asked[-1] if self._asked else None

    def answer(self, *, confirmed: bool = True) -> Optional[Mark]:
        """Resolve the oldest finalize that was sent; a confirmation settles audio.

        A confirmation does not say which finalize it answers, and it may come late: so it settles the audio
        before the oldest one that never was confirmed, given up or not.
        """
        with self.lock:
            mark = self._asked.pop(0) if self._asked and self._asked[0].kind == FINALIZE else None
            if mark is not None:
                mark.settle(confirmed=confirmed)
                self._finalized_at = mark.position
                self._finalize_was_confirmed = False
            if confirmed and self._unanswered:
                position = self._unanswered.pop(0)
                self._settle(position)
                self._finalize_was_confirmed = position == self._finalized_at
            return mark

    @property
    def is_finalized(self) -> bool:
        """Whether the server has confirmed that all that was captured is final."""
        return self._finalize_was_confirmed and self._finalized_at == self.captured

    def give_up(self) -> None:
        """Nothing will be answered any more."""
        with self.lock:
            for mark in (*self._asked, *self._waiting):
                mark.settle(confirmed=False)
            self._asked.clear()
            self._waiting.clear()

    def settle(self, seconds: float) -> None:
        """The server has answered for everything up to ``seconds`` of the session's clock."""
        with self.lock:
            # Rounded down: what is settled too late is only sent twice, what is settled too early is lost.
            self._settle(int(seconds * self.audio_format.sample_rate + 1e-3))

    def rewind(self) -> int:
        """Begin a new connection: what is not settled goes out again. Tells the frames that can't."""
        with self.lock:
            lost = sum(end - max(start, self.settled) for start, end in self._forgotten)
            self._forgotten.clear()
            self._cut_settled_replay()
            self.sent = self._replay.start if self._replay else self.sent
            self.settled = self.sent
            self._unsent.take_back(self._replay)
            self._waiting[:0] = self._asked
            self._asked.clear()
            self._unanswered.clear()
            self._finalized_at = None
            self.under_way = 0.0
            self.stream_sent = 0
            self._continues_at = None
            self._clock = StreamClock(self.audio_format.sample_rate, self.sent)
            return lost

    # The session's clock, in seconds.

    def timeline(self) -> ConnectionTime:
        """The clock for what the present connection says."""
        return ConnectionTime(self, self._clock)

    def start(self, stream_seconds: float) -> float:
        """When something began, by the server's count, on the session's clock."""
        return self._clock.start(stream_seconds)

    def end(self, stream_seconds: float) -> float:
        """When something ended, by the server's count, on the session's clock."""
        return self._clock.end(stream_seconds)

    @property
    def heard(self) -> float:
        """How far the server must have heard if it keeps up with speech: what went faster is under way."""
        return self.reached - self.under_way

    @property
    def reached(self) -> float:
        """How far the server can have heard: the oldest open finalize, else all that was sent."""
        return self.audio_format.seconds(self._asked[0].position if self._asked else self.sent)

    @property
    def is_crowded(self) -> bool:
        """Whether so much was sent and not settled that there may soon be no room to keep it."""
        if self._replay.frames <= self.capacity // 2:
            return False
        since = self.sent - (self._finalized_at or 0)
        return since >= self.audio_format.frames(CROWDED_SECONDS)

    @property
    def kept_seconds(self) -> float:
        """Audio that was sent and is kept because it is not settled."""
        return self.audio_format.seconds(self._replay.frames)

    @property
    def is_settled(self) -> bool:
        """Whether the server has answered for everything."""
        return not self._unsent and self.settled >= self.sent

    @property
    def unsettled_seconds(self) -> float:
        """Audio that was captured and is still here because nothing answered for it."""
        settled = max(0, self.settled - self._replay.start) if self._replay else 0
        return self.audio_format.seconds(self._unsent.frames + self._replay.frames - settled)

    # The end.

    def leave(self, *, complete: bool) -> None:
        """Forget everything, or leave in the store what was not answered for, memory included.

        Where nothing was in the store by then, nothing is left there.
        """
        with self.lock:
            if self.store is None:
                return
            if complete:
                self.store.settle(self.captured)
                return
            chunks = [
                each for each in (*self._replay, *self._unsent) if self._replay.end(each) > self.settled
            ]
            if not all(each.is_in_memory for each in chunks):
                self.store.leave([(start, audio) for start, audio in chunks if isinstance(audio, bytes)])

    def _kept(self, store: Store, pcm: bytes) -> Audio:
        """Audio as it is kept: in memory, or in the store."""
        held = self._unsent.in_memory + self._replay.in_memory + len(pcm) // self._width
        # What follows stored audio follows it there, until all of it is sent: fewer and longer files.
        stored = self._unsent.is_stored_last or held > self.capacity
        return (store.keep(self.captured, pcm) if stored else None) or pcm

    def _take_mark(self, mark: Optional[Mark]) -> Optional[Mark]:
        if mark is not None:
            self._waiting.pop(0)
            self._asked.append(mark)
            if mark.kind == FINALIZE:
                self._unanswered = [*self._unanswered[1 - UNANSWERED :], mark.position]
        return mark

    def _sendable(self, mark: Optional[Mark], flush: bool) -> int:
        """How many frames can leave as one message."""
        if mark is None and len(self._unsent.chunks) == 1:
            length = self._unsent.frames
            if self.chunk <= length <= self.longest:
                return length
        limit = self.longest if mark is None else min(self.longest, mark.position - self._unsent.start)
        length, must_leave = self._unsent.contiguous(limit)
        return length if self.chunk <= length or flush or must_leave or mark else 0

    def _send(self, length: int) -> Optional[bytes]:
        cut = self._unsent.cut(length, self._note_unreadable)
        if cut is None:
            return None
        chunks, pcm = cut
        if chunks:
            start = chunks[0].start
            if start != self._continues_at:
                self._clock.anchor(self.stream_sent, start)
            frames = len(pcm) // self._width
            self.stream_sent += frames
            self._continues_at = self.sent = start + frames
            for chunk in chunks:
                self._replay.append_apart(chunk)
        return pcm

    def _note_unreadable(self, frames: int) -> None:
        self.unreadable += frames

    def _settle(self, position: int) -> None:
        if position > self.sent:
            position = self.sent
        if position <= self.settled:
            return
        self.settled = position
        self._replay.pop_until(position)
        while self._forgotten and self._forgotten[0][1] <= position:
            self._forgotten.pop(0)
        if self.store is not None:
            self.store.settle(position)

    def _cut_settled_replay(self) -> None:
        if self._replay and self._replay.start < self.settled:
            self._replay.pop_frames(self.settled - self._replay.start)

    def _forget_what_is_too_much(self) -> None:
        while self._replay.in_memory and self._unsent.in_memory + self._replay.in_memory > self.capacity:
            forgotten = self._replay.pop_oldest_in_memory()
            start, end = forgotten.start, self._replay.end(forgotten)
            if self._forgotten and self._forgotten[-1][1] == start:
                start = self._forgotten.pop()[0]
            self._forgotten.append((start, end))
