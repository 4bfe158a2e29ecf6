"""One WebSocket connection. The only module that knows ``websocket-client``.

The library does the upgrade and the framing; the socket, its waits and its bounds are ours (``transport``),
because the library's own ways to wait, to close and to time out can hang. After ``open_connection`` nothing
here blocks, and every method but ``shut_down`` is called with the session's lock held.
"""

import struct
from typing import Any, List, NamedTuple, Optional, Union

import websocket

from .dialects.base import Frame
from .errors import ConnectError, ProtocolError
from .opening import Opening, open_transport
from .redaction import Redaction
from .route import Route
from .transport import Transport
from .upgrade import HandshakePipe, Refused

if not hasattr(websocket, "WebSocket"):  # pragma: no cover
    raise ImportError('another package named "websocket" hides websocket-client: pip uninstall websocket')

__all__ = ["Closed", "Connection", "Message", "Pong", "Received", "open_connection"]

MESSAGE_LIMIT = 4 << 20
PIECES_LIMIT = 65536
FRAMES_AT_ONCE = 500
"""Frames to read before somebody else gets the lock."""
PONG_BACKLOG_LIMIT = 128 << 10
NO_CLOSE_FRAME = 1006

_ABNF: Any = websocket.ABNF


class Message(NamedTuple):
    """A text message as it came; binary ones carry nothing that is known."""

    payload: bytes
    binary: bool


class Pong(NamedTuple):
    """The answer to a ping."""


class Closed(NamedTuple):
    """The other side has closed: with a close frame, or without one (1006)."""

    code: int
    reason: str


Received = Union[Message, Pong, Closed]


class _Frames(websocket.frame_buffer):
    """The library's reader of frames, with a bound on what a frame may announce."""

    def recv_length(self) -> None:
        super().recv_length()
        if (self.length or 0) > MESSAGE_LIMIT:
            raise ProtocolError(
                f"The server announced a message of {self.length} bytes; {MESSAGE_LIMIT} are allowed."
            )


