"""The gateway's Soniox dialect, message by message."""

import struct
from typing import Any, Dict

import pytest
from raw_client import CONFIG, FINALIZE, SECOND, SONIOX, RawClient, chunks, silence, soniox, text, tokens

from slng_sync.gateway import Faults, LocalGateway, Script, ScriptWord

SCRIPT = Script.from_text("hello everybody, this is a test. thank you")


def gateway(script: Script = SCRIPT, **faults: Any) -> LocalGateway:
    return LocalGateway("script", script=script, faults=Faults(**faults))


def test_a_session_from_config_to_finished() -> None:
    with gateway() as server:
        with soniox(server) as client:
            frames = client.send(*chunks(silence(5)), "").receive_all()
        assert text(frames) == "hello everybody, this is a test. thank you"
        assert frames[-1] == {
            "tokens": [],
            "final_audio_proc_ms": 5000,
            "total_audio_proc_ms": 5000,
            "finished": True,
        }
        assert client.close_code == 1000
        assert server.wait_idle() and server.breaches == []
        record = server.connections[0]
        assert record.config == CONFIG and record.model == "soniox/speech-ai:rt-v4"
        assert record.audio_seconds == 5.0 and len(record.audio) == 5 * SECOND
        assert record.frames[1] == ("binary", 3200) and record.frames[-1] == ("text", "")
        assert record.close_code == 1000 and record.headers["authorization"] == "Bearer key"


def test_finals_come_once_and_before_non_finals() -> None:
    with gateway() as server, soniox(server) as client:
        frames = client.send(*chunks(silence(5)), "").receive_all()
    for frame in frames:
        finality = [token["is_final"] for token in frame["tokens"]]
        assert finality == sorted(finality, reverse=True)
        assert frame["final_audio_proc_ms"] <= frame["total_audio_proc_ms"]
    spoken = tokens(frames)
    assert [t["start_ms"] for t in spoken] == sorted({t["start_ms"] for t in spoken})
    assert [t["text"] for t in spoken[:4]] == ["hello", " ev", "erybody", ","]


def test_finalize_makes_everything_final_and_answers_with_fin() -> None:
    with gateway() as server, soniox(server) as client:
        client.send(silence(0.8), FINALIZE)
        frame = client.receive_until(lambda frame: "<fin>" in text([frame]))
        assert text([frame]) == "hello everybody,<fin>"
        assert frame["final_audio_proc_ms"] == frame["total_audio_proc_ms"] == 800
        frame = client.send({"type": "finalize", "trailing_silence_ms": 200}).receive()
        assert frame["tokens"] == [{"text": "<fin>", "is_final": True}]
        assert server.breaches == []


def test_endpoints_come_only_on_request() -> None:
    with gateway() as server:
        with soniox(server, enable_endpoint_detection=True) as client:
            assert "test.<end> thank you" in text(client.send(*chunks(silence(5)), "").receive_all())
        with soniox(server) as client:
            assert "<end>" not in text(client.send(*chunks(silence(5)), "").receive_all())


@pytest.mark.parametrize("end", ["", b"", {"type": ""}])
def test_every_form_of_the_end_of_stream_is_accepted(end: Any) -> None:
    with gateway() as server:
        with soniox(server) as client:
            frames = client.send(silence(1), end).receive_all()
        assert frames[-1]["finished"] and server.wait_idle() and not server.breaches


def test_the_end_of_a_stream_without_audio_is_an_error() -> None:
    with gateway() as server:
        with soniox(server) as client:
            (frame,) = client.send("").receive_all()
        assert frame["error_code"] == 400 and frame["error_message"] == "No audio received."
        assert client.close_code == 1000 and "without any audio" in server.breaches[0]


@pytest.mark.parametrize("forms", [({"type": ""}, ""), ("", {"type": ""}), ({"type": ""}, b"")], ids=str)
def test_the_end_may_be_repeated_in_another_form(forms: Any) -> None:
    """A client does this if the first form is not answered within two seconds."""
    with gateway() as server:
        with soniox(server) as client:
            frames = client.send(silence(1), *forms).receive_all()
        assert frames[-1]["finished"] and server.wait_idle() and not server.breaches


def test_a_message_after_the_end_of_stream_is_a_breach() -> None:
    with gateway(finished="missing") as server:
        with soniox(server) as client:
            # Sent at once, so that the gateway has all messages before it closes.
            client.send(silence(1), "", {"type": "keepalive"}, silence(0.1)).receive_all()
        assert server.wait_idle() and "after the end of stream" in server.breaches[0]


def test_speakers_languages_and_translation_come_from_the_script() -> None:
    script = Script(
        [
            ScriptWord("hello", 0.0, 0.4, speaker="1", language="en", translation="bonjour à"),
            ScriptWord("everyone", 0.4, 0.9, speaker="1", language="en", translation="tous"),
            ScriptWord("merci", 1.0, 1.5, speaker="2", language="fr", translation="nothing"),
        ]
    )
    translation = {"type": "one_way", "target_language": "fr"}
    with gateway(script) as server, soniox(
        server, enable_speaker_diarization=True, translation=translation
    ) as client:
        received = tokens(client.send(silence(3), "").receive_all())
    assert [t["text"] for t in received] == ["hello", " ev", "eryone", " merci", "bonjour", " à", " tous"]
    assert [t["speaker"] for t in received] == ["1", "1", "1", "2", "1", "1", "1"]
    assert [t["translation_status"] for t in received] == ["original"] * 3 + ["none"] + ["translation"] * 3
    assert received[-1] == {
        "text": " tous",
        "is_final": True,
        "speaker": "1",
        "translation_status": "translation",
        "language": "fr",
        "source_language": "en",
    }
    assert received[3]["language"] == "fr"


