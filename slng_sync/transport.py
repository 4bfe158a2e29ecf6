"""A connected socket that never blocks, and how to wait for it.

Whoever holds the session's lock may send and receive; only the I/O thread waits.
"""

import select
import socket
import ssl
from typing import Any, List, Optional

__all__ = ["BLOCKED", "Transport", "WakeUp", "wait"]

READ_SIZE = 65536
READ_LIMIT = 128 << 10
"""Bytes to take in before somebody else gets the lock."""

BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class WakeUp:
    """Wakes a thread that waits on sockets. May be rung from any thread, and from a signal handler."""

    def __init__(self) -> None:
        self._waiting_end, self._ringing_end = socket.socketpair()
        self._waiting_end.setblocking(False)
        self._ringing_end.setblocking(False)
        self._rung = False

    def fileno(self) -> int:
        """What to wait on."""
        return self._waiting_end.fileno()

    def ring(self) -> None:
        """Wake the waiting thread, now or when it waits next."""
        if not self._rung:
            self._rung = True
            try:
                self._ringing_end.send(b"!")
            except OSError:
                # Full: it is awake. Closed: nobody waits any more.
                pass

    def clear(self) -> None:
        """Be ready for the next ring. Whatever rang is looked at after this."""
        # Read first, then forget: the other order would lose a ring that comes in between.
        try:
            self._waiting_end.recv(64)
        except OSError:
            pass
        self._rung = False

    def close(self) -> None:
        """Give the sockets back."""
        self._waiting_end.close()
        self._ringing_end.close()


def wait(
    sock: Optional[socket.socket], wake: WakeUp, timeout: Optional[float], *, write: bool = False
) -> None:
    """Wait until the socket has something to read, can be written to where asked, or the wake-up rings."""
    seconds = None if timeout is None or timeout == float("inf") else max(0.0, timeout)
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN | (select.POLLOUT if write else 0))
        # Rounded up, so that a timer is due when the wait for it is over.
        poll.poll(None if seconds is None else int(seconds * 1000) + 1)
        return
    readers: List[Any] = [wake] + ([sock] if sock is not None else [])
    select.select(readers, [sock] if write and sock is not None else [], [], seconds)


class Transport:
    """A connected, non-blocking socket with what could not be written yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at_end = False
        self._out = bytearray()

    @property
    def backlog(self) -> int:
        """Bytes that wait until the socket takes them."""
        return len(self._out)

    @property
    def pending(self) -> bool:
        """Whether TLS holds bytes already that waiting on the socket would not show."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def send(self, data: bytes) -> None:
        """Write, or keep for later what the socket does not take. Raises OSError on a broken connection."""
        if self._out:
            self._out += data
            self.flush()
            return
        try:
            sent = self.sock.send(data)
        except BLOCKED:
            sent = 0
        if sent < len(data):
            self._out += data[sent:]

    def flush(self) -> None:
        """Write what waits, as far as the socket takes it."""
        while self._out:
            try:
                with memoryview(self._out)[:READ_SIZE] as view:
                    sent = self.sock.send(view)
            except BLOCKED:
                return
            del self._out[:sent]

    def receive(self) -> bytes:
        """What has come, a part of it where it is much; ``at_end`` once the other side has closed."""
        parts: List[bytes] = []
        size = 0
        while size < READ_LIMIT:
            try:
                data = self.sock.recv(READ_SIZE)
            except BLOCKED:
                break
            if not data:
                self.at_end = True
                break
            parts.append(data)
            size += len(data)
            if len(data) < READ_SIZE and not isinstance(self.sock, ssl.SSLSocket):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

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
