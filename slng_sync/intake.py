"""Audio on its way into the send queue, and what becomes of it where there is no room.

A source that can wait waits. A microphone cannot: its oldest audio is lost, and the loss is told. Whatever
happens, the session's clock goes on.
"""

import threading
import time
from typing import Callable, Optional

from .errors import WaitTimeout
from .events import AudioLost
from .recording import AudioRecord
from .send_queue import SendQueue
from .waiting import wait_for

__all__ = ["Intake"]

TOLD_AT_ONCE = 1.0
"""Seconds of lost audio that are told together while more is being lost."""


class Intake:
    """The way into a send queue; every method is called with the session's lock held.

    ``pump`` sends what can be sent, ``is_over`` says that nothing more is wanted, ``tell`` tells an event.
    """

    def __init__(
        self,
        queue: SendQueue,
        changed: threading.Condition,
        *,
        pump: Callable[[], None],
        is_over: Callable[[], bool],
        tell: Callable[[AudioLost], None],
    ) -> None:
        self.paused = False
        self.lost = 0
        self._queue = queue
        self._changed = changed
        self.record: Optional[AudioRecord] = None
        self._pump = pump
        self._is_over = is_over
        self._tell = tell
        self._untold = 0
        self._reason = ""

    def put(self, pcm: bytes, timeout: Optional[float]) -> bool:
        """Put audio in as there is room for it. False where the session has ended before."""
        width = self._queue.audio_format.frame_bytes
        until = None if timeout is None else time.monotonic() + timeout
        while pcm and not self._is_over():
            fits = self._queue.room * width
            if not fits:
                self._wait_for_room(until)
                continue
            self._append(pcm if len(pcm) <= fits else pcm[:fits])
            pcm = pcm[fits:]
        return not pcm

    def put_live(self, pcm: bytes) -> None:
        """Put audio in that cannot wait: while paused it is passed over; a full queue loses its oldest."""
        frames = len(pcm) // self._queue.audio_format.frame_bytes
        if self.paused:
            self._queue.skip(frames)
            return
        dropped = self._queue.drop_oldest(frames - self._queue.room)
        if dropped:
            self.lose(dropped, "it could not be sent before the buffer was full")
        else:
            self.tell_losses()
        self._append(pcm)

    def lose(self, frames: int, reason: str) -> None:
        """Audio is lost. What is lost bit by bit is told in larger pieces."""
        if reason != self._reason:
            self.tell_losses()
            self._reason = reason
        self.lost += frames
        self._untold += frames
        if self._untold >= self._queue.audio_format.frames(TOLD_AT_ONCE):
            self.tell_losses()

    def tell_losses(self) -> None:
        """Tell what was lost and not told yet."""
        if self._untold:
            seconds, self._untold = self._queue.audio_format.seconds(self._untold), 0
            self._tell(AudioLost(seconds, self._reason))

    def _append(self, pcm: bytes) -> None:
        if self.record is not None:
            self.record.write(pcm)
        self._queue.put(pcm)
        self._pump()

    def _wait_for_room(self, until: Optional[float]) -> None:
        timeout = None if until is None else until - time.monotonic()
        if not wait_for(self._changed, lambda: self._queue.room > 0 or self._is_over(), timeout):
            raise WaitTimeout(
                "The send buffer was full for too long.", hint="The connection is slower than the audio."
            )
