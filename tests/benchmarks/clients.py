"""The clients that are measured: each opens one stream, sends chunks, and tells when an answer has come.

``Client(port, answered)``; ``answered(stamp)`` is called with the stamp of each answer by the code that a
user would write. Each is imported only where it is measured: what it loads is part of the measurement.
"""

import contextlib
import importlib
import json
import os
import socket
import struct
import threading
from concurrent import futures
from typing import Any, Callable, Dict, Type

Answered = Callable[[int], None]
KEY = "a-key-for-nothing"


class Pacing:
    """Nothing but the program that feeds the stream: what every other client costs on top is its own."""

    def __init__(self, port: int, answered: Answered) -> None:
        pass

    def send(self, pcm: bytes) -> None:
        """Nowhere."""

    def close(self) -> None:
        """Nothing."""


class SlngSoniox:
    """This package, Soniox."""

    model = "soniox"
    package = "slng_sync"
    path = ""
    dispatch: Any = None

    def __init__(self, port: int, answered: Answered) -> None:
        client = importlib.import_module(self.package).Client(
            self.dialect(),
            api_key=KEY,
            base_url=f"ws://127.0.0.1:{port}{self.path}",
            dispatch=self.dispatch,
            on_partial=lambda transcript: answered(transcript.raw["stamp"]),
            on_final=lambda transcript: answered(transcript.raw.get("stamp", 0)),
        )
        self.session = client.listen()
        self.send = self.session.send

    def dialect(self) -> Any:
        """What the client is made with."""
        return self.model

    def close(self) -> None:
        """End in order."""
        self.session.close()


class SlngSonioxWithSpeakers(SlngSoniox):
    """The same, with speakers and languages in each token."""

    def dialect(self) -> Any:
        """What the client is made with."""
        soniox = importlib.import_module(self.package).Soniox
        return soniox(enable_speaker_diarization=True, enable_language_identification=True)


class SlngReson8(SlngSoniox):
    """This package, Reson8."""

    model = "reson8"


class SlngSonioxExecutor(SlngSoniox):
    """This package, Soniox, callbacks of all streams on four threads."""

    dispatch = futures.ThreadPoolExecutor(4)


class SlngReson8Executor(SlngReson8):
    """The same with Reson8."""

    dispatch = SlngSonioxExecutor.dispatch


class SonioxSdk:
    """``soniox``: its synchronous session, and the thread that its documentation reads with."""

    with_speakers = False

    def __init__(self, port: int, answered: Answered) -> None:
        from soniox import SonioxClient
        from soniox.types import RealtimeSTTConfig

        client = SonioxClient(api_key=KEY, websocket_base_url=f"ws://127.0.0.1:{port}/soniox")
        config = RealtimeSTTConfig(
            model="stt-rt-v4",
            audio_format="pcm_s16le",
            sample_rate=16000,
            num_channels=1,
            enable_endpoint_detection=True,
            enable_speaker_diarization=self.with_speakers,
            enable_language_identification=self.with_speakers,
        )
        self.session = client.realtime.stt.connect(config=config).enter()
        self.send = self.session.send_byte_chunk
        self.answered = answered
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        final = ""
        for event in self.session.receive_events():
            final += "".join(token.text for token in event.tokens if token.is_final)
            open_text = "".join(token.text for token in event.tokens if not token.is_final)
            if open_text or final.endswith("<end>"):
                final = "" if final.endswith("<end>") else final
                self.answered(event.stamp)

    def close(self) -> None:
        """End in order."""
        self.session.finish()
        self.thread.join()
        self.session.close()


class SonioxSdkWithSpeakers(SonioxSdk):
    """The same, with speakers and languages in each token."""

    with_speakers = True


class AssemblyAi:
    """``assemblyai``: its streaming client with its callbacks."""

    def __init__(self, port: int, answered: Answered) -> None:
        from assemblyai.streaming import v3

        transcriber = v3.RealTimeTranscriber(
            v3.RealTimeTranscriberOptions(api_key=KEY, api_host=f"ws://127.0.0.1:{port}")
        )
        transcriber.on(v3.RealTimeEvents.Turn, lambda _, turn: answered(int(turn.language_confidence)))
        transcriber.connect(v3.RealTimeParameters(sample_rate=16000))
        self.transcriber = transcriber
        self.send = transcriber.stream

    def close(self) -> None:
        """End in order."""
        self.transcriber.disconnect(terminate=True)


