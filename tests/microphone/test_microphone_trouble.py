"""What a session hears of a microphone in trouble: real captures from a virtual one."""

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


class Listener:
    """Hears a microphone as a session does, and does things to it on the way."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.items = microphone.hear()
        self.begun = time.monotonic()
        self.frames = 0
        self.heard = bytearray()
        self.events: List[Event] = []

    def hear(self, seconds: float) -> None:
        """Hear so much audio."""
        until = self.frames + seconds * 16000
        while self.frames < until:
            self.take(next(self.items))

    def until(self, kind: type) -> Any:
        """Hear until there is an event of that kind."""
        for item in self.items:
            self.take(item)
            if isinstance(item, kind):
                return item
        raise AssertionError(f"There was no {kind.__name__}.")

    def take(self, item: Union[bytes, Event]) -> None:
        if isinstance(item, Event):
            self.events.append(item)
        else:
            self.heard += item
            self.frames += len(item) // 2

    def stop(self) -> None:
        self.microphone.stop()
        for item in self.items:
            self.take(item)
        self.microphone.join(5)

    @property
    def accounted(self) -> float:
        """Seconds that were heard, or told to be lost, less those that went by."""
        lost = sum(each.seconds for each in self.events if isinstance(each, AudioLost))
        lost += sum(each.lost for each in self.events if isinstance(each, MicrophoneRestored))
        return self.frames / 16000 + lost - (time.monotonic() - self.begun)


class TestLostAndRestored:
    def test_unplugged_and_plugged_in_only_the_time_between_is_missing(
        self, virtual: VirtualMicrophone, capfd: pytest.CaptureFixture[str]
    ) -> None:
        listener = Listener(Microphone())
        listener.hear(1.0)
        virtual.unplug()
        lost = listener.until(MicrophoneLost)
        assert "'default' went away" in lost.reason
        threading.Timer(0.5, virtual.plug).start()
        restored = listener.until(MicrophoneRestored)
        listener.hear(1.0)
        listener.stop()
        assert listener.events == [lost, restored]
        assert restored.device == "default"
        assert 0.5 <= restored.lost <= restored.outage + 0.2
        assert listener.accounted == pytest.approx(0, abs=0.4)
        assert capfd.readouterr() == ("", "")

    def test_it_goes_on_until_patience_has_an_end(self, virtual: VirtualMicrophone) -> None:
        listener = Listener(Microphone(patience=1.5))
        listener.hear(0.2)
        virtual.unplug()
        with pytest.raises(DeviceLost, match=r"not come back for [23] s\. .*Connect it again"):
            listener.until(MicrophoneRestored)
        assert [type(each) for each in listener.events] == [MicrophoneLost]

    def test_without_patience_it_is_an_error_at_once(self, virtual: VirtualMicrophone) -> None:
        listener = Listener(Microphone(patience=0))
        listener.hear(0.2)
        virtual.unplug()
        with pytest.raises(DeviceLost, match="went away"):
            listener.until(MicrophoneLost)

    def test_one_that_was_never_there_is_an_error_at_once(self, virtual: VirtualMicrophone) -> None:
        virtual.unplug()
        with pytest.raises(AudioError, match="cannot be opened"):
            next(Microphone().hear())

    def test_what_is_stopped_while_it_is_away_ends_at_once(self, virtual: VirtualMicrophone) -> None:
        listener = Listener(Microphone())
        listener.hear(0.2)
        virtual.unplug()
        listener.until(MicrophoneLost)
        listener.stop()
        assert "slng-microphone" not in [each.name for each in threading.enumerate()]

    def test_a_sound_server_that_was_frozen_gives_what_it_has_kept(self, virtual: VirtualMicrophone) -> None:
        listener = Listener(Microphone())
        virtual.play_pcm(NOISE)
        listener.hear(1.5)
        virtual.freeze()
        assert "nothing for 1 s" in listener.until(MicrophoneLost).reason
        virtual.thaw()
        restored = listener.until(MicrophoneRestored)
        listener.hear(4.0)
        listener.stop()
        assert restored.lost == 0
        assert not [each for each in listener.events if isinstance(each, AudioLost)]
        assert listener.accounted == pytest.approx(0, abs=0.4)

    def test_what_a_stalled_device_did_not_hear_is_found_by_the_clock(
        self, virtual: VirtualMicrophone
    ) -> None:
        listener = Listener(Microphone())
        virtual.play_pcm(NOISE)
        listener.hear(2.5)
        virtual.suspend()
        listener.until(MicrophoneLost)
        virtual.resume()
        restored = listener.until(MicrophoneRestored)
        lost = listener.until(AudioLost)
        listener.stop()
        assert lost.reason == "the microphone gave nothing for a time"
        assert lost.seconds == pytest.approx(restored.outage, abs=0.4)
        assert listener.accounted == pytest.approx(0, abs=0.4)

    def test_a_device_that_is_dead_for_long_is_opened_anew(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(device_thread, "DEAD_SECONDS", 1.2)
        listener = Listener(Microphone())
        listener.hear(0.5)
        virtual.suspend()
        listener.until(MicrophoneLost)
        threading.Timer(1.5, virtual.resume).start()
        restored = listener.until(MicrophoneRestored)
        listener.stop()
        assert restored.lost == pytest.approx(restored.outage, abs=0.4)
        assert listener.accounted == pytest.approx(0, abs=0.4)

    def test_where_the_default_device_changes_the_new_one_is_heard(self, virtual: VirtualMicrophone) -> None:
        """PulseAudio, and PipeWire in its place, lead whoever hears the default device to the new one."""
        listener = Listener(Microphone())
        listener.hear(0.5)
        virtual.plug_another("headset")
        virtual.play_pcm(NOISE[:32000], device="headset").wait()
        listener.hear(1.0)
        listener.stop()
        assert NOISE[:32000] in bytes(listener.heard)

    def test_a_program_that_was_too_busy_is_told_what_it_has_missed(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PulseAudio keeps two minutes; a device that keeps none is one whose audio nobody took in time."""
        monkeypatch.setattr(device_thread, "LossClock", Gap)
        listener = Listener(Microphone())
        lost = listener.until(AudioLost)
        listener.stop()
        assert lost == AudioLost(0.25, "the computer was too busy to take it from the microphone")


