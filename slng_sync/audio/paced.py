"""Recorded audio, delivered as if it were being heard."""

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
    """A source of recorded PCM: each chunk comes when a microphone would have begun to record it.

    ``chunks`` makes a new run of chunks; ``duration`` is in seconds, None where it is not known. At a
    ``speed`` of 2.0 an hour takes half an hour, at infinity no time. A consumer that was late catches up.
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
        # An event for each iteration: what was stopped stays stopped, what begins later is not touched.
        self._stopped = threading.Event()
        return self._paced(self._stopped)

    def stop(self) -> None:
        """End the iteration under way; callable from any thread."""
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
    """Raise ConfigurationError unless ``speed`` is a number above 0; infinity is one."""
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
        raise ConfigurationError(
            f"speed must be a number above 0 (1.0 is as heard, float('inf') at once), not {speed!r}."
        )


def pcm_chunks(pcm: bytes, audio_format: AudioFormat) -> Chunks:
    """Cut PCM that is in memory into chunks."""
    size = chunk_bytes(audio_format)
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def chunk_bytes(audio_format: AudioFormat) -> int:
    """Bytes of one chunk of that format, in whole frames."""
    return audio_format.frames(CHUNK_SECONDS) * audio_format.frame_bytes
