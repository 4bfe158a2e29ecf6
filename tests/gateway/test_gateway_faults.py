"""Each fault, as a client sees it."""

import math
import socket
import time
from typing import Any, List

import pytest
import websocket
from raw_client import (
    CLOSE,
    FINALIZE,
    SONIOX,
    RawClient,
    audio,
    chunks,
    finals,
    kinds,
    reson8,
    silence,
    soniox,
    text,
)

from slng_sync.errors import ConfigurationError
from slng_sync.gateway import Faults, LocalGateway, Script, Trouble

LOST = (OSError, websocket.WebSocketConnectionClosedException)
SCRIPT = Script.from_text("hello everybody, this is a test. thank you")


def gateway(faults: Any = None, **fields: Any) -> LocalGateway:
    return LocalGateway("script", script=SCRIPT, faults=faults or Faults(**fields))


# How to pass faults


def test_a_list_gives_one_to_each_connection_and_repeats_the_last() -> None:
    with gateway([Faults(trouble=Trouble.error(0.5, 503)), Faults()]) as server:
        endings = []
        for _ in range(3):
            with soniox(server) as client:
                endings.append(client.send(silence(1), "").receive_all()[-1].get("error_code"))
        assert endings == [503, None, None]


def test_a_callable_is_called_for_each_connection() -> None:
    with gateway(lambda number: Faults(upgrade_status=101 if number == 2 else 503)) as server:
        with pytest.raises(websocket.WebSocketBadStatusException):
            RawClient(server, SONIOX)
        with soniox(server) as client:
            assert client.send(silence(1), "").receive_all()[-1]["finished"]


def test_faults_may_be_changed_while_the_gateway_runs() -> None:
    with gateway() as server:
        server.faults = Faults(finished="missing")
        with soniox(server) as client:
            assert "finished" not in client.send(silence(1), "").receive_all()[-1]


def test_invalid_faults_raise_a_configuration_error() -> None:
    wrong: List[Any] = [
        lambda: Faults(flush="sometimes"),
        lambda: Faults(framing="odd"),
        lambda: Faults(latency=-1),
        lambda: Trouble.close(1.0, 1006),
        lambda: Trouble(1.0, "explode"),
    ]
    for make in wrong:
        with pytest.raises(ConfigurationError):
            make()


# Reson8


def test_ready_may_be_late_and_have_extra_fields() -> None:
    with gateway(ready_delay=0.2, ready_extra={"slng_request_id": "r1"}) as server:
        began = time.monotonic()
        with reson8(server, ready=False) as client:
            assert client.send({"type": "keepalive"}).receive()["slng_request_id"] == "r1"
            assert time.monotonic() - began >= 0.2
            assert finals(client.send(silence(0.8), CLOSE).receive_all()) == ["hello everybody,"]
        assert server.breaches == []


def test_ready_may_never_come_and_early_audio_be_accepted_or_ignored() -> None:
    with gateway(
        [Faults(ready="never", early_audio="accept"), Faults(ready="never", early_audio="ignore")]
    ) as server:
        with reson8(server, ready=False, enable_partials=False) as client:
            assert finals(client.send(silence(0.8), CLOSE).receive_all()) == ["hello everybody,"]
        assert server.breaches == []
        with reson8(server, ready=False) as client:
            assert client.send(silence(0.8), CLOSE).receive_all() == []
        assert client.close_code == 1000 and len(server.breaches) == 1


@pytest.mark.parametrize(("envelope", "good", "bad"), [("json", audio, bytes), ("binary", bytes, audio)])
def test_only_one_audio_envelope_may_be_accepted(envelope: str, good: Any, bad: Any) -> None:
    with gateway(audio_envelope=envelope) as server:
        with reson8(server) as client:
            assert client.send(bad(silence(0.1))).receive_all()[0]["code"] == "invalid_request"
        with reson8(server) as client:
            client.send(good(silence(0.1)), CLOSE).receive_all()
        assert client.close_code == 1000 and server.breaches == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("before_final", ["flush_confirmation", "final_transcript"] * 2),
        ("missing", ["final_transcript", "final_transcript"]),
        ("late", ["final_transcript", "final_transcript", "flush_confirmation", "flush_confirmation"]),
        ("merged", ["final_transcript", "final_transcript", "flush_confirmation"]),
    ],
)
def test_the_confirmation_of_a_flush(policy: str, expected: List[str]) -> None:
    with gateway(flush=policy, flush_delay=0.1) as server, reson8(server, enable_partials=False) as client:
        client.send(silence(0.8), FINALIZE, silence(0.8), FINALIZE)
        received = [client.receive()["type"] for _ in expected]
        assert received == expected
        assert kinds(client.send(CLOSE).receive_all()) == []


