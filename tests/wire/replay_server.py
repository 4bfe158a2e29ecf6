"""A server that replays recorded sessions to a client.

Each connection gets the next recording; further connections get the last one again. The server performs the
turns in order: it waits for the recorded client's messages, then sends the recorded server's. It measures
progress in audio, not in time. It accepts what a correct client may do differently from the recorded one:
keepalives, other message sizes, another form of the end, a finalize before the end, and no end of a stream
without audio.

It uses one thread, one blocking socket and the ``websockets`` package without its I/O. It must own the
socket, to reset a connection or to stop answering while the connection is open.
"""

import json
import socket
import struct
import threading
from base64 import b64decode
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Type

from recording import Recording, Turn
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

PATIENCE = 15.0
CONFIRMATION = {
    True: {"tokens": [{"text": "<fin>", "is_final": True}]},
    False: {"type": "flush_confirmation"},
}
"""The reply to a finalize that was not recorded. The key is True for Soniox, False for Reson8."""


class ConnectionEnded(Exception):
    """The client has closed the connection, or has been silent for `PATIENCE` seconds."""


class ReceivedConnection:
    """The client's messages on one connection."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.path = ""
        self.messages: List[Dict[str, Any]] = []
        self.audio = b""
        self.keepalives = 0
        self.finalized_to = 0
        self.ended = False
        self.hung_up = False
        self.close_code: Optional[int] = None
        self.breaches: List[str] = []
        """The client's protocol violations."""

    @property
    def start(self) -> Dict[str, Any]:
        """Return the first message."""
        return self.messages[0]


