"""Real recordings with PyAudio from a virtual microphone."""

import os
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, List

import numpy
import pyaudio
import pytest
from virtual_microphone import VirtualMicrophone

from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import AudioError, DeviceLost, DeviceNotFound
from slng_sync.microphone import microphone as module
from slng_sync.microphone.microphone import Device, Microphone

SPEECH = numpy.random.default_rng(7).integers(-9000, 9000, 24000).astype("<i2").tobytes()


@pytest.fixture
def virtual() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone() as device:
        yield device


def record(microphone: Microphone, virtual: VirtualMicrophone, pcm: bytes) -> bytes:
    """Play ``pcm`` after the first chunk. Return the audio captured until half a second after its end."""
    captured = bytearray()
    player: Any = None
    half_a_second = microphone.audio_format.sample_rate * microphone.audio_format.frame_bytes // 2
    for chunk in microphone:
        player = player or virtual.play_pcm(pcm)
        captured += chunk
        if player.poll() is not None:
            half_a_second -= len(chunk)
            if half_a_second <= 0:
                microphone.stop()
    return bytes(captured)


class TestCapture:
    def test_played_audio_is_captured_exactly(self, virtual: VirtualMicrophone) -> None:
        assert SPEECH in record(Microphone(), virtual, SPEECH)

    @pytest.mark.parametrize("refused", [False, True])
    def test_48_khz_stereo_is_converted_to_16_khz_mono(
        self, monkeypatch: pytest.MonkeyPatch, refused: bool
    ) -> None:
        """The sound server converts it. If the device refuses the format, this library does."""
        if refused:
            refuse_all_but(monkeypatch, AudioFormat(48000, 2))
        left = numpy.sin(2 * numpy.pi * 440 * numpy.arange(96000) / 48000) * 16000
        stereo = numpy.stack([left, 0 * left], axis=1).astype("<i2").tobytes()
        with VirtualMicrophone(48000, 2) as virtual:
            captured = record(Microphone(), virtual, stereo)
        samples = numpy.frombuffer(captured, "<i2")
        begin = numpy.flatnonzero(abs(samples) > 100)[0] + 1000
        spectrum = abs(numpy.fft.rfft(samples[begin : begin + 16000])) / 8000
        assert spectrum.argmax() == 440
        assert spectrum.max() == pytest.approx(8000, rel=0.01)
        noise = numpy.sqrt((numpy.delete(spectrum, 440) ** 2).sum())
        assert 20 * numpy.log10(spectrum.max() / noise) > 70

    def test_one_channel_is_converted_to_two(
        self, monkeypatch: pytest.MonkeyPatch, virtual: VirtualMicrophone
    ) -> None:
        refuse_all_but(monkeypatch, AudioFormat(16000, 1))
        captured = record(Microphone(channels=2), virtual, SPEECH)
        assert numpy.frombuffer(SPEECH, "<i2").repeat(2).tobytes() in captured

    def test_stop_from_another_thread_leaves_no_thread(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        captured: List[bytes] = []
        started = threading.Event()

        def read() -> None:
            for chunk in microphone:
                captured.append(chunk)
                started.set()

        thread = threading.Thread(target=read)
        thread.start()
        started.wait()
        microphone.stop()
        thread.join()
        assert captured
        assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_stop_before_the_first_chunk_ends_that_iteration_and_not_the_next(
        self, virtual: VirtualMicrophone
    ) -> None:
        microphone = Microphone()
        chunks = iter(microphone)
        microphone.stop()
        assert sum(map(len, chunks)) < 16000
        assert next(iter(microphone))

    def test_leaving_an_iteration_closes_the_microphone(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        for _ in range(3):
            for chunk in microphone:
                assert len(chunk) == 640
                break
            assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_a_microphone_has_one_iteration_at_a_time(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        chunks = iter(microphone)
        next(chunks)
        with pytest.raises(AudioError, match=r"in use\. Create another Microphone"):
            iter(microphone)
        with pytest.raises(AudioError, match="in use"):
            as_source(microphone, sample_rate=8000)
        other = iter(Microphone())
        assert next(other)
        assert next(chunks)

    def test_silence_is_delivered(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        assert record(Microphone(), virtual, SPEECH).strip(b"\0") == b""


def refuse_all_but(monkeypatch: pytest.MonkeyPatch, own: AudioFormat) -> None:
    """Make PortAudio refuse other formats, as it does for a device without a converting sound server."""
    real_open, real_info = pyaudio.PyAudio.open, pyaudio.PyAudio.get_device_info_by_index

    def info(self: Any, index: int) -> Dict[str, Any]:
        limits = {"defaultSampleRate": float(own.sample_rate), "maxInputChannels": own.channels}
        return {**real_info(self, index), **limits}

    def opened(self: Any, *, rate: int, channels: int, **options: Any) -> Any:
        if channels != own.channels:
            raise OSError(-9998, "Invalid number of channels")
        if rate != own.sample_rate:
            raise OSError(-9997, "Invalid sample rate")
        return real_open(self, rate=rate, channels=channels, **options)

    monkeypatch.setattr(pyaudio.PyAudio, "get_device_info_by_index", info)
    monkeypatch.setattr(pyaudio.PyAudio, "open", opened)


class TestLoss:
    def test_an_unplugged_device_is_lost_and_comes_back(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        chunks = iter(microphone)
        next(chunks)
        virtual.unplug()
        with pytest.raises(DeviceLost, match=r"'default' was disconnected .*Connect it again") as caught:
            list(chunks)
        assert caught.value.retryable
        with pytest.raises(AudioError, match=r"'default' cannot be opened .*Check that it is connected"):
            next(iter(microphone))
        virtual.plug()
        assert SPEECH in record(microphone, virtual, SPEECH)

    def test_a_device_that_stalls_is_lost(self, virtual: VirtualMicrophone) -> None:
        chunks = iter(Microphone())
        next(chunks)
        virtual.suspend()
        with pytest.raises(DeviceLost, match="delivered no audio for 1 s"):
            list(chunks)
        virtual.resume()

    def test_a_sound_server_that_hangs_raises_an_error(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "OPEN_SECONDS", 0.5)
        chunks = iter(Microphone())
        next(chunks)
        virtual.freeze()
        with pytest.raises(DeviceLost, match="delivered no audio for 1 s"):
            list(chunks)
        with pytest.raises(AudioError, match=r"delivered no audio for 0\.5 s"):
            next(iter(Microphone()))
        with pytest.raises(AudioError, match=r"sound system did not respond for 0\.5 s"):
            Microphone.devices()
        virtual.thaw()
        assert next(iter(Microphone()))

    def test_stop_is_no_error_while_the_sound_server_hangs(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        chunks = iter(microphone)
        next(chunks)
        virtual.freeze()
        microphone.stop()
        list(chunks)
        virtual.thaw()


class TestDevices:
    def test_inputs_are_listed(self, virtual: VirtualMicrophone) -> None:
        assert Microphone.devices() == [Device(0, "default", 44100, 32, "ALSA", is_default=True)]

    @pytest.mark.parametrize("device", [0, "Default", "efaul"])
    def test_a_device_is_chosen_by_index_or_name(self, virtual: VirtualMicrophone, device: Any) -> None:
        assert next(iter(Microphone(device)))

    @pytest.mark.parametrize("device", [1, 99, "headset"])
    def test_a_device_that_does_not_exist(self, virtual: VirtualMicrophone, device: Any) -> None:
        with pytest.raises(DeviceNotFound, match=f"Microphone {device!r} not found. Available: 0: 'default'"):
            next(iter(Microphone(device)))

    def test_jack_devices_are_not_listed(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jack = {"type": 12, "name": "JACK Audio Connection Kit"}
        monkeypatch.setattr(pyaudio.PyAudio, "get_host_api_info_by_index", lambda self, index: jack)
        assert Microphone.devices() == []
        with pytest.raises(DeviceNotFound, match="No microphone found"):
            next(iter(Microphone()))

    @pytest.mark.parametrize(
        ("code", "kind", "message"),
        [(-9996, DeviceNotFound, "It is disconnected"), (-9985, AudioError, "Another program is using it")],
    )
    def test_why_it_cannot_be_opened(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch, code: int, kind: Any, message: str
    ) -> None:
        def refuse(self: Any, **options: Any) -> None:
            raise OSError(code, "no")

        monkeypatch.setattr(pyaudio.PyAudio, "open", refuse)
        with pytest.raises(kind, match=message):
            next(iter(Microphone()))

    @pytest.mark.parametrize(
        ("platform", "what"),
        [
            ("linux", "apt install portaudio19-dev gcc"),
            ("darwin", "brew install portaudio"),
            ("win32", "^.*pip"),
        ],
    )
    def test_without_pyaudio_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, platform: str, what: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyaudio", None)
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(AudioError, match=what + r'.*pip install "slng-sync\[mic\]"|^.*pip install'):
            next(iter(Microphone()))


def run(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in its own process. Return all of its output."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )


READ_AND_FAIL = """
from slng_sync.microphone.microphone import Microphone
print(Microphone.devices()[0].name)
next(iter(Microphone()))
try:
    next(iter(Microphone("no such device")))
except Exception as error:
    print(type(error).__name__)
"""

FORK = """
import os
from slng_sync.microphone.microphone import Microphone
microphone = Microphone()
chunks = iter(microphone)
next(chunks)
list(zip(range(3), chunks)), microphone.stop(), list(chunks)
if os.fork() == 0:
    for chunks in (iter(Microphone()), chunks):
        try:
            print(next(chunks, None), flush=True)
        except Exception as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""

FORK_WHILE_READING = """
import os, warnings
from slng_sync.microphone.microphone import Microphone
warnings.simplefilter("ignore")  # about forking with threads
chunks = iter(Microphone())
next(chunks)
if os.fork() == 0:
    try:
        list(chunks)
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""

END_WHILE_READING = """
from slng_sync.microphone.microphone import Microphone
chunks = iter(Microphone())
next(chunks)
"""


class TestProcesses:
    @pytest.mark.parametrize("configuration", ["ours", "the system's"])
    def test_the_sound_libraries_write_nothing(self, virtual: VirtualMicrophone, configuration: str) -> None:
        ours = {} if configuration == "ours" else {"ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf"}
        lines = run(READ_AND_FAIL, **ours).stdout.splitlines()
        assert len(lines) == 2
        assert lines[1] == "DeviceNotFound"

    def test_a_forked_process_gets_an_error(self, virtual: VirtualMicrophone) -> None:
        lines = run(FORK).stdout.splitlines()
        assert len(lines) == 2
        assert "was forked from one that had used a microphone" in lines[0]
        assert "spawn" in lines[0]

    def test_a_forked_process_cannot_read_its_parents_microphone(self, virtual: VirtualMicrophone) -> None:
        assert "opened before a fork" in run(FORK_WHILE_READING).stdout

    def test_a_program_may_end_during_an_iteration(self, virtual: VirtualMicrophone) -> None:
        ended = run(END_WHILE_READING)
        assert (ended.returncode, ended.stdout) == (0, "")