def test_finals_may_be_lost_at_close() -> None:
    with gateway(finals_at_close="lose") as server, reson8(server, enable_partials=False) as client:
        assert client.send(silence(0.8), CLOSE).receive_all() == []


# Soniox


def test_the_type_of_the_config_may_be_refused_or_required() -> None:
    with gateway([Faults(config_type="refuse")] * 2 + [Faults(config_type="require")]) as server:
        with soniox(server) as client:
            assert client.receive_all()[0]["error_message"] == "Start request is malformed."
        with soniox(server, without="type") as client:
            assert client.send(silence(0.1), "").receive_all()[-1]["finished"]
        with soniox(server, without="type") as client:
            assert client.receive_all()[0]["error_code"] == 400
        assert server.breaches == []


def test_an_end_of_stream_by_type_may_be_refused_or_ignored() -> None:
    with gateway([Faults(end_of_stream="only_empty")] * 2 + [Faults(end_of_stream="ignore_type")]) as server:
        with soniox(server) as client:
            last = client.send(silence(0.8), {"type": ""}).receive_all()[-1]
            assert last["error_message"] == "Control request invalid type."
        with soniox(server) as client:
            assert client.send(silence(0.8), "").receive_all()[-1]["finished"]
        with soniox(server) as client:
            assert client.send(silence(0.8), {"type": ""}, {"type": "keepalive"}, "").receive_all()[-1][
                "finished"
            ]
        assert server.wait_idle() and server.breaches == []


def test_markers_in_frames_of_their_own() -> None:
    with gateway(markers="own_frame") as server, soniox(server, enable_endpoint_detection=True) as client:
        frames = client.send(*chunks(silence(4)), FINALIZE, "").receive_all()
    marked = [
        frame["tokens"] for frame in frames if {"<end>", "<fin>"} & {t["text"] for t in frame["tokens"]}
    ]
    assert [tokens[0]["text"] for tokens in marked] == ["<end>", "<fin>"]
    assert text(frames).replace("<end>", "").replace("<fin>", "") == SCRIPT.text


def test_markers_beside_the_next_non_final_tokens() -> None:
    with gateway(markers="with_next") as server, soniox(server, enable_endpoint_detection=True) as client:
        frames = client.send(*chunks(silence(4)), "").receive_all()
        (marked,) = [
            frame["tokens"] for frame in frames if any(t["text"] == "<end>" for t in frame["tokens"])
        ]
        assert marked[0]["text"] == "<end>" and not marked[1]["is_final"]
    with gateway(markers="with_next") as server, soniox(server) as client:
        # Without non-final tokens, the marker comes alone after a short wait.
        frame = client.send(silence(1), FINALIZE).receive_until(lambda frame: text([frame]) == "<fin>")
        assert len(frame["tokens"]) == 1


def test_finished_may_come_with_tokens_or_not_at_all() -> None:
    with gateway([Faults(finished="with_tokens"), Faults(finished="missing")]) as server:
        with soniox(server) as client:
            frames = client.send(silence(0.8), "").receive_all()
        assert frames[-1]["finished"] and text(frames[-1:]) == "hello everybody,"
        with soniox(server) as client:
            frames = client.send(silence(0.8), "").receive_all()
        assert (
            "finished" not in frames[-1] and text(frames) == "hello everybody," and client.close_code == 1000
        )


# Limits


def test_the_message_limit_is_on_by_default() -> None:
    with gateway([Faults(), Faults(message_limit=None)]) as server:
        with soniox(server) as client:
            client.send(*[silence(0.001)] * 2000)
            client.receive_all()
        assert client.close_code == 1008
        assert client.close_reason == "WebSocket message rate limit exceeded (2000/minute)"
        assert server.breaches == ["connection 1: more messages than the limit allows"]
        with soniox(server) as client:
            assert client.send(*[silence(0.001)] * 2000, "").receive_all()[-1]["finished"]


