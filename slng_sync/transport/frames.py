"""WebSocket frames: put together, and taken apart, with a bound on each [RFC 6455, section 5]. No I/O."""

import os
import struct
from typing import Iterator, List, NamedTuple, Tuple, Union

from ..errors import ProtocolError
from .mask import best_mask

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Bytes", "FrameReader", "FrameWriter", "Message"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_LIMIT = 4 << 20
PIECES_LIMIT = 65536
CONTROL_LIMIT = 125
MESSAGES_AT_ONCE = 500
"""Messages to read before somebody else gets the lock."""

Bytes = Union[bytes, bytearray, memoryview]

_FINAL = 0x80
_MASKED = 0x80
_SHORT = struct.Struct("!BB4s").pack
_MEDIUM = struct.Struct("!BBH4s").pack
_LONG = struct.Struct("!BBQ4s").pack
_WHOLE_TEXT = _FINAL | TEXT
_READ_MEDIUM = struct.Struct("!BBH").unpack_from
_OPCODES = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}


class FrameWriter:
    """Puts messages into frames as a client has to: masked, each with a key that nobody can foresee."""

    __slots__ = ("_keys", "_mask")

    def __init__(self) -> None:
        self._keys = _masking_keys()
        self._mask = best_mask()

    def frame(self, payload: bytes, opcode: int) -> bytes:
        """A whole message as one frame."""
        size = len(payload)
        key = next(self._keys)
        if size < 126:
            head = _SHORT(_FINAL | opcode, _MASKED | size, key)
        elif size < 1 << 16:
            head = _MEDIUM(_FINAL | opcode, _MASKED | 126, size, key)
        else:
            head = _LONG(_FINAL | opcode, _MASKED | 127, size, key)
        return head + self._mask(payload, key)


class Message(NamedTuple):
    """A message, or a control frame; ``opcode`` is that of its first frame.

    Its payload may be a part of what was given to read: it stays as it is until that is used again.
    """

    opcode: int
    payload: Bytes


class FrameReader:
    """Takes apart what a server has sent, in whatever pieces it came.

    ``is_behind`` while there may be more to hear without anything that comes.
    """

    __slots__ = ("_parts", "_parts_opcode", "_parts_size", "_rest", "is_behind")

    def __init__(self, early: bytes = b"") -> None:
        self.is_behind = bool(early)
        self._rest = bytearray(early)
        self._parts: List[bytes] = []
        self._parts_size = 0
        self._parts_opcode = 0

    def read(self, data: Bytes = b"") -> List[Message]:
        """The messages and control frames that are whole with this; some at a time, where they are many.

        Raises ``ProtocolError`` for what breaks the protocol, or the bounds; what came before it comes first.
        """
        if self._rest:
            self._rest += data
            heard: Bytes = self._rest
        elif self._is_one_text(data):
            # Without the function in Python that the constructor of a NamedTuple is.
            return [tuple.__new__(Message, (TEXT, data[4:]))]
        else:
            heard = data
        messages: List[Message] = []
        at, size, self.is_behind = 0, len(heard), False
        try:
            while at < size and not self.is_behind:
                begin, end = self._payload_at(heard, at)
                if end > size:
                    break
                first, payload = heard[at], heard[begin:end]
                if first >= _FINAL and (first & 0x08 or (first & 0x0F and not self._parts)):
                    messages.append(Message(first & 0x0F, payload))
                else:
                    messages += self._piece(first, payload)
                at = end
                self.is_behind = at < size and len(messages) >= MESSAGES_AT_ONCE
        except ProtocolError:
            # It stays where it is, to be met again.
            self.is_behind = True
            if not messages:
                raise
        if heard is not data:
            # Cut in place: a long message that comes in many reads is not copied with each of them.
            del self._rest[:at]
        elif at < size:
            self._rest += data[at:]
        return messages

    def _is_one_text(self, data: Bytes) -> bool:
        """Whether this is one text of medium length and nothing else, as nearly all that is read."""
        size = len(data) - 4
        return size > 0 and not self._parts and _READ_MEDIUM(data) == (_WHOLE_TEXT, 126, size)

    @staticmethod
    def _payload_at(heard: Bytes, at: int) -> Tuple[int, int]:
        """Where the payload of the frame at ``at`` begins and ends, as far as that is known by now."""
        if len(heard) < at + 2:
            return at, at + 2
        first, size = heard[at], heard[at + 1]
        if first & 0x70 or first & 0x0F not in _OPCODES:
            raise ProtocolError("The server sent a frame of an unknown kind.")
        if size & _MASKED:
            raise ProtocolError("The server sent a masked frame, as only a client may.")
        if first & 0x08 and (size > CONTROL_LIMIT or first < _FINAL):
            raise ProtocolError("The server sent a control frame that is too long or in pieces.")
        if size <= CONTROL_LIMIT:
            return at + 2, at + 2 + size
        begin = at + (4 if size == 126 else 10)
        if len(heard) < begin:
            return at, begin
        size = int.from_bytes(heard[at + 2 : begin], "big")
        if size > MESSAGE_LIMIT:
            raise ProtocolError(
                f"The server announced a message of {size} bytes; {MESSAGE_LIMIT} are allowed."
            )
        return begin, begin + size

    def _piece(self, first: int, payload: Bytes) -> List[Message]:
        """Keep a piece of a message, within the bound; the message, once it is whole."""
        opcode = first & 0x0F
        begins = opcode != CONTINUATION
        if begins == bool(self._parts):
            raise ProtocolError("The server mixed up the pieces of its messages.")
        if begins:
            self._parts_opcode = opcode
        self._parts.append(bytes(payload))
        self._parts_size += len(payload)
        if self._parts_size > MESSAGE_LIMIT or len(self._parts) > PIECES_LIMIT:
            raise ProtocolError("The server sent a message in too many pieces, or one that is too long.")
        if first < _FINAL:
            return []
        parts, self._parts, self._parts_size = self._parts, [], 0
        return [Message(self._parts_opcode, b"".join(parts))]


def _masking_keys() -> Iterator[bytes]:
    """Random keys without end; some at a time, as each call of the system hands over the interpreter."""
    while True:
        for (key,) in struct.iter_unpack("4s", os.urandom(256)):
            yield key
