"""PortAudio's input devices and streams; the only importer of pyaudio.

PortAudio promises nothing to several threads: it is started and ended under one lock, and a stream belongs
to the thread that opened it. Any call here may hang while the sound server does.
"""

import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import Any, Iterator, List, Optional, Set, Union

from ..audio.format import AudioFormat
from ..errors import AudioError, DeviceLost, DeviceNotFound
from ..log import logger
from .c_stderr import c_stderr
from .captured_stderr import captured_stderr, silence_libraries
from .device import Device, choose, find_again, readable

__all__ = ["Stream", "devices", "opened"]

# PortAudio asks ALSA for three of these: the slack that a busy program has before audio is lost.
BUFFER_SECONDS = 0.1

# PortAudio's error numbers, and its number for JACK, where a blocking read corrupts memory.
INVALID_CHANNELS, INVALID_RATE, INVALID_DEVICE, DEVICE_UNAVAILABLE = -9998, -9997, -9996, -9985
JACK = 12

INSTALL = {
    "linux": "On Debian or Ubuntu: sudo apt install portaudio19-dev gcc python3-dev, then "
    'pip install "slng-sync[mic]".',
    "darwin": 'brew install portaudio, then pip install "slng-sync[mic]".',
    "win32": 'pip install "slng-sync[mic]" (PyAudio is ready-made there for Python up to 3.13).',
}

_starting_and_ending = threading.Lock()
_started_in: Set[int] = set()  # The process in which PortAudio was started: a fork inherits it.


class Stream:
    """An open input stream: ``audio_format`` is what the device gives, maybe not what was asked for."""

    def __init__(self, stream: Any, device: Device, audio_format: AudioFormat) -> None:
        self._stream = stream
        self._stderr = c_stderr()
        self.device = device
        self.audio_format = audio_format

    def available(self) -> int:
        """Return how many frames can be read without waiting. Raises DeviceLost."""
        # A lost device is returned as a negative number, not raised.
        with self._stderr:
            frames = self._stream.get_read_available()
        if frames < 0:
            raise self._lost(frames)
        return int(frames)

    def read(self, frames: int) -> bytes:
        """Read so many frames, which must be available. Raises DeviceLost."""
        try:
            # Told to raise on overflow, PyAudio would also close the stream.
            with self._stderr:
                pcm: bytes = self._stream.read(frames, exception_on_overflow=False)
        except OSError as error:
            raise self._lost(error) from error
        return pcm

    def close(self) -> None:
        """Give the device back."""
        with suppress(OSError), self._stderr:
            self._stream.close()
        _log(self._stderr.lines())

    def _lost(self, cause: object) -> DeviceLost:
        return DeviceLost(
            f"The microphone {self.device.name!r} went away ({cause}).",
            hint="Connect it again, or choose another one from Microphone.devices().",
        )


def devices() -> List[Device]:
    """Return the input devices. PortAudio looks for them when nothing else has it started."""
    with _portaudio() as audio:
        return _inputs(audio)


@contextmanager
def opened(
    device: Union[Device, int, str, None], wanted: AudioFormat, channel: Optional[int] = None
) -> Iterator[Stream]:
    """Open a device in the wanted format or, if it refuses that, in its own; close it at the end.

    With ``channel`` it is opened with as many channels as it takes to have that one. A ``Device`` is one
    that was open before.
    """
    with _portaudio() as audio:
        # PortAudio crashes on an index that it does not have: only listed devices get through to it.
        inputs = _inputs(audio)
        chosen = find_again(inputs, device) if isinstance(device, Device) else choose(inputs, device)
        stream = _open(audio, chosen, _formats(chosen, wanted, channel))
        try:
            yield stream
        finally:
            stream.close()


@contextmanager
def _portaudio() -> Iterator[Any]:
    pyaudio = _pyaudio()
    if _started_in and os.getpid() not in _started_in:
        raise AudioError(
            "This process was forked from one that had used a microphone, which the sound system forbids.",
            hint='Start processes by multiprocessing.get_context("spawn").',
        )
    with _starting_and_ending:
        _started_in.add(os.getpid())
        silence_libraries()
        with captured_stderr() as lines:
            audio = pyaudio.PyAudio()
        _log(lines)
    try:
        yield audio
    finally:
        with _starting_and_ending:
            audio.terminate()


def _pyaudio() -> Any:
    try:
        import pyaudio
    except ImportError as error:
        raise AudioError(
            f"A microphone needs PyAudio, which cannot be imported ({error}).",
            hint=INSTALL.get(sys.platform, INSTALL["linux"]),
        ) from error
    return pyaudio


def _inputs(audio: Any) -> List[Device]:
    try:
        default = audio.get_default_input_device_info()["index"]
    except OSError:
        default = None
    host_apis = [audio.get_host_api_info_by_index(i) for i in range(audio.get_host_api_count())]
    found = [audio.get_device_info_by_index(i) for i in range(audio.get_device_count())]
    return [
        Device(
            index=info["index"],
            name=readable(info["name"]),
            sample_rate=int(info["defaultSampleRate"]),
            channels=info["maxInputChannels"],
            host_api=readable(host_apis[info["hostApi"]]["name"]),
            is_default=info["index"] == default,
        )
        for info in found
        if info["maxInputChannels"] > 0 and host_apis[info["hostApi"]]["type"] != JACK
    ]


def _open(audio: Any, device: Device, formats: List[AudioFormat]) -> Stream:
    lines: List[str] = []
    for audio_format in formats:
        try:
            with _starting_and_ending, captured_stderr() as lines:
                return Stream(_input_stream(audio, device, audio_format), device, audio_format)
        except OSError as error:
            refused = error
        if refused.args[0] not in (INVALID_CHANNELS, INVALID_RATE):
            break
    _log(lines)
    raise _not_opened(device, refused) from refused


def _formats(device: Device, wanted: AudioFormat, channel: Optional[int]) -> List[AudioFormat]:
    """The wanted format, and those of the device that come nearest to it."""
    fewest, most = wanted.channels, min(device.channels, 32)
    if channel is not None:
        if channel >= most:
            raise AudioError(
                f"The microphone {device.name!r} has no channel {channel}.",
                hint=f"It has {most}, and they are counted from 0.",
            )
        # Opened with one channel it would give the mean of all.
        fewest = min(most, max(2, channel + 1))
    return [
        AudioFormat(sample_rate, channels)
        for channels in dict.fromkeys([fewest, most])
        for sample_rate in dict.fromkeys([wanted.sample_rate, device.sample_rate])
    ]


def _input_stream(audio: Any, device: Device, audio_format: AudioFormat) -> Any:
    return audio.open(
        input=True,
        input_device_index=device.index,
        rate=audio_format.sample_rate,
        channels=audio_format.channels,
        format=_pyaudio().paInt16,
        frames_per_buffer=audio_format.frames(BUFFER_SECONDS),
    )


def _not_opened(device: Device, error: OSError) -> AudioError:
    problem = f"The microphone {device.name!r} cannot be opened ({error})."
    if error.args[0] == INVALID_DEVICE:
        return DeviceNotFound(problem, hint="It is gone: see Microphone.devices().", retryable=True)
    if error.args[0] == DEVICE_UNAVAILABLE:
        return AudioError(problem, hint="Another program uses it: close that one.", retryable=True)
    return AudioError(
        problem,
        hint="Is it connected, and may this program use it (the system's privacy settings)?",
        retryable=True,
    )


def _log(lines: List[str]) -> None:
    for line in lines:
        logger.debug("PortAudio: %s", line)
