"""The send queue: captured audio until the server has acknowledged it, and the session's clock.

Three positions divide the audio, ``settled <= sent <= captured``, in frames:

- ``captured``: the end of the audio that the source has put in. Withheld and lost time counts as well.
- ``sent``: the end of the audio that was handed to the connection.
- ``settled``: the end of the audio that the server has acknowledged. The queue drops audio before it.

The queue keeps audio that was sent and is not settled. After a lost connection ``rewind`` puts it back, and
it is sent again like any other audio. Requests to finalize and to end are marks at positions of the queue,
so they leave in the order in which they were made. If there is a ``Store``, audio beyond the capacity of the
queue goes into it and is read back when it is sent.

There is no I/O and no thread. A lock makes each method atomic. The owner may pass a lock of its own to make
several calls atomic.
"""

import threading
from typing import Any, List, Optional, Tuple, Union

from ..audio.format import AudioFormat
from .audio_buffer import Audio, AudioBuffer, Chunk, Store
from .clock import StreamClock

__all__ = ["END", "FINALIZE", "SETTLE", "Mark", "SendQueue"]

SETTLE_SECONDS = 10.0
"""Seconds of audio between two finalizes that the queue itself needs, at least."""
MAX_UNANSWERED = 1000
"""Unanswered finalizes to remember. More are never outstanding."""
FINALIZE = "finalize"
END = "end"
SETTLE = "settle"
"""The name in a trace of a finalize that the client sent on its own account."""


class Mark:
    """A request to finalize or to end at a position of the queue, in frames.

    ``settled`` is True once the server has answered or the client has given up. ``confirmed`` is True if the
    server has confirmed the request.
    """

    __slots__ = ("confirmed", "is_own", "kind", "position", "settled")

    def __init__(self, kind: str, position: int, *, settled: bool = False, confirmed: bool = False) -> None:
        self.kind = kind
        self.position = position
        self.settled = settled
        self.confirmed = confirmed
        self.is_own = False
        """Whether the client made the request on its own account.

        The user then gets no event for the answer.
        """

    def settle(self, *, confirmed: bool) -> None:
        """Note that the server has answered, or that the client has given up."""
        self.confirmed = confirmed
        self.settled = True


class ConnectionTime:
    """The session's clock for the messages of one connection.

    It stays valid after the next connection begins.
    """

    __slots__ = ("_queue", "end", "start")

    def __init__(self, queue: "SendQueue", clock: StreamClock) -> None:
        self._queue = queue
        self.start = clock.start
        self.end = clock.end

    @property
    def reached(self) -> float:
        """Seconds of the session that the server can have transcribed at most."""
        return self._queue.reached

    @property
    def heard(self) -> float:
        """Seconds of the session that a server which keeps up with speech has transcribed at least."""
        return self._queue.heard


