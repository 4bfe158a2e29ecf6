"""To a connected transport: TCP, an HTTP proxy where one is to be used, TLS.

Nothing blocks but the look-up of names, on a thread of its own. Every wait has the deadline of the whole
opening and ends at once where it is cancelled.
"""

import errno
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from typing import Any, Callable, List, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from ..errors import ConnectError, SessionClosed
from ..system_limits import hint_at_limit
from .endpoint import Address
from .transport import BLOCKED, Transport, WakeUp, wait

__all__ = ["Opening", "open_transport"]

PROXY_ANSWER_LIMIT = 16384
SEND_BUFFER = 128 << 10
LOOK_UP_SLICE = 0.05
"""Seconds after which it is seen that the session was closed meanwhile."""
CONNECTING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)


class Opening(NamedTuple):
    """The bounds of an attempt to connect."""

    address: Address
    timeout: float
    deadline: float
    wake: WakeUp
    cancelled: Callable[[], bool]

    def wait(self, sock: socket.socket, *, write: bool = False) -> None:
        """Wait for the socket. Raises ``ConnectError`` at the deadline, ``SessionClosed`` where cancelled."""
        self.check()
        wait(sock, self.wake, self.deadline - time.monotonic(), write=write)
        self.check()

    def check(self) -> None:
        """Raise if time is up or nobody wants the connection any more."""
        if self.cancelled():
            raise SessionClosed("The session was closed while it was connecting.")
        if time.monotonic() >= self.deadline:
            raise ConnectError(
                f"{self.address} did not answer within {self.timeout:g} s.",
                hint="Check the network, or give Client a longer connect_timeout.",
                retryable=True,
            )


def open_transport(opening: Opening, proxy: Optional[str], context: Optional[ssl.SSLContext]) -> Transport:
    """Connect, through a proxy and with TLS where these are given. Raises ``ConnectError``."""
    address = opening.address
    try:
        if proxy is None:
            sock = _connect(address.host, address.port, opening)
        else:
            sock = _connect_through(proxy, opening)
        try:
            return Transport(sock if context is None else _secure(sock, context, opening))
        except BaseException:
            sock.close()
            raise
    except ssl.SSLCertVerificationError as error:
        raise ConnectError(
            f"The certificate of {address.host} could not be verified: {error.verify_message}.",
            hint="Check this computer's clock. An authority of your own is given as Client(ca_certs=FILE).",
            retryable=False,
        ) from error
    except OSError as error:
        raise ConnectError(
            f"The connection to {address} could not be opened: {_reason(error)}.",
            hint=hint_at_limit(error) or "Check the network and base_url.",
            retryable=True,
        ) from error


def _connect(host: str, port: int, opening: Opening) -> socket.socket:
    """Try the host's addresses one after the other, each with its share of the time that is left."""
    addresses = _look_up(host, port, opening)
    failed: Optional[OSError] = None
    for index, (family, kind, protocol, _, target) in enumerate(addresses):
        opening.check()
        share = (opening.deadline - time.monotonic()) / (len(addresses) - index)
        try:
            return _connect_to(family, kind, protocol, target, opening, time.monotonic() + share)
        except OSError as error:
            failed = error
    raise failed or OSError("the name has no address")


def _look_up(host: str, port: int, opening: Opening) -> List[Any]:
    """The host's addresses. The system's look-up has no limit and cannot be interrupted: a thread waits."""
    found: List[Any] = []
    failed: List[Exception] = []
    is_done = threading.Event()

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            failed.append(error)
        is_done.set()

    if _is_number(host):
        look_up()
    else:
        # A daemon: it must not hold up the end of the program.
        threading.Thread(target=look_up, name="slng-look-up", daemon=True).start()
    while not is_done.wait(LOOK_UP_SLICE):
        opening.check()
    if failed and isinstance(failed[0], UnicodeError):
        raise OSError("the host's name is no name")
    if failed:
        raise failed[0]
    return found


def _is_number(host: str) -> bool:
    """Whether it is an address already, for which nobody has to be asked."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _connect_to(
    family: int, kind: int, protocol: int, target: Any, opening: Opening, until: float
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        _tune(sock)
        error = sock.connect_ex(target)
        if error not in CONNECTING:
            raise OSError(error, os.strerror(error))
        while True:
            opening.check()
            if time.monotonic() >= until:
                raise OSError("no answer")
            wait(sock, opening.wake, until - time.monotonic(), write=True)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            if _is_connected(sock):
                return sock
    except BaseException:
        sock.close()
        raise


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
        return True
    except OSError:
        return False


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Four seconds of speech: what the network does not take stays in the send queue, where it is counted,
    # and a ping does not stand behind minutes of it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # Where the system can: give up after 10 s on a peer that does not acknowledge what was sent.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)


def _connect_through(proxy: str, opening: Opening) -> socket.socket:
    """A tunnel through an HTTP proxy, by CONNECT [RFC 9110, 9.3.6]."""
    parts = urlsplit(proxy)
    try:
        sock = _connect(parts.hostname or "", parts.port or 80, opening)
    except OSError as error:
        raise ConnectError(
            f"The proxy {parts.hostname}:{parts.port or 80} could not be reached: {_reason(error)}.",
            hint="Check the proxy, or give Client(proxy='') to do without.",
            retryable=True,
        ) from error
    try:
        request = [f"CONNECT {opening.address} HTTP/1.1", f"Host: {opening.address}"]
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            request.append(f"Proxy-Authorization: Basic {b64encode(secret).decode('ascii')}")
        tunnel = Transport(sock)
        tunnel.send("\r\n".join([*request, "", ""]).encode("ascii"))
        status = _proxy_status(tunnel, opening)
        if status != 200:
            raise ConnectError(
                f"The proxy {parts.hostname} did not connect to {opening.address} (status {status}).",
                status=status,
                hint="Check the proxy's address and password." if status == 407 else "Check the proxy.",
                retryable=status is not None and status >= 500,
            )
        return sock
    except BaseException:
        sock.close()
        raise


def _proxy_status(tunnel: Transport, opening: Opening) -> Optional[int]:
    answer = b""
    # Byte by byte: what follows the empty line belongs to the tunnel.
    while b"\r\n\r\n" not in answer and len(answer) < PROXY_ANSWER_LIMIT:
        opening.wait(tunnel.sock)
        tunnel.flush()
        try:
            byte = tunnel.sock.recv(1)
        except BLOCKED:
            continue
        if not byte:
            break
        answer += byte
    match = re.match(rb"HTTP/1\.[01] (\d{3})\s", answer)
    return int(match[1]) if match and b"\r\n\r\n" in answer else None


def _secure(sock: socket.socket, context: ssl.SSLContext, opening: Opening) -> ssl.SSLSocket:
    secured = context.wrap_socket(sock, server_hostname=opening.address.host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                opening.wait(secured)
            except ssl.SSLWantWriteError:
                opening.wait(secured, write=True)
    except BaseException:
        secured.close()
        raise


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host was not found"
    if isinstance(error, ConnectionRefusedError):
        return "it refused"
    return error.strerror or str(error) or type(error).__name__
