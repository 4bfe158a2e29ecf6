"""The record of each connection, for tests to inspect."""

import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from .engine import StreamOptions

__all__ = ["Connection"]

FRAME_LIMIT = 20000


class Connection:
    """The record of one attempt to connect, from the upgrade request on.

    The gateway's thread writes it. Any thread may read it, preferably after `wait_closed`.

    - ``number`` (from 1), ``path``, ``query``, ``headers`` (names in lower case) and ``model``.
    - ``status``: the HTTP status of the upgrade: 101 once the connection is open, 0 if none was sent.
    - ``config``: the settings in the first message.
    - ``frames``: the client's messages, ``("text", text)`` or ``("binary", length)``, at most 20,000.
    - ``sent``: the text messages that the gateway sent, at most 20,000.
    - ``audio``: the samples received, up to ``keep_audio`` seconds; ``audio_seconds`` counts all of it.
    - ``pings``: the number of the client's pings. ``breaches``: its protocol violations.
    - ``close_code``, ``close_reason``: the code is 1006 if there was no close frame.
    """

    def __init__(self, number: int, path: str, query: str, headers: Mapping[str, str]) -> None:
        self.number = number
        self.path = path
        self.query = query
        self.headers: Dict[str, str] = dict(headers)
        self.model = ""
        self.status = 0
        self.config: Dict[str, Any] = {}
        self.options: Optional[StreamOptions] = None
        self.frames: List[Tuple[str, Union[str, int]]] = []
        self.sent: List[str] = []
        self.audio = bytearray()
        self.audio_seconds = 0.0
        self.pings = 0
        self.breaches: List[str] = []
        self.close_code: Optional[int] = None
        self.close_reason = ""
        self._closed = threading.Event()
        self._command: Callable[[str, Tuple[Any, ...]], None] = lambda what, arguments: None

    @property
    def is_closed(self) -> bool:
        """Return True once the connection has ended and the record is complete."""
        return self._closed.is_set()

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait up to ``timeout`` seconds until the connection has ended. Return False on timeout."""
        return self._closed.wait(timeout)

    def drop(self) -> None:
        """Reset the TCP connection now."""
        self._command("drop", ())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame now."""
        self._command("close", (code, reason))

    def send(self, frame: Union[str, bytes, Mapping[str, Any]]) -> None:
        """Send a message of your own now: text, bytes, or a mapping as JSON."""
        self._command("send", (frame,))

    def mute(self) -> None:
        """Answer nothing from now on, not even pings."""
        self._command("mute", ())

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<Connection {self.number} {self.path} {self.status} {state}, {self.audio_seconds:.2f} s>"
