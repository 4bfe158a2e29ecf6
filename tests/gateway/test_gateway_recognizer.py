"""Real speech through the recogniser, in both dialects."""

import subprocess
import threading
import time
import wave
from pathlib import Path
from typing import List

import pytest
from talk import CLOSE, FINALIZE, SECOND, Talk, audio, chunks, finals, reson8, silence, soniox, text, tokens

from slng_sync.gateway import LocalGateway

SPEECH = Path("/usr/share/pocketsphinx/test/data")
assert SPEECH.exists(), "apt-get install pocketsphinx-testdata"


def recording(name: str) -> bytes:
    path = SPEECH / name
    if path.suffix == ".raw":
        return path.read_bytes()
    with wave.open(str(path)) as file:
        frames: bytes = file.readframes(file.getnframes())
        return frames


def rate_changed(pcm: bytes, times: int, channels: int = 1) -> bytes:
    """Repeat samples: a crude way to another rate, and to more channels."""
    return b"".join(pcm[at : at + 2] * (times * channels) for at in range(0, len(pcm), 2))


def test_a_command_in_reson8() -> None:
    with LocalGateway() as server:
        with reson8(server) as talk:
            frames = talk.say(*map(audio, chunks(recording("goforward.raw"))), FINALIZE, CLOSE).rest()
        assert finals(frames) == ["go forward ten meters"]
        final = next(frame for frame in frames if frame["type"] == "final_transcript")
        words = final["words"]
        assert [word["word"] for word in words] == ["go", "forward", "ten", "meters"]
        assert 0.3 < words[0]["start"] < 0.6 and 1.9 < words[-1]["end"] < 2.4
        assert 0 < final["confidence"] <= 1 and final["language"] == "en"
        # Partials come while the audio does, and revise themselves.
        partials = [frame["transcript"] for frame in frames if frame["type"] == "partial_transcript"]
        assert len(partials) > 3 and any(not "go forward ten meters".startswith(each) for each in partials)
        assert frames[-1]["type"] == "flush_confirmation" and not server.breaches


def test_utterances_end_at_pauses_in_soniox() -> None:
    pcm = recording("cards/001.wav") + silence(1.2) + recording("cards/003.wav") + silence(1.2)
    with LocalGateway() as server:
        with soniox(server, enable_endpoint_detection=True, enable_language_identification=True) as talk:
            frames = talk.say(*chunks(pcm), "").rest()
        assert text(frames) == "ten of clubs<end> seven of clubs<end>"
        spoken = [token for token in tokens(frames) if "start_ms" in token]
        assert {token["language"] for token in spoken} == {"en"}
        assert all(0 <= token["confidence"] <= 1 for token in spoken)
        second = next(token for token in spoken if token["text"] == " seven")
        assert 2200 < second["start_ms"] < 3000
        assert frames[-1]["finished"] and frames[-1]["total_audio_proc_ms"] == round(len(pcm) / 32)


def test_a_finalize_in_mid_speech_waits_for_the_audio_before_it_and_loses_none() -> None:
    pcm = recording("goforward.raw")
    cut = round(1.2 * SECOND)
    with LocalGateway() as server, soniox(server) as talk:
        talk.say(pcm[:cut], FINALIZE)
        frame = talk.until(lambda frame: "<fin>" in text([frame]))
        assert text([frame]) == "go forward<fin>" and frame["final_audio_proc_ms"] == 1200
        rest = text(talk.say(pcm[cut:], "").rest())
        assert rest.split()[-1] in ("meters", "years", "meter") and len(rest.split()) <= 3


@pytest.mark.parametrize(("times", "channels"), [(3, 1), (1, 2), (3, 2)])
def test_other_rates_and_channels_are_converted(times: int, channels: int) -> None:
    pcm = rate_changed(recording("goforward.raw"), times, channels)
    with LocalGateway() as server, soniox(server, sample_rate=16000 * times, num_channels=channels) as talk:
        frames = talk.say(*chunks(pcm, 3200 * times * channels), "").rest()
    assert text(frames) == "go forward ten meters"
    assert abs(tokens(frames)[0]["start_ms"] - 460) <= 30


def test_what_the_recogniser_cannot_do_is_refused() -> None:
    with LocalGateway() as server:
        for config in (
            {"enable_speaker_diarization": True},
            {"translation": {"type": "one_way", "target_language": "fr"}},
            {"audio_format": "mulaw"},
        ):
            with soniox(server, **config) as talk:
                (frame,) = talk.rest()
            assert frame["error_code"] == 400 and "not supported" in frame["error_message"]
        assert server.breaches == []


def test_two_streams_at_once_do_not_mix() -> None:
    heard: List[str] = ["", ""]

    def listen(server: LocalGateway, index: int, name: str) -> None:
        with soniox(server, talk={"timeout": 30}) as talk:
            heard[index] = text(talk.say(*chunks(recording(name)), "").rest())

    with LocalGateway() as server:
        threads = [
            threading.Thread(target=listen, args=(server, index, name))
            for index, name in enumerate(["goforward.raw", "cards/004.wav"])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == ["go forward ten meters", "five five"]


def test_silence_says_nothing() -> None:
    with LocalGateway() as server, soniox(server, enable_endpoint_detection=True) as talk:
        assert text(talk.say(silence(3), FINALIZE, "").rest()) == "<fin>"


def test_a_stop_in_the_midst_of_decoding_is_quick_and_leaves_nothing() -> None:
    pcm = recording("librivox/sense_and_sensibility_01_austen_64kb-0870.wav")
    with LocalGateway() as server, soniox(server) as talk:
        talk.say(*[pcm] * 4)
        time.sleep(0.3)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2.0


def test_a_process_that_is_gone_already_does_not_keep_the_gateway_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill = subprocess.Popen.kill

    def kill_what_is_gone(process: "subprocess.Popen[bytes]") -> None:
        kill(process)
        raise ProcessLookupError

    monkeypatch.setattr(subprocess.Popen, "kill", kill_what_is_gone)
    with LocalGateway() as server:
        with soniox(server) as talk:
            talk.say(silence(1))
        assert server.wait_idle()


def test_a_client_that_goes_away_frees_its_process() -> None:
    with LocalGateway() as server:
        for _ in range(2):
            talk = soniox(server).say(recording("goforward.raw"))
            Talk.__exit__(talk, None, None, None)
        assert server.wait_idle(10)
