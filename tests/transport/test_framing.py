"""Frames as the standard has them: against websocket-client's, and cut anywhere."""

from typing import List, Tuple

import pytest
import websocket
from hypothesis import given
from hypothesis import strategies as st

from slng_sync import ProtocolError
from slng_sync.transport.frames import BINARY, CLOSE, PING, TEXT, FrameReader, FrameWriter, Message

payloads = st.one_of(st.binary(max_size=300), st.integers(0, 70000).map(lambda size: b"\x5a" * size))


def from_server(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """A frame as a server sends it, made by the library."""
    made = websocket.ABNF(int(last), 0, 0, 0, opcode, 0, payload)
    return bytes(made.format())


def read_by_library(data: bytes) -> Tuple[int, bytes]:
    """What the library makes of a frame from a client."""
    rest = bytearray(data)

    def recv(size: int) -> bytes:
        part = bytes(rest[:size])
        del rest[:size]
        return part

    frame = websocket.frame_buffer(recv, True).recv_frame()
    assert frame.mask_value and not rest
    return frame.opcode, frame.data


def messages(reader: FrameReader, data: bytes = b"") -> List[Message]:
    read = reader.read(data)
    while reader.is_behind:
        read += reader.read()
    return read


@given(payload=payloads, opcode=st.sampled_from([TEXT, BINARY]))
def test_the_library_reads_what_is_written(payload: bytes, opcode: int) -> None:
    assert read_by_library(FrameWriter().frame(payload, opcode)) == (opcode, payload)


def test_no_key_comes_twice() -> None:
    writer = FrameWriter()
    keys = [writer.frame(b"", PING)[2:6] for _ in range(1000)]
    assert len(set(keys)) > 990


@given(data=st.data(), said=st.lists(st.tuples(payloads, st.sampled_from([TEXT, BINARY])), max_size=5))
def test_what_the_library_writes_is_read_however_it_is_cut(
    data: st.DataObject, said: List[Tuple[bytes, int]]
) -> None:
    wire = b"".join(from_server(payload, opcode) for payload, opcode in said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    reader = FrameReader()
    read: List[Message] = []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)]):
        read += messages(reader, wire[begin:end])
    assert read == [Message(opcode, payload) for payload, opcode in said]


def test_the_pieces_of_a_message_with_a_ping_in_between() -> None:
    wire = from_server(b"one ", last=False) + from_server(b"?", PING) + from_server(b"two", 0)
    assert messages(FrameReader(wire)) == [Message(PING, b"?"), Message(TEXT, b"one two")]


@pytest.mark.parametrize(
    "wire",
    [
        b"\xc1\x00",
        b"\x83\x00",
        b"\x81\x80\0\0\0\0",
        b"\x09\x00",
        b"\x88\x7e\x00\x7e",
        b"\x80\x00",
        from_server(b"a", last=False) + from_server(b"b"),
        b"\x81\x7f" + (1 << 40).to_bytes(8, "big"),
    ],
    ids=["reserved", "unknown", "masked", "ping in pieces", "long close", "no beginning", "no end", "huge"],
)
def test_what_breaks_the_protocol_is_refused_before_it_is_read(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages(FrameReader(wire))


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_protocol_error(wire: bytes) -> None:
    try:
        for message in messages(FrameReader(wire)):
            assert message.opcode in (TEXT, BINARY, CLOSE, PING, 10)
    except ProtocolError:
        pass
