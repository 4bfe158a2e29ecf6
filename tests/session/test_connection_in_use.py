"""A connection in use, over a socket pair. The test holds the other end."""

import socket
from typing import Iterator, Tuple

import pytest
import websocket

from slng_sync import Soniox
from slng_sync.audio.format import AudioFormat
from slng_sync.errors import ConnectionLost
from slng_sync.protocol.heartbeat import Heartbeat
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts
from slng_sync.redaction import Redaction
from slng_sync.session.connection import Connection
from slng_sync.transport.buffered_socket import BufferedSocket
from slng_sync.transport.connection import PING, TEXT, WebSocketConnection
from slng_sync.transport.limited_websocket import LimitedWebSocket

Ends = Tuple[Connection, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Return a connection that pings every 5 s with a timeout of 2 s, and the server's socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    buffer = BufferedSocket(ours)
    queue = SendQueue(AudioFormat(16000, 1))
    protocol = StreamProtocol(Soniox(), queue, Timeouts(), 0.0)
    websocket_connection = WebSocketConnection(LimitedWebSocket(buffer), buffer, Redaction())
    connection = Connection(websocket_connection, protocol, Heartbeat(5.0, 2.0, 0.0))
    yield connection, theirs
    websocket_connection.close()
    theirs.close()


def say(theirs: socket.socket, payload: bytes, opcode: int) -> None:
    theirs.sendall(websocket.ABNF(1, 0, 0, 0, opcode, 0, payload).format())


@pytest.mark.parametrize("opcode", [PING, TEXT])
def test_whatever_comes_after_a_ping_is_a_sign_of_life(ends: Ends, opcode: int) -> None:
    connection, theirs = ends
    connection.flush(5.0)
    say(theirs, b"{}", opcode)
    connection.receive(6.9)
    connection.check_alive(7.1)
    connection.flush(10.0)
    with pytest.raises(ConnectionLost, match="no sign of life"):
        connection.check_alive(12.1)


def test_a_ping_is_answered_with_what_it_carries(ends: Ends) -> None:
    connection, theirs = ends
    say(theirs, b"still there?", PING)
    assert connection.receive(1.0) == []
    answer = theirs.recv(100)
    assert answer[:2] == b"\x8a\x8c" and len(answer) == 6 + len(b"still there?")
