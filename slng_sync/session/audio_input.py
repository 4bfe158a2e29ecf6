"""The audio input of a session: pause, mute, voice gate, backpressure, losses.

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

# Some Pythons look up a member of an enumeration by a function in Python.
DRAINING = State.DRAINING

FULL = "the send buffer was full"
UNREADABLE = "the audio could not be read back from disk"
REPORTED_AT_ONCE = 1.0
"""Seconds of lost audio that one event reports while more is being lost."""


class AudioInput:
    """The audio input of one session. Any thread may call it. No thread waits with the lock held."""

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
            if shared.state >= DRAINING or shared.aborted:
                raise shared.refusal()
            if self._voice_gate is None and not self.muted and not self.paused:
                fits = self._put(pcm, timeout)
            else:
                fits = self._filter(pcm, lambda audio: self._put(audio, timeout), withhold=self.paused)
            if not fits:
                raise shared.outcome.claim() or SessionClosed("The session ended before the audio was sent.")
        shared.wakeup.resume()
        if shared.mailbox.is_due:
            shared.mailbox.ask()

    def capture(self, pcm: bytes, *, live: bool) -> bool:
        """Take PCM from the source, on ``slng-capture``. Return False once the session needs no more."""
        shared = self._shared
        if not live and shared.files is not None:
            shared.files.wait_for_room()
        with shared.lock:
            if shared.is_over:
                return False
            if live:
                self._filter(pcm, self._put_live, withhold=self.paused)
            else:
                shared.wait_for(lambda: not self.paused or shared.is_leaving, None)
                # The session may have ended during the wait. Audio put in after that would never leave the
                # queue.
                if not shared.is_over and not self.paused:
                    self._filter(pcm, lambda audio: self._put(audio, None))
        shared.wakeup.resume()
        if shared.mailbox.is_due:
            shared.mailbox.ask()
        return not shared.is_over

    def report(self, event: Event) -> bool:
        """Deliver an event of the source and count its loss. Return False once the session needs no more."""
        shared = self._shared
        with shared.lock:
            if shared.is_over:
                return False
            if isinstance(event, AudioLost):
                self._skip_lost(event.seconds)
            elif isinstance(event, MicrophoneRestored):
                self._skip_lost(event.lost)
            elif isinstance(event, MicrophoneLost) and shared.state is State.STREAMING:
                # No audio follows for some time, so make the words so far final now.
                shared.queue.request(FINALIZE)
        shared.delivery.put(event)
        shared.wake_up()
        shared.mailbox.ask()
        return True

    def end(self) -> None:
        """Put in the audio that the voice gate still holds back. Called after the last audio."""
        if self._voice_gate is not None:
            with self._shared.lock:
                self._follow(self._voice_gate.flush(), self._put_live)

    def set_paused(self, paused: bool) -> None:
        """Pause or resume the input."""
        self.paused = paused
        self._shared.changes.notify()

    def lose(self, frames: int, reason: str) -> None:
        """Count lost audio. Small losses are collected and reported together."""
        if reason != self._reason:
            self.report_losses()
            self._reason = reason
        self.lost += frames
        self._unreported += frames
        if self._unreported >= self._shared.audio_format.frames(REPORTED_AT_ONCE):
            self.report_losses()

    def report_losses(self) -> None:
        """Report the losses that were not reported yet."""
        if self._unreported:
            seconds = self._shared.audio_format.seconds(self._unreported)
            self._unreported = 0
            self._shared.delivery.put(AudioLost(seconds, self._reason))

    def lose_unreadable(self) -> None:
        """Count and report the audio that the queue's store could not read back."""
        queue = self._shared.queue
        with self._shared.lock:
            frames, queue.unreadable = queue.unreadable, 0
        if frames:
            self.lose(frames, UNREADABLE)
            self.report_losses()

    # Below, the lock is held.

    def _filter(self, pcm: bytes, put: Callable[[bytes], bool], *, withhold: bool = False) -> bool:
        """Apply mute, the voice gate and pause, and put in the result.

        Return False if the session is over.
        """
        if self.muted:
            pcm = bytes(len(pcm))
        if self._voice_gate is not None:
            return self._follow(self._voice_gate.process(pcm, withhold=withhold), put)
        if withhold:
            self._shared.queue.skip(len(pcm) // self._shared.audio_format.frame_bytes)
            return True
        return put(pcm)

    def _follow(self, decisions: "List[Decision]", put: Callable[[bytes], bool]) -> bool:
        """Carry out the decisions of the voice gate. Return False if the session is over."""
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
        """Put audio in, waiting for room. Return False if the session ended during the wait."""
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
        """Put in audio that cannot wait. A full queue drops its oldest audio."""
        queue = self._shared.queue
        self._append(pcm)
        excess = queue.excess
        dropped = queue.drop_oldest(excess) if excess else 0
        if dropped:
            store = queue.store
            self.lose(
                dropped, f"{FULL} and the spill could not be written ({store.trouble})" if store else FULL
            )
        elif self._unreported:
            self.report_losses()
        return True

    def _append(self, pcm: bytes) -> None:
        if pcm:
            if self._shared.files is not None:
                self._shared.files.record(pcm)
            self._shared.queue.put(pcm)

    def _skip_lost(self, seconds: float) -> None:
        """Advance the clock by audio that the source lost. The source reports the loss itself."""
        frames = self._shared.audio_format.frames(seconds)
        self._shared.queue.skip(frames)
        self.lost += frames

    def _has_waited_for_room(self, until: float) -> bool:
        """Wait for room in the queue or the end of the session. Return False after the timeout."""
        shared = self._shared
        timeout = None if until == NEVER else until - time.monotonic()
        return shared.wait_for(lambda: shared.queue.room > 0 or shared.is_over, timeout)

    def _is_full(self, taken: int) -> WaitTimeout:
        """Return the error for audio of which only ``taken`` bytes found room."""
        audio_format = self._shared.audio_format
        return WaitTimeout(
            "The send buffer was full until the timeout.",
            hint="The connection is slower than the audio. Send less, or wait longer.",
            taken=audio_format.seconds(taken // audio_format.frame_bytes),
        )
