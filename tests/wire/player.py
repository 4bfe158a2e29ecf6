"""A server that holds recorded conversations again, with whoever calls.

Each connection gets the next recording; the last one is held again as often as somebody calls. The server
walks through its turns: it waits for what the client said, and then says what it said itself. Time is not
kept: audio is counted. What a correct client may do otherwise than the recorded one is taken as it comes:
keepalives, other sizes of messages, another form of the end, a finalize before the end, no end where there
was no audio.

One thread, one blocking socket and the ``websockets`` package without its own I/O, because a server that
resets its connection, or that stops living with the connection open, has to own the socket.
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
FLUSHED = {True: {"tokens": [{"text": "<fin>", "is_final": True}]}, False: {"type": "flush_confirmation"}}
"""What answers a finalize that was not recorded: of Soniox, of Reson8."""


class Gone(Exception):
    """The client has closed, or is not heard of any more."""


class Heard:
    """What the client said on one connection."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.path = ""
        self.messages: List[Dict[str, Any]] = []
        self.audio = b""
        self.keepalives = 0
        self.flushed_to = 0
        self.ended = False
        self.hung_up = False
        self.close_code: Optional[int] = None
        self.breaches: List[str] = []
        """What a correct client does not do."""

    @property
    def start(self) -> Dict[str, Any]:
        """The first message."""
        return self.messages[0]