class ReplayServer:
    """The server, a context manager. ``connections`` holds the messages received on each connection."""

    def __init__(self, *recordings: Recording) -> None:
        self._recordings = recordings
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._over = False
        self._turns_done: List[str] = []
        self._thread = threading.Thread(target=self._serve, name="server")
        self.connections: List[ReceivedConnection] = []
        self.extra_finalizes = 0
        self.failure: Optional[BaseException] = None
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "ReplayServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        # Closing a listening socket does not interrupt `accept`. A connection does.
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(PATIENCE)
        self._listener.close()
        if error is None and self.failure is not None:
            raise self.failure

    @property
    def breaches(self) -> List[str]:
        """Return the client's protocol violations on all connections."""
        return [breach for received in self.connections for breach in received.breaches]

    def wait_for_keepalive(self) -> None:
        """Wait until the client has sent the keepalive of the recording."""
        with self._changed:
            assert self._changed.wait_for(lambda: "keepalive" in self._turns_done, PATIENCE)

    def wait_until_over(self) -> None:
        """Wait until the ``with`` block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._over, PATIENCE)

    def turn_done(self, turn: Turn) -> None:
        """Record that the server has performed a turn."""
        with self._changed:
            self._turns_done.append(turn.kind)
            self._changed.notify_all()

    def _serve(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                with sock:
                    if self._over:
                        return
                    recording = self._recordings[min(len(self.connections), len(self._recordings) - 1)]
                    _ReplayedConnection(self, sock, recording).run()
        except BaseException as failure:
            self.failure = failure


class _ReplayedConnection:
    """One connection, from the upgrade to its end."""

    def __init__(self, server: ReplayServer, sock: socket.socket, recording: Recording) -> None:
        self._server = server
        self._sock = sock
        self._sock.settimeout(PATIENCE)
        # A reset would drop data that Nagle's algorithm still holds back.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = ServerProtocol()
        self._is_soniox = recording.is_soniox
        self._frame_bytes = recording.audio_format.frame_bytes
        self._turns = recording.turns
        self._ready = not recording.dialect.needs_ready
        self._expected_audio = 0
        self._pending_finalizes = 0
        self._parts: List[bytes] = []
        self._received = ReceivedConnection()

    def run(self) -> None:
        """Perform all turns, then read until the connection ends."""
        self._server.connections.append(self._received)
        try:
            if self._turns[0].kind == "refuses":
                self._upgrade(refusal=self._turns.pop(0).data)
            else:
                self._upgrade()
            while self._turns:
                turn = self._turns.pop(0)
                self._perform(turn)
                self._server.turn_done(turn)
            while True:
                self._read()
        except ConnectionEnded:
            pass

    def _upgrade(self, refusal: Optional[Mapping[str, Any]] = None) -> None:
        request = None
        while request is None:
            request = next((event for event in self._receive() if isinstance(event, Request)), None)
        self._received.path, self._received.headers = request.path, request.headers
        if refusal is None:
            self._protocol.send_response(self._protocol.accept(request))
        else:
            body = refusal["body"].encode()
            headers = Headers(refusal["headers"], **{"Content-Length": str(len(body)), "Connection": "close"})
            self._protocol.send_response(Response(refusal["http_status"], "Refused", headers, body))
        self._write()

    # The turns.

    def _perform(self, turn: Turn) -> None:
        getattr(self, f"_{turn.kind}")(turn.data)

    def _start(self, recorded: Mapping[str, Any]) -> None:
        while not self._received.messages:
            self._read()

    def _audio(self, recorded: bytes) -> None:
        if not self._ready:
            # The recorded client did not wait for ready. Ours does, so it sends no audio here.
            return
        self._expected_audio += len(recorded)
        while len(self._received.audio) < self._expected_audio:
            self._read()

    def _keepalive(self, recorded: None) -> None:
        so_far = self._received.keepalives, len(self._received.audio)
        while so_far == (self._received.keepalives, len(self._received.audio)):
            self._read()

    def _finalize(self, recorded: None) -> None:
        while not self._pending_finalizes:
            self._read()
        self._pending_finalizes -= 1

    def _end(self, recorded: str) -> None:
        while not (self._received.ended or self._received.hung_up):
            if self._pending_finalizes:
                self._confirm_early()
            else:
                self._read()

    def _hang_up(self, recorded: None) -> None:
        while not self._received.hung_up:
            self._read()

    def _sends(self, text: str) -> None:
        if self._protocol.state is not State.OPEN:
            raise ConnectionEnded
        self._ready = True
        self._protocol.send_text(text.encode())
        self._write()

    def _closes(self, how: Mapping[str, Any]) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(how["code"], how["reason"])
            self._write()

    def _drops(self, how: Mapping[str, Any]) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        raise ConnectionEnded

    def _freezes(self, nothing: None) -> None:
        self._server.wait_until_over()
        raise ConnectionEnded

    def _confirm_early(self) -> None:
        """Confirm a finalize that was not recorded, after the words that were recorded after the end."""
        while self._turns and self._turns[0].kind == "sends" and "finished" not in self._turns[0].data:
            self._perform(self._turns.pop(0))
        self._pending_finalizes -= 1
        self._server.extra_finalizes += 1
        self._sends(json.dumps(CONFIRMATION[self._is_soniox]))

    # The socket.

    def _read(self) -> None:
        for event in self._receive():
            assert isinstance(event, Frame)
            self._handle_frame(event)
        self._write()

    def _receive(self) -> List[Any]:
        try:
            data = self._sock.recv(65536)
        except OSError as error:
            raise ConnectionEnded from error
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        if self._protocol.parser_exc is not None and not isinstance(self._protocol.parser_exc, EOFError):
            self._received.breaches.append(f"broke the WebSocket protocol: {self._protocol.parser_exc}")
        events = self._protocol.events_received()
        if not events and not data:
            self._received.close_code = self._protocol.close_code
            raise ConnectionEnded
        return events

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                if data:
                    self._sock.sendall(data)
                else:
                    self._sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise ConnectionEnded from error

    # The client's messages.

    def _handle_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._received.hung_up = True
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                payload, self._parts = b"".join(self._parts), []
                self._handle_message(payload, binary=frame.opcode is Opcode.BINARY)

    def _handle_message(self, payload: bytes, *, binary: bool) -> None:
        self._expect(
            not self._received.ended or self._is_end(payload), "sent a message after the end of the stream"
        )
        if self._is_end(payload):
            self._expect(bool(self._received.audio), "ended a stream without audio")
            self._received.ended = True
        elif binary:
            self._handle_audio(payload)
        else:
            self._handle_text(json.loads(payload))

    def _is_end(self, payload: bytes) -> bool:
        """Return True for the end of stream: any form of Soniox, or ``close`` of Reson8."""
        return payload in ((b"", b'{"type":""}') if self._is_soniox else (b'{"type":"close"}',))

    def _handle_text(self, message: Dict[str, Any]) -> None:
        kind = message.get("type")
        if not self._received.messages:
            self._expect(kind in (None, "config", "init"), "did not begin with a config or init")
        elif kind == "audio":
            self._handle_audio(b64decode(message["data"], validate=True))
            return
        elif kind == "finalize":
            self._expect(
                len(self._received.audio) > self._received.finalized_to, "sent finalize without new audio"
            )
            self._received.finalized_to = len(self._received.audio)
            self._pending_finalizes += 1
        elif kind == "keepalive":
            self._received.keepalives += 1
        else:
            self._expect(False, f"sent a message of type {kind!r}")
        self._received.messages.append(message)

    def _handle_audio(self, pcm: bytes) -> None:
        self._expect(self._ready, "sent audio before ready")
        self._expect(bool(pcm), "sent an empty audio message")
        self._expect(len(pcm) % self._frame_bytes == 0, "split a sample frame")
        self._received.audio += pcm

    def _expect(self, correct: bool, breach: str) -> None:
        if not correct:
            self._received.breaches.append(breach)
