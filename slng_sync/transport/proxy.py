"""A tunnel through an HTTP proxy, by CONNECT (RFC 9110, 9.3.6)."""

import re
import socket
from base64 import b64encode
from typing import Optional
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConnectError
from .buffered_socket import BLOCKED, BufferedSocket
from .deadline import READABLE, WRITABLE, Deadline
from .tcp import connect, reason

__all__ = ["connect_through"]

DEFAULT_PORT = 80
ANSWER_LIMIT = 16384
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})\s")


def connect_through(proxy: str, deadline: Deadline) -> socket.socket:
    """Return a socket that is connected to ``deadline.address`` through a proxy.

    Raises ``ConnectError`` if the proxy cannot be reached or refuses, OSError, and as ``deadline``.
    """
    parts = urlsplit(proxy)
    sock = _reach(parts, deadline)
    try:
        _send(sock, _request(parts, deadline), deadline)
        status = _read_status(sock, deadline)
        if status != 200:
            raise _refusal(parts, status, deadline)
        return sock
    except BaseException:
        sock.close()
        raise


def _reach(parts: SplitResult, deadline: Deadline) -> socket.socket:
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    try:
        return connect(host, port, deadline)
    except OSError as error:
        raise ConnectError(
            f"The proxy {host}:{port} could not be reached: {reason(error)}.",
            hint="Check the proxy, or use Client(proxy='') to connect without one.",
            retryable=True,
        ) from error


def _request(parts: SplitResult, deadline: Deadline) -> bytes:
    lines = [f"CONNECT {deadline.address} HTTP/1.1", f"Host: {deadline.address}"]
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(secret).decode('ascii')}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _send(sock: socket.socket, request: bytes, deadline: Deadline) -> None:
    buffer = BufferedSocket(sock)
    buffer.send(request)
    buffer.flush()
    while buffer.backlog:
        deadline.wait(sock, WRITABLE)
        buffer.flush()


def _read_status(sock: socket.socket, deadline: Deadline) -> Optional[int]:
    """Read the proxy's answer, and return its status. Return None if it is not HTTP."""
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < ANSWER_LIMIT:
        try:
            # One byte at a time: the bytes after the empty line are the server's.
            byte = sock.recv(1)
        except BLOCKED:
            deadline.wait(sock, READABLE)
            continue
        if not byte:
            break
        answer += byte
    match = _STATUS_LINE.match(answer)
    return int(match[1]) if match and b"\r\n\r\n" in answer else None


def _refusal(parts: SplitResult, status: Optional[int], deadline: Deadline) -> ConnectError:
    return ConnectError(
        f"The proxy {parts.hostname} did not connect to {deadline.address} (status {status}).",
        status=status,
        hint="Check the proxy's address and password." if status == 407 else "Check the proxy.",
        retryable=status is not None and status >= 500,
    )
