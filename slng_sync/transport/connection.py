"""One WebSocket connection. The only module that knows ``websocket-client``.

The library does the upgrade; frames (``frames``), the socket, its waits and its bounds (``transport``) are
ours, because the library's own ways to wait, to close and to time out can hang. After ``open_connection``
nothing here blocks, and every method but ``shut_down`` is called with the session's lock held.
"""

import struct
from typing import Any, List, NamedTuple, Optional, Union

from ..dialects.base import Frame
from ..errors import ConfigurationError, ConnectError, ProtocolError
from ..redaction import Redaction
from .connecting import Opening, open_transport
from .endpoint import ServerEndpoint
from .frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, FrameWriter, Message
from .handshake import HandshakePipe, Refused
from .transport import Transport

__all__ = ["Closed", "Connection", "Received", "open_connection"]

PONG_BACKLOG_LIMIT = 128 << 10
NO_CODE = 1005
NO_CLOSE_FRAME = 1006


class Closed(NamedTuple):
    """The other side has closed: with a close frame, or without one (1006)."""

    code: int
    reason: str


Received = Union[Message, Closed]


class Connection:
    """A WebSocket that is open: frames out, messages in, nothing that waits."""

    __slots__ = ("_broken", "_reader", "_writer", "closing", "has_more", "redaction", "transport")

    def __init__(self, transport: Transport, early: bytes, redaction: Redaction) -> None:
        self.transport = transport
        self.redaction = redaction
        self.closing = False
        self.has_more = bool(early)
        """Whether messages may have come that waiting on the socket would not show."""
        self._reader = FrameReader(early)
        self._writer = FrameWriter()
        self._broken: Optional[Exception] = None

    def send(self, frame: Frame) -> None:
        """Send a message, or keep what the socket does not take. Raises OSError on a broken connection."""
        self.transport.send(self._writer.frame(frame.payload, BINARY if frame.binary else TEXT))

    def ping(self) -> None:
        """Ask the other side for a sign of life."""
        self.transport.send(self._writer.frame(b"", PING))

    def close_frame(self, code: int = 1000) -> None:
        """Tell the other side that we close; once is enough."""
        if not self.closing:
            self.closing = True
            self.transport.send(self._writer.frame(struct.pack("!H", code), CLOSE))

    def receive(self) -> List[Received]:
        """What has come, some messages at a time, pings and pongs among them; a ping is answered.

        They stay as they are until the next call; the last one is ``Closed`` where the other side has closed.
        Raises ``ProtocolError`` for frames that break the protocol, OSError on a broken connection; both only
        when all that came before has been handed out.
        """
        if self._broken is not None:
            raise self._broken
        reader, transport = self._reader, self.transport
        received: List[Received] = []
        try:
            messages = reader.read(b"" if reader.is_behind else transport.receive())
            self.has_more = reader.is_behind or transport.has_more
            for message in messages:
                if message.opcode == CLOSE:
                    received.append(self._closed(bytes(message.payload)))
                    return received
                received.append(message)
                if message.opcode == PING:
                    self._pong(bytes(message.payload))
        except (ProtocolError, OSError) as error:
            self._broken = error
            self.has_more = True
            if not received:
                raise
        if transport.at_end and not self.has_more:
            received.append(Closed(NO_CLOSE_FRAME, ""))
        return received

    def shut_down(self) -> None:
        """Break the connection, from any thread."""
        self.transport.shut_down()

    def close(self) -> None:
        """Give the socket back."""
        self.transport.close()

    def _pong(self, payload: bytes) -> None:
        # A peer that floods us with pings and does not read gets no more answers than fit.
        if self.transport.backlog < PONG_BACKLOG_LIMIT and not self.closing:
            self.transport.send(self._writer.frame(payload, PONG))

    def _closed(self, payload: bytes) -> Closed:
        self.close_frame()
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NO_CODE
        return Closed(code, self.redaction.text(payload[2:].decode("utf-8", "replace")))


def open_connection(route: ServerEndpoint, path: str, opening: Opening) -> Connection:
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


def _upgrade(route: ServerEndpoint, path: str, transport: Transport, opening: Opening) -> Connection:
    redaction, websocket = route.redaction, _library()
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


def _library() -> Any:
    """websocket-client, at the first connection: loading it takes as long as loading this package."""
    import websocket

    if not hasattr(websocket, "WebSocket"):
        raise ConfigurationError(
            'Another package named "websocket" hides websocket-client.',
            hint="pip uninstall websocket; pip install --force-reinstall websocket-client",
        )
    return websocket
