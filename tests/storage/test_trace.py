"""The contents of a trace: every message with its time and kind, no key, and audio only on request."""

import errno
import io
import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from disks import PATIENCE, HungDisk, finish, mode, problems, written

from slng_sync import AudioFormat, ConfigurationError, Reson8, Soniox
from slng_sync.dialects.base import Message
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts
from slng_sync.redaction import Redaction
from slng_sync.storage import trace_writer
from slng_sync.storage.trace_writer import TraceWriter
from slng_sync.storage.writer import FileWriter

KEY = "sk/never-to-be-seen-1234"
SECOND = bytes(32000)


def lines_of(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_silence_that_stands_in_for_a_keepalive_has_no_place(writer: FileWriter, tmp_path: Path) -> None:
    """It does not advance the clock: there is no ``at``, and the next audio begins at 0."""
    path = tmp_path / "talk.jsonl"
    trace = TraceWriter(path, writer)
    queue = SendQueue(AudioFormat())
    protocol = StreamProtocol(Soniox(), queue, Timeouts(), 0.0)
    trace.opened(protocol, Redaction())
    for now in (0.0, 6.0, 12.0):
        send(trace, protocol.next_message(now))
    queue.put(SECOND[:3200])
    send(trace, protocol.next_message(13.0))
    queue.put(SECOND[:1600])
    send(trace, protocol.next_message(14.0))
    trace.end(complete=False, drained=False)
    written(writer)
    told = [(line["is"], line.get("at"), line.get("seconds")) for line in lines_of(path)[1:-1]]
    assert told == [
        ("start", None, None),
        ("audio", None, 0.1),
        ("keepalive", None, None),
        ("audio", 0.0, 0.1),
        ("audio", 0.1, 0.05),
    ]


def send(trace: TraceWriter, frame: Optional[Message]) -> None:
    assert frame is not None
    trace.sent(frame)


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
def test_the_key_is_hidden_in_whatever_a_server_says(
    said: str, binary: bool, writer: FileWriter, tmp_path: Path
) -> None:
    trace = opened(tmp_path / "talk.jsonl", writer)
    trace.received(said.encode(), binary)
    trace.closed(1008, "bye")
    trace.end(complete=False, drained=False)
    written(writer)
    assert_no_key(tmp_path / "talk.jsonl")
    assert len(lines_of(tmp_path / "talk.jsonl")) == 4


def opened(path: Path, writer: FileWriter) -> TraceWriter:
    """Return a trace with an open Reson8 connection."""
    trace = TraceWriter(path, writer)
    protocol = StreamProtocol(Reson8(), SendQueue(AudioFormat()), Timeouts(), 0.0)
    trace.opened(protocol, Redaction([KEY]))
    return trace


def test_what_utf8_cannot_carry_is_replaced(writer: FileWriter, tmp_path: Path) -> None:
    """Half a surrogate pair in a reason and invalid UTF-8 in a text. Each line stays one line."""
    path = tmp_path / "talk.jsonl"
    trace = opened(path, writer)
    trace.received(b"\xff\n\r\xe2\x80\xa8", False)
    trace.closed(1000, "\ud800")
    trace.sent(Message(b"", True))
    trace.end(complete=False, drained=False)
    written(writer)
    assert [json.loads(line)["data"] for line in path.read_bytes().split(b"\n")[1:4]] == [
        "\ufffd\n\r\u2028",
        {"code": 1000, "reason": "?"},
        "@empty",
    ]


def test_every_line_is_on_disk_at_once(writer: FileWriter, tmp_path: Path) -> None:
    trace = opened(tmp_path / "talk.jsonl", writer)
    for count in range(1, 5):
        written(writer)
        assert len(lines_of(tmp_path / "talk.jsonl")) == count
        trace.received(b"{}", False)
    trace.end(complete=False, drained=False)
    written(writer)
    trace.received(b"{}", False)
    assert len(lines_of(tmp_path / "talk.jsonl")) == 6


def test_a_file_that_cannot_be_written_is_refused(writer: FileWriter, tmp_path: Path) -> None:
    not_a_path: Any = 7
    for path in (tmp_path / "missing" / "talk.jsonl", not_a_path):
        with pytest.raises(ConfigurationError, match=r"^trace"):
            TraceWriter(path, writer)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_spoken_words_are_for_their_owner_only(writer: FileWriter, tmp_path: Path) -> None:
    opened(tmp_path / "talk.jsonl", writer)
    assert mode(tmp_path / "talk.jsonl") == 0o600


def test_a_hung_disk_blocks_no_caller(disk: HungDisk, writer: FileWriter, tmp_path: Path) -> None:
    """Lines are formatted at once and written when the disk responds."""
    trace = opened(tmp_path / "talk.jsonl", writer)
    written(writer)
    disk.hang()
    for number in range(100):
        trace.received(b"%d" % number, False)
    trace.end(complete=False, drained=False)
    assert disk.hangs.wait(PATIENCE)
    disk.answer()
    finish(writer)
    lines = lines_of(tmp_path / "talk.jsonl")
    assert [line["data"] for line in lines[1:-1]] == [str(number) for number in range(100)]
    assert problems(writer) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="uses what Linux has")
def test_a_full_disk_is_reported_once(writer: FileWriter) -> None:
    """No exception is raised, then or later."""
    trace = opened(Path("/dev/full"), writer)
    for _ in range(3):
        trace.received(b"{}", False)
    trace.end(complete=True, drained=True)
    written(writer)
    (problem,) = problems(writer)
    assert problem.startswith("trace: writing to '/dev/full' stopped (No space left on device)")


def test_a_disk_that_fails_when_the_file_is_closed_is_reported(
    writer: FileWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network drive, which reports only then that it is full."""

    class Late(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(trace_writer, "open_to_replace", lambda path: Late(path, "w"))
    trace = opened(tmp_path / "talk.jsonl", writer)
    trace.end(complete=True, drained=True)
    finish(writer)
    (problem,) = problems(writer)
    assert "Disk quota exceeded" in problem
