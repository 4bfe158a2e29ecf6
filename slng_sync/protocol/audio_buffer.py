"""A buffer of captured audio, in order, in memory or in a store.

Each chunk has its position on the session's clock, so the buffer may have gaps. No I/O of its own, no lock.
"""

from typing import Callable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

__all__ = ["Audio", "AudioBuffer", "Chunk", "Store", "Stored"]


class Stored(Protocol):
    """Audio in a store. ``len()`` is its size in bytes, and a slice is a part of it.

    ``load`` returns the audio, or None while the store reads it, and raises ``OSError`` if that fails.
    ``joined`` returns both parts as one if ``later`` directly follows, else None.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> "Stored": ...

    def load(self) -> Optional[bytes]: ...

    def joined(self, later: "Stored") -> "Optional[Stored]": ...


class Store(Protocol):
    """A place for audio that does not fit in memory. Positions are in frames. No method waits."""

    @property
    def trouble(self) -> str:
        """Why the last ``keep`` returned None; empty if it succeeded."""

    def keep(self, position: int, pcm: bytes) -> Optional[Stored]:
        """Keep the audio that begins at ``position``. Return None if that is not possible now."""

    def settle(self, position: int) -> None:
        """Drop the audio before ``position``."""

    def leave(self, audio: Sequence[Tuple[int, bytes]]) -> None:
        """Keep these chunks as well, and leave all audio in the store: the session is over."""


Audio = Union[bytes, Stored]


class Chunk(NamedTuple):
    """Audio and its position on the session's clock, in frames."""

    start: int
    audio: Audio

    @property
    def is_in_memory(self) -> bool:
        """Whether the audio is in memory."""
        return isinstance(self.audio, bytes)


class AudioBuffer:
    """Chunks in the order of their positions. Lengths are in frames of ``width`` bytes."""

    __slots__ = ("_width", "chunks", "frames", "in_memory")

    def __init__(self, width: int) -> None:
        # A list, although chunks leave at the front: it is short, and an empty deque takes ten times the
        # memory.
        self.chunks: List[Chunk] = []
        self.frames = 0
        self.in_memory = 0
        self._width = width

    def __bool__(self) -> bool:
        return bool(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)

    @property
    def start(self) -> int:
        """The position of the first chunk."""
        return self.chunks[0].start

    @property
    def is_stored_last(self) -> bool:
        """Whether the last chunk is in a store."""
        return bool(self.chunks) and not self.chunks[-1].is_in_memory

    def length(self, chunk: Chunk) -> int:
        """Return the number of frames of a chunk."""
        return len(chunk.audio) // self._width

    def end(self, chunk: Chunk) -> int:
        """Return the position at which a chunk ends."""
        return chunk.start + self.length(chunk)

    def append(self, chunk: Chunk) -> None:
        """Append a chunk. Join it with the last chunk if both are in a store and adjacent."""
        audio = chunk.audio
        frames = len(audio) // self._width
        self.frames += frames
        if isinstance(audio, bytes):
            self.in_memory += frames
        elif self.is_stored_last:
            last = self.chunks[-1]
            assert not isinstance(last.audio, bytes)
            joined = last.audio.joined(audio)
            if joined is not None:
                self.chunks[-1] = Chunk(last.start, joined)
                return
        self.chunks.append(chunk)

    def append_apart(self, chunk: Chunk) -> None:
        """Append a chunk without joining it with the last one."""
        self._count(chunk, 1)
        self.chunks.append(chunk)

    def take_back(self, earlier: "AudioBuffer") -> None:
        """Move all chunks of another buffer to the front of this one."""
        self.chunks[:0] = earlier.chunks
        self.frames += earlier.frames
        self.in_memory += earlier.in_memory
        earlier.chunks.clear()
        earlier.frames = earlier.in_memory = 0

    def pop(self) -> Chunk:
        """Remove and return the first chunk."""
        chunk = self.chunks.pop(0)
        self._count(chunk, -1)
        return chunk

    def pop_until(self, position: int) -> None:
        """Remove the chunks that end at ``position`` or before it."""
        width, count, frames, in_memory = self._width, 0, 0, 0
        for start, audio in self.chunks:
            length = len(audio) // width
            if start + length > position:
                break
            count += 1
            frames += length
            if isinstance(audio, bytes):
                in_memory += length
        if count:
            del self.chunks[:count]
            self.frames -= frames
            self.in_memory -= in_memory

    def pop_oldest_in_memory(self) -> Chunk:
        """Remove and return the first chunk in memory. There must be one."""
        index = next(index for index, chunk in enumerate(self.chunks) if chunk.is_in_memory)
        chunk = self.chunks[index]
        del self.chunks[index]
        self._count(chunk, -1)
        return chunk

    def pop_frames(self, frames: int) -> Chunk:
        """Remove and return the first chunk, or its first ``frames`` frames if it is longer."""
        chunk = self.pop()
        if self.length(chunk) <= frames:
            return chunk
        at = frames * self._width
        rest = Chunk(chunk.start + frames, chunk.audio[at:])
        self.chunks.insert(0, rest)
        self._count(rest, 1)
        return Chunk(chunk.start, chunk.audio[:at])

    def contiguous(self, limit: int) -> Tuple[int, bool]:
        """Return the frames before the first gap, at most ``limit``, and whether no more audio can join
        them."""
        start = self.start
        length = 0
        for chunk in self.chunks:
            if chunk.start != start + length:
                return length, True
            length += self.length(chunk)
            if length >= limit:
                return limit, True
        return length, False

    def cut(self, length: int, unreadable: Callable[[int], None]) -> Optional[Tuple[List[Chunk], bytes]]:
        """Remove ``length`` frames without a gap, and return their chunks and their audio.

        Return None if a store has to load them first. If a store cannot read a chunk, return the frames
        before it and call ``unreadable`` with its number of frames.
        """
        first = self.chunks[0]
        if isinstance(first.audio, bytes) and len(first.audio) == length * self._width:
            # The usual case: a chunk leaves as it was put in, without a copy.
            del self.chunks[0]
            self.frames -= length
            self.in_memory -= length
            return [first], first.audio
        parts: List[bytes] = []
        is_readable = True
        left = length * self._width
        for chunk in self.chunks:
            audio = chunk.audio[:left]
            try:
                pcm = audio if isinstance(audio, bytes) else audio.load()
            except OSError:
                is_readable = False
                break
            if pcm is None:
                return None
            parts.append(pcm)
            left -= len(pcm)
            if not left:
                break
        chunks = [self.pop_frames(len(part) // self._width) for part in parts]
        if not is_readable:
            unreadable(self.length(self.pop()))
        return chunks, parts[0] if len(parts) == 1 else b"".join(parts)

    def _count(self, chunk: Chunk, sign: int) -> None:
        audio = chunk.audio
        frames = sign * (len(audio) // self._width)
        self.frames += frames
        if isinstance(audio, bytes):
            self.in_memory += frames
