"""Attempts to connect: TCP, a proxy, TLS and the upgrade.

``slng-connect`` makes one attempt and ends. Every wait ends at the deadline of the attempt, and at once when
it is cancelled. Only the look-up of a name cannot be interrupted.
"""

import ssl
import threading
from concurrent.futures import Future
from socket import socket
from typing import List, Optional

from ..errors import ConnectError, ProtocolError, SessionClosed
from ..system_limits import hint_at_limit
from .buffered_socket import BufferedSocket
from .connection import WebSocketConnection
from .deadline import READABLE, WRITABLE, Deadline
from .endpoint import ServerEndpoint
from .handshake import upgrade
from .proxy import connect_through
from .tcp import connect, reason

__all__ = ["ConnectAttempt", "open_socket"]


class ConnectAttempt:
    """One attempt to open a connection.

    The connection belongs to the attempt until ``take`` hands it over. ``cancel`` closes it before that.
    """

    def __init__(self, endpoint: ServerEndpoint, path: str, timeout: float) -> None:
        self.future: Future[WebSocketConnection] = Future()
        self._endpoint = endpoint
        self._path = path
        self._deadline = Deadline(endpoint.address, timeout)
        # The thread that removes the element owns the connection. ``pop`` is atomic.
        self._unclaimed: List[bool] = [True]
        self._thread: Optional[threading.Thread] = None

    @property
    def deadline(self) -> float:
        """When the attempt ends by itself, on the monotonic clock, unless the look-up of the name hangs."""
        return self._deadline.time

    def start(self) -> "Future[WebSocketConnection]":
        """Start the clock and the thread ``slng-connect``.

        Raises RuntimeError if the system has no thread, OSError if it has no file. The future ends with a
        ``WebSocketConnection``, a ``ConnectError``, or ``SessionClosed`` after ``cancel``. Its callbacks run
        on ``slng-connect``; its own ``cancel`` does nothing.
        """
        self.future.set_running_or_notify_cancel()
        # Daemon: a name look-up must not delay the end of the process.
        self._thread = threading.Thread(target=self._run, name="slng-connect", daemon=True)
        self._deadline.begin()
        try:
            self._thread.start()
        except BaseException:
            self._deadline.end()
            raise
        return self.future

    def take(self) -> WebSocketConnection:
        """Return the connection, once the future is done. The caller owns it from then on.

        Raises the exception of the future, and ``SessionClosed`` after ``cancel``.
        """
        connection = self.future.result()
        if not self._claim():
            raise SessionClosed("The session was closed while it was connecting.")
        return connection

    def cancel(self) -> None:
        """End the attempt, and close its socket. Any thread and a signal handler may call this."""
        self._deadline.cancel()
        if self.future.done():
            self._discard()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the thread. During a name look-up it may not end."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))

    def timeout_error(self) -> ConnectError:
        """Return the error for an attempt that has not ended at its deadline."""
        return self._deadline.timeout_error()

    def _run(self) -> None:
        try:
            try:
                connection = _open_connection(self._endpoint, self._path, self._deadline)
            finally:
                self._deadline.end()
        except BaseException as error:
            self.future.set_exception(error)
            return
        self.future.set_result(connection)
        # ``cancel`` sets the flag and then checks the future, so one side always sees the other.
        if self._deadline.is_cancelled:
            self._discard()

    def _discard(self) -> None:
        if self.future.exception() is None and self._claim():
            self.future.result().close()

    def _claim(self) -> bool:
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False


def open_socket(deadline: Deadline, proxy: Optional[str], context: Optional[ssl.SSLContext]) -> socket:
    """Connect to ``deadline.address``, through a proxy and with TLS if they are given.

    Raises ``ConnectError``, and ``SessionClosed`` if ``deadline`` is cancelled.
    """
    address = deadline.address
    try:
        if proxy is None:
            sock = connect(address.host, address.port, deadline)
        else:
            sock = connect_through(proxy, deadline)
        return sock if context is None else _start_tls(sock, context, deadline)
    except ssl.SSLCertVerificationError as error:
        raise ConnectError(
            f"The certificate of {address.host} could not be verified: {error.verify_message}.",
            hint="Check this computer's clock. For a private authority use Client(ca_certs=FILE).",
            retryable=False,
        ) from error
    except OSError as error:
        raise ConnectError(
            f"The connection to {address} could not be opened: {reason(error)}.",
            hint=hint_at_limit(error) or "Check the network and base_url.",
            retryable=True,
        ) from error


def _open_connection(endpoint: ServerEndpoint, path: str, deadline: Deadline) -> WebSocketConnection:
    """Connect and upgrade. Raises ``ConnectError``, and ``SessionClosed`` if ``deadline`` is cancelled."""
    sock = open_socket(deadline, endpoint.proxy, endpoint.ssl_context if endpoint.address.secure else None)
    try:
        buffer = BufferedSocket(sock)
        return WebSocketConnection(upgrade(endpoint, path, buffer, deadline), buffer, endpoint.redaction)
    except BaseException as error:
        sock.close()
        if isinstance(error, ProtocolError):
            raise ConnectError(error.message, retryable=True) from error
        if isinstance(error, OSError):
            raise ConnectError(
                f"The connection to {deadline.address} broke while it was opened.", retryable=True
            ) from error
        raise


def _start_tls(sock: socket, context: ssl.SSLContext, deadline: Deadline) -> ssl.SSLSocket:
    """Return the socket with TLS. Closes it if the handshake fails."""
    try:
        secured = context.wrap_socket(
            sock, server_hostname=deadline.address.host, do_handshake_on_connect=False
        )
        sock = secured
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                deadline.wait(secured, READABLE)
            except ssl.SSLWantWriteError:
                deadline.wait(secured, WRITABLE)
    except BaseException:
        sock.close()
        raise
