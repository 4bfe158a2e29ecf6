"""A client by hand, on websocket-client, to hold conversations with the gateway word for word."""

import base64
import contextlib
import json
import struct
from types import TracebackType
from typing import Any, Dict, List, Optional, Type, Union

import websocket

from slng_sync.gateway import LocalGateway

RESON8 = "/v1/stt/reson8/reson8stt:v1"
SONIOX = "/v1/stt/soniox/speech-ai:rt-v4"
CONFIG = {
    "type": "config",
    "model": "stt-rt-v4",
    "audio_format": "pcm_s16le",
    "sample_rate": 16000,
    "num_channels": 1,
}
INIT = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1, "enable_partials": True}
SECOND = 32000


class Patient(websocket.WebSocket):  # type: ignore[misc]
    """Reads on where its answer comes too late, the server having said everything and gone."""

    def pong(self, payload: Union[str, bytes] = "") -> None:
        with contextlib.suppress(OSError):
            super().pong(payload)

    def send_close(self, status: int = 1000, reason: bytes = b"", **options: Any) -> None:
        with contextlib.suppress(OSError):
            super().send_close(status, reason, **options)


class Talk:
    """One conversation: what is said, and what is heard until the close."""

    def __init__(
        self, gateway: LocalGateway, path: str, *, key: str = "key", timeout: float = 10.0, **options: Any
    ) -> None:
        header = {"Authorization": f"Bearer {key}", **options.pop("header", {})}
        self.close_code: Optional[int] = None
        self.close_reason = ""
        self.pings = 0
        self.heard: List[Any] = []
        self.socket: Any = websocket.create_connection(
            gateway.url + path,
            header=header,
            timeout=timeout,
            suppress_origin=True,
            http_no_proxy=["127.0.0.1"],
            class_=Patient,
            **options,
        )

    def __enter__(self) -> "Talk":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.socket.shutdown()

    def say(self, *messages: Union[Dict[str, Any], str, bytes]) -> "Talk":
        """Send messages: objects as JSON, texts as they are, bytes as binary."""
        for message in messages:
            if isinstance(message, bytes):
                self.socket.send_binary(message)
            else:
                self.socket.send(message if isinstance(message, str) else json.dumps(message))
        return self

    def hear(self) -> Any:
        """Return the next frame; None at the close. What is no JSON is returned as it is."""
        while True:
            opcode, frame = self.socket.recv_data_frame(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.close_code = struct.unpack("!H", frame.data[:2])[0] if frame.data else 1005
                self.close_reason = frame.data[2:].decode()
                return None
            if opcode == websocket.ABNF.OPCODE_PING:
                self.pings += 1
                continue
            if opcode == websocket.ABNF.OPCODE_BINARY:
                message: Any = frame.data
            else:
                try:
                    message = json.loads(frame.data)
                except ValueError:
                    message = frame.data.decode()
            self.heard.append(message)
            return message

    def rest(self) -> List[Any]:
        """Return all frames up to the close."""
        frames: List[Any] = []
        frame = self.hear()
        while frame is not None:
            frames.append(frame)
            frame = self.hear()
        return frames

    def until(self, test: Any) -> Any:
        """Return the next frame that passes the test."""
        frame = self.hear()
        while frame is not None and not test(frame):
            frame = self.hear()
        assert frame is not None, f"closed with {self.close_code} {self.close_reason!r}"
        return frame


def soniox(
    gateway: LocalGateway, *, without: str = "", talk: Optional[Dict[str, Any]] = None, **config: Any
) -> Talk:
    """Connect and send the config."""
    settings = {**CONFIG, **config}
    settings.pop(without, None)
    return Talk(gateway, SONIOX, **(talk or {})).say(settings)


def reson8(gateway: LocalGateway, *, ready: bool = True, **config: Any) -> Talk:
    """Connect, send the init, and wait for ready."""
    talk = Talk(gateway, RESON8).say({"type": "init", "config": {**INIT, **config}})
    if ready:
        assert talk.hear()["type"] == "ready"
    return talk


def audio(pcm: bytes) -> Dict[str, str]:
    return {"type": "audio", "data": base64.b64encode(pcm).decode()}


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 16000) * 2)


def chunks(pcm: bytes, size: int = 3200) -> List[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


FINALIZE = {"type": "finalize"}
CLOSE = {"type": "close"}


def tokens(frames: List[Any]) -> List[Dict[str, Any]]:
    """All final tokens, in order."""
    return [token for frame in frames for token in frame.get("tokens", ()) if token["is_final"]]


def text(frames: List[Any]) -> str:
    """The final text, markers included."""
    return "".join(token["text"] for token in tokens(frames))


def kinds(frames: List[Any]) -> List[str]:
    return [frame.get("type", "?") for frame in frames]


def finals(frames: List[Any]) -> List[str]:
    return [frame["transcript"] for frame in frames if frame.get("type") == "final_transcript"]
