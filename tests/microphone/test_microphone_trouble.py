"""Events and errors of a microphone with problems, with real recordings from a virtual microphone."""

import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Union

import numpy
import pytest
from virtual_microphone import VirtualMicrophone

from slng_sync.errors import AudioError, ConfigurationError, DeviceLost, DeviceNotFound
from slng_sync.events import AudioLost, Event, MicrophoneLost, MicrophoneRestored, MicrophoneSilent
from slng_sync.microphone import device_thread
from slng_sync.microphone import microphone as module
from slng_sync.microphone.device import Device, find_again
from slng_sync.microphone.microphone import Microphone
from slng_sync.microphone.silence import silence_hint

NOISE = numpy.random.default_rng(7).integers(-9000, 9000, 160000).astype("<i2").tobytes()


@pytest.fixture
def virtual() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone() as device:
        yield device


class Reader:
    """Reads the audio and events of a microphone, as a session does."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.items = microphone.with_events()
        self.begun = time.monotonic()
        self.frames = 0
        self.captured = bytearray()
        self.events: List[Event] = []

    def read(self, seconds: float) -> None:
        """Read this much audio."""
        until = self.frames + seconds * 16000
        while self.frames < until:
            self.take(next(self.items))

    def until(self, kind: type) -> Any:
        """Read until there is an event of that type."""
        for item in self.items:
            self.take(item)
            if isinstance(item, kind):
                return item
        raise AssertionError(f"There was no {kind.__name__}.")

    def take(self, item: Union[bytes, Event]) -> None:
        if isinstance(item, Event):
            self.events.append(item)
        else:
            self.captured += item
            self.frames += len(item) // 2

    def stop(self) -> None:
        self.microphone.stop()
        for item in self.items:
            self.take(item)
        self.microphone.join(5)

    @property
    def accounted(self) -> float:
        """Return the captured plus the lost seconds, minus the elapsed seconds."""
        lost = sum(each.seconds for each in self.events if isinstance(each, AudioLost))
        lost += sum(each.lost for each in self.events if isinstance(each, MicrophoneRestored))
        return self.frames / 16000 + lost - (time.monotonic() - self.begun)


class TestLostAndRestored:
    def test_after_unplugging_and_replugging_only_the_time_between_is_lost(
        self, virtual: VirtualMicrophone, capfd: pytest.CaptureFixture[str]
    ) -> None:
        reader = Reader(Microphone())
        reader.read(1.0)
        virtual.unplug()
        lost = reader.until(MicrophoneLost)
        assert "'default' was disconnected" in lost.reason
        threading.Timer(0.5, virtual.plug).start()
        restored = reader.until(MicrophoneRestored)
        reader.read(1.0)
        reader.stop()
        assert reader.events == [lost, restored]
        assert restored.device == "default"
        assert 0.5 <= restored.lost <= restored.outage + 0.2
        assert reader.accounted == pytest.approx(0, abs=0.4)
        assert capfd.readouterr() == ("", "")

    def test_after_patience_seconds_it_is_an_error(self, virtual: VirtualMicrophone) -> None:
        reader = Reader(Microphone(patience=1.5))
        reader.read(0.2)
        virtual.unplug()
        with pytest.raises(DeviceLost, match=r"has not come back after [23] s\. .*Connect it again"):
            reader.until(MicrophoneRestored)
        assert [type(each) for each in reader.events] == [MicrophoneLost]

    def test_without_patience_it_is_an_error_at_once(self, virtual: VirtualMicrophone) -> None:
        reader = Reader(Microphone(patience=0))
        reader.read(0.2)
        virtual.unplug()
        with pytest.raises(DeviceLost, match="was disconnected"):
            reader.until(MicrophoneLost)

    def test_a_device_that_was_never_open_is_an_error_at_once(self, virtual: VirtualMicrophone) -> None:
        virtual.unplug()
        with pytest.raises(AudioError, match="cannot be opened"):
            next(Microphone().with_events())

    def test_stop_while_the_device_is_disconnected_ends_at_once(self, virtual: VirtualMicrophone) -> None:
        reader = Reader(Microphone())
        reader.read(0.2)
        virtual.unplug()
        reader.until(MicrophoneLost)
        reader.stop()
        assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_a_frozen_sound_server_delivers_its_buffer_afterwards(self, virtual: VirtualMicrophone) -> None:
        reader = Reader(Microphone())
        virtual.play_pcm(NOISE)
        reader.read(1.5)
        virtual.freeze()
        assert "no audio for 1 s" in reader.until(MicrophoneLost).reason
        virtual.thaw()
        restored = reader.until(MicrophoneRestored)
        reader.read(4.0)
        reader.stop()
        assert restored.lost == 0
        assert not [each for each in reader.events if isinstance(each, AudioLost)]
        assert reader.accounted == pytest.approx(0, abs=0.4)

    def test_audio_lost_by_a_stalled_device_is_detected_by_the_clock(
        self, virtual: VirtualMicrophone
    ) -> None:
        reader = Reader(Microphone())
        virtual.play_pcm(NOISE)
        reader.read(2.5)
        virtual.suspend()
        reader.until(MicrophoneLost)
        virtual.resume()
        restored = reader.until(MicrophoneRestored)
        lost = reader.until(AudioLost)
        reader.stop()
        assert lost.reason == "the microphone stalled and delivered no audio for a time"
        assert lost.seconds == pytest.approx(restored.outage, abs=0.4)
        assert reader.accounted == pytest.approx(0, abs=0.4)

    def test_a_device_that_stalls_for_long_is_reopened(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(device_thread, "REOPEN_SECONDS", 1.2)
        reader = Reader(Microphone())
        reader.read(0.5)
        virtual.suspend()
        reader.until(MicrophoneLost)
        threading.Timer(1.5, virtual.resume).start()
        restored = reader.until(MicrophoneRestored)
        reader.stop()
        assert restored.lost == pytest.approx(restored.outage, abs=0.4)
        assert reader.accounted == pytest.approx(0, abs=0.4)

    def test_when_the_default_device_changes_the_new_one_is_read(self, virtual: VirtualMicrophone) -> None:
        """PulseAudio, or PipeWire in its place, moves streams of the default device to the new one."""
        reader = Reader(Microphone())
        reader.read(0.5)
        virtual.plug_another("headset")
        virtual.play_pcm(NOISE[:32000], device="headset").wait()
        reader.read(1.0)
        reader.stop()
        assert NOISE[:32000] in bytes(reader.captured)

    def test_a_program_that_was_too_busy_gets_audio_lost(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PulseAudio buffers two minutes, so a fake clock simulates a device without such a buffer."""
        monkeypatch.setattr(device_thread, "LossClock", Gap)
        reader = Reader(Microphone())
        lost = reader.until(AudioLost)
        reader.stop()
        assert lost == AudioLost(
            0.25, "input overrun: the computer was too busy to read the microphone in time"
        )