class Gap(device_thread.LossClock):
    """A clock that goes wrong by a quarter of a second, once."""

    def hear(self, heard: float, now: float) -> float:
        lost, self.hear = 0.25, super().hear  # type: ignore[method-assign]
        return lost


class TestSilence:
    def test_a_muted_microphone_is_told_once_with_the_cure(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        listener = Listener(Microphone())
        assert listener.until(MicrophoneSilent) == MicrophoneSilent(3.0, silence_hint())
        listener.hear(0.5)
        listener.stop()
        assert len(listener.events) == 1


class TestFindWorking:
    def test_the_first_that_gives_sound(self, virtual: VirtualMicrophone) -> None:
        virtual.play_pcm(NOISE)
        found = Microphone.find_working()
        assert (found.device, next(iter(found))[:0]) == (0, b"")

    def test_none_and_what_is_wrong_with_each(self, virtual: VirtualMicrophone) -> None:
        virtual.mute()
        with pytest.raises(DeviceNotFound, match=r"No microphone works: 0: 'default' \(ALSA\) gives nothing"):
            Microphone.find_working(seconds=0.2)
        virtual.unplug()
        with pytest.raises(DeviceNotFound, match=r"'default' \(ALSA\) cannot be opened"):
            Microphone.find_working(seconds=0.2)

    def test_there_is_none_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module.portaudio, "devices", list)
        with pytest.raises(DeviceNotFound, match="There is no microphone"):
            Microphone.find_working()


