"""A microphone in a session, with real speech: unplugged in mid-sentence, with another format, stopped."""

import threading
import time
import wave
from pathlib import Path

import numpy
import pytest
from heard import PATIENCE, Heard
from virtual_microphone import VirtualMicrophone

from slng_sync import (
    AudioLost,
    Client,
    DeviceLost,
    Dialect,
    Flushed,
    Microphone,
    MicrophoneLost,
    MicrophoneRestored,
    MicrophoneSilent,
    Reson8,
    Session,
    Soniox,
    State,
    Transcript,
)
from slng_sync.audio.convert import Converter
from slng_sync.audio.format import AudioFormat
from slng_sync.gateway import LocalGateway

SPEECH = Path("/usr/share/pocketsphinx/test/data")
GO_FORWARD = (SPEECH / "goforward.raw").read_bytes()
BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])

pytestmark = pytest.mark.slow


def client_for(url: str, dialect: Dialect, notes: Heard) -> Client:
    return Client(dialect, api_key="any", base_url=url, on_final=notes, on_error=notes, on_event=notes)


def wait_until_captured(session: Session, seconds: float = 0.01) -> None:
    until = time.monotonic() + PATIENCE
    while session.stats.captured < seconds and time.monotonic() < until:
        time.sleep(0.005)


@BOTH
def test_unplugged_in_mid_sentence_only_the_gap_is_lost(
    dialect: Dialect, capfd: pytest.CaptureFixture[str]
) -> None:
    notes = Heard()
    with VirtualMicrophone() as microphone, LocalGateway() as gateway:
        with client_for(gateway.url, dialect, notes).listen(Microphone()) as session:
            begun = time.monotonic()
            wait_until_captured(session)
            microphone.play_pcm(GO_FORWARD + bytes(32000)).wait()
            notes.wait_for_one(Transcript)
            capfd.readouterr()
            microphone.unplug()
            lost = notes.wait_for_one(MicrophoneLost)
            assert session.state is State.STREAMING
            threading.Timer(1.0, microphone.plug).start()
            restored = notes.wait_for_one(MicrophoneRestored)
            position = time.monotonic() - begun
            assert capfd.readouterr() == ("", "")
            microphone.play_pcm(GO_FORWARD + bytes(32000)).wait()
            session.finalize()
            captured, went_by = session.stats.captured, time.monotonic() - begun
        assert gateway.breaches == []
    finals = notes.of(Transcript)
    assert [final.text for final in finals] == ["go forward ten meters"] * 2
    assert "was disconnected" in lost.reason
    assert 0.9 < restored.lost < restored.outage + 0.2
    assert session.stats.lost == pytest.approx(restored.lost, abs=0.01)
    assert notes.of(AudioLost) == []
    # The session's clock went on, so the second sentence has the time at which it was spoken.
    assert captured == pytest.approx(went_by, abs=0.7)
    assert position - 0.7 < finals[1].start < position + 2.5


def test_speech_before_the_loss_becomes_final_without_the_device() -> None:
    notes = Heard()
    with VirtualMicrophone() as microphone, LocalGateway(engine="script") as gateway:
        client = client_for(gateway.url, Soniox(), notes)
        with client.listen(Microphone()) as session:
            wait_until_captured(session, 1.0)
            microphone.unplug()
            notes.wait_for_one(MicrophoneLost)
            notes.wait_for_one(Flushed)
        assert gateway.breaches == []


def test_a_device_that_does_not_come_back_ends_the_session() -> None:
    notes = Heard()
    with VirtualMicrophone() as microphone, LocalGateway(engine="script") as gateway:
        session = client_for(gateway.url, Soniox(), notes).listen(Microphone(patience=1.0))
        wait_until_captured(session)
        microphone.unplug()
        error = notes.wait_for_one(DeviceLost)
        session.wait(10)
    assert "has not come back" in str(error)
    assert "Microphone.devices()" in error.hint
    assert len(notes.of(DeviceLost)) == 1


def test_silence_is_reported_once_and_the_session_goes_on() -> None:
    notes = Heard()
    with VirtualMicrophone() as microphone, LocalGateway() as gateway:
        microphone.mute()
        with client_for(gateway.url, Soniox(), notes).listen(Microphone()) as session:
            silent = notes.wait_for_one(MicrophoneSilent)
            assert silent.seconds == 3.0
            assert "pactl set-source-mute" in silent.hint
            microphone.mute(False)
            microphone.play_pcm(GO_FORWARD + bytes(32000)).wait()
            session.finalize()
    assert [final.text for final in notes.of(Transcript)] == ["go forward ten meters"]
    assert len(notes.of(MicrophoneSilent)) == 1


@BOTH
def test_a_48_khz_stereo_microphone_gives_the_same_words_as_the_file(dialect: Dialect) -> None:
    (path,) = (SPEECH / "librivox").glob("*-0870.wav")
    with wave.open(str(path)) as file:
        speech = file.readframes(file.getnframes())
    to_stereo = Converter(AudioFormat(16000, 1), AudioFormat(48000, 2))
    stereo = to_stereo.convert(speech + bytes(32000)) + to_stereo.flush()
    notes = Heard()
    with VirtualMicrophone(48000, 2) as microphone, LocalGateway() as gateway:
        client = client_for(gateway.url, dialect, notes)
        from_file = client.transcribe(path, speed=4).text
        notes.items.clear()
        with client.listen(Microphone()) as session:
            wait_until_captured(session)
            microphone.play_pcm(stereo).wait()
            session.finalize()
        assert gateway.breaches == []
    assert len(from_file.split()) > 10
    assert session.transcript.text == from_file


@pytest.mark.parametrize("trouble", ["none", "unplugged", "frozen"])
def test_stop_does_not_wait_for_the_device(trouble: str) -> None:
    """Close sends the captured audio before it makes calls into the device, which may hang."""
    with VirtualMicrophone() as microphone, LocalGateway(engine="script") as gateway:
        source = Microphone()
        session = Client(Soniox(), api_key="any", base_url=gateway.url).listen(source)
        wait_until_captured(session, 0.2)
        if trouble == "unplugged":
            microphone.unplug()
        if trouble == "frozen":
            microphone.freeze()
        assert session.close(timeout=5)
        assert session.state is State.CLOSED
        microphone.thaw()
        assert gateway.breaches == []


def test_two_microphones_at_once_capture_the_same() -> None:
    with VirtualMicrophone() as microphone, LocalGateway(engine="script") as gateway:
        client = Client(Soniox(), api_key="any", base_url=gateway.url)
        noise = numpy.random.default_rng(5).integers(-9000, 9000, 16000).astype("<i2").tobytes()
        with client.listen(Microphone()) as one, client.listen(Microphone(0)) as other:
            wait_until_captured(one)
            wait_until_captured(other)
            microphone.play_pcm(noise).wait()
            wait_until_captured(one, one.stats.captured + 0.5)
            wait_until_captured(other, other.stats.captured + 0.5)
        assert all(noise in bytes(connection.audio) for connection in gateway.connections)
