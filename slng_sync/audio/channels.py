"""A source taken apart into its channels: read once, by one thread, for sessions that each hear one of them.

Sessions may take their time, and end, without each other. What cannot wait is handed out as it comes; a
recording waits for whoever is slowest, so that no more than a second of it lies here.
"""

import dataclasses
import threading
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, Optional, Sequence, Type, Union

from ..events import AudioLost, Event, MicrophoneLost, MicrophoneRestored, Repeated
from .convert import Audio, to_pcm
from .format import SAMPLE_BYTES, AudioFormat
from .source import AudioSource

__all__ = ["Channel", "split"]

MOST_SECONDS = 1.0
"""How much of a recording the fastest session is ahead of the slowest, but for what they have in buffers."""
REST_SECONDS = 1.0
"""How long the rest of a source that was stopped is waited for."""
NEVER = float("inf")

Piece = Union[bytes, Event]


class _AudioLost(AudioLost, Repeated): ...


class _MicrophoneLost(MicrophoneLost, Repeated): ...


class _MicrophoneRestored(MicrophoneRestored, Repeated): ...


REPEATED: Dict[Type[Event], Any] = {
    AudioLost: _AudioLost,
    MicrophoneLost: _MicrophoneLost,
    MicrophoneRestored: _MicrophoneRestored,
}


def split(source: AudioSource, count: int) -> "List[Channel]":
    """Return a source for each channel of ``source``, which has ``count`` of them.

    It is read once all of them are heard, and stopped once all of them are.
    """
    shared = _Shared(source, count)
    return shared.channels


class Channel:
    """One channel of a source: a source itself, which can be heard once."""

    def __init__(self, shared: "_Shared", sample_rate: int) -> None:
        self.audio_format = AudioFormat(sample_rate, 1)
        self.live: bool = shared.live
        self.duration: Optional[float] = shared.duration
        self.begun = False
        self.waiting: Deque[Piece] = deque()
        self.frames = 0
        """How many frames are waiting."""
        self.wanted_until = NEVER
        """On the monotonic clock; what comes later is for others."""
        self._shared = shared

    @property
    def is_wanted(self) -> bool:
        """Whether more is to be put in."""
        return time.monotonic() < self.wanted_until

    def check(self) -> None:
        """Raise where the source can't be had."""
        self._shared.check(self)

    def __iter__(self) -> Iterator[bytes]:
        return (piece for piece in self.hear() if isinstance(piece, bytes))

    def hear(self) -> Iterator[Piece]:
        """Hear the channel, and what the source has to tell: the first channel tells it."""
        # Begun here, not by the first ``next()``, so that a ``stop`` from now on ends it.
        self._shared.begin(self)
        return self._pieces()

    def stop(self) -> None:
        """End this channel; callable from any thread. What was read by now is still given."""
        self._shared.stop([self])

    def stop_all(self) -> None:
        """End the source, and with it all its channels, which still get what it has left."""
        self._shared.stop(self._shared.channels)

    def join(self, timeout: float) -> None:
        """Wait until a source of which no channel is wanted any more has given everything back."""
        self._shared.join(timeout)

    def _pieces(self) -> Iterator[Piece]:
        while True:
            piece = self._shared.take(self)
            if piece is None:
                return
            yield piece


