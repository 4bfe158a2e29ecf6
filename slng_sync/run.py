"""A run of audio: what was captured, in order, in memory or in a store.

Chunks know where they begin on the session's clock, so a run may have gaps. No I/O of its own, no lock.
"""

from collections import deque
from typing import Callable, Deque, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Tuple, Union

__all__ = ["Audio", "Chunk", "Run", "Store", "Stored"]


class Stored(Protocol):
    """Audio in a store, used as bytes are: its length in bytes, its parts, and ``bytes()`` to read it back.

    Reading raises ``OSError``. ``joined`` is the audio with what follows it, where both lie together.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> "Stored": ...

    def __bytes__(self) -> bytes: ...

    def joined(self, later: "Stored") -> "Optional[Stored]": ...


class Store(Protocol):
    """Where audio is kept that has no room in memory. Positions are in frames."""

    @property
    def trouble(self) -> str:
        """Why nothing was kept when it was tried last; empty where it was."""

    def keep(self, position: int, pcm: bytes) -> Optional[Stored]:
        """Keep the audio that begins at ``position``; None where that is not possible now."""

    def settle(self, position: int) -> None:
        """What lies before ``position`` is not needed any more."""


Audio = Union[bytes, Stored]


class Chunk(NamedTuple):
    """Where the audio begins on the session's clock, in frames, and the audio."""

    start: int
    audio: Audio

    @property
    def is_in_memory(self) -> bool:
        """Whether it takes up memory."""
        return isinstance(self.audio, bytes)


class Run:
    """Chunks in the order of their positions. Lengths are in frames of ``width`` bytes."""

    def __init__(self, width: int) -> None:
        self.frames = 0
        self.in_memory = 0
        self._width = width
        self._chunks: Deque[Chunk] = deque()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)

    @property
    def start(self) -> int:
        """Where the first chunk begins."""
        return self._chunks[0].start

    @property
    def first(self) -> Chunk:
        """The first chunk."""
        return self._chunks[0]

    @property
    def is_stored_last(self) -> bool:
        """Whether the last chunk is in a store."""
        return bool(self._chunks) and not self._chunks[-1].is_in_memory

    def length(self, chunk: Chunk) -> int:
        """How many frames a chunk has."""
        return len(chunk.audio) // self._width

    def end(self, chunk: Chunk) -> int:
        """Where a chunk ends."""
        return chunk.start + self.length(chunk)

    def append(self, chunk: Chunk) -> None:
        """Append a chunk; in a store it becomes one with what lies before it there."""
        self._count(chunk, 1)
        last = self._chunks[-1] if self._chunks else None
        if last and not isinstance(last.audio, bytes) and not isinstance(chunk.audio, bytes):
            joined = last.audio.joined(chunk.audio)
            if joined is not None:
                self._chunks[-1] = Chunk(last.start, joined)
                return
        self._chunks.append(chunk)

    def extend(self, chunks: Iterable[Chunk]) -> None:
        """Append several chunks, each for itself."""
        for chunk in chunks:
            self._count(chunk, 1)
            self._chunks.append(chunk)

    def take_back(self, earlier: "Run") -> None:
        """Put another run before this one, and leave it empty."""
        self._chunks.extendleft(reversed(earlier._chunks))
        self.frames += earlier.frames
        self.in_memory += earlier.in_memory
        earlier._chunks.clear()
        earlier.frames = earlier.in_memory = 0

    def pop(self) -> Chunk:
        """Remove the first chunk."""
        chunk = self._chunks.popleft()
        self._count(chunk, -1)
        return chunk

    def pop_oldest_in_memory(self) -> Chunk:
        """Remove the first chunk that takes up memory; there must be one."""
        index = next(index for index, chunk in enumerate(self._chunks) if chunk.is_in_memory)
        chunk = self._chunks[index]
        del self._chunks[index]
        self._count(chunk, -1)
        return chunk

    def pop_frames(self, frames: int) -> Chunk:
        """Remove the first chunk, or as much of it."""
        chunk = self.pop()
        if self.length(chunk) <= frames:
            return chunk
        at = frames * self._width
        rest = Chunk(chunk.start + frames, chunk.audio[at:])
        self._chunks.appendleft(rest)
        self._count(rest, 1)
        return Chunk(chunk.start, chunk.audio[:at])

    def contiguous(self, limit: int) -> Tuple[int, bool]:
        """How many frames at the beginning have no gap, up to a limit, and whether more cannot join them."""
        start = self.start
        length = 0
        for chunk in self._chunks:
            if chunk.start != start + length:
                return length, True
            length += self.length(chunk)
            if length >= limit:
                return limit, True
        return length, False

    def cut(self, length: int, unreadable: Callable[[int], None]) -> Tuple[List[Chunk], bytes]:
        """Remove so many frames without a gap and read them.

        Gives fewer, or none, where a store cannot give back its audio: that chunk is told to ``unreadable``.
        """
        chunks: List[Chunk] = []
        parts: List[bytes] = []
        while length > 0:
            whole = self.length(self.first)
            chunk = self.pop_frames(length)
            try:
                parts.append(bytes(chunk.audio))
            except OSError:
                if self.length(chunk) < whole:
                    self.pop()
                unreadable(whole)
                break
            chunks.append(chunk)
            length -= self.length(chunk)
        return chunks, parts[0] if len(parts) == 1 else b"".join(parts)

    def _count(self, chunk: Chunk, sign: int) -> None:
        frames = sign * self.length(chunk)
        self.frames += frames
        if chunk.is_in_memory:
            self.in_memory += frames
