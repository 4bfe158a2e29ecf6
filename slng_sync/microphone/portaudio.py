"""Input devices and streams of PortAudio. The only module that imports pyaudio.

PortAudio is not thread-safe. One lock protects starting and terminating it, and only the thread that opened
a stream may use it. Any call here may hang while the sound server hangs.
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
from .device import Device, choose, decode_name, find_again

__all__ = ["Stream", "devices", "open_stream"]

# PortAudio asks ALSA for three such buffers. A busy program can fall that far behind before audio is lost.
BUFFER_SECONDS = 0.1

# PortAudio's error codes, and its number for JACK, with which a blocking read corrupts memory.
INVALID_CHANNELS, INVALID_RATE, INVALID_DEVICE, DEVICE_UNAVAILABLE = -9998, -9997, -9996, -9985
JACK = 12

INSTALL = {
    "linux": "On Debian or Ubuntu: sudo apt install portaudio19-dev gcc python3-dev, then "
    'pip install "slng-sync[mic]".',
    "darwin": 'brew install portaudio, then pip install "slng-sync[mic]".',
    "win32": 'pip install "slng-sync[mic]" (PyAudio has Windows wheels for Python up to 3.13).',
}

_lock = threading.Lock()
_started_in: Set[int] = set()
"""The ids of the processes that have started PortAudio. A forked process inherits the set."""


class Stream:
    """An open input stream. ``audio_format`` is that of the device, which may differ from the request."""

    def __init__(self, stream: Any, device: Device, audio_format: AudioFormat) -> None:
        self._stream = stream
        self._stderr = c_stderr()
        self.device = device
        self.audio_format = audio_format

    def available(self) -> int:
        """Return how many frames can be read without waiting. Raises ``DeviceLost``."""
        # For a lost device, PyAudio returns a negative error code and raises nothing.
        with self._stderr:
            frames = self._stream.get_read_available()
        if frames < 0:
            raise self._lost(frames)
        return int(frames)

    def read(self, frames: int) -> bytes:
        """Read ``frames`` frames, which must be available. Raises ``DeviceLost``."""
        try:
            # With ``exception_on_overflow=True`` PyAudio would also close the stream.
            with self._stderr:
                pcm: bytes = self._stream.read(frames, exception_on_overflow=False)
        except OSError as error:
            raise self._lost(error) from error
        return pcm

    def close(self) -> None:
        """Close the stream and release the device."""
        with suppress(OSError), self._stderr:
            self._stream.close()
        _log_lines(self._stderr.lines())

    def _lost(self, cause: object) -> DeviceLost:
        return DeviceLost(
            f"Microphone {self.device.name!r} was disconnected ({cause}).",
            hint="Connect it again, or choose another device from Microphone.devices().",
        )


def devices() -> List[Device]:
    """Return the input devices. PortAudio only scans for new ones if nothing else is using it."""
    with _portaudio() as audio:
        return _input_devices(audio)


@contextmanager
def open_stream(
    device: Union[Device, int, str, None], target: AudioFormat, channel: Optional[int] = None
) -> Iterator[Stream]:
    """Open a device in the ``target`` format, or in its own if it refuses that. Close it at the end.

    With ``channel``, the device is opened with enough channels to include that one. ``device`` is a
    ``Device`` if it was open before and is opened again.
    """
    with _portaudio() as audio:
        # PortAudio crashes on an unknown index, so only devices from its own list are passed to it.
        available = _input_devices(audio)
        chosen = find_again(available, device) if isinstance(device, Device) else choose(available, device)
        stream = _open(audio, chosen, _candidate_formats(chosen, target, channel))
        try:
            yield stream
        finally:
            stream.close()


@contextmanager
def _portaudio() -> Iterator[Any]:
    pyaudio = _import_pyaudio()
    if _started_in and os.getpid() not in _started_in:
        raise AudioError(
            "This process was forked from one that had used a microphone, which PortAudio does not support.",
            hint='Start processes with multiprocessing.get_context("spawn").',
        )
    with _lock:
        _started_in.add(os.getpid())
        silence_libraries()
        with captured_stderr() as lines:
            audio = pyaudio.PyAudio()
        _log_lines(lines)
    try:
        yield audio
    finally:
        with _lock:
            audio.terminate()


def _import_pyaudio() -> Any:
    try:
        import pyaudio
    except ImportError as error:
        raise AudioError(
            f"Using a microphone needs PyAudio, which cannot be imported ({error}).",
            hint=INSTALL.get(sys.platform, INSTALL["linux"]),
        ) from error
    return pyaudio


def _input_devices(audio: Any) -> List[Device]:
    try:
        default = audio.get_default_input_device_info()["index"]
    except OSError:
        default = None
    host_apis = [audio.get_host_api_info_by_index(i) for i in range(audio.get_host_api_count())]
    infos = [audio.get_device_info_by_index(i) for i in range(audio.get_device_count())]
    return [
        Device(
            index=info["index"],
            name=decode_name(info["name"]),
            sample_rate=int(info["defaultSampleRate"]),
            channels=info["maxInputChannels"],
            host_api=decode_name(host_apis[info["hostApi"]]["name"]),
            is_default=info["index"] == default,
        )
        for info in infos
        if info["maxInputChannels"] > 0 and host_apis[info["hostApi"]]["type"] != JACK
    ]


def _open(audio: Any, device: Device, formats: List[AudioFormat]) -> Stream:
    lines: List[str] = []
    for audio_format in formats:
        try:
            with _lock, captured_stderr() as lines:
                return Stream(_input_stream(audio, device, audio_format), device, audio_format)
        except OSError as error:
            refused = error
        if refused.args[0] not in (INVALID_CHANNELS, INVALID_RATE):
            break
    _log_lines(lines)
    raise _open_error(device, refused) from refused


def _candidate_formats(device: Device, target: AudioFormat, channel: Optional[int]) -> List[AudioFormat]:
    """Return the formats to try: ``target`` first, then those with the channels and rate of the device."""
    min_channels, max_channels = target.channels, min(device.channels, 32)
    if channel is not None:
        if channel >= max_channels:
            raise AudioError(
                f"Microphone {device.name!r} has no channel {channel}.",
                hint=f"It has {max_channels} channels, numbered from 0.",
            )
        # Opened with one channel, the device would deliver the mean of all channels.
        min_channels = min(max_channels, max(2, channel + 1))
    return [
        AudioFormat(sample_rate, channels)
        for channels in dict.fromkeys([min_channels, max_channels])
        for sample_rate in dict.fromkeys([target.sample_rate, device.sample_rate])
    ]


def _input_stream(audio: Any, device: Device, audio_format: AudioFormat) -> Any:
    return audio.open(
        input=True,
        input_device_index=device.index,
        rate=audio_format.sample_rate,
        channels=audio_format.channels,
        format=_import_pyaudio().paInt16,
        frames_per_buffer=audio_format.frames(BUFFER_SECONDS),
    )


def _open_error(device: Device, error: OSError) -> AudioError:
    message = f"Microphone {device.name!r} cannot be opened ({error})."
    if error.args[0] == INVALID_DEVICE:
        return DeviceNotFound(
            message, hint="It is disconnected. Choose one from Microphone.devices().", retryable=True
        )
    if error.args[0] == DEVICE_UNAVAILABLE:
        return AudioError(message, hint="Another program is using it. Close that program.", retryable=True)
    return AudioError(
        message,
        hint="Check that it is connected, and that the system's privacy settings allow access to it.",
        retryable=True,
    )


def _log_lines(lines: List[str]) -> None:
    for line in lines:
        logger.debug("PortAudio: %s", line)
