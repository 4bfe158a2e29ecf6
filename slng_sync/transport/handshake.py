"""The upgrade of a connection to a WebSocket, by websocket-client."""

import re
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..errors import ConnectError, ProtocolError, SlngError
from ..waiting import NEVER
from .buffered_socket import BufferedSocket
from .deadline import READABLE, WRITABLE, Deadline
from .endpoint import ServerEndpoint
from .refusal import refusal

if TYPE_CHECKING:
    from .limited_websocket import LimitedWebSocket

__all__ = ["upgrade"]

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 64 << 10
BODY_SECONDS = 2.0
"""Seconds to wait for the body of a refusal. The more important status has arrived by then."""
BODY_SHOWN = 500

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")
_CHUNK_SIZE = re.compile(rb"(?:^|\r\n)[0-9a-fA-F]{1,8}\r\n")


def upgrade(
    endpoint: ServerEndpoint, path: str, buffer: BufferedSocket, deadline: Deadline
) -> "LimitedWebSocket":
    """Return the open WebSocket. Frames that arrived with the answer stay in ``buffer``.

    Raises ``ConnectError``, ``ProtocolError`` if the answer is too long, OSError, and as ``deadline``.
    """
    from .limited_websocket import LimitedWebSocket, WebSocketException

    sock = HandshakeSocket(endpoint, buffer, deadline)
    websocket = LimitedWebSocket(buffer)
    connect: Any = websocket.connect
    url = endpoint.base_url.rstrip("/") + path
    try:
        connect(url, socket=sock, redirect_limit=0, suppress_origin=True)
    except (Refused, WebSocketException, ValueError):
        raise sock.refusal() from None
    # From now on websocket-client reads and writes the buffers only.
    websocket.sock = None
    buffer.feed(sock.rest)
    return websocket


class Refused(Exception):
    """The server has answered with a status other than 101."""


class HandshakeSocket:
    """The socket that websocket-client sees during the upgrade. It waits, up to the deadline.

    It adds the endpoint's headers below websocket-client, whose trace would print them. It removes from the
    answer what websocket-client must not read: secrets that the server repeats, and cookies, which
    websocket-client keeps for the whole process. It refuses every status but 101, redirects included.
    """

    _closed = False

    def __init__(self, endpoint: ServerEndpoint, buffer: BufferedSocket, deadline: Deadline) -> None:
        headers = {**endpoint.headers, **endpoint.secret_headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._redaction = endpoint.redaction
        self._buffer = buffer
        self._deadline = deadline
        self._answer = bytearray()
        self._head = b""
        self._at = 0
        self.rest = b""
        """The bytes after the head: the first frames, or the body of a refusal."""

    # For websocket-client.

    def gettimeout(self) -> float:
        """Return 0, so that websocket-client calls ``recv`` and ``send`` once and does not wait itself."""
        return 0.0

    def settimeout(self, timeout: Optional[float]) -> None:
        """Do nothing: the deadline limits every wait."""

    def fileno(self) -> int:
        """Return the socket's file number."""
        return self._buffer.sock.fileno()

    def send(self, data: bytes) -> int:
        """Send the request, with the endpoint's headers and without cookies."""
        lines = data[:-2].splitlines(keepends=True)
        kept = [line for line in lines if not line.lower().startswith(b"cookie:")]
        self._buffer.send(b"".join(kept) + self._headers.encode("ascii") + b"\r\n")
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return bytes of the answer's head."""
        if not self._head:
            self._read_head()
        data = self._head[self._at : self._at + size]
        self._at += len(data)
        return data

    def shutdown(self, how: int) -> None:
        """Do nothing: the owner of the connection closes the socket."""

    def close(self) -> None:
        """Do nothing: the owner of the connection closes the socket."""

    # For ``upgrade``.

    def refusal(self) -> ConnectError:
        """Return the error for a refusal, with as much of its body as arrives in ``BODY_SECONDS``."""
        address = str(self._deadline.address)
        if not self._answer:
            return ConnectError(
                f"{address} closed the connection without an answer.",
                hint="Check base_url: is it the address of an SLNG gateway?",
                retryable=True,
            )
        match = _STATUS_LINE.match(self._head)
        headers = _parse_headers(self._head)
        body = self._read_body(headers) if match else b""
        text = " ".join(body.decode("utf-8", "replace").split())
        return refusal(
            int(match[1]) if match else None, headers, self._redaction.text(text)[:BODY_SHOWN], address
        )

    def _read_head(self) -> None:
        """Wait for the whole head of the answer. Raises ``Refused`` unless it is a 101."""
        while b"\r\n\r\n" not in self._answer and not self._buffer.at_end:
            if len(self._answer) > HEAD_LIMIT:
                raise ProtocolError("The server's answer to the upgrade is too long.")
            self._answer += self._read()
        head, end, self.rest = bytes(self._answer).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"set-cookie")]
        self._head = self._redaction.text((b"\r\n".join(lines) + end).decode("latin-1")).encode("latin-1")
        match = _STATUS_LINE.match(self._head)
        if not end or not match or match[1] != b"101":
            raise Refused

    def _read_body(self, headers: Dict[str, str]) -> bytes:
        until = time.monotonic() + BODY_SECONDS
        body = bytearray(self.rest)
        try:
            while not _is_whole(body, headers) and len(body) < BODY_LIMIT and not self._buffer.at_end:
                if time.monotonic() >= until:
                    break
                body += self._read(until)
        except (SlngError, OSError):
            # The received part of the body is shown.
            pass
        is_chunked = "chunked" in headers.get("transfer-encoding", "")
        return _CHUNK_SIZE.sub(b"", body) if is_chunked else bytes(body)

    def _read(self, until: float = NEVER) -> bytes:
        """Send the rest of the request, and return received bytes. If there are none, wait once."""
        buffer = self._buffer
        buffer.flush()
        buffer.fill()
        if buffer.is_empty and not buffer.at_end:
            events = READABLE | WRITABLE if buffer.backlog else READABLE
            self._deadline.wait(buffer.sock, events, until=until)
        return buffer.take()


def _is_whole(body: bytearray, headers: Dict[str, str]) -> bool:
    if "chunked" in headers.get("transfer-encoding", ""):
        return body.endswith(b"0\r\n\r\n")
    length = headers.get("content-length", "")
    return bool(re.fullmatch(r"\d{1,9}", length)) and len(body) >= int(length)


def _parse_headers(head: bytes) -> Dict[str, str]:
    lines: List[str] = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
