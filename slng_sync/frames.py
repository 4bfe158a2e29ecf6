"""WebSocket frames: put together, and taken apart, with a bound on each [RFC 6455, section 5]. No I/O."""

import os
from typing import Iterator, List, NamedTuple, Optional, Tuple

from .errors import ProtocolError

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "FrameReader", "FrameWriter", "Message"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_LIMIT = 4 << 20
PIECES_LIMIT = 65536
CONTROL_LIMIT = 125

_FINAL = 0x80
_MASKED = 0x80
_OPCODES = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}


class FrameWriter:
    """Puts messages into frames as a client has to: masked, each with a key that nobody can foresee."""

    def __init__(self) -> None:
        self._keys = _masking_keys()

    def frame(self, payload: bytes, opcode: int) -> bytes:
        """A whole message as one frame."""
        size = len(payload)
        if size < 126:
            head = bytes((_FINAL | opcode, _MASKED | size))
        elif size < 1 << 16:
            head = bytes((_FINAL | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((_FINAL | opcode, _MASKED | 127)) + size.to_bytes(8, "big")
        key = next(self._keys)
        # As one big number: a loop over bytes would cost a hundred times as much.
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        return head + key + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


class Message(NamedTuple):
    """A message, or a control frame; ``opcode`` is that of its first frame."""

    opcode: int
    payload: bytes


class FrameReader:
    """Takes apart what a server has sent, in whatever pieces it came: they are added to ``heard``."""

    def __init__(self, early: bytes = b"") -> None:
        self.heard = bytearray(early)
        self._parts: List[bytes] = []
        self._parts_size = 0
        self._parts_opcode = 0

    def next_message(self) -> Optional[Message]:
        """The next whole message or control frame, None where more has to come first.

        Raises ``ProtocolError`` for what breaks the protocol, or the bounds.
        """
        while True:
            begin, size = self._header()
            if len(self.heard) < begin + size:
                return None
            first, payload = self.heard[0], bytes(self.heard[begin : begin + size])
            del self.heard[: begin + size]
            opcode, is_last = first & 0x0F, first >= _FINAL
            if opcode >= CLOSE:
                return Message(opcode, payload)
            if is_last and opcode and not self._parts:
                return Message(opcode, payload)
            self._add_piece(payload, opcode)
            if is_last:
                parts, self._parts, self._parts_size = self._parts, [], 0
                return Message(self._parts_opcode, b"".join(parts))

    def _header(self) -> Tuple[int, int]:
        """Where the payload of the next frame begins and its size, as far as they are known by now."""
        heard = self.heard
        if len(heard) < 2:
            return 2, 0
        first, size = heard[0], heard[1]
        if first & 0x70 or first & 0x0F not in _OPCODES:
            raise ProtocolError("The server sent a frame of an unknown kind.")
        if size & _MASKED:
            raise ProtocolError("The server sent a masked frame, as only a client may.")
        if first & 0x08 and (size > CONTROL_LIMIT or first < _FINAL):
            raise ProtocolError("The server sent a control frame that is too long or in pieces.")
        if size <= CONTROL_LIMIT:
            return 2, size
        begin = 4 if size == 126 else 10
        if len(heard) < begin:
            return begin, 0
        size = int.from_bytes(heard[2:begin], "big")
        if size > MESSAGE_LIMIT:
            raise ProtocolError(
                f"The server announced a message of {size} bytes; {MESSAGE_LIMIT} are allowed."
            )
        return begin, size

    def _add_piece(self, payload: bytes, opcode: int) -> None:
        """Keep a piece of a message, within the bound."""
        begins = opcode != CONTINUATION
        if begins == bool(self._parts):
            raise ProtocolError("The server mixed up the pieces of its messages.")
        if begins:
            self._parts_opcode = opcode
        self._parts.append(payload)
        self._parts_size += len(payload)
        if self._parts_size > MESSAGE_LIMIT or len(self._parts) > PIECES_LIMIT:
            raise ProtocolError("The server sent a message in too many pieces, or one that is too long.")


def _masking_keys() -> Iterator[bytes]:
    """Random keys without end; some at a time, as each call of the system hands over the interpreter."""
    while True:
        keys = os.urandom(1024)
        for at in range(0, len(keys), 4):
            yield keys[at : at + 4]
