"""An open connection on a pair of sockets: what goes out, what comes in, however it is cut."""

import os
import select
import socket
import struct
import time
import tracemalloc
from typing import Iterator, List, Tuple

import pytest
import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import BINARY, CLOSE, LONG, PING, PONG, TEXT, frame, frame_head
from websockets.frames import Frame as OtherFrame
from websockets.streams import StreamReader

from slng_sync import ProtocolError
from slng_sync.dialects.base import Message
from slng_sync.redaction import Redaction
from slng_sync.transport.buffered_socket import BufferedSocket
from slng_sync.transport.connection import Closed, Received, WebSocketConnection, WebSocketMessage
from slng_sync.transport.limited_websocket import LimitedWebSocket

CONTINUATION = 0
MEGABYTE = 1 << 20
KEY = "sk-a-secret-key"
ABNORMAL = Closed(1006, "")

payloads = st.one_of(st.binary(max_size=300), st.integers(0, 70000).map(lambda size: b"\x5a" * size))


class Pair:
    """A connection and the server's end of it."""

    def __init__(self, early: bytes = b"") -> None:
        ours, self.server = socket.socketpair()
        ours.setblocking(False)
        buffer = BufferedSocket(ours)
        websocket = LimitedWebSocket(buffer)
        buffer.feed(early)
        self.connection = WebSocketConnection(websocket, buffer, Redaction([KEY]))

    def close(self) -> None:
        self.connection.close()
        self.server.close()

    def receive_all(self) -> List[Received]:
        """Receive until polling shows nothing more."""
        received: List[Received] = []
        while self.connection.has_more or select.select([self.connection.sock], [], [], 0)[0]:
            received += self.connection.receive()
            if received and isinstance(received[-1], Closed):
                break
        return received

    def say(self, data: bytes) -> List[Received]:
        """Send bytes in parts that fit, and return what the connection receives."""
        received: List[Received] = []
        for at in range(0, len(data), 65536):
            self.server.sendall(data[at : at + 65536])
            received += self.receive_all()
        return received

    def read_frames(self) -> List[Tuple[int, bytes]]:
        """Return the frames that the client has sent, read by another implementation."""
        self.server.setblocking(False)
        stream = StreamReader()
        try:
            while True:
                stream.feed_data(self.server.recv(65536))
                self.connection.flush()
        except BlockingIOError:
            pass
        self.server.setblocking(True)
        frames = []
        while stream.buffer:
            steps = OtherFrame.parse(stream.read_exact, mask=True)
            try:
                next(steps)
                raise AssertionError("half a frame")
            except StopIteration as done:
                frames.append((int(done.value.opcode), bytes(done.value.data)))
        return frames


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


class TestSend:
    @settings(deadline=None, max_examples=50)
    @given(said=st.lists(st.tuples(payloads, st.booleans()), max_size=5))
    def test_another_implementation_reads_it(self, said: List[Tuple[bytes, bool]]) -> None:
        pair = Pair()
        for payload, binary in said:
            pair.connection.send(Message(payload, binary))
        pair.connection.flush()
        assert pair.read_frames() == [(BINARY if binary else TEXT, payload) for payload, binary in said]
        pair.close()

    def test_nothing_is_written_before_flush(self, pair: Pair) -> None:
        pair.connection.send(Message(b"one"))
        pair.connection.ping()
        assert pair.connection.backlog > 0
        assert not select.select([pair.server], [], [], 0)[0]
        pair.connection.flush()
        assert pair.connection.backlog == 0
        assert pair.read_frames() == [(TEXT, b"one"), (PING, b"")]

    def test_all_that_gathered_is_one_write(self, pair: Pair) -> None:
        for number in range(20):
            pair.connection.send(Message(bytes([number])))
        pair.connection.flush()
        assert len(pair.server.recv(65536)) == 20 * 7

    def test_a_socket_that_is_full(self, pair: Pair) -> None:
        """What the socket does not take stays in order, cut in the middle of a frame."""
        said = [os.urandom(30_000) for _ in range(100)]
        for each in said[:50]:
            pair.connection.send(Message(each, True))
        pair.connection.flush()
        backlog = pair.connection.backlog
        assert 0 < backlog < 50 * 30_008
        for each in said[50:]:
            pair.connection.send(Message(each, True))
        assert pair.connection.backlog == backlog + 50 * 30_008
        assert pair.read_frames() == [(BINARY, each) for each in said]
        assert pair.connection.backlog == 0

    def test_no_mask_comes_twice(self, pair: Pair) -> None:
        for _ in range(1000):
            pair.connection.ping()
        pair.connection.flush()
        sent = pair.server.recv(65536)
        assert len({sent[at + 2 : at + 6] for at in range(0, len(sent), 6)}) > 990

    def test_a_close_goes_out_once(self, pair: Pair) -> None:
        pair.connection.send_close(1001)
        pair.connection.send_close()
        pair.connection.flush()
        assert pair.say(frame(b"\x03\xe8", CLOSE)) == [Closed(1000, "")]
        pair.connection.flush()
        assert pair.read_frames() == [(CLOSE, struct.pack("!H", 1001))]

    def test_a_broken_connection(self, pair: Pair) -> None:
        """``flush`` raises, each time, and keeps nothing from being received before it."""
        pair.server.sendall(frame(b"last words"))
        pair.server.shutdown(socket.SHUT_RD)
        for _ in range(2):
            pair.connection.send(Message(b"x"))
            with pytest.raises(ConnectionError):
                pair.connection.flush()
        assert pair.connection.receive() == [WebSocketMessage(TEXT, b"last words")]