class SendQueue:
    """A bounded queue of audio and marks. Lengths and positions are in frames.

    ``begin`` is the position of the first audio on the session's clock. ``unreadable`` counts the frames that
    the store could not read back.
    """

    __slots__ = """
        _asked _clock _continues_at _evicted _finalize_was_confirmed _finalized_at _replay _unanswered
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
        # Lists, although items leave at the front: they are short, and an empty deque takes ten times the
        # memory.
        self._evicted: List[Tuple[int, int]] = []
        self._waiting: List[Mark] = []
        self._asked: List[Mark] = []
        self._unanswered: List[int] = []
        self._finalized_at: Optional[int] = None
        self._finalize_was_confirmed = False
        self.under_way = 0.0

    # Input.

    @property
    def unsent(self) -> int:
        """Frames that were captured and are not sent yet."""
        return self._unsent.frames

    @property
    def room(self) -> int:
        """Frames that fit before the queue is full."""
        # Sent audio that may have to be sent again takes up to half of the capacity.
        kept, half = self._replay.in_memory, self.capacity // 2
        room = self.capacity - self._unsent.frames - (kept if kept < half else half)
        return room if room > 0 else 0

    @property
    def excess(self) -> int:
        """Frames in memory beyond the capacity.

        A source that cannot wait put them, and no store took them.
        """
        return max(0, self._unsent.in_memory - self.capacity)

    def put(self, pcm: bytes) -> None:
        """Append whole frames.

        A caller that can wait puts no more than ``room``. Any other caller drops the ``excess`` afterwards.
        """
        with self.lock:
            step = self.longest * self._width
            for at in range(0, len(pcm), step):
                piece = pcm if len(pcm) <= step else pcm[at : at + step]
                audio = piece if self.store is None else self._stored(self.store, piece)
                self._unsent.append(Chunk(self.captured, audio))
                self.captured += len(piece) // self._width
            if self._unsent.in_memory + self._replay.in_memory > self.capacity:
                self._evict_excess()

    def skip(self, frames: int) -> None:
        """Advance the clock without audio, for audio that was withheld or lost before it was put in."""
        with self.lock:
            self.captured += frames

    def drop_oldest(self, frames: int) -> int:
        """Drop the oldest unsent audio in memory until at least ``frames`` are gone.

        Return the number of dropped frames.
        """
        with self.lock:
            before = self._unsent.frames
            while before - self._unsent.frames < frames and self._unsent.in_memory:
                self._unsent.pop_oldest_in_memory()
            return before - self._unsent.frames

    def request(self, kind: str) -> Mark:
        """Add a mark after the audio captured so far.

        Return the existing one if there is one at this position.
        """
        with self.lock:
            if kind == FINALIZE and self.captured == self._finalized_at:
                # There is no new audio to finalize, so the last answer still holds.
                return Mark(kind, self.captured, settled=True, confirmed=self._finalize_was_confirmed)
            if kind == FINALIZE and self.stream_sent == 0 and self.is_settled:
                # This connection has carried no audio, and all earlier audio is final.
                return Mark(kind, self.captured, settled=True, confirmed=True)
            for mark in (*self._asked, *self._waiting):
                if mark.kind == kind and mark.position == self.captured:
                    mark.is_own = False
                    return mark
            mark = Mark(kind, self.captured)
            self._waiting.append(mark)
            return mark

    def request_settling(self) -> None:
        """Add a finalize after the audio sent so far, so that the queue can drop it once it is confirmed."""
        with self.lock:
            mark = Mark(FINALIZE, self.sent)
            mark.is_own = True
            self._waiting.insert(0, mark)

    @property
    def is_drained(self) -> bool:
        """Whether all audio and all marks have been taken."""
        return not self._unsent.frames and not self._waiting

    @property
    def ending(self) -> bool:
        """Whether the end was requested."""
        return any(mark.kind == END for mark in (*self._waiting, *self._asked))

    # Output.

    def take(self, *, flush: bool = False) -> Union[bytes, Mark, None]:
        """Remove and return what to send next: audio or a mark. Return None if there is less than a chunk.

        Audio before a mark or a gap is sent even if it is shorter than a chunk. With ``flush`` so is the
        last audio of the queue. Also return None while the store loads the next audio.
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
                # Empty audio could not be read back, so try the audio after it.
                if pcm or pcm is None:
                    return pcm

    def padding(self, seconds: float) -> bytes:
        """Return silence for the connection. It takes no time on the session's clock."""
        with self.lock:
            frames = self.audio_format.frames(seconds)
            self.stream_sent += frames
            self._continues_at = None
            return bytes(frames * self.audio_format.frame_bytes)

    # Acknowledgements.

    @property
    def asked(self) -> Optional[Mark]:
        """The oldest mark that was sent and is not answered, or None."""
        return self._asked[0] if self._asked else None

    @property
    def last_asked(self) -> Optional[Mark]:
        """The newest mark that was sent and is not answered, or None."""
        return self._asked[-1] if self._asked else None

    def answer(self, *, confirmed: bool = True) -> Optional[Mark]:
        """Resolve the oldest finalize that was sent, and return its mark. A confirmation settles audio.

        A confirmation does not say which finalize it answers, and it may arrive late. It therefore settles
        the audio before the oldest unconfirmed finalize, even if the client has given that one up.
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
        """Whether the server has confirmed that all captured audio is final."""
        return self._finalize_was_confirmed and self._finalized_at == self.captured

    def give_up(self) -> None:
        """Settle all marks as unconfirmed: no more answers will arrive."""
        with self.lock:
            for mark in (*self._asked, *self._waiting):
                mark.settle(confirmed=False)
            self._asked.clear()
            self._waiting.clear()

    def settle(self, seconds: float) -> None:
        """Drop the audio before ``seconds`` on the session's clock: the server has acknowledged it."""
        with self.lock:
            # Round down: audio that is settled too late is only sent twice, but audio settled too early is
            # lost.
            self._settle(int(seconds * self.audio_format.sample_rate + 1e-3))

    def rewind(self) -> int:
        """Put unsettled audio back for a new connection.

        Return the number of evicted frames, which are lost.
        """
        with self.lock:
            lost = sum(end - max(start, self.settled) for start, end in self._evicted)
            self._evicted.clear()
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
        """Return the clock for the messages of the current connection."""
        return ConnectionTime(self, self._clock)

    def start(self, stream_seconds: float) -> float:
        """Return a start time of the server in seconds on the session's clock."""
        return self._clock.start(stream_seconds)

    def end(self, stream_seconds: float) -> float:
        """Return an end time of the server in seconds on the session's clock."""
        return self._clock.end(stream_seconds)

    @property
    def heard(self) -> float:
        """Seconds that the server has transcribed at least, if it keeps up with speech.

        ``under_way`` is the audio that was sent faster than real time.
        """
        return self.reached - self.under_way

    @property
    def reached(self) -> float:
        """Seconds that the server can have transcribed: up to the oldest open finalize, else all sent
        audio."""
        return self.audio_format.seconds(self._asked[0].position if self._asked else self.sent)

    @property
    def is_crowded(self) -> bool:
        """Whether unsettled audio takes so much room that the queue may soon evict some of it."""
        if self._replay.frames <= self.capacity // 2:
            return False
        since = self.sent - (self._finalized_at or 0)
        return since >= self.audio_format.frames(SETTLE_SECONDS)

    @property
    def kept_seconds(self) -> float:
        """Seconds of audio that was sent and is kept until it is settled."""
        return self.audio_format.seconds(self._replay.frames)

    @property
    def is_settled(self) -> bool:
        """Whether the server has acknowledged all audio."""
        return not self._unsent and self.settled >= self.sent

    @property
    def unsettled_seconds(self) -> float:
        """Seconds of captured audio that the server has not acknowledged."""
        settled = max(0, self.settled - self._replay.start) if self._replay else 0
        return self.audio_format.seconds(self._unsent.frames + self._replay.frames - settled)

    # The end.

    def leave(self, *, complete: bool) -> None:
        """Close the store: empty it, or leave all unsettled audio in it, including that in memory.

        An incomplete session leaves nothing if none of its unsettled audio is in the store.
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

    def _stored(self, store: Store, pcm: bytes) -> Audio:
        """Return the audio itself to keep it in memory, or its place in the store."""
        held = self._unsent.in_memory + self._replay.in_memory + len(pcm) // self._width
        # Audio after stored audio is stored too until all of that is sent. This makes fewer and longer files.
        stored = self._unsent.is_stored_last or held > self.capacity
        return (store.keep(self.captured, pcm) if stored else None) or pcm

    def _take_mark(self, mark: Optional[Mark]) -> Optional[Mark]:
        if mark is not None:
            self._waiting.pop(0)
            self._asked.append(mark)
            if mark.kind == FINALIZE:
                self._unanswered = [*self._unanswered[1 - MAX_UNANSWERED :], mark.position]
        return mark

    def _sendable(self, mark: Optional[Mark], flush: bool) -> int:
        """Return how many frames can be sent as one message."""
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
        while self._evicted and self._evicted[0][1] <= position:
            self._evicted.pop(0)
        if self.store is not None:
            self.store.settle(position)

    def _cut_settled_replay(self) -> None:
        if self._replay and self._replay.start < self.settled:
            self._replay.pop_frames(self.settled - self._replay.start)

    def _evict_excess(self) -> None:
        while self._replay.in_memory and self._unsent.in_memory + self._replay.in_memory > self.capacity:
            evicted = self._replay.pop_oldest_in_memory()
            start, end = evicted.start, self._replay.end(evicted)
            if self._evicted and self._evicted[-1][1] == start:
                start = self._evicted.pop()[0]
            self._evicted.append((start, end))