class Connection:
    """A WebSocket that is open: frames out, messages in, nothing that waits."""

    def __init__(self, transport: Transport, early: bytes, redaction: Redaction) -> None:
        self.transport = transport
        self.redaction = redaction
        self.closing = False
        self._in = bytearray(early)
        self._has_more = bool(early)
        self._frames = _Frames(self._read, True)
        self._broken: Optional[Exception] = None
        self._parts: List[bytes] = []
        self._parts_size = 0
        self._parts_opcode = 0

    @property
    def has_more(self) -> bool:
        """Whether messages may have come that waiting on the socket would not show."""
        return self._has_more or self._broken is not None or self.transport.pending

    def send(self, frame: Frame) -> None:
        """Send a message, or keep what the socket does not take. Raises OSError on a broken connection."""
        self._send(frame.payload, _ABNF.OPCODE_BINARY if frame.binary else _ABNF.OPCODE_TEXT)

    def ping(self) -> None:
        """Ask the other side for a sign of life."""
        self._send(b"", _ABNF.OPCODE_PING)

    def close_frame(self, code: int = 1000) -> None:
        """Tell the other side that we close; once is enough."""
        if not self.closing:
            self.closing = True
            self._send(struct.pack("!H", code), _ABNF.OPCODE_CLOSE)

    def receive(self) -> List[Received]:
        """What has come, some frames at a time. The last one is ``Closed`` where the other side has closed.

        Raises ``ProtocolError`` for frames that break the protocol, OSError on a broken connection; both
        only when all that came before has been handed out.
        """
        if self._broken is not None:
            raise self._broken
        try:
            if not self._has_more:
                self._in += self.transport.receive()
        except OSError as error:
            self._broken = error
        received = self._decode()
        if self._broken is not None and not received:
            raise self._broken
        ended = self.transport.at_end and not self._has_more and self._broken is None
        if ended and not (received and isinstance(received[-1], Closed)):
            received.append(Closed(NO_CLOSE_FRAME, ""))
        return received

    def shut_down(self) -> None:
        """Break the connection, from any thread."""
        self.transport.shut_down()

    def close(self) -> None:
        """Give the socket back."""
        self.transport.close()

    def _send(self, payload: bytes, opcode: int) -> None:
        self.transport.send(_ABNF.create_frame(payload, opcode).format())

    def _read(self, size: int) -> bytes:
        """Bytes for the reader of frames: all it asks for, or none yet."""
        if len(self._in) < size:
            raise BlockingIOError
        data = bytes(self._in[:size])
        del self._in[:size]
        return data

    def _decode(self) -> List[Received]:
        received: List[Received] = []
        self._has_more = False
        try:
            for _ in range(FRAMES_AT_ONCE):
                frame = self._frames.recv_frame()
                received += (
                    self._control(frame) if frame.opcode >= _ABNF.OPCODE_CLOSE else self._assemble(frame)
                )
                if received and isinstance(received[-1], Closed):
                    return received
            self._has_more = True
        except BlockingIOError:
            pass
        except ProtocolError as error:
            self._broken = error
        except (websocket.WebSocketException, ValueError) as error:
            self._broken = ProtocolError(f"The server broke the WebSocket protocol: {error}.")
        return received

    def _control(self, frame: Any) -> List[Received]:
        if len(frame.data) > 125 or not frame.fin:
            raise ProtocolError("The server sent a control frame that is too long or in pieces.")
        if frame.opcode == _ABNF.OPCODE_PING:
            self._pong(frame.data)
            return []
        if frame.opcode == _ABNF.OPCODE_PONG:
            return [Pong()]
        self.close_frame()
        code = struct.unpack("!H", frame.data[:2])[0] if len(frame.data) >= 2 else 1005
        return [Closed(code, self.redaction.text(frame.data[2:].decode("utf-8", "replace")))]

    def _pong(self, payload: bytes) -> None:
        # A peer that floods us with pings and does not read gets no more answers than fit.
        if self.transport.backlog < PONG_BACKLOG_LIMIT and not self.closing:
            self._send(payload, _ABNF.OPCODE_PONG)

    def _assemble(self, frame: Any) -> List[Received]:
        """Put the pieces of a message together, within the bound."""
        begins = frame.opcode != _ABNF.OPCODE_CONT
        if begins == bool(self._parts):
            raise ProtocolError("The server mixed up the pieces of its messages.")
        if begins:
            self._parts_opcode = frame.opcode
            if frame.fin:
                return [self._message([frame.data])]
        self._parts.append(frame.data)
        self._parts_size += len(frame.data)
        if self._parts_size > MESSAGE_LIMIT or len(self._parts) > PIECES_LIMIT:
            raise ProtocolError("The server sent a message in too many pieces, or one that is too long.")
        if not frame.fin:
            return []
        parts, self._parts, self._parts_size = self._parts, [], 0
        return [self._message(parts)]

    def _message(self, parts: List[bytes]) -> Message:
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        return Message(payload, self._parts_opcode == _ABNF.OPCODE_BINARY)


def open_connection(route: Route, path: str, opening: Opening) -> Connection:
    """Connect and upgrade. Raises ``ConnectError`` or a subclass, ``SessionClosed`` where cancelled."""
    transport = open_transport(opening, route.proxy, route.ssl_context if opening.address.secure else None)
    try:
        return _upgrade(route, path, transport, opening)
    except ProtocolError as error:
        transport.close()
        raise ConnectError(error.message, retryable=True) from error
    except OSError as error:
        transport.close()
        raise ConnectError(
            f"The connection to {opening.address} broke while it was opened.", retryable=True
        ) from error
    except BaseException:
        transport.close()
        raise


def _upgrade(route: Route, path: str, transport: Transport, opening: Opening) -> Connection:
    redaction = route.redaction
    pipe = HandshakePipe(transport, opening, {**route.headers, **route.secret_headers}, redaction)
    upgrade: Any = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
    try:
        upgrade.connect(
            route.base_url.rstrip("/") + path, socket=pipe, redirect_limit=0, suppress_origin=True
        )
    except (Refused, websocket.WebSocketException, ValueError):
        if pipe.has_answer:
            raise pipe.refusal() from None
        raise ConnectError(
            f"{opening.address} closed the connection without an answer.",
            hint="Check base_url: is it the address of an SLNG gateway?",
            retryable=True,
        ) from None
    return Connection(transport, pipe.rest, redaction)
