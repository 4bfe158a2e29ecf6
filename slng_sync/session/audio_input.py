"""Audio on its way into the send queue, and what becomes of it where there is no room.

A source that can wait waits. A microphone cannot, nor can a ``send`` whose time is up: where the queue has a
store, their audio goes there; else the oldest is lost, and the loss is told. Whatever happens, the session's
clock goes on.
"""

import time
from typing import TYPE_CHECKING, Callable, Optional

from ..errors import WaitTimeout
from ..events import AudioLost
from ..protocol.send_queue import SendQueue
from ..waiting import NEVER, Changes

if TYPE_CHECKING:
    from ..storage.recorder import Recorder

__all__ = ["AudioInput"]

FULL = "it could not be sent before the buffer was full"
UNREADABLE = "it could not be read back from disk"
TOLD_AT_ONCE = 1.0
"""Seconds of lost audio that are told together while more is being lost."""


class AudioInput:
    """The way into a send queue; every method is called with the session's lock held.

    ``pass_on(pcm)`` records and sends audio as it comes, where nothing waits; else it is put into the queue,
    and ``pump`` sends what can be sent. ``is_over`` says that no more is wanted, ``tell`` tells an event.
    """

    __slots__ = """
        _changes _is_over _pass_on _pump _queue _reason _tell _untold lost paused record
    """.split()

    def __init__(
        self,
        queue: SendQueue,
        changes: Changes,
        *,
        pass_on: Callable[[bytes], bool],
        pump: Callable[[], None],
        is_over: Callable[[], bool],
        tell: Callable[[AudioLost], None],
    ) -> None:
        self.paused = False
        self.lost = 0
        self._queue = queue
        self._changes = changes
        self.record: Optional[Recorder] = None
        self._pass_on = pass_on
        self._pump = pump
        self._is_over = is_over
        self._tell = tell
        self._untold = 0
        self._reason = ""

    def put(self, pcm: bytes, timeout: Optional[float]) -> bool:
        """Put audio in as there is room for it. False where the session has ended meanwhile."""
        if self._pass_on(pcm) or not pcm:
            return True
        until: Optional[float] = None
        offered = len(pcm)
        while True:
            fits = self._queue.room * self._queue.audio_format.frame_bytes
            if len(pcm) <= fits:
                self._append(pcm)
                return True
            if fits:
                self._append(pcm[:fits])
                pcm = pcm[fits:]
            if until is None:
                until = NEVER if timeout is None else time.monotonic() + timeout
            if self._has_waited_for_room(until):
                if self._is_over():
                    return False
            elif self._queue.store is not None:
                self._append_live(pcm)
                return True
            else:
                raise self._is_full(offered - len(pcm))

    def put_live(self, pcm: bytes) -> None:
        """Put audio in that cannot wait: a full queue loses its oldest."""
        if not self._append_live(pcm):
            self.tell_losses()

    def miss(self, seconds: float) -> None:
        """The source has not heard so much, and has told it: the clock goes on."""
        frames = self._queue.audio_format.frames(seconds)
        self._queue.skip(frames)
        self.lost += frames

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

    def lose_unreadable(self) -> None:
        """Tell of audio that the queue's store could not give back."""
        frames, self._queue.unreadable = self._queue.unreadable, 0
        if frames:
            self.lose(frames, UNREADABLE)
            self.tell_losses()

    def _append(self, pcm: bytes) -> None:
        """Put audio in for which there is room."""
        if self.record is not None:
            self.record.write(pcm)
        self._queue.put(pcm)
        self._pump()

    def _append_live(self, pcm: bytes) -> int:
        """Put audio in, whether there is room or not; how much was lost for it."""
        if self._pass_on(pcm):
            return 0
        if self.record is not None:
            self.record.write(pcm)
        self._queue.put(pcm)
        dropped = self._queue.drop_oldest(self._queue.excess)
        if dropped:
            store = self._queue.store
            self.lose(dropped, f"{FULL}, and the disk takes no more ({store.trouble})" if store else FULL)
        self._pump()
        return dropped

    def _has_waited_for_room(self, until: float) -> bool:
        """Wait for room, or the end. False where the time was up."""
        timeout = None if until == NEVER else until - time.monotonic()
        return self._changes.wait_for(lambda: self._queue.room > 0 or self._is_over(), timeout)

    def _is_full(self, taken: int) -> WaitTimeout:
        """The error for audio of which only so many bytes found room."""
        audio_format = self._queue.audio_format
        return WaitTimeout(
            "The send buffer was full for too long.",
            hint="The connection is slower than the audio.",
            taken=audio_format.seconds(taken // audio_format.frame_bytes),
        )
