"""The gateway's Reson8 dialect, message by message."""

from typing import Any

import pytest
from raw_client import CLOSE, FINALIZE, INIT, RESON8, RawClient, audio, chunks, finals, kinds, reson8, silence

from slng_sync.gateway import Faults, LocalGateway, Script

SCRIPT = Script.from_text("hello everybody, this is a test. thank you")


def gateway(**faults: Any) -> LocalGateway:
    return LocalGateway("script", script=SCRIPT, faults=Faults(**faults))


def test_a_session_from_init_to_close() -> None:
    with gateway() as server:
        with RawClient(server, RESON8) as client:
            client.send({"type": "init", "config": INIT})
            assert client.receive() == {"type": "ready", "session_id": "sess_000001"}
            client.send(*map(audio, chunks(silence(5))), FINALIZE, CLOSE)
            frames = client.receive_all()
        assert finals(frames) == ["hello everybody, this is a test.", "thank you"]
        assert "hello everybody, th" in [frame["transcript"] for frame in frames if "transcript" in frame]
        assert frames[-1] == {"type": "flush_confirmation", "id": "flush-001"}
        assert client.close_code == 1000
        assert server.wait_idle() and server.breaches == []
        record = server.connections[0]
        assert record.config == INIT and record.audio_seconds == 5.0 and record.close_code == 1000


def test_a_final_carries_its_words_and_times() -> None:
    with gateway() as server, reson8(server) as client:
        frames = client.send(audio(silence(0.8)), FINALIZE, CLOSE).receive_all()
    final = next(frame for frame in frames if frame["type"] == "final_transcript")
    assert final == {
        "type": "final_transcript",
        "transcript": "hello everybody,",
        "confidence": 0.95,
        "language": "en",
        "duration": 0.72,
        "start": 0.0,
        "words": [
            {"word": "hello", "start": 0.0, "end": 0.32},
            {"word": "everybody,", "start": 0.4, "end": 0.72},
        ],
    }


def test_binary_audio_is_accepted_too() -> None:
    with gateway() as server:
        with reson8(server) as client:
            frames = client.send(*chunks(silence(0.8)), CLOSE).receive_all()
        assert finals(frames) == ["hello everybody,"] and server.breaches == []


def test_partials_come_only_on_request() -> None:
    with gateway() as server, reson8(server, enable_partials=False) as client:
        frames = client.send(*chunks(silence(5)), CLOSE).receive_all()
    assert kinds(frames) == ["final_transcript", "final_transcript"]


def test_each_finalize_is_confirmed_and_silence_gives_an_empty_final() -> None:
    with gateway() as server, reson8(server, enable_partials=False) as client:
        client.send(FINALIZE, silence(0.8), FINALIZE, silence(0.1), FINALIZE, CLOSE)
        frames = client.receive_all()
    assert kinds(frames) == [
        "flush_confirmation",
        "final_transcript",
        "flush_confirmation",
        "final_transcript",
        "flush_confirmation",
    ]
    assert finals(frames) == ["hello everybody,", ""]
    assert frames[-1]["id"] == "flush-003" and frames[3]["duration"] == 0.1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoding": "mp3"}, "Unsupported encoding"),
        ({"sample_rate": "16000"}, "Unsupported sample rate"),
        ({"sample_rate": 4000}, "Unsupported sample rate"),
        ({"channels": 2}, "Unsupported number of channels"),
        ({"enable_partials": 1}, "enable_partials must be true or false"),
        ({"language": ["en"]}, "language must be a string"),
    ],
)
def test_a_wrong_config_is_refused(config: Any, message: str) -> None:
    with gateway() as server:
        with reson8(server, ready=False, **config) as client:
            frames = client.receive_all()
        assert frames == [{"type": "error", "code": "config_error", "message": message}]
        assert client.close_code == 1008 and len(server.breaches) == 1


def test_the_other_encoding_name_and_unknown_keys_are_accepted() -> None:
    with gateway() as server, reson8(server, encoding="linear16", diarize=True, sample_rate=8000) as client:
        client.send(silence(1), CLOSE).receive_all()
        assert server.breaches == []
        assert server.connections[0].audio_seconds == 2.0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "audio", "data": "***"}, "invalid_request"),
        ({"type": "audio"}, "invalid_request"),
        (audio(b""), "invalid_request"),
        (audio(b"\x00\x00\x00"), "invalid_request"),
        (b"\x00", "invalid_request"),
        ({"type": "KeepAlive"}, "invalid_request"),
        ({"type": "init", "config": INIT}, "invalid_request"),
        ("not JSON", "invalid_request"),
        ("[1]", "invalid_request"),
        ("", "invalid_request"),
    ],
)
def test_a_wrong_message_ends_the_session(message: Any, code: str) -> None:
    with gateway() as server:
        with reson8(server) as client:
            frames = client.send(message).receive_all()
        assert frames[-1]["code"] == code and client.close_code == 1008 and len(server.breaches) == 1


def test_the_first_message_is_the_init() -> None:
    with gateway() as server:
        with RawClient(server, RESON8) as client:
            assert client.send(FINALIZE).receive_all()[0]["code"] == "config_error"
        with RawClient(server, RESON8) as client:
            assert client.send(silence(0.1)).receive_all() == []
        assert (client.close_code, client.close_reason) == (1008, "Session not ready")


def test_audio_before_ready_is_closed_with_1008() -> None:
    with gateway(ready_delay=0.5) as server:
        with reson8(server, ready=False) as client:
            assert client.send(audio(silence(0.1))).receive_all() == []
        assert (client.close_code, client.close_reason) == (1008, "Session not ready")
        assert "before ready" in server.breaches[0]


def test_messages_after_close_are_a_breach() -> None:
    with gateway() as server:
        with reson8(server) as client:
            client.send(silence(0.5), CLOSE, {"type": "keepalive"})
            client.receive_all()
        assert server.wait_idle() and "after the end of stream" in server.breaches[0]


def test_keepalive_is_not_answered() -> None:
    with gateway() as server, reson8(server) as client:
        assert client.send({"type": "keepalive"}, CLOSE).receive_all() == [] and server.breaches == []
