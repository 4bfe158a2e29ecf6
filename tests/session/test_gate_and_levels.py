"""Audio processing before sending: gate, finalize_after, levels, pause."""

import re
import threading
import time
import wave
from pathlib import Path
from typing import Any, Dict, List

import numpy
import pytest

from slng_sync import (
    AudioFormat,
    Client,
    ConfigurationError,
    Dialect,
    Level,
    Reson8,
    Soniox,
    Transcript,
)
from slng_sync.audio.source import as_source
from slng_sync.gateway import LocalGateway, Script

READINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
GAP = numpy.zeros(4 * 16000, "<i2")


def reading(number: int) -> "numpy.ndarray[Any, Any]":
    (path,) = READINGS.glob(f"*-{number:04}.wav")
    with wave.open(str(path)) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2")


def with_noise(speech: "numpy.ndarray[Any, Any]", decibels: float) -> "numpy.ndarray[Any, Any]":
    """Return pink noise at this level below the speech."""
    spectrum = numpy.fft.rfft(numpy.random.default_rng(3).standard_normal(len(speech)))
    spectrum[1:] /= numpy.sqrt(numpy.arange(1, len(spectrum)))
    noise = numpy.fft.irfft(spectrum, len(speech))
    noise *= speech[speech != 0].std() / noise.std() / 10 ** (decibels / 20)
    return (speech + noise).clip(-32768, 32767).astype("<i2")


def words(text: str) -> List[str]:
    return re.findall(r"[a-z']+", text.lower())


class Live:
    """A source that cannot wait, with an event for the end of its audio."""

    live = True
    audio_format = AudioFormat()

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.may_end = threading.Event()

    def __iter__(self) -> Any:
        for piece in self.pieces:
            if callable(piece):
                piece()
            else:
                yield piece
        self.may_end.wait(20)

    def stop(self) -> None:
        self.may_end.set()


class TestGate:
    @BOTH
    def test_no_word_of_real_speech_is_lost_and_the_silence_stays_here(self, dialect: Dialect) -> None:
        """Less than two thirds of the audio give the same words at the same times."""
        pcm = numpy.concatenate([GAP, reading(870), GAP, reading(880), GAP])
        heard: Dict[bool, List[Transcript]] = {False: [], True: []}
        with LocalGateway() as gateway:
            client = Client(dialect, api_key="any", base_url=gateway.url)
            for gate in heard:
                with client.listen(as_source(pcm, sample_rate=16000, speed=4), gate=gate) as session:
                    session.wait()
                heard[gate] = list(session.transcript)
                assert session.stats.captured == pytest.approx(len(pcm) / 16000)
            assert gateway.breaches == []
            ungated, gated = [each.audio_seconds for each in gateway.connections]
        assert gated < 0.66 * ungated
        said, again = (words(" ".join(each.text for each in finals)) for finals in heard.values())
        assert len(said) > 20
        assert again == said
        times = [[final.start for final in finals] for finals in heard.values()]
        assert times[1] == pytest.approx(times[0], abs=0.3)

    def test_with_noise_it_opens_for_every_word(self) -> None:
        pcm = with_noise(numpy.concatenate([GAP, reading(870), GAP, reading(880)]), 15)
        counts = []
        with LocalGateway() as gateway:
            client = Client(Soniox(), api_key="any", base_url=gateway.url)
            for gate in (False, True):
                with client.listen(as_source(pcm, sample_rate=16000, speed=4), gate=gate) as session:
                    session.wait()
                counts.append(len(words(session.transcript.text)))
        assert counts[1] >= counts[0] - 2

    @BOTH
    def test_the_connection_is_kept_alive_through_silence(self, dialect: Dialect) -> None:
        """The source is silent for longer than the server's timeout."""
        finals: List[str] = []
        with LocalGateway(engine="script", script=Script.from_text("hello")) as gateway:
            client = Client(
                dialect,
                api_key="any",
                base_url=gateway.url,
                keepalive_interval=0.5,
                on_final=lambda final: finals.append(final.text),
            )
            with client.listen(gate=True) as session:
                session.send(reading(870)[:32000])
                (connection,) = gateway.connections
                while not any("keepalive" in str(message) for _, message in connection.frames):
                    session.send(bytes(3200))
                    time.sleep(0.02)
            assert gateway.breaches == []
            assert connection.audio_seconds < 3.5 < session.stats.captured
        assert finals == ["hello"]

    def test_what_is_recorded_is_what_was_sent(self, tmp_path: Path) -> None:
        with LocalGateway(engine="script") as gateway:
            client = Client(Soniox(), api_key="any", base_url=gateway.url)
            with client.listen(gate=True, record=tmp_path / "talk.wav") as session:
                session.send(numpy.concatenate([GAP, reading(870), GAP]), timeout=10)
            sent = bytes(gateway.connections[0].audio)
        with wave.open(str(tmp_path / "talk.wav")) as file:
            assert file.readframes(file.getnframes()) == sent