def test_the_window_of_the_message_limit_slides() -> None:
    with gateway(message_limit=5, message_window=0.2) as server, soniox(server) as client:
        for _ in range(3):
            client.send(*[silence(0.01)] * 4)
            time.sleep(0.25)
        assert client.send("").receive_all()[-1]["finished"] and server.breaches == []


@pytest.mark.parametrize(
    ("limits", "sent", "code", "message"),
    [
        ({"first_audio_timeout": 0.2}, {"type": "keepalive"}, 408, "first audio chunk"),
        ({"idle_timeout": 0.2}, silence(0.1), 408, "Request timeout."),
        ({"max_duration": 0.2}, silence(0.1), 413, "Maximum stream duration"),
    ],
)
def test_soniox_timeouts(limits: Any, sent: Any, code: int, message: str) -> None:
    with gateway(**limits) as server:
        with soniox(server) as client:
            error = client.send(sent).receive_all()[-1]
        assert error["error_code"] == code and message in error["error_message"] and client.close_code == 1000


def test_a_client_that_sends_nothing_times_out() -> None:
    with gateway(first_audio_timeout=0.1) as server, RawClient(server, SONIOX) as client:
        assert client.receive_all()[0]["error_message"] == "Start request timeout."


@pytest.mark.parametrize(
    ("limits", "code", "close"),
    [
        ({"idle_timeout": 0.2}, "idle_timeout_exceeded", 1001),
        ({"max_duration": 0.2}, "max_connection_duration_exceeded", 1008),
    ],
)
def test_reson8_timeouts(limits: Any, code: str, close: int) -> None:
    with gateway(**limits) as server:
        with reson8(server) as client:
            assert client.receive_all()[-1]["code"] == code
        assert client.close_code == close


def test_keepalives_delay_the_idle_timeout() -> None:
    with gateway(idle_timeout=0.4) as server, soniox(server) as client:
        client.send(silence(0.1))
        for _ in range(4):
            time.sleep(0.2)
            client.send({"type": "keepalive"})
        assert client.send("").receive_all()[-1]["finished"]


def test_timeouts_can_be_switched_off() -> None:
    with gateway(idle_timeout=math.inf, first_audio_timeout=math.inf) as server, soniox(server) as client:
        assert client.send(silence(0.1), "").receive_all()[-1]["finished"]


# Trouble at a position in the audio


def test_an_error_comes_exactly_at_its_position() -> None:
    with gateway(trouble=Trouble.error(0.8, 503)) as server:
        with soniox(server) as client:
            # The message extends beyond the position. Only the audio before the position counts.
            error = client.send(silence(2)).receive_all()[-1]
        assert error == {
            "tokens": [],
            "error_code": 503,
            "error_type": "service_unavailable",
            "error_message": "Cannot continue request (code 1). Please restart the request.",
        }
        assert server.wait_idle() and server.connections[0].audio_seconds == 0.8 and client.close_code == 1000
    with gateway(trouble=Trouble.error(0.8, "provider_error", "gone")) as server:
        with reson8(server) as client:
            assert client.send(silence(2)).receive_all()[-1] == {
                "type": "error",
                "code": "provider_error",
                "message": "gone",
            }
        assert client.close_code == 1008


def test_an_error_may_leave_the_connection_open() -> None:
    with gateway(trouble=Trouble.error(0.4, "translation_error", close_after=False)) as server:
        with reson8(server, enable_partials=False) as client:
            frames = client.send(silence(0.8), CLOSE).receive_all()
        assert kinds(frames) == ["error", "final_transcript"]


def test_a_close_with_any_code() -> None:
    with gateway(trouble=Trouble.close(0.5, 1011, "upstream")) as server:
        with soniox(server) as client:
            client.send(silence(1)).receive_all()
        assert (client.close_code, client.close_reason) == (1011, "upstream")
        assert server.wait_idle() and server.connections[0].close_code == 1011