class _Shared:
    """The source behind its channels, and ``slng-split``, the thread that reads it."""

    def __init__(self, source: AudioSource, count: int) -> None:
        self.live = bool(getattr(source, "live", False))
        self.duration: Optional[float] = getattr(source, "duration", None)
        self._source = source
        self._format = source.audio_format
        self.channels = [Channel(self, self._format.sample_rate) for _ in range(count)]
        self._pieces: Iterator[Union[Audio, Event]] = iter(())
        self._changed = threading.Condition()
        self._started = self._ended = False
        self._error: Optional[Exception] = None
        # Daemon: a source that never returns, such as a frozen sound server, must not keep the process.
        self._thread = threading.Thread(target=self._run, name="slng-split", daemon=True)

    # What the channels ask for.

    def check(self, channel: Channel) -> None:
        check: Any = getattr(self._source, "check", None)
        if callable(check) and channel is self.channels[0]:
            check()

    def begin(self, channel: Channel) -> None:
        """Begin to read once every channel is heard."""
        with self._changed:
            channel.begun = True
            if self._started or self._is_stopped or not all(each.begun for each in self.channels):
                return
            self._started = True
        hear: Any = getattr(self._source, "hear", None)
        try:
            self._pieces = iter(hear() if callable(hear) else self._source)
        except BaseException:
            self._end(None)
            raise
        self._thread.start()
        if self._is_stopped:
            # Perhaps before the iteration began, which then knows nothing of it.
            self._stop_source()

    def take(self, channel: Channel) -> Optional[Piece]:
        """Wait for a piece; None at the end. What has ended the source too early is raised to one channel."""
        with self._changed:
            self._wait_for_piece(channel)
            if channel.waiting:
                piece = channel.waiting.popleft()
                channel.frames -= _frames(piece)
                self._changed.notify_all()
                return piece
            error = self._error if channel.is_wanted else None
            if error is not None:
                self._error = None
        if error is not None:
            raise error
        return None

    def stop(self, channels: Sequence[Channel]) -> None:
        """End these channels, and the source where no other is left."""
        with self._changed:
            wanted = [each for each in channels if each.wanted_until == NEVER]
            is_last = all(each in channels or each.wanted_until != NEVER for each in self.channels)
            now = time.monotonic()
            for each in wanted:
                # The rest of a source that goes on is for the others.
                each.wanted_until = now + REST_SECONDS if is_last else now
            self._changed.notify_all()
        if wanted and is_last:
            self._stop_source()

    def join(self, timeout: float) -> None:
        if self._is_stopped and self._thread.ident is not None:
            until = time.monotonic() + timeout
            self._thread.join(timeout)
            join: Any = getattr(self._source, "join", None)
            if callable(join):
                join(max(0.0, until - time.monotonic()))

    def _stop_source(self) -> None:
        stop: Any = getattr(self._source, "stop", None)
        if callable(stop):
            stop()

    @property
    def _is_stopped(self) -> bool:
        return all(each.wanted_until != NEVER for each in self.channels)

    def _wait_for_piece(self, channel: Channel) -> None:
        while not channel.waiting and not self._ended and channel.is_wanted:
            if self._is_stopped and not self._started:
                return
            until = channel.wanted_until
            self._changed.wait(None if until == NEVER else max(0.0, until - time.monotonic()))

    # The thread that reads.

    def _run(self) -> None:
        error: Optional[Exception] = None
        try:
            self._read()
        except Exception as failure:
            error = failure
        self._end(error)

    def _end(self, error: Optional[Exception]) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _read(self) -> None:
        for piece in self._pieces:
            if isinstance(piece, Event):
                apart = self._told(piece)
            else:
                apart = _apart(to_pcm(piece, self._format), self._format.channels)
            with self._changed:
                if not self._hand_out(apart):
                    return

    def _told(self, event: Event) -> Sequence[Optional[Piece]]:
        """An event is told by the first channel that is still heard; the clocks of all follow it."""
        kind = REPEATED.get(type(event))
        again = None if kind is None else kind(*dataclasses.astuple(event))  # type: ignore[call-overload]
        teller = next((each for each in self.channels if each.is_wanted), None)
        return [event if each is teller else again for each in self.channels]

    def _hand_out(self, apart: Sequence[Optional[Piece]]) -> bool:
        """Give each channel its part, as soon as there is room; False where nobody wants any more."""
        while not self.live and self._is_full:
            if self._is_stopped:
                return False
            self._changed.wait()
        for channel, piece in zip(self.channels, apart):
            if channel.is_wanted and piece:
                channel.waiting.append(piece)
                channel.frames += _frames(piece)
        self._changed.notify_all()
        return any(each.is_wanted for each in self.channels)

    @property
    def _is_full(self) -> bool:
        most = self._format.frames(MOST_SECONDS)
        return any(each.is_wanted and each.frames >= most for each in self.channels)


def _apart(pcm: bytes, count: int) -> List[bytes]:
    samples = memoryview(pcm).cast("h")
    return [samples[at::count].tobytes() for at in range(count)]


def _frames(piece: Piece) -> int:
    return len(piece) // SAMPLE_BYTES if isinstance(piece, bytes) else 0