class TestReceive:
    def test_cut_at_every_byte(self) -> None:
        wire = b"".join(
            [
                frame(b"one"),
                frame(b"", TEXT, fin=False) + frame(b"?" * 125, PING) + frame(b"tw", CONTINUATION, fin=False),
                frame(b"o", CONTINUATION) + frame(b"x" * 300, BINARY) + frame(b"", PONG) + frame(b""),
                frame(struct.pack("!H", 4001) + b"quota", CLOSE),
            ]
        )
        expected = [
            WebSocketMessage(TEXT, b"one"),
            WebSocketMessage(PING, b"?" * 125),
            WebSocketMessage(TEXT, b"two"),
            WebSocketMessage(BINARY, b"x" * 300),
            WebSocketMessage(PONG, b""),
            WebSocketMessage(TEXT, b""),
            Closed(4001, "quota"),
        ]
        for cut in range(len(wire) + 1):
            for early in (False, True):
                pair = Pair(wire[:cut] if early else b"")
                received = pair.receive_all() if early else pair.say(wire[:cut])
                received += pair.say(wire[cut:])
                assert received == expected, (cut, early)
                pair.close()

    def test_byte_by_byte(self, pair: Pair) -> None:
        wire = frame(b"x" * 200) + frame(b"y", TEXT, fin=False) + frame(b"z", CONTINUATION)
        received = [each for byte in wire for each in pair.say(bytes([byte]))]
        assert received == [WebSocketMessage(TEXT, b"x" * 200), WebSocketMessage(TEXT, b"yz")]

    @settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data(), said=st.lists(st.tuples(payloads, st.sampled_from([TEXT, BINARY])), max_size=5))
    def test_cut_anywhere(self, data: st.DataObject, said: List[Tuple[bytes, int]]) -> None:
        wire = b"".join(bytes(websocket.ABNF(1, 0, 0, 0, opcode, 0, each).format()) for each, opcode in said)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
        pair = Pair()
        received: List[Received] = []
        for begin, end in zip([0, *cuts], [*cuts, len(wire)]):
            received += pair.say(wire[begin:end])
        assert received == [WebSocketMessage(opcode, payload) for payload, opcode in said]
        pair.close()

    @settings(deadline=None)
    @given(wire=st.binary(max_size=200))
    def test_any_bytes_are_messages_or_a_protocol_error(self, wire: bytes) -> None:
        pair = Pair()
        try:
            for each in pair.say(wire):
                assert isinstance(each, Closed) or each.opcode in (TEXT, BINARY, PING, PONG)
        except ProtocolError:
            pass
        pair.close()

    def test_a_large_message(self, pair: Pair) -> None:
        payload = os.urandom(4 * MEGABYTE)
        began = time.process_time()
        assert pair.say(frame(payload, BINARY)) == [WebSocketMessage(BINARY, payload)]
        assert time.process_time() - began < 1

    def test_many_fragments(self, pair: Pair) -> None:
        """A message of 60,000 fragments is joined once, not copied for each."""
        wire = frame(b"", TEXT, fin=False) + frame(b"x" * 60, CONTINUATION, fin=False) * 60_000
        began = time.process_time()
        assert pair.say(wire + frame(b"", CONTINUATION)) == [WebSocketMessage(TEXT, b"x" * 3_600_000)]
        assert time.process_time() - began < 5

    def test_one_call_does_a_limited_amount_of_work(self, pair: Pair) -> None:
        """Messages beyond the limit wait, and ``has_more`` says so."""
        for wire, least, most in [(frame(b""), 2, 500), (frame(b"x" * 130), 2, 500)]:
            count = 60_000 // len(wire)
            pair.server.sendall(wire * count)
            sizes = [len(pair.connection.receive())]
            while pair.connection.has_more:
                sizes.append(len(pair.connection.receive()))
            assert sum(sizes) == count
            assert least <= max(sizes) <= most

    def test_fragments_count_as_work(self, pair: Pair) -> None:
        wire = frame(b"", TEXT, fin=False) + frame(b"", CONTINUATION, fin=False) * 20_000
        pair.server.sendall(wire)
        assert pair.connection.receive() == []
        calls = 1
        while pair.connection.has_more:
            assert pair.connection.receive() == []
            calls += 1
        assert calls > 10
        assert pair.say(frame(b"x", CONTINUATION)) == [WebSocketMessage(TEXT, b"x")]

    def test_nothing_has_come(self, pair: Pair) -> None:
        assert pair.connection.receive() == []
        assert not pair.connection.has_more


