"""Microphones."""

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
LONGEST_PATIENCE = 1e6
STALLED = "the microphone gave nothing for a time"

RESTART = {
    "linux": "Restart the sound server: systemctl --user restart pipewire pulseaudio.",
    "darwin": "Restart the sound server: sudo killall coreaudiod.",
}

Result = TypeVar("Result")


class Microphone:
    """A microphone: iterate to hear it, as PCM in ``audio_format``, whatever the device runs at.

    ``device`` is an index from ``Microphone.devices()``, a part of a name, or None for the default one.
    Without ``sample_rate`` and ``channels`` it delivers what a session asks for, else 16 kHz mono. A device
    that refuses that format is read in its own, and converted. ``channel`` is the one channel to hear,
    counted from 0, of a device that has several; otherwise one channel is the mean of them all.

    The device is opened by the first ``next()``. Raises DeviceNotFound; DeviceLost when it goes away or
    gives nothing for 1 s, or 5 s at first; AudioError when PyAudio is missing or the device cannot be opened.
    An iteration that has ended, in whatever way, may be followed by another.

    In a session a device that goes away is waited for, ``patience`` seconds long: see ``hear``.
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
        self._patience = check_seconds("patience", patience, 0, LONGEST_PATIENCE)
        self._thread: Optional[DeviceThread] = None
        self.adapt(None, None)

    def adapt(self, sample_rate: Optional[int], channels: Optional[int]) -> None:
        """Deliver this rate and number of channels, where the microphone was made without."""
        self._refuse_a_second_use()
        rates, counts = (self._sample_rate, sample_rate, 16000), (self._channels, channels, 1)
        self.audio_format = AudioFormat(
            next(rate for rate in rates if rate is not None),
            next(count for count in counts if count is not None),
        )

    def __iter__(self) -> Iterator[bytes]:
        thread = self._new_thread(returns=False)
        return _audio_only(_Hearing(thread, 0.0).items(), thread)

    def hear(self) -> Iterator[Union[bytes, Event]]:
        """Hear the microphone as a session does: audio, and what there is to tell of it, in order.

        ``MicrophoneLost`` where the device goes away or gives nothing, ``MicrophoneRestored`` once it does
        again; ``AudioLost`` for what the computer was too slow to take; ``MicrophoneSilent``. Raises like the
        iteration, but DeviceLost only when a device does not come back for ``patience`` seconds.
        """
        return _Hearing(self._new_thread(returns=self._patience > 0), self._patience).items()

    def stop(self) -> None:
        """End the iteration under way, after what was captured so far. Callable from any thread."""
        if self._thread is not None:
            self._thread.stopped.set()

    def join(self, timeout: float) -> None:
        """Wait until the device of an iteration that has ended is closed; half a second at most."""
        if self._thread is not None and self._thread.stopped.is_set():
            self._thread.join(min(timeout, CLOSE_SECONDS))

    def check(self) -> None:
        """Look whether the device is there, without opening it. Raises DeviceNotFound, AudioError."""
        choose(self.devices(), self.device)

    @staticmethod
    def devices() -> List[Device]:
        """Return the input devices. One that was connected while a microphone is in use is not seen yet."""
        return _within(OPEN_SECONDS, portaudio.devices)

    @classmethod
    def find_working(cls, *, seconds: float = 1.0) -> "Microphone":
        """Return the first microphone that gives any sound, the default one first; each is tried ``seconds``.

        Raises DeviceNotFound, which tells what each of them gave.
        """
        check_seconds("seconds", seconds, 0.1, 60)
        found = sorted(cls.devices(), key=lambda device: not device.is_default)
        troubles = []
        for device in found:
            trouble = _trouble(cls(device.index), seconds)
            if not trouble:
                return cls(device.index)
            troubles.append(f"{device} {trouble}")
        if not found:
            choose(found, None)
        raise DeviceNotFound(f"No microphone works: {'; '.join(troubles)}.", hint=silence_hint())

    def _new_thread(self, *, returns: bool) -> DeviceThread:
        self._refuse_a_second_use()
        # What was stopped stays stopped; an iteration that begins later is not touched.
        self._thread = DeviceThread(self.device, self.audio_format, channel=self._channel, returns=returns)
        return self._thread

    def _refuse_a_second_use(self) -> None:
        if self._thread is not None and self._thread.is_running:
            raise AudioError("This Microphone is in use.", hint="Make another one for a second stream.")

    def __repr__(self) -> str:
        return f"Microphone({self.device!r}, {self.audio_format})"


class _Hearing:
    """One iteration: what the device's thread gives, and what it means where it gives nothing."""

    def __init__(self, thread: DeviceThread, patience: float) -> None:
        self._thread = thread
        self._patience = patience
        self._process = os.getpid()
        self._given_at: Optional[float] = None
        """When there was audio last, on the monotonic clock; None before the first."""
        self._is_lost = False
        self._missed: Optional[float] = None
        """What a device that was opened again has not heard."""
        self._has_stalled = False

    def items(self) -> Generator[Union[bytes, Event], None, None]:
        close_within = CLOSE_SECONDS
        self._thread.start()
        try:
            while True:
                try:
                    item = self._next(OPEN_SECONDS if self._given_at is None else STALL_SECONDS)
                except queue.Empty:
                    if self._thread.stopped.is_set():
                        close_within = 0.0
                        return
                    close_within = CLOSE_SECONDS if self._patience else 0.0
                    yield from self._miss()
                    continue
                if item is None:
                    # Not waited for, here: it takes a tenth of a second, and nothing more will be heard.
                    close_within = 0.0
                    return
                if isinstance(item, BaseException):
                    raise item
                yield from self._take(item)
        finally:
            self._thread.stopped.set()
            self._thread.join(close_within)

    def _next(self, patience: float) -> Item:
        if os.getpid() != self._process:
            raise AudioError(
                "This microphone was opened before a fork.", hint="Only the parent process hears it."
            )
        try:
            return self._thread.items.get(timeout=patience / 2)
        except queue.Empty:
            # A second wait, so that a program that was itself suspended does not take that for a stall.
            return self._thread.items.get(timeout=patience / 2)

    def _take(self, item: Union[bytes, Event, Reopened]) -> Iterator[Union[bytes, Event]]:
        if isinstance(item, MicrophoneLost):
            yield from self._lose(item.reason)
        elif isinstance(item, Reopened):
            self._missed = item.missed
        elif isinstance(item, AudioLost) and self._has_stalled:
            self._has_stalled = False
            yield AudioLost(item.seconds, STALLED)
        elif isinstance(item, Event):
            yield item
        else:
            if self._is_lost:
                yield self._restored()
            self._given_at = time.monotonic()
            yield item

    def _miss(self) -> Iterator[Event]:
        """Nothing came for a time."""
        if self._given_at is None or not self._patience:
            raise _stalled(OPEN_SECONDS if self._given_at is None else STALL_SECONDS)
        yield from self._lose(f"The microphone has given nothing for {STALL_SECONDS:g} s.")
        away = time.monotonic() - self._given_at
        if away >= self._patience:
            raise DeviceLost(
                f"The microphone has not come back for {away:.0f} s.",
                hint="Connect it again, or choose another one from Microphone.devices().",
            )

    def _lose(self, reason: str) -> Iterator[Event]:
        if not self._is_lost:
            self._is_lost = True
            yield MicrophoneLost(reason)

    def _restored(self) -> MicrophoneRestored:
        assert self._given_at is not None
        missed, self._missed = self._missed, None
        self._is_lost = False
        # Whether a device that was only late gives what is missing, the clock will tell.
        self._has_stalled = missed is None
        outage = time.monotonic() - self._given_at
        return MicrophoneRestored(round(outage, 3), round(missed or 0.0, 3), self._thread.name)


