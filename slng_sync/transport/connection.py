"""One open WebSocket.

Only ``slng-io`` calls a connection. Nothing in it blocks: ``receive`` returns received messages, ``send``
fills a buffer, and ``flush`` writes as much of that as the socket takes.
"""

import socket
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Union

from ..dialects.base import Message
from ..errors import ProtocolError
from ..redaction import Redaction
from .buffered_socket import BufferedSocket

if TYPE_CHECKING:
    from .limited_websocket import LimitedWebSocket

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "Closed",
    "Received",
    "WebSocketConnection",
    "WebSocketMessage",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MESSAGES_AT_ONCE = 500
"""Messages to decode before other connections get their turn."""
NORMAL, PROTOCOL_ERROR, NO_CODE, NO_CLOSE_FRAME = 1000, 1002, 1005, 1006


class WebSocketMessage(NamedTuple):
    """A message, or a control frame, from the server."""

    opcode: int
    payload: bytes


class Closed(NamedTuple):
    """The server closed the connection: with a close frame, or without one (code 1006)."""

    code: int
    reason: str


Received = Union[WebSocketMessage, Closed]


class WebSocketConnection:
    """A WebSocket that is open. Made by ``ConnectAttempt``."""

    __slots__ = """
        _buffer _error _is_behind _is_closed _websocket has_more redaction sock
    """.split()

    def __init__(self, websocket: "LimitedWebSocket", buffer: BufferedSocket, redaction: Redaction) -> None:
        self.sock: socket.socket = buffer.sock
        """The socket, for a selector."""
        self.redaction = redaction
        """Hides the key in what the server sends."""
        self.has_more = not buffer.is_empty or buffer.has_pending
        """Whether ``receive`` may return more although polling the socket does not show it."""
        self._buffer = buffer
        self._websocket = websocket
        self._error: Optional[Exception] = None
        self._is_behind = not buffer.is_empty
        self._is_closed = False

    @property
    def backlog(self) -> int:
        """Bytes that the socket has not taken yet. More than 0 after ``flush``: wait until it is writable."""
        return self._buffer.backlog

    def send(self, message: Message) -> None:
        """Put a message into the buffer. ``flush`` writes it."""
        self._websocket.send(message.payload, BINARY if message.binary else TEXT)

    def ping(self) -> None:
        """Put a ping into the buffer. ``flush`` writes it."""
        self._websocket.ping()

    def send_close(self, code: int = NORMAL) -> None:
        """Put a close frame into the buffer, if there was none yet. ``flush`` writes it."""
        self._websocket.send_close(code)

    def flush(self) -> None:
        """Write as much of the buffer as the socket takes. Raises OSError on a broken connection."""
        self._buffer.flush()

    def receive(self) -> List[Received]:
        """Return received messages, pings and pongs, and ``Closed`` at the end. Pings are answered.

        One call does a limited amount of work. If ``has_more`` is True, call again at once. Raises
        ``ProtocolError`` for frames that break the protocol and OSError on a broken connection, both after
        the messages before the error were returned.
        """
        received: List[Received] = []
        if self._is_closed:
            return received
        backlog = self._buffer.backlog
        if not self._is_behind and self._error is None:
            self._read()
        self._decode(received)
        if not backlog:
            self._flush_answers()
        if self._error is not None and not received and not self._is_behind:
            raise self._error
        self._note_end(received)
        return received

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _read(self) -> None:
        try:
            self._buffer.fill()
        except OSError as error:
            self._error = error

    def _decode(self, received: List[Received]) -> None:
        """Append what the buffer holds, up to a close frame, an error, or the limit of one call."""
        buffer, receive = self._buffer, self._websocket.recv_data
        buffer.begin_reading()
        try:
            while not buffer.is_empty and len(received) < MESSAGES_AT_ONCE:
                opcode, payload = receive()
                if opcode == CLOSE:
                    received.append(self._closed(payload))
                    return
                received.append(WebSocketMessage(opcode, payload))
            self._is_behind = not buffer.is_empty
        except BlockingIOError:
            self._is_behind = buffer.is_behind
        except self._websocket.error as error:
            self._fail(error)

    def _closed(self, payload: bytes) -> Closed:
        self._is_closed = True
        code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
        return Closed(code, self.redaction.text(payload[2:].decode("utf-8", "replace")))

    def _fail(self, error: Exception) -> None:
        """Keep the error for ``receive``, drop later data, and send the server a close frame."""
        from .limited_websocket import RefusedFrame

        code = PROTOCOL_ERROR
        if isinstance(error, RefusedFrame):
            self._error, code = ProtocolError(str(error)), error.close_code
        else:
            self._error = ProtocolError(f"The server broke the WebSocket protocol: {error}.")
        self._is_behind = False
        self._buffer.take()
        self._websocket.send_close(code)

    def _note_end(self, received: List[Received]) -> None:
        """Append the end of a connection without a close frame, and note whether there is more."""
        buffer = self._buffer
        pending = self._is_behind or self._error is not None
        if buffer.at_end and not pending and not self._is_closed:
            self._is_closed = True
            received.append(Closed(NO_CLOSE_FRAME, ""))
        self.has_more = not self._is_closed and (pending or buffer.has_pending)

    def _flush_answers(self) -> None:
        try:
            self._buffer.flush()
        except OSError:
            # The next ``flush`` raises the error. Earlier messages of the server come first.
            pass
