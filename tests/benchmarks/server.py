"""A gateway for measuring: answers audio with frames as the models send them, and says when everything was.

Each chunk of audio begins with the nanosecond at which it was captured, each answer carries the nanosecond at
which it left; both by the monotonic clock, which all processes of a machine share. One thread, one ``epoll``,
frames made beforehand: it has to answer 500 sessions on a core of its own.

    python tests/benchmarks/server.py        prints its port; ends with its standard input

``GET /delays`` gives the delays from capture to here since it was asked last, in nanoseconds.
"""

import base64
import hashlib
import json
import re
import select
import socket
import struct
import sys
import time
from typing import Callable, Dict, Iterator, List

from frames import FRAMES_OF, soniox_with_speakers

ANSWER_EVERY = 0.1
BYTES_PER_SECOND = 32000
SECRET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LONGEST_CONFIG = 500
"""Bytes of a text that is no audio; 20 ms of audio take more than 850."""
WANTS_SPEAKERS = re.compile(rb'"enable_speaker_diarization": ?true')

Frames = Iterator[Callable[[float, int], bytes]]


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A frame as a server sends it."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload


def unmask(payload: bytes, key: bytes) -> bytes:
    """As long as it is short."""
    return bytes(byte ^ key[at & 3] for at, byte in enumerate(payload))


class Peer:
    """One connection."""

    def __init__(self, server: "Server", sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.heard = bytearray()
        self.frames: Frames = iter(())
        self.is_open = False
        self.seconds = 0.0
        self.answered = 0.0

    def read(self) -> bool:
        """Take in what has come; False at the end."""
        try:
            data = self.sock.recv(1 << 14)
        except BlockingIOError:
            return True
        except OSError:
            return False
        now = time.monotonic_ns()
        if not data:
            return False
        self.heard += data
        if not self.is_open:
            return self.upgrade()
        return self.read_frames(now)

    def upgrade(self) -> bool:
        """Answer the request, once it is whole."""
        end = self.heard.find(b"\r\n\r\n")
        if end < 0:
            return True
        lines = bytes(self.heard[:end]).decode("latin-1").split("\r\n")
        del self.heard[: end + 4]
        path = lines[0].split()[1]
        if path == "/delays":
            body = json.dumps(self.server.delays).encode()
            self.server.delays = []
            self.sock.setblocking(True)
            self.sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return False
        headers: Dict[str, str] = dict(line.lower().split(": ", 1) for line in lines[1:])
        key = next(line.split(": ")[1] for line in lines if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.encode() + SECRET).digest()).decode()
        assert headers["upgrade"] == "websocket"
        self.sock.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.is_open = True
        greeting, self.frames = next(made for start, made in FRAMES_OF.items() if path.startswith(start))()
        if greeting:
            self.sock.sendall(frame(greeting))
        return True

    def read_frames(self, now: int) -> bool:
        """Look at every whole frame."""
        heard, at = self.heard, 0
        while len(heard) - at >= 6:
            size, head = heard[at + 1] & 0x7F, 6
            if size == 126:
                size, head = struct.unpack_from("!H", heard, at + 2)[0], 8
            elif size == 127:
                size, head = struct.unpack_from("!Q", heard, at + 2)[0], 14
            if len(heard) - at < head + size:
                break
            opcode, body = heard[at] & 15, at + head
            key = bytes(heard[body - 4 : body])
            if opcode == BINARY and size > 8:
                stamp = unmask(heard[body : body + 8], key)
                self.hear_audio(struct.unpack("<Q", stamp)[0], size, now)
            elif opcode == TEXT and size > LONGEST_CONFIG:
                # {"type":"audio","data":"...: the stamp is in the first 12 characters of the base64.
                text = unmask(heard[body : body + 64], key)
                begin = text.index(b'"data"') + 8
                stamp = base64.b64decode(text[begin : begin + 12])[:8]
                self.hear_audio(struct.unpack("<Q", stamp)[0], (size - begin) * 3 // 4, now)
            elif opcode == PING:
                self.sock.sendall(frame(unmask(heard[body : body + size], key), PONG))
            elif opcode == CLOSE:
                self.sock.sendall(frame(struct.pack("!H", 1000), CLOSE))
                return False
            elif opcode == TEXT:
                self.hear_text(unmask(heard[body : body + size], key))
            at = body + size
        del heard[:at]
        return True

    def hear_audio(self, captured: int, size: int, now: int) -> None:
        self.server.delays.append(now - captured)
        self.seconds += size / BYTES_PER_SECOND
        while self.seconds - self.answered >= ANSWER_EVERY - 1e-3:
            self.answered += ANSWER_EVERY
            made = next(self.frames)
            self.sock.sendall(frame(made(self.answered, time.monotonic_ns())))

    def hear_text(self, text: bytes) -> None:
        """What ends a stream or asks for speakers, in each of the dialects; the rest needs no answer."""
        if b"finalize" in text:
            reached = int(self.seconds * 1000)
            fin = b'{"tokens":[{"text":"<fin>","is_final":true}],"final_audio_proc_ms":%d}' % reached
            self.sock.sendall(frame(b'{"type":"final_transcript","transcript":""}'))
            self.sock.sendall(frame(b'{"type":"flush_confirmation","id":"f"}') + frame(fin))
        elif WANTS_SPEAKERS.search(text):
            _, self.frames = soniox_with_speakers()
        elif text in (b"", b'{"type":""}', b'{"type":"close"}') or b"Close" in text or b"Terminate" in text:
            self.sock.sendall(frame(b'{"tokens":[],"finished":true,"type":"Termination"}'))
            self.sock.sendall(frame(struct.pack("!H", 1000), CLOSE))


class Server:
    """All connections, on one thread."""

    def __init__(self) -> None:
        self.delays: List[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.peers: Dict[int, Peer] = {}

    def serve(self) -> None:
        """Until standard input ends."""
        poll = select.epoll()
        poll.register(self.listener, select.EPOLLIN)
        poll.register(sys.stdin, select.EPOLLIN)
        while True:
            for number, _ in poll.poll():
                if number == self.listener.fileno():
                    sock, _address = self.listener.accept()
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.peers[sock.fileno()] = Peer(self, sock)
                    poll.register(sock, select.EPOLLIN)
                elif number == sys.stdin.fileno():
                    return
                elif not self.is_kept(self.peers[number]):
                    poll.unregister(number)
                    self.peers.pop(number).sock.close()

    @staticmethod
    def is_kept(peer: Peer) -> bool:
        try:
            return peer.read()
        except OSError:
            return False


def main() -> None:
    server = Server()
    print(server.listener.getsockname()[1], flush=True)
    server.serve()


if __name__ == "__main__":
    main()
