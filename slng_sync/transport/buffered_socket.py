"""A connected socket that never blocks, with a buffer in each direction."""

import socket
import ssl
from typing import List, Union

__all__ = ["BLOCKED", "BufferedSocket"]

READ_SIZE = 16384
"""Bytes of one TLS record."""
READ_LIMIT = 128 << 10
"""Bytes to read before other connections get their turn."""
READS_AT_ONCE = 1500
"""Calls of ``recv`` that websocket-client may make before other connections get their turn."""

BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BufferedSocket:
    """A socket with a buffer in each direction.

    websocket-client calls ``recv`` and ``send``, which do no I/O. ``fill`` and ``flush`` do the I/O.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at_end = False
        """Whether the other side has closed the connection. Earlier data may still be in the buffer."""
        self.backlog = 0
        """Bytes that the socket has not taken yet."""
        self.is_behind = False
        """Whether ``recv`` stopped at its limit although the buffer may hold more."""
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._in = b""
        self._at = 0
        self._reads_left = READS_AT_ONCE
        self._out: List[bytes] = []
        self._rest = bytearray()

    # For websocket-client.

    def recv(self, size: int) -> bytes:
        """Return ``size`` bytes of the buffer. Raises BlockingIOError if it holds fewer."""
        at, end = self._at, self._at + size
        if end > len(self._in):
            raise BlockingIOError
        if not self._reads_left:
            self.is_behind = True
            raise BlockingIOError
        self._reads_left -= 1
        self._at = end
        return self._in[at:end]

    def send(self, data: bytes) -> int:
        """Put bytes into the buffer."""
        self._out.append(data)
        self.backlog += len(data)
        return len(data)

    # For the owner of the connection.

    @property
    def is_empty(self) -> bool:
        """Whether ``recv`` has returned all received bytes."""
        return self._at == len(self._in)

    @property
    def has_pending(self) -> bool:
        """Whether TLS holds bytes that polling the socket would not show."""
        return self._tls is not None and self._tls.pending() > 0

    def begin_reading(self) -> None:
        """Give ``recv`` its full number of calls again."""
        self._reads_left = READS_AT_ONCE
        self.is_behind = False

    def take(self) -> bytes:
        """Return everything in the buffer."""
        data, self._in, self._at = self._in[self._at :], b"", 0
        return data

    def feed(self, data: bytes) -> None:
        """Put received bytes into the buffer."""
        # websocket-client asks for 16 kB at most, so less than that is copied here each time.
        self._in = data if self.is_empty else self._in[self._at :] + data
        self._at = 0

    def fill(self) -> None:
        """Read received bytes, about 128 kB at most. Raises OSError on a broken connection."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BLOCKED:
            return
        self.at_end = not data
        if len(data) == READ_SIZE or self.has_pending:
            data = self._read_more(data)
        self.feed(data)

    def flush(self) -> None:
        """Write as much as the socket takes. Raises OSError on a broken connection."""
        if not self.backlog:
            return
        out = self._out
        if self._rest:
            self._rest += b"".join(out)
            out.clear()
        else:
            data = out[0] if len(out) == 1 else b"".join(out)
            sent = self._write(data)
            out.clear()
            if sent == len(data):
                self.backlog = 0
                return
            self._rest += memoryview(data)[sent:]
        self._flush_rest()

    def _read_more(self, data: bytes) -> bytes:
        parts, size = [data], len(data)
        while not self.at_end and size < READ_LIMIT:
            try:
                more = self.sock.recv(READ_SIZE)
            except OSError:
                # Either no more data, or a broken connection. The next call raises that again.
                break
            self.at_end = not more
            parts.append(more)
            size += len(more)
        return b"".join(parts)

    def _flush_rest(self) -> None:
        rest = self._rest
        try:
            while rest:
                with memoryview(rest) as view:
                    sent = self._write(view)
                if not sent:
                    return
                del rest[:sent]
        finally:
            self.backlog = len(rest)

    def _write(self, data: Union[bytes, memoryview]) -> int:
        try:
            return self.sock.send(data)
        except BLOCKED:
            return 0
