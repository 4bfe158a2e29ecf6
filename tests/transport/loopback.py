"""Servers on loopback: one that does to the last byte what a test says, a polite one, and a proxy.

``RawServer`` runs a function per connection, which holds a ``Peer``: the other end of the socket. ``Gateway``
speaks Soniox's dialect with an independent WebSocket implementation; ``Proxy`` is an HTTP proxy that
knows CONNECT. All are context managers that leave no thread and no socket behind.
"""

import asyncio
import json
import select
import socket
import ssl
import struct
import threading
import time
from base64 import b64encode
from hashlib import sha1
from types import TracebackType
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, NamedTuple, Optional, Tuple, Type

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from slng_sync import SlngError, Soniox

if TYPE_CHECKING:
    from slng_sync import Client, Session

KEY = "sk-loopback/0123456789+abcdef"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SECOND = bytes(32000)
"""Of audio, at 16 kHz."""
LONG = 20.0
"""Longer than anything here takes on a busy machine; what waits this long has failed."""

CONFIRMED = {"tokens": [{"text": "<fin>", "is_final": True}]}
FINISHED = {"tokens": [], "finished": True}


def client(url: str, **options: Any) -> "Client":
    """A client that does not try again: what happens here happens once."""
    from slng_sync import Client

    options.setdefault("reconnect", False)
    options.setdefault("api_key", KEY)
    return Client(options.pop("model", None) or Soniox(), base_url=url, **options)


def final(words: str) -> Dict[str, Any]:
    """A frame that says these words and ends the utterance."""
    return {"tokens": [{"text": words, "is_final": True}, {"text": "<end>", "is_final": True}]}


def frame(payload: Any, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bool = False) -> bytes:
    """The bytes of a server's frame; what is no bytes becomes JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = frame_head(len(body), opcode, fin=fin, rsv=rsv, mask=mask)
    return head + bytes(4) + body if mask else head + body


def frame_head(
    length: int, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bool = False
) -> bytes:
    """What announces a frame of that length."""
    first = fin << 7 | rsv << 4 | opcode
    if length < 126:
        return struct.pack("!BB", first, mask << 7 | length)
    if length < 65536:
        return struct.pack("!BBH", first, mask << 7 | 126, length)
    return struct.pack("!BBQ", first, mask << 7 | 127, length)


class Request(NamedTuple):
    """A request as it came: its first line, and its headers under names in lower case."""

    line: str
    headers: List[Tuple[str, str]]

    def values(self, name: str) -> List[str]:
        """All values of a header."""
        return [value for each, value in self.headers if each == name]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self._read = b""

    def read(self, size: int) -> bytes:
        """So many bytes. Raises EOFError where there are no more."""
        while len(self._read) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._read += data
        data, self._read = self._read[:size], self._read[size:]
        return data

    def read_request(self) -> Request:
        """The head of an HTTP request."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        lines = head.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines[1:])
        return Request(lines[0], [(name.strip().lower(), value.strip()) for name, _, value in pairs])

    def say(self, data: bytes) -> None:
        """Send bytes, as one packet or TLS record where they fit."""
        self.sock.sendall(data)

    def upgrade(self, *, early: bytes = b"", headers: str = "") -> Request:
        """Accept the upgrade; ``early`` goes out in the same packet."""
        request = self.read_request()
        self.say(accepting(request, headers) + early)
        return request

    def read_frame(self) -> Tuple[int, bytes]:
        """The opcode and payload of the client's next frame, which has to be masked and whole."""
        first, second = self.read(2)
        assert first & 0x80 and not first & 0x70, "a client's frame in pieces, or with reserved bits"
        assert second & 0x80, "a client's frame without a mask"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read(8))
        mask = self.read(4)
        payload = self.read(length)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def read_until(self, opcode: int) -> bytes:
        """Skip to the next frame of that kind."""
        while True:
            kind, payload = self.read_frame()
            if kind == opcode:
                return payload

    def wait_gone(self) -> None:
        """Read and forget until the client has hung up."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def idle(self) -> None:
        """Do nothing at all, not even read, until the server stops."""
        self.stopping.wait(LONG)

    def flood(self, data: bytes) -> None:
        """Send the same again and again, without reading, until the client has hung up."""
        try:
            while not self.stopping.is_set():
                self.sock.sendall(data)
        except OSError:
            pass

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def accepting(request: Request, headers: str = "") -> bytes:
    """The answer that accepts an upgrade [RFC 6455, 4.2.2]."""
    (key,) = request.values("sec-websocket-key")
    digest = sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {b64encode(digest).decode()}\r\n{headers}\r\n"
    )
    return answer.encode()


Talk = Callable[[Peer], Any]


class RawServer:
    """Runs ``talk(peer)`` for each connection, on a thread of its own, and closes the connection after it.

    What ``talk`` asserts is raised on leaving the ``with``; that a client hangs up is no error.
    """

    def __init__(
        self, talk: Talk, *, ssl_context: Optional[ssl.SSLContext] = None, host: str = "127.0.0.1"
    ) -> None:
        self.connections = 0
        self.stopping = threading.Event()
        self._talk = talk
        self._ssl_context = ssl_context
        self._listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listening.bind((host, 0))
        self._listening.listen(50)
        self.port: int = self._listening.getsockname()[1]
        scheme = "ws" if ssl_context is None else "wss"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._open: List[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="raw-server")]
        self._failed: List[BaseException] = []

    def __enter__(self) -> "RawServer":
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stopping.set()
        for sock in (self._listening, *self._open):
            try:
                # The plain socket's own method: a thread may be inside TLS.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(LONG)
        self._listening.close()
        if self._failed and error is None:
            raise self._failed[0]

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), name="raw-server")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._ssl_context is not None:
                self._open.remove(sock)
                sock = self._ssl_context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._open.append(sock)
                sock.do_handshake()  # type: ignore[attr-defined]
            self._talk(Peer(sock, self.stopping))
        except (OSError, EOFError):
            pass
        except BaseException as failure:
            self._failed.append(failure)
        finally:
            sock.close()


def after_upgrade(talk: Talk) -> Talk:
    """Accept the upgrade, take the first message, then do as the test says."""

    def whole(peer: Peer) -> None:
        peer.upgrade()
        assert peer.read_frame()[0] == TEXT
        talk(peer)

    return whole


def polite(peer: Peer) -> None:
    """Read to the end of the stream, and say that it was understood."""
    while True:
        kind, payload = peer.read_frame()
        if kind == CLOSE:
            peer.say(frame(payload, CLOSE))
            return
        if kind == PING:
            peer.say(frame(payload, PONG))
        elif kind == TEXT and payload == b'{"type":"finalize"}':
            peer.say(frame(CONFIRMED))
        elif kind == TEXT and payload == b'{"type":""}':
            peer.say(frame(FINISHED) + frame(struct.pack("!H", 1000), CLOSE))


class Told:
    """What the callbacks of a client were told."""

    def __init__(self) -> None:
        self.finals: List[str] = []
        self.errors: List[SlngError] = []
        self.events: List[Any] = []
        self._changed = threading.Condition()

    @property
    def callbacks(self) -> Dict[str, Any]:
        """Keywords for ``client``."""
        return {
            "on_final": lambda transcript: self._note(self.finals, transcript.text),
            "on_error": lambda error: self._note(self.errors, error),
            "on_event": lambda event: self._note(self.events, event),
        }

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until the callbacks have been told enough."""
        with self._changed:
            assert self._changed.wait_for(condition, LONG), (self.finals, self.errors, self.events)

    def _note(self, where: List[Any], what: Any) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()