def test_plain_tokens_have_no_optional_fields() -> None:
    with gateway() as server, soniox(server) as client:
        received = tokens(client.send(silence(2), "").receive_all())
    assert set(received[0]) == {"text", "start_ms", "end_ms", "confidence", "is_final"}


BAD_CONFIGS: Dict[str, Dict[str, Any]] = {
    "unknown key": {"vocabulary": []},
    "api_key": {"api_key": "secret"},
    "endpoint_sensitivity": {"endpoint_sensitivity": 0.5},
    "delay": {"max_endpoint_delay_ms": 499},
    "delay type": {"max_endpoint_delay_ms": 500.0},
    "hints twice": {"language_hints": ["en", "en"]},
    "hints": {"language_hints": "en"},
    "flag": {"enable_endpoint_detection": "yes"},
    "translation": {"translation": {"type": "one_way", "language_a": "en"}},
    "two_way": {"translation": {"type": "two_way", "language_a": "en", "language_b": "en"}},
    "reference": {"client_reference_id": "x" * 257},
    "context": {"context": "a plain string"},
    "context terms": {"context": {"translation_terms": [{"source": "a"}]}},
    "long context": {"context": {"text": "x" * 10001}},
    "model": {"model": "stt-rt-v5"},
    "rate": {"sample_rate": "16000"},
    "format": {"audio_format": "pcm"},
    "auto with rate": {"audio_format": "auto"},
    "type": {"type": "init"},
}


@pytest.mark.parametrize("config", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_wrong_config_is_refused_and_reported(config: Dict[str, Any]) -> None:
    with gateway() as server:
        with soniox(server, **config) as client:
            (frame,) = client.receive_all()
        assert frame["error_code"] == 400 and frame["tokens"] == [] and client.close_code == 1000
        assert len(server.breaches) == 1 and "secret" not in server.breaches[0]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sample_rate", "Audio data sample rate must be specified for PCM formats"),
        ("num_channels", "Audio data channels must be specified for PCM formats"),
    ],
)
def test_raw_audio_needs_rate_and_channels(key: str, message: str) -> None:
    with gateway() as server, soniox(server, without=key) as client:
        assert client.receive_all()[0]["error_message"] == message


def test_a_full_config_is_accepted() -> None:
    with gateway() as server:
        with soniox(
            server,
            language_hints=["en", "fr"],
            language_hints_strict=True,
            context={
                "general": [{"key": "topic", "value": "tests"}],
                "text": "x" * 9000,
                "terms": ["SLNG"],
                "translation_terms": [{"source": "a", "target": "b"}],
            },
            enable_language_identification=True,
            max_endpoint_delay_ms=3000,
            client_reference_id="x" * 256,
            translation={"type": "two_way", "language_a": "en", "language_b": "de"},
        ) as client:
            assert client.send(silence(1), "").receive_all()[-1]["finished"]
        assert server.breaches == []


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ('{"type":"Finalize"}', "Control request invalid type."),
        ('{"type":"keepAlive"}', "Control request invalid type."),
        ('{"type":"config","model":"stt-rt-v4"}', "Control request invalid type."),
        ("finalize", "Control request is malformed."),
        ('["finalize"]', "Control request is malformed."),
        ('{"type":"finalize","now":true}', "Control request is malformed."),
        (b"\x00", "Audio decode error."),
    ],
)
def test_a_wrong_message_ends_the_session(message: Any, complaint: str) -> None:
    with gateway() as server:
        with soniox(server) as client:
            frames = client.send(silence(0.1), message).receive_all()
        assert frames[-1]["error_message"] == complaint and len(server.breaches) == 1


def test_the_first_message_is_the_config() -> None:
    for first in (silence(0.1), "", "hello", "[]"):
        with gateway() as server, RawClient(server, SONIOX) as client:
            assert client.send(first).receive_all()[0]["error_message"] == "Start request is malformed."


def test_keepalive_is_not_answered() -> None:
    with gateway() as server, soniox(server) as client:
        frames = client.send({"type": "keepalive"}, silence(0.1), {"type": "keepalive"}, "").receive_all()
        assert [frame["tokens"] for frame in frames] == [[]] and not server.breaches


def test_a_wav_brings_its_own_format() -> None:
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 8000, 32000, 4, 16)
    stream = header + b"LIST\x03\x00\x00\x00abc\x00" + b"data\xff\xff\xff\xff" + bytes(3 * SECOND)
    with gateway() as server:
        settings = {key: CONFIG[key] for key in ("type", "model")}
        with RawClient(server, SONIOX) as client:
            client.send({**settings, "audio_format": "auto"}, *chunks(stream, 997), "")
            frames = client.receive_all()
        assert frames[-1]["total_audio_proc_ms"] == 3000 and "hello" in text(frames)
        with RawClient(server, SONIOX) as client:
            frames = client.send({**settings, "audio_format": "auto"}, b"ID3\x03" + bytes(100)).receive_all()
        assert "decode" in frames[0]["error_message"]
        assert server.breaches == []


def test_other_raw_formats_are_counted_by_the_script() -> None:
    with gateway() as server, soniox(server, audio_format="mulaw", sample_rate=8000) as client:
        assert client.send(bytes(8000), "").receive_all()[-1]["total_audio_proc_ms"] == 1000