def test_a_dropped_connection() -> None:
    with gateway([Faults(trouble=Trouble.drop(0.5)), Faults()]) as server:
        with soniox(server) as client, pytest.raises(LOST):
            client.send(*chunks(silence(1))).receive_all()
        assert server.wait_idle() and server.connections[0].close_code == 1006


def test_a_mute_gateway_does_not_even_answer_pings() -> None:
    with gateway(trouble=Trouble.mute(0.5)) as server:
        with soniox(server, connect={"timeout": 0.3}) as client:
            client.send(*chunks(silence(1)))
            client.socket.ping()
            with pytest.raises(websocket.WebSocketTimeoutException):
                client.receive_all()
            client.send(*chunks(silence(1)), "")
            with pytest.raises(websocket.WebSocketTimeoutException):
                client.receive_all()
        assert server.wait_idle() and server.connections[0].pings == 1


def test_a_frozen_gateway_blocks_the_clients_sends() -> None:
    with gateway(trouble=Trouble.freeze(0.1), message_limit=None) as server:
        with soniox(server, connect={"timeout": 0.5}) as client:
            client.socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            with pytest.raises(websocket.WebSocketTimeoutException):
                client.send(*[silence(1)] * 1000)
        # The client's close is queued behind the audio that it sent. The gateway's stop does not wait for it.
        assert server.connections[0].audio_seconds == 0.1


@pytest.mark.parametrize("trouble", [Trouble.freeze(0.4, 0.3), Trouble.stall(0.4, 0.3)])
def test_a_connection_recovers_from_freeze_and_stall(trouble: Trouble) -> None:
    with gateway(trouble=trouble) as server:
        began = time.monotonic()
        with soniox(server) as client:
            assert text(client.send(silence(0.8), "").receive_all()) == "hello everybody,"
        assert time.monotonic() - began >= 0.3 and server.breaches == []


def test_several_troubles_in_one_connection() -> None:
    troubles = [Trouble.close(0.8, 1001), Trouble.stall(0.2, 0.1)]
    with gateway(trouble=troubles) as server:
        with soniox(server) as client:
            client.send(silence(1)).receive_all()
        assert client.close_code == 1001


# Framing and latency


def test_extra_messages_and_fragments_do_not_change_the_transcript() -> None:
    every = ["fragmented", "pings", "large", "junk", "unknown_type", "array", "binary"]
    with gateway(framing=every) as server, soniox(server) as client:
        # In two steps, because the gateway waits only two seconds for a client to read all messages.
        client.send(*chunks(silence(5)), FINALIZE)
        client.receive_until(lambda frame: isinstance(frame, dict) and "<fin>" in text([frame]))
        client.send("").receive_all()
        assert server.breaches == []
    frames = client.received
    assert b"\x00\x01\x02" in frames and "this is {not JSON" in frames and [{"type": "ready"}] in frames
    assert any(isinstance(frame, dict) and len(frame.get("padding", "")) == 300_000 for frame in frames)
    assert client.pings > 0
    transcript = text([frame for frame in frames if isinstance(frame, dict)])
    assert transcript.replace("<fin>", "") == SCRIPT.text


def test_latency_delays_everything_and_keeps_the_order() -> None:
    with gateway(latency=0.15, jitter=0.05, seed=1) as server:
        began = time.monotonic()
        with reson8(server, enable_partials=False) as client:
            assert time.monotonic() - began >= 0.15
            frames = client.send(silence(0.8), FINALIZE, silence(2.4), FINALIZE, CLOSE).receive_all()
        assert kinds(frames) == ["final_transcript", "flush_confirmation"] * 2
        assert client.close_code == 1000


# Commands from the test


def test_a_test_can_send_close_and_drop() -> None:
    with gateway() as server:
        with soniox(server) as client:
            client.send(silence(0.8))
            client.receive_until(lambda frame: frame["tokens"])
            server.connections[0].send({"tokens": [], "made_up": True})
            client.receive_until(lambda frame: "made_up" in frame)
            server.connections[0].close(1001, "going")
            client.receive_all()
        assert (client.close_code, client.close_reason) == (1001, "going")
        with reson8(server) as client:
            server.connections[1].drop()
            with pytest.raises(LOST):
                client.receive_all()
    server.connections[0].close()
