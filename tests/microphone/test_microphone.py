"""Real captures, by PyAudio, from a virtual microphone."""

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
    """Play something when the first piece has come; return what is heard until half a second after it."""
    heard = bytearray()
    player: Any = None
    half_a_second = microphone.audio_format.sample_rate * microphone.audio_format.frame_bytes // 2
    for piece in microphone:
        player = player or virtual.play_pcm(pcm)
        heard += piece
        if player.poll() is not None:
            half_a_second -= len(piece)
            if half_a_second <= 0:
                microphone.stop()
    return bytes(heard)


class TestCapture:
    def test_what_is_played_is_heard_to_the_bit(self, virtual: VirtualMicrophone) -> None:
        assert SPEECH in record(Microphone(), virtual, SPEECH)

    @pytest.mark.parametrize("refused", [False, True])
    def test_a_microphone_of_48_khz_stereo_is_heard_in_16_khz_mono(
        self, monkeypatch: pytest.MonkeyPatch, refused: bool
    ) -> None:
        """Converted by the sound server, or, where a device refuses the rate, here."""
        if refused:
            refuse_all_but(monkeypatch, AudioFormat(48000, 2))
        left = numpy.sin(2 * numpy.pi * 440 * numpy.arange(96000) / 48000) * 16000
        stereo = numpy.stack([left, 0 * left], axis=1).astype("<i2").tobytes()
        with VirtualMicrophone(48000, 2) as virtual:
            heard = record(Microphone(), virtual, stereo)
        samples = numpy.frombuffer(heard, "<i2")
        begin = numpy.flatnonzero(abs(samples) > 100)[0] + 1000
        spectrum = abs(numpy.fft.rfft(samples[begin : begin + 16000])) / 8000
        assert spectrum.argmax() == 440
        assert spectrum.max() == pytest.approx(8000, rel=0.01)
        noise = numpy.sqrt((numpy.delete(spectrum, 440) ** 2).sum())
        assert 20 * numpy.log10(spectrum.max() / noise) > 70

    def test_a_device_of_one_channel_is_heard_in_two(
        self, monkeypatch: pytest.MonkeyPatch, virtual: VirtualMicrophone
    ) -> None:
        refuse_all_but(monkeypatch, AudioFormat(16000, 1))
        heard = record(Microphone(channels=2), virtual, SPEECH)
        assert numpy.frombuffer(SPEECH, "<i2").repeat(2).tobytes() in heard

    def test_stop_comes_from_another_thread_and_leaves_none(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        heard: List[bytes] = []
        listening = threading.Event()

        def listen() -> None:
            for piece in microphone:
                heard.append(piece)
                listening.set()

        thread = threading.Thread(target=listen)
        thread.start()
        listening.wait()
        microphone.stop()
        thread.join()
        assert heard
        assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_stop_before_the_first_piece_ends_that_iteration_and_not_the_next(
        self, virtual: VirtualMicrophone
    ) -> None:
        microphone = Microphone()
        pieces = iter(microphone)
        microphone.stop()
        assert sum(map(len, pieces)) < 16000
        assert next(iter(microphone))

    def test_an_iteration_that_is_left_closes_the_microphone(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        for _ in range(3):
            for piece in microphone:
                assert len(piece) == 640
                break
            assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_a_microphone_is_for_one_stream_at_a_time(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        pieces = iter(microphone)
        next(pieces)
        with pytest.raises(AudioError, match=r"in use\. Make another one"):
            iter(microphone)
        with pytest.raises(AudioError, match="in use"):
            as_source(microphone, sample_rate=8000)
        other = iter(Microphone())
        assert next(other)
        assert next(pieces)

    def test_silence_is_delivered(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        assert record(Microphone(), virtual, SPEECH).strip(b"\0") == b""


def refuse_all_but(monkeypatch: pytest.MonkeyPatch, own: AudioFormat) -> None:
    """Make PortAudio refuse what a device without a converting sound server refuses, with its errors."""
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
        pieces = iter(microphone)
        next(pieces)
        virtual.unplug()
        with pytest.raises(DeviceLost, match=r"'default' went away .*Connect it again") as caught:
            list(pieces)
        assert caught.value.retryable
        with pytest.raises(AudioError, match=r"'default' cannot be opened .*Is it connected"):
            next(iter(microphone))
        virtual.plug()
        assert SPEECH in record(microphone, virtual, SPEECH)

    def test_a_device_that_stalls_is_lost(self, virtual: VirtualMicrophone) -> None:
        pieces = iter(Microphone())
        next(pieces)
        virtual.suspend()
        with pytest.raises(DeviceLost, match="has given nothing for 1 s"):
            list(pieces)
        virtual.resume()

    def test_a_sound_server_that_hangs_is_told(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "OPEN_SECONDS", 0.5)
        pieces = iter(Microphone())
        next(pieces)
        virtual.freeze()
        with pytest.raises(DeviceLost, match="has given nothing for 1 s"):
            list(pieces)
        with pytest.raises(AudioError, match=r"has given nothing for 0\.5 s"):
            next(iter(Microphone()))
        with pytest.raises(AudioError, match=r"sound system has not answered for 0\.5 s"):
            Microphone.devices()
        virtual.thaw()
        assert next(iter(Microphone()))

    def test_stop_is_no_error_while_the_sound_server_hangs(self, virtual: VirtualMicrophone) -> None:
        microphone = Microphone()
        pieces = iter(microphone)
        next(pieces)
        virtual.freeze()
        microphone.stop()
        list(pieces)
        virtual.thaw()


class TestDevices:
    def test_inputs_are_listed(self, virtual: VirtualMicrophone) -> None:
        assert Microphone.devices() == [Device(0, "default", 44100, 32, "ALSA", is_default=True)]

    @pytest.mark.parametrize("device", [0, "Default", "efaul"])
    def test_a_device_is_chosen_by_index_or_name(self, virtual: VirtualMicrophone, device: Any) -> None:
        assert next(iter(Microphone(device)))

    @pytest.mark.parametrize("device", [1, 99, "headset"])
    def test_a_device_that_is_not_there(self, virtual: VirtualMicrophone, device: Any) -> None:
        with pytest.raises(DeviceNotFound, match=f"no microphone {device!r}. There are: 0: 'default'"):
            next(iter(Microphone(device)))

    def test_jack_is_left_out(self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch) -> None:
        jack = {"type": 12, "name": "JACK Audio Connection Kit"}
        monkeypatch.setattr(pyaudio.PyAudio, "get_host_api_info_by_index", lambda self, index: jack)
        assert Microphone.devices() == []
        with pytest.raises(DeviceNotFound, match="There is no microphone"):
            next(iter(Microphone()))

    @pytest.mark.parametrize(
        ("code", "kind", "message"),
        [(-9996, DeviceNotFound, "It is gone"), (-9985, AudioError, "Another program uses it")],
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
    """Run a program in a process of its own; all that it writes is returned."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )


HEAR_AND_FAIL = """
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
pieces = iter(microphone)
next(pieces)
list(zip(range(3), pieces)), microphone.stop(), list(pieces)
if os.fork() == 0:
    for pieces in (iter(Microphone()), pieces):
        try:
            print(next(pieces, None), flush=True)
        except Exception as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""

FORK_WHILE_LISTENING = """
import os, warnings
from slng_sync.microphone.microphone import Microphone
warnings.simplefilter("ignore")  # of forking with threads
pieces = iter(Microphone())
next(pieces)
if os.fork() == 0:
    try:
        list(pieces)
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""

END_WHILE_LISTENING = """
from slng_sync.microphone.microphone import Microphone
pieces = iter(Microphone())
next(pieces)
"""


class TestProcesses:
    @pytest.mark.parametrize("configuration", ["ours", "the system's"])
    def test_the_sound_libraries_write_nothing(self, virtual: VirtualMicrophone, configuration: str) -> None:
        ours = {} if configuration == "ours" else {"ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf"}
        lines = run(HEAR_AND_FAIL, **ours).stdout.splitlines()
        assert len(lines) == 2
        assert lines[1] == "DeviceNotFound"

    def test_a_forked_process_is_told_at_once(self, virtual: VirtualMicrophone) -> None:
        lines = run(FORK).stdout.splitlines()
        assert len(lines) == 2
        assert "was forked from one that had used a microphone" in lines[0]
        assert "spawn" in lines[0]

    def test_a_forked_process_does_not_hear_its_parents_microphone(self, virtual: VirtualMicrophone) -> None:
        assert "opened before a fork" in run(FORK_WHILE_LISTENING).stdout

    def test_a_program_may_end_while_it_listens(self, virtual: VirtualMicrophone) -> None:
        ended = run(END_WHILE_LISTENING)
        assert (ended.returncode, ended.stdout) == (0, "")
