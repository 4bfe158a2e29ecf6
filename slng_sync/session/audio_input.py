"""The way of audio into the send queue: pause, mute, voice gate, backpressure, losses.

Files and ``send()`` wait for room. A microphone cannot wait, nor can a ``send`` whose time is up: where the
queue has a store, their audio spills to disk; otherwise the oldest audio is dropped and reported as
``AudioLost``. The session's clock goes on in every case.
"""

import time
from typing import TYPE_CHECKING, Callable, List, Optional

from ..errors import SessionClosed, WaitTimeout
from ..events import AudioLost, Event, Level, MicrophoneLost, MicrophoneRestored
from ..protocol.send_queue import FINALIZE
from ..waiting import NEVER
from .shared_state import SharedState
from .state import State

if TYPE_CHECKING:
    from ..audio.voice_gate import Decision, VoiceGate

__all__ = ["AudioInput"]

FULL = "it could not be sent before the buffer was full"
UNREADABLE = "it could not be read back from disk"
REPORTED_AT_ONCE = 1.0
"""Seconds of lost audio that one event reports while more is being lost."""


class AudioInput:
    """Takes the audio of one session. Any thread may call it; none waits with the lock held."""

    __slots__ = ("_reason", "_shared", "_unreported", "_voice_gate", "lost", "muted", "paused")

    def __init__(self, shared: SharedState, voice_gate: "Optional[VoiceGate]" = None) -> None:
        self.paused = False
        self.muted = False
        self.lost = 0
        """Frames that will not be transcribed."""
        self._shared = shared
        self._voice_gate = voice_gate
        self._unreported = 0
        self._reason = ""

    def send(self, pcm: bytes, timeout: Optional[float]) -> None:
        """Take whole frames of PCM from ``Session.send``, waiting for room.

        Raises the error that ended the session, ``SessionClosed``, or ``WaitTimeout``.
        """
        shared = self._shared
        with shared.lock:
            if shared.state >= State.DRAINING or shared.aborted:
                raise shared.refusal()
            if self._voice_gate is None and not self.muted and not self.paused:
                fits = self._put(pcm, timeout)
            else:
                fits = self._filter(pcm, lambda audio: self._put(audio, timeout), withhold=self.paused)
            if not fits:
                raise shared.outcome.claim() or SessionClosed("The session ended before the audio was sent.")
        shared.wakeup.resume()
        shared.mailbox.ask()

    def capture(self, pcm: bytes, *, live: bool) -> bool:
        """Take PCM from the source, on ``slng-capture``. Return False once no more is wanted."""
        shared = self._shared
        with shared.lock:
            if shared.is_over:
                return False
            if live:
                self._filter(pcm, self._put_live, withhold=self.paused)
            else:
                shared.wait_for(lambda: not self.paused or shared.is_leaving, None)
                # The session may have ended in the meantime: what is put in after that would stay there.
                if not shared.is_over and not self.paused:
                    self._filter(pcm, lambda audio: self._put(audio, None))
        shared.wakeup.resume()
        shared.mailbox.ask()
        return not shared.is_over

    def report(self, event: Event) -> bool:
        """Pass on an event of the source and account for its loss. Return False once no more is wanted."""
        shared = self._shared
        with shared.lock:
            if shared.is_over:
                return False
            if isinstance(event, AudioLost):
                self._miss(event.seconds)
            elif isinstance(event, MicrophoneRestored):
                self._miss(event.lost)
            elif isinstance(event, MicrophoneLost) and shared.state is State.STREAMING:
                # Nothing follows for a time: what was said so far shall not wait for it.
                shared.queue.request(FINALIZE)
        shared.delivery.put(event)
        shared.wake_up()
        shared.mailbox.ask()
        return True

    def end(self) -> None:
        """Put in what the voice gate still holds back. No audio follows."""
        if self._voice_gate is not None:
            with self._shared.lock:
                self._follow(self._voice_gate.flush(), self._put_live)

    def set_paused(self, paused: bool) -> None:
        """Withhold audio, or let it flow again."""
        self.paused = paused
        self._shared.changes.notify()

    def lose(self, frames: int, reason: str) -> None:
        """Account for lost audio. What is lost bit by bit is reported in larger pieces."""
        if reason != self._reason:
            self.report_losses()
            self._reason = reason
        self.lost += frames
        self._unreported += frames
        if self._unreported >= self._shared.audio_format.frames(REPORTED_AT_ONCE):
            self.report_losses()

    def report_losses(self) -> None:
        """Report what was lost and not reported yet."""
        if self._unreported:
            seconds = self._shared.audio_format.seconds(self._unreported)
            self._unreported = 0
            self._shared.delivery.put(AudioLost(seconds, self._reason))

    def lose_unreadable(self) -> None:
        """Report audio that the queue's store could not read back."""
        queue = self._shared.queue
        with self._shared.lock:
            frames, queue.unreadable = queue.unreadable, 0
        if frames:
            self.lose(frames, UNREADABLE)
            self.report_losses()

    # Below, the lock is held.

    def _filter(self, pcm: bytes, put: Callable[[bytes], bool], *, withhold: bool = False) -> bool:
        """Put in what is to be sent of some audio. Return False if the session is over."""
        if self.muted:
            pcm = bytes(len(pcm))
        if self._voice_gate is not None:
            return self._follow(self._voice_gate.process(pcm, withhold=withhold), put)
        if withhold:
            self._shared.queue.skip(len(pcm) // self._shared.audio_format.frame_bytes)
            return True
        return put(pcm)

    def _follow(self, decisions: "List[Decision]", put: Callable[[bytes], bool]) -> bool:
        """Do what the voice gate has decided."""
        from ..audio.voice_gate import Withheld

        queue = self._shared.queue
        for each in decisions:
            if isinstance(each, bytes):
                if not put(each):
                    return False
            elif isinstance(each, Withheld):
                queue.skip(each.frames)
            elif isinstance(each, Level):
                self._shared.delivery.put(each)
            else:
                queue.request(FINALIZE)
        return True

    def _put(self, pcm: bytes, timeout: Optional[float]) -> bool:
        """Put audio in as there is room for it. Return False if the session has ended in the meantime."""
        queue = self._shared.queue
        width = self._shared.audio_format.frame_bytes
        until: Optional[float] = None
        offered = len(pcm)
        while True:
            fits = queue.room * width
            if len(pcm) <= fits:
                self._append(pcm)
                return True
            if fits:
                self._append(pcm[:fits])
                pcm = pcm[fits:]
            if until is None:
                until = NEVER if timeout is None else time.monotonic() + timeout
            self._shared.wakeup.resume()
            if self._has_waited_for_room(until):
                if self._shared.is_over:
                    return False
            elif queue.store is not None:
                return self._put_live(pcm)
            else:
                raise self._is_full(offered - len(pcm))

    def _put_live(self, pcm: bytes) -> bool:
        """Put audio in that cannot wait: a full queue drops its oldest."""
        queue = self._shared.queue
        self._append(pcm)
        excess = queue.excess
        dropped = queue.drop_oldest(excess) if excess else 0
        if dropped:
            store = queue.store
            self.lose(dropped, f"{FULL}, and the disk takes no more ({store.trouble})" if store else FULL)
        elif self._unreported:
            self.report_losses()
        return True

    def _append(self, pcm: bytes) -> None:
        if pcm:
            if self._shared.files is not None:
                self._shared.files.record(pcm)
            self._shared.queue.put(pcm)

    def _miss(self, seconds: float) -> None:
        """The source has not heard so much, and reports it itself: the clock goes on."""
        frames = self._shared.audio_format.frames(seconds)
        self._shared.queue.skip(frames)
        self.lost += frames

    def _has_waited_for_room(self, until: float) -> bool:
        """Wait for room, or the end. Return False if the time was up."""
        shared = self._shared
        timeout = None if until == NEVER else until - time.monotonic()
        return shared.wait_for(lambda: shared.queue.room > 0 or shared.is_over, timeout)

    def _is_full(self, taken: int) -> WaitTimeout:
        """The error for audio of which only so many bytes found room."""
        audio_format = self._shared.audio_format
        return WaitTimeout(
            "The send buffer was full for too long.",
            hint="The connection is slower than the audio.",
            taken=audio_format.seconds(taken // audio_format.frame_bytes),
        )
