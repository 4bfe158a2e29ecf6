"""A minimal client on websocket-client, to exchange single messages with the gateway."""

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


class _WebSocket(websocket.WebSocket):  # type: ignore[misc]
    """A WebSocket that reads on if the server has closed the connection before its pong or close is sent."""

    def pong(self, payload: Union[str, bytes] = "") -> None:
        with contextlib.suppress(OSError):
            super().pong(payload)

    def send_close(self, status: int = 1000, reason: bytes = b"", **options: Any) -> None:
        with contextlib.suppress(OSError):
            super().send_close(status, reason, **options)


class RawClient:
    """One connection. ``received`` holds its messages, ``close_code`` is None until the close."""

    def __init__(
        self, gateway: LocalGateway, path: str, *, key: str = "key", timeout: float = 10.0, **options: Any
    ) -> None:
        header = {"Authorization": f"Bearer {key}", **options.pop("header", {})}
        self.close_code: Optional[int] = None
        self.close_reason = ""
        self.pings = 0
        self.received: List[Any] = []
        self.socket: Any = websocket.create_connection(
            gateway.url + path,
            header=header,
            timeout=timeout,
            suppress_origin=True,
            http_no_proxy=["127.0.0.1"],
            class_=_WebSocket,
            **options,
        )

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.socket.shutdown()

    def send(self, *messages: Union[Dict[str, Any], str, bytes]) -> "RawClient":
        """Send messages: dictionaries as JSON, strings as text, bytes as binary. Return self."""
        for message in messages:
            if isinstance(message, bytes):
                self.socket.send_binary(message)
            else:
                self.socket.send(message if isinstance(message, str) else json.dumps(message))
        return self

    def receive(self) -> Any:
        """Return the next message, or None at the close. Text that is not JSON is returned unchanged."""
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
            self.received.append(message)
            return message

    def receive_all(self) -> List[Any]:
        """Return all messages up to the close."""
        frames: List[Any] = []
        frame = self.receive()
        while frame is not None:
            frames.append(frame)
            frame = self.receive()
        return frames

    def receive_until(self, test: Any) -> Any:
        """Return the next message that passes the test."""
        frame = self.receive()
        while frame is not None and not test(frame):
            frame = self.receive()
        assert frame is not None, f"closed with {self.close_code} {self.close_reason!r}"
        return frame


def soniox(
    gateway: LocalGateway, *, without: str = "", connect: Optional[Dict[str, Any]] = None, **config: Any
) -> RawClient:
    """Connect and send the Soniox config, without the key ``without``."""
    settings = {**CONFIG, **config}
    settings.pop(without, None)
    return RawClient(gateway, SONIOX, **(connect or {})).send(settings)


def reson8(gateway: LocalGateway, *, ready: bool = True, **config: Any) -> RawClient:
    """Connect, send the Reson8 init, and wait for ready."""
    client = RawClient(gateway, RESON8).send({"type": "init", "config": {**INIT, **config}})
    if ready:
        assert client.receive()["type"] == "ready"
    return client


def audio(pcm: bytes) -> Dict[str, str]:
    return {"type": "audio", "data": base64.b64encode(pcm).decode()}


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 16000) * 2)


def chunks(pcm: bytes, size: int = 3200) -> List[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


FINALIZE = {"type": "finalize"}
CLOSE = {"type": "close"}


def tokens(frames: List[Any]) -> List[Dict[str, Any]]:
    """Return all final tokens, in order."""
    return [token for frame in frames for token in frame.get("tokens", ()) if token["is_final"]]


def text(frames: List[Any]) -> str:
    """Return the final text, including markers."""
    return "".join(token["text"] for token in tokens(frames))


def kinds(frames: List[Any]) -> List[str]:
    return [frame.get("type", "?") for frame in frames]


def finals(frames: List[Any]) -> List[str]:
    return [frame["transcript"] for frame in frames if frame.get("type") == "final_transcript"]
