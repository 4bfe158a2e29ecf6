"""A connection in use, over a socket whose other end is held here."""

import socket
from typing import Iterator, Tuple

import pytest
import websocket

from slng_sync import Soniox
from slng_sync.audio.format import AudioFormat
from slng_sync.errors import ConnectionLost
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts
from slng_sync.redaction import Redaction
from slng_sync.session.line import Heartbeat, Line
from slng_sync.transport.connection import Connection
from slng_sync.transport.frames import PING, TEXT
from slng_sync.transport.transport import Transport


@pytest.fixture
def talk() -> Iterator[Tuple[Line, socket.socket]]:
    """A line that pings every 5 s and waits 2 s for an answer, and the server's end of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    exchange = StreamProtocol(Soniox(), SendQueue(AudioFormat(16000, 1)), Timeouts(), 0.0)
    line = Line(Connection(Transport(ours), b"", Redaction()), exchange, Heartbeat(5.0, 2.0, 0.0))
    yield line, theirs
    line.connection.close()
    theirs.close()


def say(theirs: socket.socket, payload: bytes, opcode: int) -> None:
    theirs.sendall(websocket.ABNF(1, 0, 0, 0, opcode, 0, payload).format())


@pytest.mark.parametrize("opcode", [PING, TEXT])
def test_whatever_comes_after_a_ping_is_a_sign_of_life(talk: Tuple[Line, socket.socket], opcode: int) -> None:
    line, theirs = talk
    line.pump(5.0)
    say(theirs, b"{}", opcode)
    line.take_in(6.9)
    line.check_pulse(7.1)
    line.pump(10.0)
    with pytest.raises(ConnectionLost, match="no sign of life"):
        line.check_pulse(12.1)


def test_a_ping_is_answered_with_what_it_carries(talk: Tuple[Line, socket.socket]) -> None:
    line, theirs = talk
    say(theirs, b"still there?", PING)
    assert line.take_in(1.0) == []
    answer = theirs.recv(100)
    assert answer[:2] == b"\x8a\x8c" and len(answer) == 6 + len(b"still there?")