class TestFastFinals:
    def test_finals_come_after_a_short_silence_where_the_server_would_wait_for_the_end(self) -> None:
        """Without endpoint detection the server finalizes only on request."""
        finals: List[str] = []
        first = threading.Event()

        def on_final(final: Transcript) -> None:
            finals.append(final.text)
            first.set()

        source = Live(reading(870).tobytes(), bytes(32000))
        with LocalGateway() as gateway:
            model = Soniox(enable_endpoint_detection=False)
            client = Client(model, api_key="any", base_url=gateway.url, on_final=on_final)
            with client.listen(source, finalize_after=0.6) as session:
                assert first.wait(20)
                assert session.stats.captured < len(reading(870)) / 16000 + 1.1
            assert gateway.breaches == []
        assert len(words(finals[0])) > 8

    @pytest.mark.parametrize("value", [0.1, 11, "soon", True])
    def test_what_is_no_time(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="finalize_after must be a number of seconds from"):
            Client(Soniox(), api_key="any").listen(finalize_after=value)


class TestLevels:
    def test_they_are_events_for_who_asks(self) -> None:
        events: List[Any] = []
        with LocalGateway(engine="script") as gateway:
            client = Client(Soniox(), api_key="any", base_url=gateway.url, on_event=events.append)
            with client.listen(levels=True) as session:
                for _ in range(10):
                    session.send(reading(870)[16000:16640])
            with client.listen() as session:
                session.send(reading(870)[16000:32000])
        levels = [each for each in events if isinstance(each, Level)]
        assert 1 <= len(levels) <= 10
        assert all(-60 < each.rms_dbfs < each.peak_dbfs <= 0 for each in levels)

    def test_only_the_newest_waits_for_a_callback_that_takes_its_time(self) -> None:
        levels: List[Level] = []
        go_on = threading.Event()

        def on_event(event: Any) -> None:
            if isinstance(event, Level):
                levels.append(event)
                go_on.wait(20)

        with LocalGateway(engine="script") as gateway:
            client = Client(Soniox(), api_key="any", base_url=gateway.url, on_event=on_event)
            with client.listen(levels=True) as session:
                for loudness in range(100):
                    session.send(numpy.full(640, loudness * 300, "<i2"))
                go_on.set()
        assert len(levels) <= 3
        assert levels[-1].peak_dbfs == pytest.approx(-0.9, abs=0.1)


class TestMute:
    @BOTH
    def test_silence_goes_out_and_the_clock_goes_on(self, dialect: Dialect) -> None:
        with LocalGateway(engine="script") as gateway:
            client = Client(dialect, api_key="any", base_url=gateway.url)
            with client.listen() as session:
                session.send(b"\x01\x10" * 1600)
                session.mute()
                session.send(b"\x01\x10" * 1600)
                session.mute(False)
                session.send(b"\x01\x10" * 1600)
            sent = bytes(gateway.connections[0].audio)
        assert sent == b"\x01\x10" * 1600 + bytes(3200) + b"\x01\x10" * 1600

    def test_a_live_source_too(self) -> None:
        loud = b"\x01\x10" * 1600
        holder: List[Any] = []
        told = threading.Event()
        source = Live(lambda: told.wait(10), loud, lambda: holder[0].mute(), loud, loud)
        with LocalGateway(engine="script") as gateway:
            client = Client(Soniox(), api_key="any", base_url=gateway.url)
            with client.listen(source) as session:
                holder.append(session)
                told.set()
                while session.stats.captured < 0.3:
                    time.sleep(0.01)
            assert bytes(gateway.connections[0].audio) == loud + bytes(6400)