def _audio_only(items: Generator[Union[bytes, Event], None, None], thread: DeviceThread) -> Iterator[bytes]:
    with closing(items):
        for item in items:
            if isinstance(item, bytes):
                yield item
            elif isinstance(item, AudioLost):
                logger.warning("%.1f s of audio were lost: %s", item.seconds, item.reason)
    thread.join(CLOSE_SECONDS)


def _trouble(microphone: Microphone, seconds: float) -> str:
    """What is wrong with a microphone; empty where it gives sound within so many seconds."""
    frames = microphone.audio_format.frames(seconds)
    try:
        for piece in microphone:
            if peak_dbfs(piece) > SILENCE_DBFS:
                return ""
            frames -= len(piece) // microphone.audio_format.frame_bytes
            if frames <= 0:
                return "gives nothing but silence"
    except DeviceNotFound:
        return "is gone"
    except DeviceLost:
        return "gives nothing"
    except AudioError as error:
        return f"cannot be opened ({error.message.rstrip('.')})"
    return "gives nothing"


def _stalled(seconds: float) -> DeviceLost:
    return DeviceLost(
        f"The microphone has given nothing for {seconds:g} s.",
        hint=RESTART.get(sys.platform, "Disconnect it and connect it again."),
    )


def _check_channel(channel: object, channels: Optional[int]) -> None:
    if channel is None:
        return
    if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < 32:
        raise ConfigurationError(f"channel must be an integer from 0 to 31, or None, not {channel!r}.")
    if channels not in (None, 1):
        raise ConfigurationError("channel is one channel: leave out channels.")


def _within(limit: float, call: Callable[[], Result]) -> Result:
    """Call into the sound system, which may hang; give up after so many seconds."""
    try:
        return within(limit, call)
    except WaitTimeout:
        raise AudioError(
            f"The sound system has not answered for {limit:g} s.", hint=RESTART.get(sys.platform, "")
        ) from None
