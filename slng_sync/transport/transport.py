"""A connected socket that never blocks, and how to wait for it.

Whoever holds the session's lock may send and receive; only the I/O thread waits.
"""

import contextlib
import io
import os
import select
import socket
import ssl
import sys
from typing import Any, List, Optional, Tuple

from ..waiting import NEVER
from .frames import Bytes

__all__ = ["BLOCKED", "Transport", "WakeUp", "Watch", "wait"]

READ_SIZE = 2048
READ_MORE = 16384
WRITE_SIZE = 65536
READ_LIMIT = 128 << 10
"""Bytes to take in before somebody else gets the lock."""

# What rings an eventfd: a number that it adds to its own.
_ONE = (1).to_bytes(8, sys.byteorder)

BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class EventBell:
    """A bell that can be waited on: one open file, where Linux and Python 3.10 are there."""

    __slots__ = ("_file", "fileno")

    def __init__(self) -> None:
        # As a file object, and not by its number: that may be another file's once it is closed.
        self._file = io.FileIO(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "r+")
        self.fileno = self._file.fileno

    def ring(self) -> None:
        """Let whoever waits go on. Raises OSError or ValueError where it is closed."""
        self._file.write(_ONE)

    def fall_silent(self) -> None:
        """Ring no longer. Raises as ``ring`` does."""
        self._file.read(len(_ONE))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class SocketBell:
    """The same on any system: two open files."""

    __slots__ = ("_ringing_end", "_waiting_end", "fileno")

    def __init__(self) -> None:
        self._waiting_end, self._ringing_end = socket.socketpair()
        self._waiting_end.setblocking(False)
        self._ringing_end.setblocking(False)
        self.fileno = self._waiting_end.fileno

    def ring(self) -> None:
        """Let whoever waits go on. Raises OSError where it is closed, or has rung very often."""
        self._ringing_end.send(b"!")

    def fall_silent(self) -> None:
        """Ring no longer. Raises OSError where it does not ring, or is closed."""
        self._waiting_end.recv(64)

    def close(self) -> None:
        """Give the sockets back."""
        self._waiting_end.close()
        self._ringing_end.close()


class WakeUp:
    """Wakes a thread that waits on sockets. May be rung from any thread, and from a signal handler.

    A ring costs a call of the system only where somebody sleeps. Raises OSError where no file is to be had.
    """

    __slots__ = ("_bell", "close", "fileno", "is_awaited", "is_rung")

    def __init__(self) -> None:
        self._bell = EventBell() if hasattr(os, "eventfd") else SocketBell()
        self.fileno, self.close = self._bell.fileno, self._bell.close
        self.is_rung = False
        self.is_awaited = False

    def ring(self) -> None:
        """Wake the waiting thread, now or when it waits next."""
        if not self.is_rung:
            self.is_rung = True
            # In this order; who waits does it the other way round, so that one of both sees the other.
            if self.is_awaited:
                # Full: it is awake. Closed: nobody waits any more.
                with contextlib.suppress(OSError, ValueError):
                    self._bell.ring()

    def fall_silent(self) -> None:
        """Take the ring that has woken the waiting thread."""
        with contextlib.suppress(OSError, ValueError):
            self._bell.fall_silent()


class Watch:
    """Waits for a socket and a wake-up together."""

    __slots__ = ("_poll", "_wake", "_wake_number", "sock")

    def __init__(self, wake: WakeUp, sock: Optional[socket.socket] = None) -> None:
        self.sock = sock
        self._wake = wake
        self._wake_number = wake.fileno()
        self._poll: Any = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(wake, select.POLLIN)
            if sock is not None:
                self._poll.register(sock, select.POLLIN)

    def wait(self, timeout: float = NEVER, *, write: bool = False) -> bool:
        """Wait until the socket has something to read, can be written to where asked, or the wake-up rings.

        Whether it was the socket.
        """
        wake = self._wake
        wake.is_awaited = True
        if wake.is_rung:
            timeout = 0.0
        if self._poll is None:
            ready = self._select(timeout, write)
        else:
            # Rounded up, so that a timer is due when the wait for it is over.
            milliseconds = None if timeout == NEVER else int(timeout * 1000) + 1 if timeout > 0 else 0
            if write and self.sock is not None:
                self._poll.modify(self.sock, select.POLLIN | select.POLLOUT)
            ready = self._poll.poll(milliseconds)
            if write and self.sock is not None:
                self._poll.modify(self.sock, select.POLLIN)
        # Two at the most are waited for.
        is_rung = bool(ready) and self._wake_number in (ready[0][0], ready[-1][0])
        wake.is_awaited = False
        if is_rung:
            wake.fall_silent()
        # Only now: the other order would lose a ring that comes in between.
        wake.is_rung = False
        return len(ready) > is_rung

    def _select(self, timeout: float, write: bool) -> List[Tuple[int, int]]:
        socks = [] if self.sock is None else [self.sock]
        readers: List[Any] = [self._wake, *socks]
        seconds = None if timeout == NEVER else max(0.0, timeout)
        readable, writable, _ = select.select(readers, socks if write else [], [], seconds)
        return [(number, 0) for number in {each.fileno() for each in (*readable, *writable)}]


def wait(sock: socket.socket, wake: WakeUp, timeout: float, *, write: bool = False) -> None:
    """Wait once, as a ``Watch`` does."""
    Watch(wake, sock).wait(timeout, write=write)


class Transport:
    """A connected, non-blocking socket with what could not be written yet."""

    __slots__ = ("_buffer", "_out", "_tls", "at_end", "backlog", "has_more", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at_end = False
        self.has_more = False
        """Whether TLS holds bytes already that waiting on the socket would not show."""
        self.backlog = 0
        """Bytes that wait until the socket takes them."""
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._out = bytearray()
        # ``recv`` would take as much anew each time, and shrink it: that adds up to 40 kB in each thread.
        self._buffer = memoryview(bytearray(READ_SIZE))

    def send(self, data: bytes) -> None:
        """Write, or keep for later what the socket does not take. Raises OSError on a broken connection."""
        if self.backlog:
            self._out += data
            self.flush()
            return
        try:
            sent = self.sock.send(data)
        except BLOCKED:
            sent = 0
        if sent < len(data):
            self._out += data[sent:]
            self.backlog = len(self._out)

    def flush(self) -> None:
        """Write what waits, as far as the socket takes it."""
        while self._out:
            try:
                with memoryview(self._out)[:WRITE_SIZE] as view:
                    sent = self.sock.send(view)
            except BLOCKED:
                break
            del self._out[:sent]
        self.backlog = len(self._out)

    def receive(self) -> Bytes:
        """What has come, a part of it where it is much; ``at_end`` once the other side has closed.

        It stays as it is until the next call only. Raises OSError on a broken connection.
        """
        try:
            size = self.sock.recv_into(self._buffer)
        except BLOCKED:
            return b""
        data = self._buffer[:size]
        self.at_end = not size
        if size < READ_SIZE and (self._tls is None or not self._tls.pending()):
            self.has_more = False
            return data
        parts = [bytes(data)]
        while not self.at_end and size < READ_LIMIT:
            try:
                more = self.sock.recv(READ_MORE)
            except OSError:
                # No more for now; or broken, and it stays so: what came before is heard first.
                break
            self.at_end = not more
            parts.append(more)
            size += len(more)
        self.has_more = self._tls is not None and self._tls.pending() > 0
        return b"".join(parts)

    def shut_down(self) -> None:
        """Break the connection, from any thread: who waits on it is woken."""
        try:
            # The plain socket's own method: TLS state belongs to whoever holds the lock.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Give the socket back."""
        self.sock.close()
