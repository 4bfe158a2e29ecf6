"""Microphones.

All calls for one stream are made by one thread of its own, which opens, polls, closes and terminates:
PortAudio crashes when threads share a stream, and its calls hang when the sound server does. Whoever
iterates only waits on a queue, with a limit, and so is told in either case.
"""

import os
import queue
import sys
import threading
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, TypeVar, Union

from ..errors import AudioError, DeviceLost
from . import portaudio
from .convert import Converter
from .device import Device, check_choice, choose
from .format import AudioFormat

__all__ = ["Device", "Microphone"]

PIECE_SECONDS = 0.02
POLL_SECONDS = 0.005
OPEN_SECONDS = 5.0
STALL_SECONDS = 1.0
CLOSE_SECONDS = 2.0

RESTART = {
    "linux": "Restart the sound server: systemctl --user restart pipewire pulseaudio.",
    "darwin": "Restart the sound server: sudo killall coreaudiod.",
}

Result = TypeVar("Result")


class Microphone:
    """A microphone: iterate to hear it, as PCM in ``audio_format``, whatever the device runs at.

    ``device`` is an index from ``Microphone.devices()``, a part of a name, or None for the default one.
    Without ``sample_rate`` and ``channels`` it delivers what a session asks for, else 16 kHz mono. A device
    that refuses that format is read in its own, and converted.

    The device is opened by the first ``next()``. Raises DeviceNotFound; DeviceLost when it goes away or
    gives nothing for 1 s; AudioError when PyAudio is missing or the device cannot be opened. An iteration
    that has ended, in whatever way, may be followed by another.
    """

    live = True
    duration: Optional[float] = None

    def __init__(
        self,
        device: Union[int, str, None] = None,
        *,
        sample_rate: Optional[int] = None,
        channels: Optional[int] = None,
    ) -> None:
        check_choice(device)
        self.device = device
        self._sample_rate = sample_rate
        self._channels = channels
        self._capture: Optional[_Capture] = None
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
        self._refuse_a_second_use()
        # What was stopped stays stopped; an iteration that begins later is not touched.
        self._capture = _Capture(self.device, self.audio_format)
        return self._capture.pieces()

    def stop(self) -> None:
        """End the iteration under way, after what was captured so far. Callable from any thread."""
        if self._capture is not None:
            self._capture.stopped.set()

    def check(self) -> None:
        """Look whether the device is there, without opening it. Raises DeviceNotFound, AudioError."""
        choose(self.devices(), self.device)

    @staticmethod
    def devices() -> List[Device]:
        """Return the input devices. One that was connected while a microphone is in use is not seen yet."""
        return _within(OPEN_SECONDS, portaudio.devices)

    def _refuse_a_second_use(self) -> None:
        if self._capture is not None and self._capture.running:
            raise AudioError("This Microphone is in use.", hint="Make another one for a second stream.")

    def __repr__(self) -> str:
        return f"Microphone({self.device!r}, {self.audio_format})"


class _Capture:
    """One iteration of a microphone: the thread that captures, and the queue to whoever listens."""

    def __init__(self, device: Union[int, str, None], audio_format: AudioFormat) -> None:
        self.stopped = threading.Event()
        self._device = device
        self._format = audio_format
        self._process = os.getpid()
        # Audio, then the end (None) or what went wrong.
        self._pieces: queue.SimpleQueue[Union[bytes, BaseException, None]] = queue.SimpleQueue()
        # A daemon: while the sound server hangs, so does this thread, and the program must be able to end.
        self._thread = threading.Thread(target=self._run, name="slng-microphone", daemon=True)

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self.stopped.is_set()

    def pieces(self) -> Iterator[bytes]:
        self._thread.start()
        patience, closing = OPEN_SECONDS, CLOSE_SECONDS
        try:
            while True:
                piece = self._next(patience)
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                patience = STALL_SECONDS
        except queue.Empty:
            closing = 0.0
            if not self.stopped.is_set():
                raise _stalled(patience) from None
        finally:
            self.stopped.set()
            self._thread.join(closing)

    def _next(self, patience: float) -> Union[bytes, BaseException, None]:
        if os.getpid() != self._process:
            raise AudioError(
                "This microphone was opened before a fork.", hint="Only the parent process hears it."
            )
        try:
            return self._pieces.get(timeout=patience / 2)
        except queue.Empty:
            # A second wait, so that a program that was itself suspended does not take that for a stall.
            return self._pieces.get(timeout=patience / 2)

    def _run(self) -> None:
        # Whoever listens is told before the stream is closed, which may hang.
        with self._telling(), portaudio.opened(self._device, self._format) as stream, self._telling():
            self._poll(stream)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._pieces.put(error)
        else:
            self._pieces.put(None)

    def _poll(self, stream: portaudio.Stream) -> None:
        converter = Converter(stream.audio_format, self._format)
        piece = stream.audio_format.frames(PIECE_SECONDS)
        while not self.stopped.is_set():
            if stream.available() >= piece:
                self._put(converter.convert(stream.read(piece)))
            else:
                self.stopped.wait(POLL_SECONDS)
        self._put(converter.convert(stream.read(stream.available())) + converter.flush())

    def _put(self, pcm: bytes) -> None:
        if pcm:
            self._pieces.put(pcm)


def _stalled(seconds: float) -> DeviceLost:
    return DeviceLost(
        f"The microphone has given nothing for {seconds:g} s.",
        hint=RESTART.get(sys.platform, "Disconnect it and connect it again."),
    )


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call a function that may hang, and give up on it after so many seconds."""
    results: List[Result] = []
    errors: List[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="slng-devices", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise AudioError(
            f"The sound system has not answered for {seconds:g} s.", hint=RESTART.get(sys.platform, "")
        )
    if errors:
        raise errors[0]
    return results[0]
