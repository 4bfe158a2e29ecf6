"""What stands in a trace: every message, its time, and what it is; no key, and audio only where asked for."""

import errno
import io
import json
import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from heard import Heard
from test_reconnect import gateway as place_gateway
from test_reconnect import speak
from test_session import BOTH, SECOND, client_for, gateway

from slng_sync import (
    AudioFormat,
    Client,
    Closed,
    ConfigurationError,
    Dialect,
    Reson8,
    SlngError,
    Soniox,
    State,
    trace,
)
from slng_sync.dialects.base import Frame
from slng_sync.gateway import Faults, Script, Trouble
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts
from slng_sync.redaction import Redaction
from slng_sync.storage.trace_writer import TraceWriter

KEY = "sk/never-to-be-seen-1234"
NOISE = bytes(range(256)) * 250


def lines_of(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def of(lines: List[Dict[str, Any]], what: str) -> List[Dict[str, Any]]:
    return [line for line in lines if line.get("is") == what]


@BOTH
def test_each_line_says_what_it_is(dialect: Dialect, tmp_path: Path) -> None:
    """Of two seconds of speech, a finalize and an end, in the order in which they went out."""
    path = tmp_path / "talk.jsonl"
    with gateway() as server, client_for(server.url, dialect, Heard()).listen(trace=path) as session:
        session.send(SECOND[:16000])
        session.send(SECOND)
        session.finalize()
        session.send(SECOND)
    lines = lines_of(path)
    opening, start = lines[:2]
    assert (opening["dir"], opening["kind"], opening["at"]) == ("session", "open", 0.0)
    assert opening["data"].pop("time").endswith("Z")
    assert opening["data"] == {
        "version": 1,
        "model": dialect.model,
        "sample_rate": 16000,
        "channels": 1,
    }
    assert start["is"] == "start" and "16000" in start["data"]
    assert [line["at"] for line in of(lines, "finalize")] == [1.5, 2.5]
    (end,) = of(lines, "end")
    assert end["at"] == 2.5
    audio = of(lines, "audio")
    at = 0.0
    for line in audio:
        assert line["at"] == pytest.approx(at)
        at += line["seconds"]
    assert at == pytest.approx(2.5)
    times = [line["t_ms"] for line in lines]
    assert times == sorted(times)
    assert lines[-1]["data"] == {"complete": True, "drained": True}


@BOTH
def test_audio_is_left_out_unless_asked_for(dialect: Dialect, tmp_path: Path) -> None:
    """By default there is none of it, only its length; with ``trace_audio`` there is all of it."""
    without, with_audio = tmp_path / "without.jsonl", tmp_path / "with.jsonl"
    for path in (without, with_audio):
        with gateway() as server:
            client = client_for(server.url, dialect, Heard())
            with client.listen(trace=path, trace_audio=path is with_audio) as session:
                session.send(NOISE)
    heard = b"".join(_pcm(line["data"]) for line in of(lines_of(with_audio), "audio"))
    assert heard == NOISE
    audio = of(lines_of(without), "audio")
    assert sum(line["seconds"] for line in audio) == pytest.approx(2.0)
    sizes = [re.fullmatch(r"@audio\((\d+) bytes\)", line["data"]) for line in audio]
    assert sum(int(size[1]) for size in sizes if size) == len(NOISE)
    # In base64 it may begin at any of three places.
    pieces = [b64encode(NOISE[begin : begin + 60]).decode()[:-4] for begin in range(3)]
    assert any(piece in with_audio.read_text() for piece in pieces)
    assert not any(piece in without.read_text() for piece in pieces)


def _pcm(data: str) -> bytes:
    encoded = data[5:-1] if data.startswith("@b64(") else json.loads(data)["data"]
    return b64decode(encoded, validate=True)


def test_silence_that_stands_in_for_a_keepalive_has_no_place(tmp_path: Path) -> None:
    """It takes no time of the session: there is no ``at``, and the audio after it begins at 0."""
    path = tmp_path / "talk.jsonl"
    trace = TraceWriter(path, pytest.fail)
    queue = SendQueue(AudioFormat())
    exchange = StreamProtocol(Soniox(), queue, Timeouts(), 0.0)
    trace.opened(exchange, Redaction())
    for now in (0.0, 6.0, 12.0):
        send(trace, exchange.next_frame(now))
    queue.put(SECOND[:3200])
    send(trace, exchange.next_frame(13.0))
    send(trace, exchange.pass_on(SECOND[:1600], 14.0))
    trace.end(complete=False, drained=False)
    told = [(line["is"], line.get("at"), line.get("seconds")) for line in lines_of(path)[1:-1]]
    assert told == [
        ("start", None, None),
        ("audio", None, 0.1),
        ("keepalive", None, None),
        ("audio", 0.0, 0.1),
        ("audio", 0.1, 0.05),
    ]


def send(trace: TraceWriter, frame: Optional[Frame]) -> None:
    assert frame is not None
    trace.sent(frame)


@BOTH
def test_a_lost_connection_is_told_with_its_reason(dialect: Dialect, tmp_path: Path) -> None:
    """And where the next one goes on."""
    path, script = tmp_path / "talk.jsonl", Script.numbered(12, utterance=3)
    with place_gateway(script, [Faults(trouble=Trouble.close(3.3, 1011, "upstream")), Faults()]) as server:
        with client_for(server.url, dialect, Heard()).listen(trace=path) as session:
            speak(session, script, 7.0)
    lines = lines_of(path)
    kinds = [line["kind"] for line in lines if line["dir"] == "session"]
    assert kinds == ["open", "lost", "open", "end"]
    (lost,) = (line for line in lines if line["kind"] == "lost")
    assert "1011: upstream" in lost["data"]["reason"]
    again = lines[lines.index(lost) + 1 :]
    assert again[0]["at"] == lost["at"] == of(again, "audio")[0]["at"] <= 3.3


@pytest.mark.parametrize("audio", [False, True])
@BOTH
def test_the_key_is_never_in_it(dialect: Dialect, audio: bool, tmp_path: Path) -> None:
    """Not from the headers, and not where a server repeats it, however it is written there."""
    path = tmp_path / "talk.jsonl"
    trouble = Trouble.error(1.0, 401 if isinstance(dialect, Soniox) else "auth_error", f"{KEY} is refused")
    with gateway(faults=Faults(trouble=trouble)) as server:
        client = Client(dialect, api_key=KEY, base_url=server.url, on_error=lambda error: None)
        with client.listen(trace=path, trace_audio=audio) as session:
            session.send(SECOND * 2)
            session.wait(10)
    assert "*** is refused" in path.read_text()
    assert_no_key(path)


def assert_no_key(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "never-to-be-seen" not in text
    assert "never-to-be-seen" not in json.dumps([_decoded(line["data"]) for line in lines_of(path)])


def _decoded(data: Any) -> Any:
    if isinstance(data, str) and data.startswith("@b64("):
        return b64decode(data[5:-1]).decode("latin-1")
    try:
        return json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):
        return data


ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
SAID = [
    (f'{{"type":"x","message":"{KEY}"}}', False),
    (f'{{"type":"x","message":"{ESCAPED}"}}', False),
    (f'{{"{ESCAPED}":["{ESCAPED}"]}}', False),
    (f"no JSON: {KEY}", False),
    ('{"a":' + "[" * 5000 + f'"{ESCAPED}"' + "]" * 5000 + "}", False),
    (KEY, True),
]


@pytest.mark.parametrize(("said", "binary"), SAID)
def test_the_key_is_hidden_in_whatever_a_server_says(said: str, binary: bool, tmp_path: Path) -> None:
    trace = opened(tmp_path / "talk.jsonl")
    trace.received(said.encode(), binary)
    trace.closed(1008, "bye")
    trace.end(complete=False, drained=False)
    assert_no_key(tmp_path / "talk.jsonl")
    assert len(lines_of(tmp_path / "talk.jsonl")) == 4


def opened(path: Path) -> TraceWriter:
    """A trace with a connection of Reson8's."""
    trace = TraceWriter(path, pytest.fail)
    exchange = StreamProtocol(Reson8(), SendQueue(AudioFormat()), Timeouts(), 0.0)
    trace.opened(exchange, Redaction([KEY]))
    return trace


def test_what_utf8_cannot_carry_is_replaced(tmp_path: Path) -> None:
    """Half a surrogate pair in a reason, broken UTF-8 in a text; a line stays one line."""
    path = tmp_path / "talk.jsonl"
    trace = opened(path)
    trace.received(b"\xff\n\r\xe2\x80\xa8", False)
    trace.closed(1000, "\ud800")
    trace.sent(Frame(b"", True))
    trace.end(complete=False, drained=False)
    assert [json.loads(line)["data"] for line in path.read_bytes().split(b"\n")[1:4]] == [
        "\ufffd\n\r\u2028",
        {"code": 1000, "reason": "?"},
        "@empty",
    ]


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    trace = opened(tmp_path / "talk.jsonl")
    for count in range(1, 5):
        assert len(lines_of(tmp_path / "talk.jsonl")) == count
        trace.received(b"{}", False)
    trace.end(complete=False, drained=False)
    trace.received(b"{}", False)
    assert len(lines_of(tmp_path / "talk.jsonl")) == 6


def test_a_flag_that_is_none_is_refused() -> None:
    flag: Any = "yes"
    with pytest.raises(ConfigurationError, match="trace_audio"):
        client_for("ws://127.0.0.1:9", Soniox(), Heard()).listen(trace="x", trace_audio=flag)


def test_errors_of_the_file_are_the_librarys(tmp_path: Path) -> None:
    with pytest.raises(SlngError, match="trace"):
        TraceWriter(tmp_path / "missing" / "talk.jsonl", pytest.fail)


def test_a_disk_that_fails_when_the_file_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network's does, which only then says that there was no room. The session ends in order."""

    class Late(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(trace, "open_new", lambda option, path: Late(path, "w"))
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, Soniox(), heard).listen(trace=tmp_path / "talk.jsonl")
        session.send(SECOND * 3)
        assert session.close() is True
    assert session.state is State.CLOSED
    (told,) = heard.errors
    assert "Disk quota exceeded" in str(told)
    assert heard.items[-1] == Closed(complete=True)