class Gap(device_thread.LossClock):
    """A clock that reports a loss of a quarter of a second, once."""

    def update(self, captured: float, now: float) -> float:
        lost, self.update = 0.25, super().update  # type: ignore[method-assign]
        return lost


class TestSilence:
    def test_a_muted_microphone_is_reported_once_with_a_hint(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        reader = Reader(Microphone())
        assert reader.until(MicrophoneSilent) == MicrophoneSilent(3.0, silence_hint())
        reader.read(0.5)
        reader.stop()
        assert len(reader.events) == 1


class TestFindWorking:
    def test_the_first_device_with_sound_is_returned(self, virtual: VirtualMicrophone) -> None:
        virtual.play_pcm(NOISE)
        found = Microphone.find_working()
        assert (found.device, next(iter(found))[:0]) == (0, b"")

    def test_without_one_the_error_lists_the_problem_of_each(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        with pytest.raises(
            DeviceNotFound, match=r"No working microphone found: 0: 'default' \(ALSA\) delivers only"
        ):
            Microphone.find_working(seconds=0.2)
        virtual.unplug()
        with pytest.raises(DeviceNotFound, match=r"'default' \(ALSA\) cannot be opened"):
            Microphone.find_working(seconds=0.2)

    def test_without_any_device_it_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module.portaudio, "devices", list)
        with pytest.raises(DeviceNotFound, match="No microphone found"):
            Microphone.find_working()


class TestOneChannel:
    @pytest.mark.parametrize(("channel", "tone"), [(0, 440), (1, 1000)])
    def test_the_chosen_channel_is_read(self, channel: int, tone: int) -> None:
        time_axis = numpy.arange(2 * 48000) / 48000
        tones = [numpy.sin(2 * numpy.pi * hertz * time_axis) * 16000 for hertz in (440, 1000)]
        with VirtualMicrophone(48000, 2) as virtual:
            reader = Reader(Microphone(channel=channel))
            reader.read(0.1)
            virtual.play_pcm(numpy.stack(tones, axis=1).astype("<i2").tobytes()).wait()
            reader.stop()
        samples = numpy.frombuffer(bytes(reader.captured), "<i2")
        begin = numpy.flatnonzero(abs(samples) > 100)[0] + 1000
        spectrum = abs(numpy.fft.rfft(samples[begin : begin + 16000])) / 8000
        assert spectrum.argmax() == tone
        assert spectrum.max() == pytest.approx(16000, rel=0.01)
        assert spectrum[1440 - tone] < 10

    def test_a_channel_that_the_device_does_not_have(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = Device(0, "default", 44100, 2, "ALSA", is_default=True)
        monkeypatch.setattr(module.portaudio, "_input_devices", lambda audio: [device])
        with pytest.raises(
            AudioError, match=r"'default' has no channel 2\. It has 2 channels, numbered from 0"
        ):
            next(iter(Microphone(channel=2)))

    @pytest.mark.parametrize("options", [{"channel": -1}, {"channel": True}, {"channel": 0, "channels": 2}])
    def test_an_invalid_channel(self, options: Dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="channel"):
            Microphone(**options)

    @pytest.mark.parametrize("patience", [-1, "long", True, float("nan")])
    def test_an_invalid_patience(self, patience: Any) -> None:
        with pytest.raises(ConfigurationError, match="patience must be a number of seconds"):
            Microphone(patience=patience)


class TestFindAgain:
    def test_a_device_is_found_by_its_name_at_another_index(self) -> None:
        usb = Device(3, "USB Headset", 48000, 1, "ALSA")
        others = [Device(0, "Built-in", 44100, 2, "ALSA"), Device(1, "USB Headset", 48000, 1, "ALSA")]
        assert find_again(others, usb).index == 1
        assert find_again([*others, usb], usb) is usb
        with pytest.raises(DeviceNotFound, match="'USB Headset' is still disconnected"):
            find_again(others[:1], usb)


SUSPENDED = """
import time
from slng_sync.microphone.microphone import Microphone
from slng_sync.events import AudioLost
microphone = Microphone(sample_rate=48000, channels=8)
begun, captured, lost = time.monotonic(), 0, 0.0
for item in microphone.with_events():
    if isinstance(item, bytes):
        captured += len(item) // 16
        if captured == 960:
            print("reading", flush=True)
    elif isinstance(item, AudioLost):
        lost += item.seconds
    if lost or time.monotonic() > begun + 20:
        microphone.stop()
print(lost, captured / 48000 + lost - (time.monotonic() - begun))
"""


@pytest.mark.slow
def test_audio_lost_by_a_suspended_program_is_detected(virtual: VirtualMicrophone) -> None:
    """With eight channels PulseAudio buffers 5.5 seconds. It does not report that it dropped the rest."""
    program = [sys.executable, "-c", SUSPENDED]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        # A few seconds in which the clock measures the usual delay.
        time.sleep(2.5)
        process.send_signal(signal.SIGSTOP)
        time.sleep(8)
        process.send_signal(signal.SIGCONT)
        lost, unaccounted = map(float, process.stdout.read().split())
    assert 1 < lost < 4
    assert abs(unaccounted) < 0.5


STDERR_OF_OTHERS = """
import ctypes, os
from slng_sync.microphone.c_stderr import c_stderr
libc = ctypes.CDLL(None)
redirected = c_stderr()
with redirected:
    libc.perror(b"Expression 'x' failed")
    libc.perror(b"of another library")
    os.write(2, b"of Python\\n")
print(len(redirected.lines()), len(redirected.lines()))
libc.perror(b"after")
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="PortAudio writes to stderr during a stream only on Linux"
)
def test_only_lines_of_sound_libraries_are_kept_from_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", STDERR_OF_OTHERS], capture_output=True, text=True)
    assert done.stdout == "1 0\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "of Python",
        "of another library",
        "after",
    ]
