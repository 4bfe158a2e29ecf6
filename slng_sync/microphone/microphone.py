"""``Microphone``, the audio source for input devices."""

import os
import queue
import sys
import time
from contextlib import closing
from typing import Callable, Generator, Iterator, List, Optional, TypeVar, Union

from ..audio.format import AudioFormat
from ..audio.level import SILENCE_DBFS, peak_dbfs
from ..errors import AudioError, ConfigurationError, DeviceLost, DeviceNotFound, WaitTimeout
from ..events import AudioLost, Event, MicrophoneLost, MicrophoneRestored
from ..log import logger
from ..validation import check_seconds
from ..waiting import within
from . import portaudio
from .device import Device, check_choice, choose
from .device_thread import DeviceThread, Item, Reopened
from .silence import silence_hint

__all__ = ["Device", "Microphone"]

OPEN_SECONDS = 5.0
STALL_SECONDS = 1.0
CLOSE_SECONDS = 0.5
MAX_PATIENCE = 1e6
STALLED = "the microphone stalled and delivered no audio for a time"

RESTART = {
    "linux": "Restart the sound server: systemctl --user restart pipewire pulseaudio.",
    "darwin": "Restart the sound server: sudo killall coreaudiod.",
}

Result = TypeVar("Result")


class Microphone:
    """A microphone. Iterate over it to get PCM in ``audio_format``.

    ``device`` is an index from ``Microphone.devices()``, part of a name, or None for the default device.
    Without ``sample_rate`` and ``channels``, it delivers the format that a session asks for, or 16 kHz mono.
    If the device refuses that format, it is read in its own format and converted. ``channel`` selects one
    channel of several, counted from 0; without it, one channel is the mean of all.

    The first ``next()`` opens the device. Raises ``DeviceNotFound``; ``DeviceLost`` if the device is
    disconnected or delivers no audio for 1 s (5 s at the start); ``AudioError`` if PyAudio is missing or the
    device cannot be opened. After an iteration has ended, with or without an error, another may follow.

    A session waits up to ``patience`` seconds for a device that was disconnected: see ``with_events``.
    """

    live = True
    duration: Optional[float] = None

    def __init__(
        self,
        device: Union[int, str, None] = None,
        *,
        sample_rate: Optional[int] = None,
        channels: Optional[int] = None,
        channel: Optional[int] = None,
        patience: float = 60.0,
    ) -> None:
        check_choice(device)
        _check_channel(channel, channels)
        self.device = device
        self._sample_rate = sample_rate
        self._channels = 1 if channel is not None else channels
        self._channel = channel
        self._patience = check_seconds("patience", patience, 0, MAX_PATIENCE)
        self._thread: Optional[DeviceThread] = None
        self.adapt(None, None)

    def adapt(self, sample_rate: Optional[int], channels: Optional[int]) -> None:
        """Deliver this format, except for a rate or channels that were given to the constructor."""
        self._check_not_in_use()
        rates, counts = (self._sample_rate, sample_rate, 16000), (self._channels, channels, 1)
        self.audio_format = AudioFormat(
            next(rate for rate in rates if rate is not None),
            next(count for count in counts if count is not None),
        )

    def __iter__(self) -> Iterator[bytes]:
        thread = self._new_thread(reopen=False)
        return _audio_only(_Iteration(thread, 0.0).items(), thread)

    def with_events(self) -> Iterator[Union[bytes, Event]]:
        """Iterate over audio and events, in order, as a session does.

        ``MicrophoneLost`` reports a device that was disconnected or delivers no audio, ``MicrophoneRestored``
        that it delivers audio again. ``AudioLost`` reports audio that the computer was too busy to read.
        ``MicrophoneSilent`` reports silence. Raises the errors of the plain iteration, but ``DeviceLost``
        only if the device does not come back within ``patience`` seconds.
        """
        return _Iteration(self._new_thread(reopen=self._patience > 0), self._patience).items()

    def stop(self) -> None:
        """End the current iteration after the audio captured so far. Any thread may call this."""
        if self._thread is not None:
            self._thread.stopped.set()

    def join(self, timeout: float) -> None:
        """Wait until the device of a stopped iteration is closed, up to ``timeout`` or 0.5 seconds."""
        if self._thread is not None and self._thread.stopped.is_set():
            self._thread.join(min(timeout, CLOSE_SECONDS))

    def check(self) -> None:
        """Check that the device exists, without opening it. Raises ``DeviceNotFound`` or ``AudioError``."""
        choose(self.devices(), self.device)

    @staticmethod
    def devices() -> List[Device]:
        """Return the input devices.

        A device that was connected while a microphone is in use is not listed until that one is closed.
        Raises ``AudioError``.
        """
        return _call_with_timeout(OPEN_SECONDS, portaudio.devices)

    @classmethod
    def find_working(cls, *, seconds: float = 1.0) -> "Microphone":
        """Return the first microphone that delivers sound, starting with the default device.

        Listens to each device for ``seconds`` seconds. Raises ``DeviceNotFound``, which lists the problem of
        each device.
        """
        check_seconds("seconds", seconds, 0.1, 60)
        found = sorted(cls.devices(), key=lambda device: not device.is_default)
        problems = []
        for device in found:
            problem = _find_problem(cls(device.index), seconds)
            if not problem:
                return cls(device.index)
            problems.append(f"{device} {problem}")
        if not found:
            choose(found, None)
        raise DeviceNotFound(f"No working microphone found: {'; '.join(problems)}.", hint=silence_hint())

    def _new_thread(self, *, reopen: bool) -> DeviceThread:
        self._check_not_in_use()
        # Each iteration has its own thread: ``stop`` ends the current iteration and not the next one.
        self._thread = DeviceThread(self.device, self.audio_format, channel=self._channel, reopen=reopen)
        return self._thread

    def _check_not_in_use(self) -> None:
        if self._thread is not None and self._thread.is_running:
            raise AudioError(
                "This Microphone is already in use.", hint="Create another Microphone for a second session."
            )

    def __repr__(self) -> str:
        return f"Microphone({self.device!r}, {self.audio_format})"