class TestPing:
    def test_it_is_answered(self, pair: Pair) -> None:
        assert pair.say(frame(b"?", PING)) == [WebSocketMessage(PING, b"?")]
        assert pair.read_frames() == [(PONG, b"?")]

    def test_not_after_a_close(self, pair: Pair) -> None:
        pair.connection.send_close()
        pair.say(frame(b"?", PING))
        pair.connection.flush()
        assert pair.read_frames() == [(CLOSE, struct.pack("!H", 1000))]

    def test_a_server_that_does_not_read_the_answers(self, pair: Pair) -> None:
        tracemalloc.start()
        for _ in range(100):
            pair.say(frame(b"x" * 125, PING) * 500)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pair.connection.backlog < 256 << 10
        assert peak < 4 * MEGABYTE


class TestEnd:
    def test_the_code_and_the_reason(self, pair: Pair) -> None:
        reason = f"no {KEY} here".encode()
        assert pair.say(frame(struct.pack("!H", 4001) + reason, CLOSE)) == [Closed(4001, "no *** here")]
        assert pair.read_frames() == [(CLOSE, struct.pack("!H", 1000))]
        assert pair.connection.receive() == []
        assert not pair.connection.has_more

    def test_without_a_code(self, pair: Pair) -> None:
        assert pair.say(frame(b"", CLOSE)) == [Closed(1005, "")]

    def test_nothing_after_it(self, pair: Pair) -> None:
        assert pair.say(frame(b"\x03\xe8", CLOSE) + frame(b"ghost")) == [Closed(1000, "")]
        assert pair.connection.receive() == []

    @pytest.mark.parametrize("rest", [b"", frame(b"half")[:3]])
    def test_without_a_close_frame(self, rest: bytes, pair: Pair) -> None:
        pair.server.sendall(frame(b"one") + rest)
        pair.server.close()
        assert pair.receive_all() == [WebSocketMessage(TEXT, b"one"), ABNORMAL]
        assert pair.connection.receive() == []

    def test_after_more_messages_than_one_call_returns(self, pair: Pair) -> None:
        pair.server.sendall(frame(b"x") * 2000)
        pair.server.close()
        received = pair.receive_all()
        assert received == [WebSocketMessage(TEXT, b"x")] * 2000 + [ABNORMAL]

    def test_a_reset(self) -> None:
        """What came before a reset is returned; the error, or the end, after it."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        ours.setblocking(False)
        buffer = BufferedSocket(ours)
        connection = WebSocketConnection(LimitedWebSocket(buffer), buffer, Redaction())
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        select.select([ours], [], [], LONG)
        with pytest.raises(ConnectionError):
            connection.receive()
        with pytest.raises(ConnectionError):
            connection.receive()
        connection.close()


BROKEN = {
    "reserved bits": (b"\xc1\x00", 1002),
    "unknown opcode": (b"\x83\x00", 1002),
    "masked": (b"\x81\x80\0\0\0\0", 1002),
    "fragmented ping": (b"\x09\x00", 1002),
    "fragmented close": (b"\x08\x00", 1002),
    "announced long close": (b"\x88\x7e\x00\x7e", 1002),
    "announced long ping": (frame_head(126, PING), 1002),
    "continuation of nothing": (b"\x80\x00", 1002),
    "no last fragment": (frame(b"a", fin=False) + frame(b"b"), 1002),
    "close of one byte": (frame(b"\x03", CLOSE), 1002),
    "close with 1005": (frame(struct.pack("!H", 1005), CLOSE), 1002),
    "4 MiB and 1": (frame_head(4 * MEGABYTE + 1), 1009),
    "1 TiB": (frame_head(1 << 40), 1009),
    "2**64 - 1": (b"\x81\x7f" + b"\xff" * 8, 1009),
    "long fragments": (
        frame(b"x" * MEGABYTE, fin=False) + frame(b"x" * MEGABYTE, CONTINUATION, fin=False) * 4,
        1009,
    ),
    "many fragments": (frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * 65536, 1009),
}


class TestBroken:
    @pytest.mark.parametrize(("wire", "code"), BROKEN.values(), ids=BROKEN)
    def test_it_is_refused_before_it_is_read(self, wire: bytes, code: int, pair: Pair) -> None:
        """The server is told why, and the error comes again with each call."""
        with pytest.raises(ProtocolError) as caught:
            pair.say(wire)
        assert type(caught.value) is ProtocolError
        assert pair.read_frames() == [(CLOSE, struct.pack("!H", code))]
        for _ in range(2):
            with pytest.raises(ProtocolError):
                pair.connection.receive()

    def test_the_size_is_in_the_message(self, pair: Pair) -> None:
        with pytest.raises(ProtocolError, match=str(1 << 40)):
            pair.say(frame_head(1 << 40))

    def test_what_came_before_is_returned_first(self, pair: Pair) -> None:
        pair.server.sendall(frame(b"one") + frame(b"two") + b"\x83\x00" + frame(b"ghost"))
        assert pair.connection.receive() == [WebSocketMessage(TEXT, b"one"), WebSocketMessage(TEXT, b"two")]
        assert pair.connection.has_more
        with pytest.raises(ProtocolError):
            pair.connection.receive()

    def test_a_server_that_is_gone(self, pair: Pair) -> None:
        """The close frame cannot be sent; the error is still that of the protocol."""
        pair.server.sendall(b"\x83\x00")
        pair.server.close()
        with pytest.raises(ProtocolError):
            pair.connection.receive()

    @pytest.mark.parametrize("size", [1000, 65536])
    def test_an_endless_message_takes_bounded_memory(self, size: int, pair: Pair) -> None:
        piece = frame(b"x" * size, CONTINUATION, fin=False)
        tracemalloc.start()
        with pytest.raises(ProtocolError):
            pair.say(frame(b"", fin=False))
            for _ in range(10 * MEGABYTE // size):
                pair.say(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * MEGABYTE


def test_masks_are_read_from_the_system_many_at_a_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the system lets another thread take the interpreter."""
    sizes: List[int] = []
    urandom = os.urandom

    def note(size: int) -> bytes:
        sizes.append(size)
        return urandom(size)

    monkeypatch.setattr(os, "urandom", note)
    for _ in range(100):
        pair.connection.send(Message(b"x"))
    assert len(sizes) <= 3


def test_the_trace_of_websocket_client_shows_nothing(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    websocket.enableTrace(True)
    try:
        pair.connection.send(Message(b"my key"))
        pair.say(frame(b"spoken words") + frame(b"?", PING) + frame(b"\x03\xe8", CLOSE))
    finally:
        websocket.enableTrace(False)
    assert caplog.records == []
