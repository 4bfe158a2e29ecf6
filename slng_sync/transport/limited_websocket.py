"""websocket-client's WebSocket, with limits on what a server may send.

Loaded with the first connection: loading websocket-client takes as long as loading this package.
"""

import os
import struct
from typing import Any, Iterator, List, Tuple

import websocket

from ..errors import ConfigurationError
from .buffered_socket import BufferedSocket

if not hasattr(websocket, "WebSocket"):
    raise ConfigurationError(
        'Another package named "websocket" hides websocket-client.',
        hint="pip uninstall websocket; pip install --force-reinstall websocket-client",
    )

ABNF = websocket.ABNF
WebSocketException = websocket.WebSocketException

__all__ = ["LimitedWebSocket", "RefusedFrame", "WebSocketException"]

_CLOSE = ABNF.OPCODE_CLOSE

MESSAGE_LIMIT = 4 << 20
FRAGMENT_LIMIT = 65536
CONTROL_LIMIT = 125
PONG_BACKLOG_LIMIT = 128 << 10
MASKING_KEYS_AT_ONCE = 64


class RefusedFrame(WebSocketException):
    """The server sent a frame that websocket-client would accept, and this module does not."""

    def __init__(self, message: str, close_code: int = websocket.STATUS_PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.close_code = close_code


class LimitedFrameBuffer(websocket.frame_buffer):
    """Parses frames, and refuses from its header a frame that is too large or not a server's."""

    def recv_length(self) -> None:
        super().recv_length()
        assert self.header is not None and self.length is not None
        is_final, _, _, _, opcode, is_masked, _ = self.header
        if is_masked or opcode >= _CLOSE or self.length > MESSAGE_LIMIT:
            self._check(self.length, bool(is_final), opcode >= _CLOSE, bool(is_masked))

    @staticmethod
    def _check(length: int, is_final: bool, is_control: bool, is_masked: bool) -> None:
        if is_masked:
            raise RefusedFrame("The server sent a masked frame. Only a client may mask frames.")
        if is_control and (length > CONTROL_LIMIT or not is_final):
            raise RefusedFrame("The server sent a control frame that is too long or fragmented.")
        if length > MESSAGE_LIMIT:
            raise RefusedFrame(
                f"The server announced a message of {length} bytes. The limit is {MESSAGE_LIMIT}.",
                websocket.STATUS_MESSAGE_TOO_BIG,
            )


class LimitedContinuousFrame(websocket.continuous_frame):
    """Joins the fragments of a message, up to a size and a number of fragments.

    Joins them once: websocket-client's own class copies the whole message for each fragment.
    """

    def __init__(self) -> None:
        super().__init__(fire_cont_frame=False, skip_utf8_validation=True)
        self._fragments: List[bytes] = []
        self._size = 0

    def add(self, frame: ABNF) -> None:
        data = self.cont_data
        if data is None:
            super().add(frame)
            self._fragments, self._size = [], 0
        self._keep(frame.data)
        # The rest of what the base class does for a later fragment.
        if data is not None and frame.fin:
            data[1], self._fragments = b"".join(self._fragments), []
            self.recving_frames = None

    def _keep(self, fragment: Any) -> None:
        self._fragments.append(fragment)
        self._size += len(fragment)
        if self._size > MESSAGE_LIMIT or len(self._fragments) > FRAGMENT_LIMIT:
            raise RefusedFrame(
                "The server sent a message that is too long or has too many fragments.",
                websocket.STATUS_MESSAGE_TOO_BIG,
            )


class LimitedWebSocket(websocket.WebSocket):
    """A WebSocket on buffers. Nothing in it waits, and no lock is needed: one thread uses it at a time.

    Two methods replace those of websocket-client, whose trace would print keys and spoken words.
    """

    error = WebSocketException
    """The exception that methods raise if the server breaks the protocol."""

    def __init__(self, buffer: BufferedSocket) -> None:
        super().__init__(skip_utf8_validation=True, enable_multithread=False)
        self.frame_buffer = LimitedFrameBuffer(buffer.recv, skip_utf8_validation=True)
        self.cont_frame = LimitedContinuousFrame()
        self.is_closing = False
        self._buffer = buffer
        self._keys = _masking_keys()

    def send_frame(self, frame: ABNF) -> int:
        """Put a frame into the buffer."""
        frame.get_mask_key = self._next_key
        return self._buffer.send(frame.format())

    def recv_data(self, control_frame: bool = True) -> Tuple[int, Any]:
        """Return the next message or control frame. Answer a ping or a close.

        Raises BlockingIOError if the buffer holds none that is whole.
        """
        joined = self.cont_frame
        while True:
            frame = self.frame_buffer.recv_frame()
            opcode = frame.opcode
            if opcode >= _CLOSE:
                self._answer(frame)
                return opcode, frame.data
            if frame.fin and opcode and joined.cont_data is None:
                # A whole message, as nearly all messages are.
                return opcode, frame.data
            joined.validate(frame)
            joined.add(frame)
            if frame.fin:
                opcode, message = joined.extract(frame)
                return opcode, message.data

    def send_close(self, status: int = 1000, reason: "str | bytes" = b"") -> None:
        """Send a close frame, once: websocket-client sends another one for the server's answer."""
        if not self.is_closing:
            self.is_closing = True
            super().send_close(status, reason)

    def pong(self, payload: "str | bytes" = b"") -> None:
        """Answer a ping, unless the server sends pings and does not read the answers."""
        if not self.is_closing and self._buffer.backlog < PONG_BACKLOG_LIMIT:
            super().pong(payload)

    def _answer(self, frame: ABNF) -> None:
        if frame.opcode == _CLOSE:
            self.send_close()
        elif frame.opcode == ABNF.OPCODE_PING:
            self.pong(frame.data)

    def _next_key(self, size: int) -> bytes:
        return next(self._keys)


def _masking_keys() -> Iterator[bytes]:
    """Yield random keys. Reads many at once: each system call lets other threads take the interpreter."""
    while True:
        for (key,) in struct.iter_unpack("4s", os.urandom(4 * MASKING_KEYS_AT_ONCE)):
            yield key
