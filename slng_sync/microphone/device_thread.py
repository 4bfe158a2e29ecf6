"""The thread that owns a microphone's stream: it opens, polls, closes and reopens it.

PortAudio crashes if threads share a stream, and its calls hang while the sound server hangs. So the consumer
only waits on ``items``, with a timeout. The end is put there before the stream is closed.
"""

import queue
import threading
import time
from typing import NamedTuple, Optional, Union

from ..audio.convert import Converter
from ..audio.format import AudioFormat
from ..audio.level import peak_dbfs
from ..errors import AudioError, DeviceLost
from ..events import AudioLost, Event, MicrophoneLost
from ..log import logger
from . import portaudio
from .device import Device
from .losses import LossClock
from .silence import SilenceDetector

__all__ = ["DeviceThread", "Reopened"]

CHUNK_SECONDS = 0.02
POLL_SECONDS = 0.005
MAX_IDLE_STEP_SECONDS = 0.1
RETRY_SECONDS = 0.5
REOPEN_SECONDS = 5.0
"""A device that has delivered no audio for this long is closed and opened again."""
OVERRUN = "input overrun: the computer was too busy to read the microphone in time"


class Reopened(NamedTuple):
    """The device delivers audio again, after it has lost this many seconds."""

    lost: float


Item = Union[bytes, Event, Reopened, BaseException, None]


class DeviceThread:
    """The thread ``slng-microphone``, for one iteration of a microphone.

    ``items`` receives audio in the ``target`` format, events, and at the end None or an exception. If
    ``reopen`` is true, a device that is lost after it was open is opened again once it is back.
    """

    def __init__(
        self,
        device: Union[int, str, None],
        target: AudioFormat,
        *,
        channel: Optional[int] = None,
        reopen: bool = False,
    ) -> None:
        self.stopped = threading.Event()
        self.name = ""
        """The name of the open device."""
        self.items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._choice = device
        self._target = target
        self._channel = channel
        self._reopen = reopen
        self._opened: Optional[Device] = None
        self._is_lost = False
        self._clock: Optional[LossClock] = None
        self._captured = 0.0
        self._silence = SilenceDetector()
        # A daemon thread: it hangs while the sound server hangs, and the program must still be able to end.
        self._thread = threading.Thread(target=self._run, name="slng-microphone", daemon=True)
        self.start = self._thread.start

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the thread to end."""
        # Joining fails if the thread never started, for example because the system has no more threads.
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def is_running(self) -> bool:
        """Return whether the thread is alive and was not asked to stop."""
        return self._thread.is_alive() and not self.stopped.is_set()

    def _run(self) -> None:
        try:
            self._capture()
            while self._is_lost and not self.stopped.wait(RETRY_SECONDS):
                try:
                    self._capture()
                except AudioError as error:
                    logger.debug("Cannot reopen the microphone yet: %s", error)
        except BaseException as error:
            self.items.put(error)
        else:
            self.items.put(None)

    def _capture(self) -> None:
        """Read the device until it is lost or the thread is stopped. Report that, then close the stream."""
        with portaudio.open_stream(self._opened or self._choice, self._target, self._channel) as stream:
            self.name = stream.device.name
            if self._choice is not None:
                # Reopen this very device. The default device may have changed by then, so it is not kept.
                self._opened = stream.device
            try:
                self._read_and_flush(stream)
            except DeviceLost as lost:
                self._is_lost = self._reopen
                self.items.put(MicrophoneLost(lost.message) if self._reopen else lost)
            else:
                self._is_lost = False
                self.items.put(None)

    def _read_and_flush(self, stream: portaudio.Stream) -> None:
        converter = Converter(stream.audio_format, self._target, self._channel)
        try:
            self._read_until_stopped(stream, converter)
        finally:
            # The resampler keeps back some of the audio.
            self._put(converter.flush())

    def _read_until_stopped(self, stream: portaudio.Stream, converter: Converter) -> None:
        """Read until the thread is stopped. Raises ``DeviceLost``."""
        chunk_frames = stream.audio_format.frames(CHUNK_SECONDS)
        checked_at = time.monotonic()
        idle, before = 0.0, 0
        while not self.stopped.is_set():
            available = stream.available()
            now = time.monotonic()
            # Limit each step, so that time in which the program was suspended does not count as idle.
            idle = 0.0 if available > before else idle + min(now - checked_at, MAX_IDLE_STEP_SECONDS)
            checked_at = now
            if idle >= REOPEN_SECONDS:
                raise DeviceLost(
                    f"Microphone {stream.device.name!r} delivered no audio for {REOPEN_SECONDS:g} s."
                )
            self._report_losses(stream, available, now)
            if available < chunk_frames:
                before = available
                self.stopped.wait(POLL_SECONDS)
            else:
                before = available - chunk_frames
                self._put(converter.convert(self._read(stream, chunk_frames)))
        self._put(converter.convert(self._read(stream, stream.available())))

    def _read(self, stream: portaudio.Stream, frames: int) -> bytes:
        pcm = stream.read(frames)
        self._captured += stream.audio_format.seconds(frames)
        return pcm

    def _report_losses(self, stream: portaudio.Stream, available: int, now: float) -> None:
        """Report audio that was lost while the device was disconnected, or that was not read in time."""
        if self._clock is None:
            self._clock = LossClock(now)
        lost = self._clock.update(self._captured + stream.audio_format.seconds(available), now)
        if self._is_lost and available:
            self._is_lost = False
            self.items.put(Reopened(self._clock.skip(now)))
        elif lost:
            self.items.put(AudioLost(round(lost, 3), OVERRUN))

    def _put(self, pcm: bytes) -> None:
        if not pcm:
            return
        self.items.put(pcm)
        seconds = self._target.seconds(len(pcm) // self._target.frame_bytes)
        silent = self._silence.update(seconds, peak_dbfs(pcm))
        if silent is not None:
            self.items.put(silent)
