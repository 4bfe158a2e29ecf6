"""The thread that a microphone's stream belongs to: it opens, polls, closes, and opens again.

PortAudio crashes when threads share a stream, and its calls hang when the sound server does. So whoever
listens only waits on ``items``, with a limit, and is told of an end before the stream is closed.
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
from .silence import SilenceWatch

__all__ = ["DeviceThread", "Reopened"]

PIECE_SECONDS = 0.02
POLL_SECONDS = 0.005
LONGEST_LOOK_SECONDS = 0.1
RETRY_SECONDS = 0.5
DEAD_SECONDS = 5.0
"""A device that has given nothing for so long is opened anew."""
OVERRUN = "the computer was too busy to take it from the microphone"


class Reopened(NamedTuple):
    """The device gives audio again, and has not heard so many seconds."""

    missed: float


Item = Union[bytes, Event, Reopened, BaseException, None]


class DeviceThread:
    """One iteration of a microphone.

    ``items`` gives audio in ``wanted``, events, and at the end None or what went wrong. Where ``returns`` is
    true, a device that goes away once it was open is no end: it is opened again as soon as it is back.
    """

    def __init__(
        self,
        device: Union[int, str, None],
        wanted: AudioFormat,
        *,
        channel: Optional[int] = None,
        returns: bool = False,
    ) -> None:
        self.stopped = threading.Event()
        self.name = ""
        """What the device is called that is heard now."""
        self.items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._choice = device
        self._wanted = wanted
        self._channel = channel
        self._returns = returns
        self._opened: Optional[Device] = None
        self._is_lost = False
        self._clock: Optional[LossClock] = None
        self._heard = 0.0
        self._silence = SilenceWatch()
        # A daemon: while the sound server hangs, so does this thread, and the program must be able to end.
        self._thread = threading.Thread(target=self._run, name="slng-microphone", daemon=True)
        self.start = self._thread.start

    def join(self, timeout: float) -> None:
        """Wait for its end, if it has begun: the system may have given no thread."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def is_running(self) -> bool:
        """Whether it still listens, and was not asked to stop."""
        return self._thread.is_alive() and not self.stopped.is_set()

    def _run(self) -> None:
        try:
            self._listen()
            while self._is_lost and not self.stopped.wait(RETRY_SECONDS):
                try:
                    self._listen()
                except AudioError as error:
                    logger.debug("the microphone is not back: %s", error)
        except BaseException as error:
            self.items.put(error)
        else:
            self.items.put(None)

    def _listen(self) -> None:
        """Hear the device until it is lost or nobody listens; that is told before the stream is closed."""
        with portaudio.opened(self._opened or self._choice, self._wanted, self._channel) as stream:
            self.name = stream.device.name
            if self._choice is not None:
                # This one is waited for. The default one may be another by then.
                self._opened = stream.device
            try:
                self._poll(stream)
            except DeviceLost as lost:
                self._is_lost = self._returns
                self.items.put(MicrophoneLost(lost.message) if self._returns else lost)
            else:
                self._is_lost = False
                self.items.put(None)

    def _poll(self, stream: portaudio.Stream) -> None:
        converter = Converter(stream.audio_format, self._wanted, self._channel)
        try:
            self._read_along(stream, converter)
        finally:
            # Of what was read, a resampler keeps some back.
            self._put(converter.flush())

    def _read_along(self, stream: portaudio.Stream, converter: Converter) -> None:
        """Read until the thread is stopped. Raises DeviceLost."""
        piece = stream.audio_format.frames(PIECE_SECONDS)
        looked_at = time.monotonic()
        idle, before = 0.0, 0
        while not self.stopped.is_set():
            available = stream.available()
            now = time.monotonic()
            # In short steps: while the program is suspended it is not the device that gives nothing.
            idle = 0.0 if available > before else idle + min(now - looked_at, LONGEST_LOOK_SECONDS)
            looked_at = now
            if idle >= DEAD_SECONDS:
                raise DeviceLost(f"The microphone {stream.device.name!r} has given nothing for 5 s.")
            self._keep_time(stream, available, now)
            if available < piece:
                before = available
                self.stopped.wait(POLL_SECONDS)
            else:
                before = available - piece
                self._put(converter.convert(self._read(stream, piece)))
        self._put(converter.convert(self._read(stream, stream.available())))

    def _read(self, stream: portaudio.Stream, frames: int) -> bytes:
        pcm = stream.read(frames)
        self._heard += stream.audio_format.seconds(frames)
        return pcm

    def _keep_time(self, stream: portaudio.Stream, available: int, now: float) -> None:
        """Find out what was lost: while the device was away, and while nobody had time for it."""
        if self._clock is None:
            self._clock = LossClock(now)
        lost = self._clock.hear(self._heard + stream.audio_format.seconds(available), now)
        if self._is_lost and available:
            self._is_lost = False
            self.items.put(Reopened(self._clock.skip(now)))
        elif lost:
            self.items.put(AudioLost(round(lost, 3), OVERRUN))

    def _put(self, pcm: bytes) -> None:
        if not pcm:
            return
        self.items.put(pcm)
        seconds = self._wanted.seconds(len(pcm) // self._wanted.frame_bytes)
        silent = self._silence.hear(seconds, peak_dbfs(pcm))
        if silent is not None:
            self.items.put(silent)
