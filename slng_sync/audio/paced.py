"""Recorded audio, delivered at the pace of a live recording."""

import threading
import time
from contextlib import closing
from typing import Callable, Generator, Iterator, Optional

from ..errors import ConfigurationError
from .format import AudioFormat

__all__ = ["CHUNK_SECONDS", "PacedSource", "check_speed", "pcm_chunks"]

CHUNK_SECONDS = 0.05

Chunks = Generator[bytes, None, None]


class PacedSource:
    """A source of recorded PCM. Each chunk is delivered when a microphone would have started to record it.

    ``chunks`` returns a new iteration over the audio. ``duration`` is in seconds, or None if unknown. A
    ``speed`` of 2.0 plays an hour in half an hour; infinity does not wait at all. A consumer that falls
    behind gets the overdue chunks without waiting.
    """

    live = False

    def __init__(
        self,
        chunks: Callable[[], Chunks],
        audio_format: AudioFormat,
        *,
        duration: Optional[float] = None,
        speed: float = 1.0,
    ) -> None:
        check_speed(speed)
        self.audio_format = audio_format
        self.duration = duration
        self._chunks = chunks
        self._speed = speed
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        # Each iteration has its own event: ``stop`` ends the current iteration and not the next one.
        self._stopped = threading.Event()
        return self._paced(self._stopped)

    def stop(self) -> None:
        """End the current iteration. Any thread may call this."""
        self._stopped.set()

    def _paced(self, stopped: threading.Event) -> Iterator[bytes]:
        with closing(self._chunks()) as chunks:
            start = time.monotonic()
            frames = 0
            for chunk in chunks:
                due = start + self.audio_format.seconds(frames) / self._speed
                if stopped.wait(max(0.0, due - time.monotonic())):
                    return
                yield chunk
                frames += len(chunk) // self.audio_format.frame_bytes


def check_speed(speed: float) -> None:
    """Raise ConfigurationError unless ``speed`` is a number above 0. Infinity is allowed."""
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
        raise ConfigurationError(
            f"speed must be a number above 0 (1.0: real time, float('inf'): no pacing), not {speed!r}."
        )


def pcm_chunks(pcm: bytes, audio_format: AudioFormat) -> Chunks:
    """Yield PCM in chunks of ``CHUNK_SECONDS``."""
    size = chunk_bytes(audio_format)
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def chunk_bytes(audio_format: AudioFormat) -> int:
    """Return the size of one chunk in bytes, a whole number of frames."""
    return audio_format.frames(CHUNK_SECONDS) * audio_format.frame_bytes