class Player:
    """The server. A context manager with a ``url``; ``connections`` tells what was heard on each."""

    def __init__(self, *recordings: Recording) -> None:
        self._recordings = recordings
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._over = False
        self._turns_done: List[str] = []
        self._thread = threading.Thread(target=self._serve, name="player")
        self.connections: List[Heard] = []
        self.extra_flushes = 0
        self.failure: Optional[BaseException] = None
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Player":
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
        # Closing a listening socket does not wake whoever waits on it; a call does.
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(PATIENCE)
        self._listener.close()
        if error is None and self.failure is not None:
            raise self.failure

    @property
    def breaches(self) -> List[str]:
        """What no client should have done, on any connection."""
        return [breach for heard in self.connections for breach in heard.breaches]

    def wait_until_kept_alive(self) -> None:
        """Wait until the client has said that its silence is meant."""
        with self._changed:
            assert self._changed.wait_for(lambda: "keepalive" in self._turns_done, PATIENCE)

    def wait_until_over(self) -> None:
        """Wait until the server is asked to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over, PATIENCE)

    def done(self, turn: Turn) -> None:
        """Take note of how far the conversation is."""
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
                    _Conversation(self, sock, recording).hold()
        except BaseException as failure:
            self.failure = failure


class _Conversation:
    """One connection, from the upgrade to its end."""

    def __init__(self, player: Player, sock: socket.socket, recording: Recording) -> None:
        self._player = player
        self._sock = sock
        self._sock.settimeout(PATIENCE)
        # What waits to be joined with more would be lost when the connection is reset.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = ServerProtocol()
        self._is_soniox = recording.is_soniox
        self._frame_bytes = recording.audio_format.frame_bytes
        self._turns = recording.turns
        self._ready = not recording.dialect.needs_ready
        self._wanted_audio = 0
        self._flushes_due = 0
        self._parts: List[bytes] = []
        self._heard = Heard()

    def hold(self) -> None:
        """Hold the conversation."""
        self._player.connections.append(self._heard)
        try:
            if self._turns[0].kind == "refuses":
                self._upgrade(refusal=self._turns.pop(0).data)
            else:
                self._upgrade()
            while self._turns:
                turn = self._turns.pop(0)
                self._take(turn)
                self._player.done(turn)
            while True:
                self._read()
        except Gone:
            pass

    def _upgrade(self, refusal: Optional[Mapping[str, Any]] = None) -> None:
        request = None
        while request is None:
            request = next((event for event in self._receive() if isinstance(event, Request)), None)
        self._heard.path, self._heard.headers = request.path, request.headers
        if refusal is None:
            self._protocol.send_response(self._protocol.accept(request))
        else:
            body = refusal["body"].encode()
            headers = Headers(refusal["headers"], **{"Content-Length": str(len(body)), "Connection": "close"})
            self._protocol.send_response(Response(refusal["http_status"], "Refused", headers, body))
        self._write()

    # The turns.

    def _take(self, turn: Turn) -> None:
        getattr(self, f"_{turn.kind}")(turn.data)

    def _start(self, recorded: Mapping[str, Any]) -> None:
        while not self._heard.messages:
            self._read()

    def _audio(self, recorded: bytes) -> None:
        if not self._ready:
            # The recorded client did not wait for ready. Ours does, and says nothing.
            return
        self._wanted_audio += len(recorded)
        while len(self._heard.audio) < self._wanted_audio:
            self._read()

    def _keepalive(self, recorded: None) -> None:
        so_far = self._heard.keepalives, len(self._heard.audio)
        while so_far == (self._heard.keepalives, len(self._heard.audio)):
            self._read()

    def _finalize(self, recorded: None) -> None:
        while not self._flushes_due:
            self._read()
        self._flushes_due -= 1

    def _end(self, recorded: str) -> None:
        while not (self._heard.ended or self._heard.hung_up):
            if self._flushes_due:
                self._flush_early()
            else:
                self._read()

    def _hang_up(self, recorded: None) -> None:
        while not self._heard.hung_up:
            self._read()

    def _says(self, text: str) -> None:
        if self._protocol.state is not State.OPEN:
            raise Gone
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
        raise Gone

    def _freezes(self, nothing: None) -> None:
        self._player.wait_until_over()
        raise Gone

    def _flush_early(self) -> None:
        """Answer a finalize that was not recorded: the last words first, which were to follow the end."""
        while self._turns and self._turns[0].kind == "says" and "finished" not in self._turns[0].data:
            self._take(self._turns.pop(0))
        self._flushes_due -= 1
        self._player.extra_flushes += 1
        self._says(json.dumps(FLUSHED[self._is_soniox]))

    # The socket.

    def _read(self) -> None:
        for event in self._receive():
            assert isinstance(event, Frame)
            self._hear(event)
        self._write()

    def _receive(self) -> List[Any]:
        try:
            received = self._sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if received:
            self._protocol.receive_data(received)
        else:
            self._protocol.receive_eof()
        if self._protocol.parser_exc is not None and not isinstance(self._protocol.parser_exc, EOFError):
            self._heard.breaches.append(f"broke the WebSocket protocol: {self._protocol.parser_exc}")
        events = self._protocol.events_received()
        if not events and not received:
            self._heard.close_code = self._protocol.close_code
            raise Gone
        return events

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                if data:
                    self._sock.sendall(data)
                else:
                    self._sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise Gone from error

    # What the client says.

    def _hear(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._heard.hung_up = True
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                payload, self._parts = b"".join(self._parts), []
                self._hear_message(payload, binary=frame.opcode is Opcode.BINARY)

    def _hear_message(self, payload: bytes, *, binary: bool) -> None:
        self._note(not self._heard.ended or self._is_end(payload), "went on after the end of the stream")
        if self._is_end(payload):
            self._note(bool(self._heard.audio), "ended a stream without audio")
            self._heard.ended = True
        elif binary:
            self._hear_audio(payload)
        else:
            self._hear_text(json.loads(payload))

    def _is_end(self, payload: bytes) -> bool:
        """Soniox's ends, in any form; that of Reson8 is ``close``."""
        return payload in ((b"", b'{"type":""}') if self._is_soniox else (b'{"type":"close"}',))

    def _hear_text(self, message: Dict[str, Any]) -> None:
        kind = message.get("type")
        if not self._heard.messages:
            self._note(kind in (None, "config", "init"), "did not begin with its options")
        elif kind == "audio":
            self._hear_audio(b64decode(message["data"], validate=True))
            return
        elif kind == "finalize":
            self._note(len(self._heard.audio) > self._heard.flushed_to, "asked to finalize nothing new")
            self._heard.flushed_to = len(self._heard.audio)
            self._flushes_due += 1
        elif kind == "keepalive":
            self._heard.keepalives += 1
        else:
            self._note(False, f"said {kind!r}")
        self._heard.messages.append(message)

    def _hear_audio(self, pcm: bytes) -> None:
        self._note(self._ready, "sent audio before ready")
        self._note(bool(pcm), "sent an empty piece of audio")
        self._note(len(pcm) % self._frame_bytes == 0, "cut a frame of audio in two")
        self._heard.audio += pcm

    def _note(self, correct: bool, breach: str) -> None:
        if not correct:
            self._heard.breaches.append(breach)