class _Iteration:
    """One iteration of a microphone. Turns the items of the device thread, or their absence, into events."""

    def __init__(self, thread: DeviceThread, patience: float) -> None:
        self._thread = thread
        self._patience = patience
        self._process = os.getpid()
        self._last_audio_at: Optional[float] = None
        """Monotonic time of the last audio, or None before the first."""
        self._is_lost = False
        self._lost_seconds: Optional[float] = None
        """Audio that was lost while the device was disconnected, or None if it was not reopened."""
        self._has_stalled = False

    def items(self) -> Generator[Union[bytes, Event], None, None]:
        join_timeout = CLOSE_SECONDS
        self._thread.start()
        try:
            while True:
                try:
                    item = self._next(OPEN_SECONDS if self._last_audio_at is None else STALL_SECONDS)
                except queue.Empty:
                    if self._thread.stopped.is_set():
                        join_timeout = 0.0
                        return
                    join_timeout = CLOSE_SECONDS if self._patience else 0.0
                    yield from self._handle_no_audio()
                    continue
                if item is None:
                    # No audio follows. Do not wait for the device to close, which takes a tenth of a second.
                    join_timeout = 0.0
                    return
                if isinstance(item, BaseException):
                    raise item
                yield from self._translate(item)
        finally:
            self._thread.stopped.set()
            self._thread.join(join_timeout)

    def _next(self, timeout: float) -> Item:
        if os.getpid() != self._process:
            raise AudioError(
                "This microphone was opened before a fork.", hint="Only the parent process can read it."
            )
        try:
            return self._thread.items.get(timeout=timeout / 2)
        except queue.Empty:
            # Wait a second time, so that a program that was suspended does not mistake that for a stall.
            return self._thread.items.get(timeout=timeout / 2)

    def _translate(self, item: Union[bytes, Event, Reopened]) -> Iterator[Union[bytes, Event]]:
        if isinstance(item, MicrophoneLost):
            yield from self._lose(item.reason)
        elif isinstance(item, Reopened):
            self._lost_seconds = item.lost
        elif isinstance(item, AudioLost) and self._has_stalled:
            self._has_stalled = False
            yield AudioLost(item.seconds, STALLED)
        elif isinstance(item, Event):
            yield item
        else:
            if self._is_lost:
                yield self._restored()
            self._last_audio_at = time.monotonic()
            yield item

    def _handle_no_audio(self) -> Iterator[Event]:
        """Report that no audio arrived in time. Raises ``DeviceLost`` if patience has run out."""
        if self._last_audio_at is None or not self._patience:
            raise _stall_error(OPEN_SECONDS if self._last_audio_at is None else STALL_SECONDS)
        yield from self._lose(f"The microphone delivered no audio for {STALL_SECONDS:g} s.")
        outage = time.monotonic() - self._last_audio_at
        if outage >= self._patience:
            raise DeviceLost(
                f"The microphone has not come back after {outage:.0f} s.",
                hint="Connect it again, or choose another device from Microphone.devices().",
            )

    def _lose(self, reason: str) -> Iterator[Event]:
        if not self._is_lost:
            self._is_lost = True
            yield MicrophoneLost(reason)

    def _restored(self) -> MicrophoneRestored:
        assert self._last_audio_at is not None
        lost, self._lost_seconds = self._lost_seconds, None
        self._is_lost = False
        # A stalled device may still deliver the missing audio. If not, ``LossClock`` detects the loss.
        self._has_stalled = lost is None
        outage = time.monotonic() - self._last_audio_at
        return MicrophoneRestored(round(outage, 3), round(lost or 0.0, 3), self._thread.name)