class Gateway:
    """Speaks Soniox's dialect by another implementation of WebSocket, on one thread of its own.

    ``talk(websocket, gateway)`` is what it does with a connection, else the ordinary conversation.
    """

    def __init__(
        self,
        talk: Optional[Callable[[ServerConnection, "Gateway"], Awaitable[None]]] = None,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.audio = bytearray()
        self.heard: List[str] = []
        self.connections = 0
        self.ended = threading.Event()
        self._talk = talk or _ordinary_conversation
        self._ssl_context = ssl_context
        self._host = host
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="gateway")

    def __enter__(self) -> "Gateway":
        self._thread.start()
        assert self._ready.wait(LONG)
        scheme = "ws" if self._ssl_context is None else "wss"
        self.url = f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LONG)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = serve(self._connected, self._host, 0, ssl=self._ssl_context, compression=None)
        async with server as serving:
            self.port: int = next(iter(serving.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    async def _connected(self, websocket: ServerConnection) -> None:
        self.connections += 1
        try:
            await self._talk(websocket, self)
        except ConnectionClosed:
            pass
        finally:
            self.ended.set()


async def _ordinary_conversation(websocket: ServerConnection, gateway: Gateway) -> None:
    async for message in websocket:
        if isinstance(message, bytes):
            gateway.audio += message
            continue
        gateway.heard.append(message)
        if message == '{"type":"finalize"}':
            await websocket.send(json.dumps(final(f"{len(gateway.audio)} bytes")))
            await websocket.send(json.dumps(CONFIRMED))
        elif message == '{"type":""}':
            await websocket.send(json.dumps(FINISHED))
            return


class Proxy(RawServer):
    """An HTTP proxy that knows CONNECT. ``authorization`` is the header it wants, if any."""

    def __init__(self, authorization: Optional[str] = None, *, refuse: str = "") -> None:
        super().__init__(self._tunnel)
        self.requests: List[Request] = []
        self._authorization = authorization
        self._refuse = refuse
        self.url = self.url.replace("ws://", "http://")

    def _tunnel(self, peer: Peer) -> None:
        request = peer.read_request()
        self.requests.append(request)
        method, target, _ = request.line.split()
        wanted = [] if self._authorization is None else [self._authorization]
        if self._refuse:
            peer.say(self._refuse.encode())
        elif method != "CONNECT":
            peer.say(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        elif request.values("proxy-authorization") != wanted:
            peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        else:
            host, _, port = target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), LONG) as server:
                peer.say(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
                _join(peer.sock, server)


def _join(one: socket.socket, other: socket.socket) -> None:
    while True:
        for sock in select.select([one, other], [], [])[0]:
            data = sock.recv(65536)
            if not data:
                return
            (other if sock is one else one).sendall(data)


class Took:
    """How long the ``with`` took; ``less_than`` is a bound that a busy machine keeps as well."""

    def __init__(self, *, less_than: float) -> None:
        self._bound = less_than

    def __enter__(self) -> "Took":
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        took = time.monotonic() - self._began
        assert kind is not None or took < self._bound, f"it took {took:.1f} s, not under {self._bound:g} s"


def end_of(session: "Session") -> SlngError:
    """The error that ends a session, told by ``wait`` and by nothing after it."""
    try:
        session.wait(LONG)
    except SlngError as error:
        session.wait(LONG)
        return error
    finally:
        session.abort()
    raise AssertionError("the session ended without an error")
