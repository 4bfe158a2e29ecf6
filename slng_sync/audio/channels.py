"""Split a source into its channels. One thread reads the source once, for one session per channel.

Sessions run and end independently of each other. A live source does not wait: each chunk is queued at once.
A recording waits for the slowest session, so that at most about a second of it is queued here.
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

MAX_LEAD_SECONDS = 1.0
"""How far the fastest session may be ahead of the slowest in a recording, not counting their own buffers."""
DRAIN_SECONDS = 1.0
"""How long the channels wait for the remaining audio of a source that was stopped."""
NEVER = float("inf")

Item = Union[bytes, Event]


class _AudioLost(AudioLost, Repeated): ...


class _MicrophoneLost(MicrophoneLost, Repeated): ...


class _MicrophoneRestored(MicrophoneRestored, Repeated): ...


REPEATED_TYPES: Dict[Type[Event], Any] = {
    AudioLost: _AudioLost,
    MicrophoneLost: _MicrophoneLost,
    MicrophoneRestored: _MicrophoneRestored,
}


def split(source: AudioSource, count: int) -> "List[Channel]":
    """Return one source for each of the ``count`` channels of ``source``.

    Reading starts when every channel is being iterated. ``source`` is stopped when every channel is stopped.
    """
    return _SharedSource(source, count).channels


class Channel:
    """One channel of a source. It is a source itself, and can be iterated once."""

    def __init__(self, shared: "_SharedSource", sample_rate: int) -> None:
        self.audio_format = AudioFormat(sample_rate, 1)
        self.live: bool = shared.live
        self.duration: Optional[float] = shared.duration
        self.started = False
        self.queue: Deque[Item] = deque()
        self.queued_frames = 0
        self.deadline = NEVER
        """Monotonic time after which this channel takes no more audio."""
        self._shared = shared

    @property
    def is_open(self) -> bool:
        """Return whether the channel still takes audio and events."""
        return time.monotonic() < self.deadline

    def check(self) -> None:
        """Raise the error of the source's own ``check``, if it has one."""
        self._shared.check(self)

    def __iter__(self) -> Iterator[bytes]:
        return (item for item in self.with_events() if isinstance(item, bytes))

    def with_events(self) -> Iterator[Item]:
        """Iterate over the channel's audio and the events of the source.

        The first open channel gets each event itself. The others get a ``Repeated`` copy of the events that
        affect their clocks.
        """
        # Start here and not in the first ``next()``, so that a ``stop`` from now on takes effect.
        self._shared.start(self)
        return self._items()

    def stop(self) -> None:
        """End this channel. Audio that is already queued is still delivered. Any thread may call this."""
        self._shared.stop([self])

    def stop_all(self) -> None:
        """Stop the source, and so all of its channels. They still receive the remaining audio."""
        self._shared.stop(self._shared.channels)

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until a source with all channels stopped has released its device."""
        self._shared.join(timeout)

    def _items(self) -> Iterator[Item]:
        while True:
            item = self._shared.take(self)
            if item is None:
                return
            yield item


class _SharedSource:
    """The source behind the channels, and ``slng-split``, the thread that reads it."""

    def __init__(self, source: AudioSource, count: int) -> None:
        self.live = bool(getattr(source, "live", False))
        self.duration: Optional[float] = getattr(source, "duration", None)
        self._source = source
        self._format = source.audio_format
        self.channels = [Channel(self, self._format.sample_rate) for _ in range(count)]
        self._items: Iterator[Union[Audio, Event]] = iter(())
        self._changed = threading.Condition()
        self._started = self._ended = False
        self._error: Optional[Exception] = None
        # A daemon thread: a source that never returns, such as a frozen sound server, must not keep the
        # process alive.
        self._thread = threading.Thread(target=self._run, name="slng-split", daemon=True)

    # The threads of the channels call these.

    def check(self, channel: Channel) -> None:
        check: Any = getattr(self._source, "check", None)
        if callable(check) and channel is self.channels[0]:
            check()

    def start(self, channel: Channel) -> None:
        """Start reading once every channel has started."""
        with self._changed:
            channel.started = True
            if self._started or self._is_stopped or not all(each.started for each in self.channels):
                return
            self._started = True
        with_events: Any = getattr(self._source, "with_events", None)
        try:
            self._items = iter(with_events() if callable(with_events) else self._source)
        except BaseException:
            self._end(None)
            raise
        self._thread.start()
        if self._is_stopped:
            # A stop that came before the iteration began did not reach it, so stop the source again.
            self._stop_source()

    def take(self, channel: Channel) -> Optional[Item]:
        """Wait for an item. Return None at the end. Raise an error of the source in one channel only."""
        with self._changed:
            self._wait_for_item(channel)
            if channel.queue:
                item = channel.queue.popleft()
                channel.queued_frames -= _frames(item)
                self._changed.notify_all()
                return item
            error = self._error if channel.is_open else None
            if error is not None:
                self._error = None
        if error is not None:
            raise error
        return None

    def stop(self, channels: Sequence[Channel]) -> None:
        """End these channels. Stop the source if no other channel is left."""
        with self._changed:
            running = [each for each in channels if each.deadline == NEVER]
            is_last = all(each in channels or each.deadline != NEVER for each in self.channels)
            now = time.monotonic()
            for each in running:
                # Only a source that stops has remaining audio to wait for.
                each.deadline = now + DRAIN_SECONDS if is_last else now
            self._changed.notify_all()
        if running and is_last:
            self._stop_source()

    def join(self, timeout: float) -> None:
        if self._is_stopped and self._thread.ident is not None:
            deadline = time.monotonic() + timeout
            self._thread.join(timeout)
            join: Any = getattr(self._source, "join", None)
            if callable(join):
                join(max(0.0, deadline - time.monotonic()))

    def _stop_source(self) -> None:
        stop: Any = getattr(self._source, "stop", None)
        if callable(stop):
            stop()

    @property
    def _is_stopped(self) -> bool:
        return all(each.deadline != NEVER for each in self.channels)

    def _wait_for_item(self, channel: Channel) -> None:
        while not channel.queue and not self._ended and channel.is_open:
            if self._is_stopped and not self._started:
                return
            deadline = channel.deadline
            self._changed.wait(None if deadline == NEVER else max(0.0, deadline - time.monotonic()))

    # ``slng-split`` runs these.

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
        for item in self._items:
            if isinstance(item, Event):
                items = self._event_for_each(item)
            else:
                items = _deinterleave(to_pcm(item, self._format), self._format.channels)
            with self._changed:
                if not self._distribute(items):
                    return

    def _event_for_each(self, event: Event) -> Sequence[Optional[Item]]:
        """Return ``event`` for the first open channel, and its ``Repeated`` copy, if any, for the others.

        One session reports the event to the program. The clocks of all sessions account for it.
        """
        kind = REPEATED_TYPES.get(type(event))
        copy = None if kind is None else kind(*dataclasses.astuple(event))  # type: ignore[call-overload]
        first = next((each for each in self.channels if each.is_open), None)
        return [event if each is first else copy for each in self.channels]

    def _distribute(self, items: Sequence[Optional[Item]]) -> bool:
        """Queue one item for each channel once there is room. Return False when all channels are closed."""
        while not self.live and self._is_full:
            if self._is_stopped:
                return False
            self._changed.wait()
        for channel, item in zip(self.channels, items):
            if channel.is_open and item:
                channel.queue.append(item)
                channel.queued_frames += _frames(item)
        self._changed.notify_all()
        return any(each.is_open for each in self.channels)

    @property
    def _is_full(self) -> bool:
        limit = self._format.frames(MAX_LEAD_SECONDS)
        return any(each.is_open and each.queued_frames >= limit for each in self.channels)


def _deinterleave(pcm: bytes, count: int) -> List[bytes]:
    samples = memoryview(pcm).cast("h")
    return [samples[channel::count].tobytes() for channel in range(count)]


def _frames(item: Item) -> int:
    return len(item) // SAMPLE_BYTES if isinstance(item, bytes) else 0
