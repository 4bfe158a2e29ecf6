"""Real speech through the offline recogniser, in both dialects."""

import subprocess
import threading
import time
import wave
from pathlib import Path
from typing import List

import pytest
from raw_client import (
    CLOSE,
    FINALIZE,
    SECOND,
    RawClient,
    audio,
    chunks,
    finals,
    reson8,
    silence,
    soniox,
    text,
    tokens,
)

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
    """Repeat samples, as a crude conversion to a higher rate or to more channels."""
    return b"".join(pcm[at : at + 2] * (times * channels) for at in range(0, len(pcm), 2))


def test_a_command_in_reson8() -> None:
    with LocalGateway() as server:
        with reson8(server) as client:
            frames = client.send(
                *map(audio, chunks(recording("goforward.raw"))), FINALIZE, CLOSE
            ).receive_all()
        assert finals(frames) == ["go forward ten meters"]
        final = next(frame for frame in frames if frame["type"] == "final_transcript")
        words = final["words"]
        assert [word["word"] for word in words] == ["go", "forward", "ten", "meters"]
        assert 0.3 < words[0]["start"] < 0.6 and 1.9 < words[-1]["end"] < 2.4
        assert 0 < final["confidence"] <= 1 and final["language"] == "en"
        # Partials arrive during the audio, and later ones correct earlier ones.
        partials = [frame["transcript"] for frame in frames if frame["type"] == "partial_transcript"]
        assert len(partials) > 3 and any(not "go forward ten meters".startswith(each) for each in partials)
        assert frames[-1]["type"] == "flush_confirmation" and not server.breaches


def test_utterances_end_at_pauses_in_soniox() -> None:
    pcm = recording("cards/001.wav") + silence(1.2) + recording("cards/003.wav") + silence(1.2)
    with LocalGateway() as server:
        with soniox(server, enable_endpoint_detection=True, enable_language_identification=True) as client:
            frames = client.send(*chunks(pcm), "").receive_all()
        assert text(frames) == "ten of clubs<end> seven of clubs<end>"
        spoken = [token for token in tokens(frames) if "start_ms" in token]
        assert {token["language"] for token in spoken} == {"en"}
        assert all(0 <= token["confidence"] <= 1 for token in spoken)
        second = next(token for token in spoken if token["text"] == " seven")
        assert 2200 < second["start_ms"] < 3000
        assert frames[-1]["finished"] and frames[-1]["total_audio_proc_ms"] == round(len(pcm) / 32)


def test_a_finalize_in_mid_speech_covers_all_audio_before_it() -> None:
    pcm = recording("goforward.raw")
    cut = round(1.2 * SECOND)
    with LocalGateway() as server, soniox(server) as client:
        client.send(pcm[:cut], FINALIZE)
        frame = client.receive_until(lambda frame: "<fin>" in text([frame]))
        assert text([frame]) == "go forward<fin>" and frame["final_audio_proc_ms"] == 1200
        rest = text(client.send(pcm[cut:], "").receive_all())
        assert rest.split()[-1] in ("meters", "years", "meter") and len(rest.split()) <= 3


@pytest.mark.parametrize(("times", "channels"), [(3, 1), (1, 2), (3, 2)])
def test_other_rates_and_channels_are_converted(times: int, channels: int) -> None:
    pcm = rate_changed(recording("goforward.raw"), times, channels)
    with LocalGateway() as server, soniox(server, sample_rate=16000 * times, num_channels=channels) as client:
        frames = client.send(*chunks(pcm, 3200 * times * channels), "").receive_all()
    assert text(frames) == "go forward ten meters"
    assert abs(tokens(frames)[0]["start_ms"] - 460) <= 30


def test_features_that_the_recogniser_lacks_are_refused() -> None:
    with LocalGateway() as server:
        for config in (
            {"enable_speaker_diarization": True},
            {"translation": {"type": "one_way", "target_language": "fr"}},
            {"audio_format": "mulaw"},
        ):
            with soniox(server, **config) as client:
                (frame,) = client.receive_all()
            assert frame["error_code"] == 400 and "not supported" in frame["error_message"]
        assert server.breaches == []


def test_two_streams_at_once_do_not_mix() -> None:
    recognized: List[str] = ["", ""]

    def listen(server: LocalGateway, index: int, name: str) -> None:
        with soniox(server, connect={"timeout": 30}) as client:
            recognized[index] = text(client.send(*chunks(recording(name)), "").receive_all())

    with LocalGateway() as server:
        threads = [
            threading.Thread(target=listen, args=(server, index, name))
            for index, name in enumerate(["goforward.raw", "cards/004.wav"])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recognized == ["go forward ten meters", "five five"]


def test_silence_gives_no_words() -> None:
    with LocalGateway() as server, soniox(server, enable_endpoint_detection=True) as client:
        assert text(client.send(silence(3), FINALIZE, "").receive_all()) == "<fin>"


def test_a_stop_during_decoding_is_quick_and_leaves_nothing() -> None:
    pcm = recording("librivox/sense_and_sensibility_01_austen_64kb-0870.wav")
    with LocalGateway() as server, soniox(server) as client:
        client.send(*[pcm] * 4)
        time.sleep(0.3)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2.0


def test_a_process_that_has_already_ended_does_not_block_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill = subprocess.Popen.kill

    def kill_what_is_gone(process: "subprocess.Popen[bytes]") -> None:
        kill(process)
        raise ProcessLookupError

    monkeypatch.setattr(subprocess.Popen, "kill", kill_what_is_gone)
    with LocalGateway() as server:
        with soniox(server) as client:
            client.send(silence(1))
        assert server.wait_idle()


def test_a_client_that_goes_away_frees_its_process() -> None:
    with LocalGateway() as server:
        for _ in range(2):
            client = soniox(server).send(recording("goforward.raw"))
            RawClient.__exit__(client, None, None, None)
        assert server.wait_idle(10)