class Deepgram:
    """``deepgram-sdk``: its socket client, listening on a thread as its examples do."""

    def __init__(self, port: int, answered: Answered) -> None:
        from deepgram import DeepgramClient
        from deepgram.core.events import EventType
        from deepgram.environment import DeepgramClientEnvironment

        address = f"ws://127.0.0.1:{port}"
        environment = DeepgramClientEnvironment(
            base=address, production=address, agent=address, agent_rest=address
        )
        client = DeepgramClient(api_key=KEY, environment=environment)
        self.stack = contextlib.ExitStack()
        self.connection = self.stack.enter_context(
            client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000)
        )
        self.connection.on(EventType.MESSAGE, lambda message: answered(getattr(message, "stamp", 0)))
        self.send = self.connection.send_media
        self.thread = threading.Thread(target=self.connection.start_listening)
        self.thread.start()

    def close(self) -> None:
        """End in order."""
        self.connection.send_close_stream()
        self.thread.join()
        self.stack.close()


class HandWritten:
    """What a script of thirty lines does with the frames of Soniox."""

    def __init__(self, answered: Answered) -> None:
        self.answered = answered
        self.final = ""
        self.thread = threading.Thread(target=self._read)

    def hear(self, message: Any) -> None:
        """Join the tokens, show them."""
        frame = json.loads(message)
        tokens = frame.get("tokens", ())
        self.final += "".join(token["text"] for token in tokens if token["is_final"])
        shown = self.final + "".join(token["text"] for token in tokens if not token["is_final"])
        if "<end>" in shown:
            self.final = ""
        if shown:
            self.answered(frame.get("stamp", 0))

    def _read(self) -> None:
        raise NotImplementedError


class WebsocketClient(HandWritten):
    """A script on ``websocket-client``, as its README shows it: one thread sends, one reads."""

    def __init__(self, port: int, answered: Answered) -> None:
        super().__init__(answered)
        import websocket

        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}/soniox")
        self.socket.send(json.dumps({"model": "stt-rt-v4"}))
        self.send = self.socket.send_binary
        self.thread.start()

    def _read(self) -> None:
        while True:
            message = self.socket.recv()
            if not message:
                return
            self.hear(message)

    def close(self) -> None:
        """End in order."""
        self.socket.send("")
        self.thread.join()
        self.socket.close()


class WebsocketsSync(HandWritten):
    """A script on ``websockets.sync``."""

    def __init__(self, port: int, answered: Answered) -> None:
        super().__init__(answered)
        from websockets.sync.client import connect

        self.socket = connect(f"ws://127.0.0.1:{port}/soniox")
        self.socket.send(json.dumps({"model": "stt-rt-v4"}))
        self.send = self.socket.send
        self.thread.start()

    def _read(self) -> None:
        for message in self.socket:
            self.hear(message)

    def close(self) -> None:
        """End in order."""
        self.socket.send("")
        self.thread.join()
        self.socket.close()


class RawSocket(HandWritten):
    """The limit: a bare socket, frames put together by hand, nothing checked, one thread that reads."""

    def __init__(self, port: int, answered: Answered) -> None:
        super().__init__(answered)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            b"GET /soniox HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.socket.recv(4096)
        self._send(0x81, b'{"model":"stt-rt-v4"}')
        self.thread.start()

    def send(self, pcm: bytes) -> None:
        """One frame."""
        self._send(0x82, pcm)

    def _send(self, first: int, payload: bytes) -> None:
        size = len(payload)
        key = os.urandom(4)
        mask = int.from_bytes(key * (size // 4 + 1), "little") & ((1 << size * 8) - 1)
        masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
        head = (
            struct.pack("!BB", first, 0x80 | size)
            if size < 126
            else struct.pack("!BBH", first, 0x80 | 126, size)
        )
        self.socket.sendall(head + key + masked)

    def _read(self) -> None:
        heard = b""
        while True:
            data = self.socket.recv(65536)
            if not data:
                return
            heard = heard + data if heard else data
            at = 0
            while len(heard) - at >= 2:
                size, head = heard[at + 1], 2
                if size == 126:
                    size, head = struct.unpack_from("!H", heard, at + 2)[0], 4
                if len(heard) - at < head + size:
                    break
                if heard[at] == 0x88:
                    return
                self.hear(heard[at + head : at + head + size])
                at += head + size
            heard = heard[at:]

    def close(self) -> None:
        """End in order."""
        self._send(0x81, b"")
        self.thread.join()
        self.socket.close()


CLIENTS: Dict[str, Type[Any]] = {
    "pacing": Pacing,
    "raw-socket": RawSocket,
    "slng-soniox": SlngSoniox,
    "slng-soniox-speakers": SlngSonioxWithSpeakers,
    "slng-reson8": SlngReson8,
    "slng-soniox-executor": SlngSonioxExecutor,
    "slng-reson8-executor": SlngReson8Executor,
    "soniox-sdk": SonioxSdk,
    "soniox-sdk-speakers": SonioxSdkWithSpeakers,
    "assemblyai": AssemblyAi,
    "deepgram": Deepgram,
    "websocket-client": WebsocketClient,
    "websockets-sync": WebsocketsSync,
}
