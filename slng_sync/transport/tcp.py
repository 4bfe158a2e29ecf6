"""TCP connections: looking up a host, and connecting to the first of its addresses that answers."""

import errno
import os
import socket
import time
from collections import deque
from itertools import zip_longest
from typing import Any, Deque, List, NamedTuple, Optional

from ..waiting import NEVER
from .deadline import WRITABLE, Deadline

__all__ = ["connect", "reason"]

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried while the last one has not answered (RFC 8305, 5)."""
SEND_BUFFER = 128 << 10
UNACKNOWLEDGED_MS = 10_000
_CONNECTING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)


class Target(NamedTuple):
    """One address of a host, as ``getaddrinfo`` returns it."""

    family: int
    kind: int
    protocol: int
    name: str
    address: Any


def connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Return a non-blocking socket that is connected to the host. Raises OSError, and as ``deadline``."""
    deadline.check()
    return Race(look_up(host, port), deadline).run()


def look_up(host: str, port: int) -> List[Target]:
    """Return the addresses of a host, IPv6 and IPv4 in turn (RFC 8305, 4).

    ``getaddrinfo`` has no time limit and cannot be interrupted. Raises OSError.
    """
    try:
        found = [Target(*each) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError:
        raise OSError("the host name is not valid") from None
    first = [each for each in found if each.family == found[0].family]
    others = [each for each in found if each.family != found[0].family]
    return [each for pair in zip_longest(first, others) for each in pair if each is not None]


def reason(error: OSError) -> str:
    """Return the reason for a failed connection as text."""
    if isinstance(error, socket.gaierror):
        return "the host was not found"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__


class Race:
    """Connections to several addresses of one host. The first one that is made is used (RFC 8305).

    The next address is tried when the last one has failed, or has not answered for a while.
    """

    def __init__(self, targets: List[Target], deadline: Deadline) -> None:
        self._targets: Deque[Target] = deque(targets)
        self._deadline = deadline
        self._connecting: List[socket.socket] = []
        self._next_at = 0.0
        self._error: Optional[OSError] = None

    def run(self) -> socket.socket:
        """Return the first socket that is connected. Raises the last error if there is none."""
        winner = None
        try:
            while winner is None:
                if self._targets and time.monotonic() >= self._next_at:
                    self._start(self._targets.popleft())
                elif self._connecting:
                    winner = self._wait()
                else:
                    raise self._error or OSError("the host has no address")
            return winner
        finally:
            for sock in self._connecting:
                if sock is not winner:
                    sock.close()

    def _start(self, target: Target) -> None:
        self._deadline.check()
        try:
            sock = socket.socket(target.family, target.kind, target.protocol)
        except OSError as error:
            self._error = error
            return
        self._connecting.append(sock)
        self._next_at = time.monotonic() + ATTEMPT_DELAY
        try:
            sock.setblocking(False)
            _set_options(sock)
            _raise_for(sock.connect_ex(target.address))
        except OSError as error:
            self._drop(sock, error)

    def _wait(self) -> Optional[socket.socket]:
        """Wait until an attempt ends or the next one is due. Return the socket that is connected."""
        until = self._next_at if self._targets else NEVER
        for sock in self._deadline.wait_for_any(self._connecting, WRITABLE, until=until):
            try:
                _raise_for(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
                # A socket may be reported as writable before it is connected.
                sock.getpeername()
                return sock
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    self._drop(sock, error)
        return None

    def _drop(self, sock: socket.socket, error: OSError) -> None:
        self._connecting.remove(sock)
        sock.close()
        self._error = error
        self._next_at = 0.0


def _raise_for(code: int) -> None:
    if code not in _CONNECTING:
        raise OSError(code, os.strerror(code))


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Four seconds of speech. Audio that the network does not take stays in the send queue, where it is
    # counted, and a ping does not wait behind minutes of audio.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # If the system supports it, give up on a peer that does not acknowledge sent data.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
