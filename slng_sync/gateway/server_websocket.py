"""The server side of a WebSocket. The only module that imports ``websockets``."""

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from http import HTTPStatus
from typing import Any, Callable, Tuple, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Request, Response

from .records import Connection
from .upgrade import UpgradeResponse

__all__ = ["ConnectionClosed", "Request", "Response", "Server", "ServerWebSocket", "listen", "response"]

# The library logs each handshake that a client aborts, which tests do all the time.
_LOG = logging.getLogger("slng_sync.gateway.server_websocket")
_LOG.setLevel(logging.CRITICAL)

CLOSE_TIMEOUT = 2.0
MESSAGE_LIMIT = 4 * 1024 * 1024
# Small, so that a client that is faster than the recogniser is slowed down early.
RECEIVE_BUFFER = 64 * 1024


class ServerWebSocket(ServerConnection):
    """A connection that can be dropped, muted and frozen.

    ``arrived`` counts the client's messages, whether they were read or not. ``newest`` is the data of the
    last one.
    """

    record: Connection
    muted = False
    arrived = 0
    transport: Any = None
    newest: "bytes | bytearray | memoryview" = b""

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame):
            if event.opcode in DATA_OPCODES and event.fin:
                self.arrived += 1
                self.newest = event.data
            elif event.opcode is Opcode.PING:
                self.record.pings += 1
        super().process_event(event)

    def send_data(self) -> None:
        if self.muted:
            self.protocol.data_to_send()
        else:
            super().send_data()

    @property
    def ending(self) -> Tuple[int, str]:
        """Return code and reason of the first close frame, or 1006 if it was not answered."""
        sent, received = self.protocol.close_sent, self.protocol.close_rcvd
        if sent is None or received is None:
            return 1006, ""
        first = received if self.protocol.close_rcvd_then_sent else sent
        return first.code, first.reason

    def reset(self) -> None:
        """Reset the TCP connection."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(
                socket.SOL_SOCKET,
                socket.SO_LINGER,
                struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0),
            )
        self.transport.abort()

    async def freeze(self, seconds: float) -> None:
        """Stop reading for this many seconds, or until the peer has closed the connection."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self.transport.pause_reading()
        while loop.time() < deadline and not self.transport.is_closing():
            if _peer_is_gone(self.transport.get_extra_info("socket")):
                self.transport.abort()
            await asyncio.sleep(min(0.1, max(0.0, deadline - loop.time())))
        if not self.transport.is_closing():
            self.transport.resume_reading()


def _peer_is_gone(sock: Any) -> bool:
    """Return True if the peer has closed the connection, without reading from it. Only on Linux."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        established: bool = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1
    except OSError:
        return True
    return not established


def listen(
    handler: Any,
    process_request: Any,
    accepted: Callable[[ServerWebSocket], None],
    host: str,
    port: int,
    tls: Any,
) -> Any:
    """Return an awaitable that gives a listening `Server`. It calls ``accepted`` for each new connection."""

    def create(*args: Any, **options: Any) -> ServerWebSocket:
        websocket = ServerWebSocket(*args, **options)
        accepted(websocket)
        return websocket

    sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return serve(
        handler,
        sock=sock,
        ssl=tls,
        process_request=process_request,
        # The library only calls it, so a function is as good as a class.
        create_connection=cast("type[ServerWebSocket]", create),
        compression=None,
        open_timeout=10,
        close_timeout=CLOSE_TIMEOUT,
        # The gateway sends pings only for the fault framing="pings". The client's pings are under test.
        ping_interval=None,
        max_size=MESSAGE_LIMIT,
        max_queue=16,
        server_header="slng-sync-gateway",
        logger=_LOG,
    )


def response(refusal: UpgradeResponse) -> Response:
    """Return the HTTP response for a refused upgrade."""
    body = refusal.body.encode()
    headers = Headers([*refusal.headers, ("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(refusal.status, _reason(refusal.status), headers, body)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