class TestOneChannel:
    @pytest.mark.parametrize(("channel", "tone"), [(0, 440), (1, 1000)])
    def test_the_chosen_one_is_heard(self, channel: int, tone: int) -> None:
        time_axis = numpy.arange(2 * 48000) / 48000
        tones = [numpy.sin(2 * numpy.pi * hertz * time_axis) * 16000 for hertz in (440, 1000)]
        with VirtualMicrophone(48000, 2) as virtual:
            listener = Listener(Microphone(channel=channel))
            listener.hear(0.1)
            virtual.play_pcm(numpy.stack(tones, axis=1).astype("<i2").tobytes()).wait()
            listener.stop()
        samples = numpy.frombuffer(bytes(listener.heard), "<i2")
        begin = numpy.flatnonzero(abs(samples) > 100)[0] + 1000
        spectrum = abs(numpy.fft.rfft(samples[begin : begin + 16000])) / 8000
        assert spectrum.argmax() == tone
        assert spectrum.max() == pytest.approx(16000, rel=0.01)
        assert spectrum[1440 - tone] < 10

    def test_one_that_the_device_does_not_have(
        self, virtual: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = Device(0, "default", 44100, 2, "ALSA", is_default=True)
        monkeypatch.setattr(module.portaudio, "_inputs", lambda audio: [device])
        with pytest.raises(AudioError, match=r"'default' has no channel 2\. It has 2, and they are counted"):
            next(iter(Microphone(channel=2)))

    @pytest.mark.parametrize("options", [{"channel": -1}, {"channel": True}, {"channel": 0, "channels": 2}])
    def test_what_is_no_channel(self, options: Dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="channel"):
            Microphone(**options)

    @pytest.mark.parametrize("patience", [-1, "long", True, float("nan")])
    def test_what_is_no_patience(self, patience: Any) -> None:
        with pytest.raises(ConfigurationError, match="patience must be a number of seconds"):
            Microphone(patience=patience)


class TestFindAgain:
    def test_a_device_is_known_by_its_name_wherever_it_is_now(self) -> None:
        usb = Device(3, "USB Headset", 48000, 1, "ALSA")
        others = [Device(0, "Built-in", 44100, 2, "ALSA"), Device(1, "USB Headset", 48000, 1, "ALSA")]
        assert find_again(others, usb).index == 1
        assert find_again([*others, usb], usb) is usb
        with pytest.raises(DeviceNotFound, match="'USB Headset' is not back"):
            find_again(others[:1], usb)


SUSPENDED = """
import time
from slng_sync.microphone.microphone import Microphone
from slng_sync.events import AudioLost
microphone = Microphone(sample_rate=48000, channels=8)
begun, heard, lost = time.monotonic(), 0, 0.0
for item in microphone.hear():
    if isinstance(item, bytes):
        heard += len(item) // 16
        if heard == 960:
            print("listening", flush=True)
    elif isinstance(item, AudioLost):
        lost += item.seconds
    if lost or time.monotonic() > begun + 20:
        microphone.stop()
print(lost, heard / 48000 + lost - (time.monotonic() - begun))
"""


@pytest.mark.slow
def test_what_a_suspended_program_has_missed_is_found(virtual: VirtualMicrophone) -> None:
    """Of so many channels PulseAudio keeps five and a half seconds; nobody is told that the rest is gone."""
    program = [sys.executable, "-c", SUSPENDED]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        # Some seconds, in which it is seen how late the audio is as a rule.
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
aside = c_stderr()
with aside:
    libc.perror(b"Expression 'x' failed")
    libc.perror(b"of another library")
    os.write(2, b"of Python\\n")
print(len(aside.lines()), len(aside.lines()))
libc.perror(b"after")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where PortAudio writes in the middle of a stream")
def test_only_what_the_sound_library_writes_is_kept_from_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", STDERR_OF_OTHERS], capture_output=True, text=True)
    assert done.stdout == "1 0\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "of Python",
        "of another library",
        "after",
    ]