def _audio_only(items: Generator[Union[bytes, Event], None, None], thread: DeviceThread) -> Iterator[bytes]:
    with closing(items):
        for item in items:
            if isinstance(item, bytes):
                yield item
            elif isinstance(item, AudioLost):
                logger.warning("%.1f s of audio lost: %s", item.seconds, item.reason)
    thread.join(CLOSE_SECONDS)


def _find_problem(microphone: Microphone, seconds: float) -> str:
    """Return the problem of a microphone, or an empty string if it delivers sound within ``seconds``."""
    frames = microphone.audio_format.frames(seconds)
    try:
        for chunk in microphone:
            if peak_dbfs(chunk) > SILENCE_DBFS:
                return ""
            frames -= len(chunk) // microphone.audio_format.frame_bytes
            if frames <= 0:
                return "delivers only silence"
    except DeviceNotFound:
        return "was not found"
    except DeviceLost:
        return "delivers no audio"
    except AudioError as error:
        return f"cannot be opened ({error.message.rstrip('.')})"
    return "delivers no audio"


def _stall_error(seconds: float) -> DeviceLost:
    return DeviceLost(
        f"The microphone delivered no audio for {seconds:g} s.",
        hint=RESTART.get(sys.platform, "Disconnect it and connect it again."),
    )


def _check_channel(channel: object, channels: Optional[int]) -> None:
    if channel is None:
        return
    if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < 32:
        raise ConfigurationError(f"channel must be an integer from 0 to 31, or None, not {channel!r}.")
    if channels not in (None, 1):
        raise ConfigurationError(
            f"channel selects one channel, so channels must be 1 or None, not {channels!r}.",
            hint="Leave out channels.",
        )


def _call_with_timeout(timeout: float, call: Callable[[], Result]) -> Result:
    """Call into the sound system, which may hang. Raises ``AudioError`` after ``timeout`` seconds."""
    try:
        return within(timeout, call)
    except WaitTimeout:
        raise AudioError(
            f"The sound system did not respond for {timeout:g} s.", hint=RESTART.get(sys.platform, "")
        ) from None
