"""The voice gate and the end of speech, with a scripted detector and with real speech."""

import sys
import wave
from typing import Any, List, Tuple

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync.audio import voice_gate as module
from slng_sync.audio.format import AudioFormat
from slng_sync.audio.voice_gate import Decision, SpeechEnded, VoiceGate, Withheld
from slng_sync.errors import AudioError
from slng_sync.events import Level

RECORDINGS = "/usr/share/pocketsphinx/test/data/librivox"
FORMAT = AudioFormat()
FRAME = 640


class Scripted:
    """A detector that treats every window that is not all zeros as speech."""

    def __init__(self, audio_format: AudioFormat) -> None:
        pass

    def is_speech(self, window: bytes) -> bool:
        return bool(window.strip(b"\0"))


@pytest.fixture(autouse=True)
def _scripted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_speech" not in request.node.name:
        monkeypatch.setattr(module, "VoiceActivityDetector", Scripted)


def speech(seconds: float) -> bytes:
    return b"\x01\x10" * round(seconds * 16000)


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * 16000))


def shape(decisions: List[Decision]) -> List[Tuple[str, float]]:
    """Return the kind and the length in seconds of each decision."""
    return [
        ("sent", len(each) / 32000)
        if isinstance(each, bytes)
        else ("withheld", each.frames / 16000)
        if isinstance(each, Withheld)
        else (type(each).__name__, 0.0)
        for each in decisions
    ]


def process(gate: VoiceGate, pcm: bytes, step: int = 1600) -> List[Decision]:
    """Return the merged decisions for audio that arrives in chunks."""
    chunks = [pcm[at : at + step] for at in range(0, len(pcm), step)]
    decisions = [each for chunk in chunks for each in gate.process(chunk)]
    return module._merge([*decisions, *gate.flush()])


class TestGate:
    def test_silence_is_withheld_except_for_the_pre_roll(self) -> None:
        decisions = process(VoiceGate(FORMAT, gate=True), silence(3) + speech(1) + silence(3))
        assert shape(decisions) == [
            ("withheld", pytest.approx(2.52, abs=0.05)),
            ("sent", pytest.approx(0.48 + 1 + 1, abs=0.05)),
            ("SpeechEnded", 0.0),
            ("withheld", pytest.approx(2, abs=0.05)),
        ]

    def test_pauses_within_a_sentence_are_sent(self) -> None:
        decisions = process(VoiceGate(FORMAT, gate=True), speech(1) + silence(0.8) + speech(1))
        assert shape(decisions) == [("sent", pytest.approx(2.8))]

    def test_a_click_does_not_open_the_gate(self) -> None:
        decisions = process(VoiceGate(FORMAT, gate=True), silence(1) + speech(0.04) + silence(1))
        assert shape(decisions) == [("withheld", pytest.approx(2.04))]

    def test_withheld_audio_is_not_sent_later(self) -> None:
        """With push-to-talk, audio from before the button was pressed must not be sent."""
        gate = VoiceGate(FORMAT, gate=True)
        assert shape(gate.process(silence(0.33))) == []
        assert shape(gate.process(speech(0.315), withhold=True)) == [("withheld", pytest.approx(0.645))]
        assert shape(gate.process(speech(0.1))) == [("sent", pytest.approx(0.1))]

    @given(
        stretches=st.lists(st.tuples(st.booleans(), st.integers(1, 40000)), max_size=6),
        step=st.integers(1, 5000),
        gate=st.booleans(),
    )
    def test_nothing_is_lost_and_everything_keeps_its_place(
        self, stretches: List[Tuple[bool, int]], step: int, gate: bool
    ) -> None:
        pcm = b"".join((b"\x01\x10" if loud else b"\0\0") * frames for loud, frames in stretches)
        at = 0
        for each in process(VoiceGate(FORMAT, gate=gate, finalize_after=0.4), pcm, step * 2):
            if isinstance(each, bytes):
                assert pcm[at : at + len(each)] == each
                at += len(each)
            elif isinstance(each, Withheld):
                assert gate
                at += each.frames * 2
        assert at == len(pcm)


class TestSpeechEnded:
    def test_it_is_reported_once_and_in_time(self) -> None:
        decisions = process(VoiceGate(FORMAT, finalize_after=0.6), speech(1) + silence(2), step=FRAME)
        assert shape(decisions) == [
            ("sent", pytest.approx(1.6, abs=0.05)),
            ("SpeechEnded", 0.0),
            ("sent", pytest.approx(1.4, abs=0.05)),
        ]

    def test_it_is_reported_again_for_the_next_utterance(self) -> None:
        decisions = process(VoiceGate(FORMAT, finalize_after=0.6), (speech(1) + silence(1)) * 3)
        assert decisions.count(SpeechEnded()) == 3

    def test_it_is_not_reported_in_short_pauses_or_without_speech(self) -> None:
        decisions = process(
            VoiceGate(FORMAT, finalize_after=0.6), silence(2) + (speech(1) + silence(0.5)) * 3
        )
        assert SpeechEnded() not in decisions

    def test_it_comes_before_the_gate_closes(self) -> None:
        decisions = process(VoiceGate(FORMAT, gate=True, finalize_after=0.4), speech(1) + silence(3))
        assert [kind for kind, _ in shape(decisions)] == ["sent", "SpeechEnded", "sent", "withheld"]


class TestLevels:
    def test_there_are_25_a_second_and_they_include_speech(self) -> None:
        decisions = process(VoiceGate(FORMAT, levels=True), silence(1) + speech(1))
        levels = [each for each in decisions if isinstance(each, Level)]
        assert len(levels) == 50
        assert levels[0] == Level(-96.0, -96.0)
        assert levels[-1] == Level(-18.1, -18.1, speech=True)

    def test_withheld_audio_has_levels_too(self) -> None:
        assert any(
            isinstance(each, Level)
            for each in VoiceGate(FORMAT, levels=True).process(speech(1), withhold=True)
        )

    def test_without_webrtcvad_levels_work_but_lack_speech(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        monkeypatch.setitem(sys.modules, "webrtcvad", None)
        (level,) = [
            each for each in VoiceGate(FORMAT, levels=True).process(speech(0.04)) if isinstance(each, Level)
        ]
        assert level == Level(-18.1, -18.1)
        for options in ({"gate": True}, {"finalize_after": 0.5}):
            with pytest.raises(AudioError, match=r'webrtcvad.*pip install "slng-sync\[vad\]"'):
                VoiceGate(FORMAT, **options)


def recorded() -> "numpy.ndarray[Any, Any]":
    with wave.open(f"{RECORDINGS}/sense_and_sensibility_01_austen_64kb-0870.wav") as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.mark.parametrize(
    "audio_format", [AudioFormat(16000, 1), AudioFormat(48000, 1), AudioFormat(44100, 2)]
)
def test_real_speech_is_sent_and_the_silence_around_it_is_not(audio_format: AudioFormat) -> None:
    from slng_sync.audio.convert import Converter

    spoken = recorded().tobytes()
    converter = Converter(FORMAT, audio_format)
    pcm = converter.convert(silence(5) + spoken + silence(5)) + converter.flush()
    decisions = process(VoiceGate(audio_format, gate=True), pcm, step=audio_format.frame_bytes * 500)
    sent = sum(len(each) for each in decisions if isinstance(each, bytes)) / audio_format.frame_bytes
    seconds = sent / audio_format.sample_rate
    assert len(spoken) / 32000 - 0.5 <= seconds <= len(spoken) / 32000 + 2
    assert decisions.count(SpeechEnded()) >= 1
