"""What a session leaves on disk where it is asked to: its audio as WAV, its messages as lines of JSON."""

import json
import os
import time
import wave
from base64 import b64encode
from typing import Any, Union

from .audio.format import SAMPLE_BYTES, AudioFormat
from .dialects.base import Frame
from .errors import ConfigurationError

__all__ = ["AudioRecord", "MessageTrace", "Path"]

Path = Union[str, "os.PathLike[str]"]


class AudioRecord:
    """All audio that was captured, as it was captured, in a WAV file."""

    def __init__(self, path: Path, audio_format: AudioFormat) -> None:
        self._file = _open("record", path, "wb")
        self._wave: Any = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setnchannels(audio_format.channels)
        self._wave.setsampwidth(SAMPLE_BYTES)
        self._wave.setframerate(audio_format.sample_rate)

    def write(self, pcm: bytes) -> None:
        """Append whole frames."""
        self._wave.writeframesraw(pcm)

    def close(self) -> None:
        """Complete the file."""
        self._wave.close()
        self._file.close()


class MessageTrace:
    """Every message of a session's connections, one JSON object a line, spoken words included.

    ``t_ms`` counts from the beginning of the trace; ``dir`` is "client" or "server"; ``kind`` is "text",
    "binary" or "close"; ``data`` is the text itself, base64 as ``@b64(...)``, or the close's code and reason.
    Headers, and with them the key, are no messages.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open("trace", path, "w")
        self._begun = time.monotonic()

    def sent(self, frame: Frame) -> None:
        """A message went out."""
        self._message("client", frame.payload, frame.binary)

    def received(self, payload: bytes, binary: bool) -> None:
        """A message came in."""
        self._message("server", payload, binary)

    def closed(self, code: int, reason: str) -> None:
        """The server has closed, or the connection broke (1006)."""
        self._line("server", "close", {"code": code, "reason": reason})

    def close(self) -> None:
        """Complete the file."""
        self._file.close()

    def _message(self, direction: str, payload: bytes, binary: bool) -> None:
        if binary:
            self._line(
                direction, "binary", f"@b64({b64encode(payload).decode('ascii')})" if payload else "@empty"
            )
        else:
            self._line(direction, "text", payload.decode("utf-8", "replace"))

    def _line(self, direction: str, kind: str, data: object) -> None:
        t_ms = round((time.monotonic() - self._begun) * 1000)
        line = {"t_ms": t_ms, "dir": direction, "kind": kind, "data": data}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _open(name: str, path: Path, mode: str) -> Any:
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigurationError(f"{name} must be the path of a file to write, not {path!r}.")
    try:
        # Closed with the session.
        return open(path, mode, encoding=None if "b" in mode else "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{name}: {os.fspath(path)!r} cannot be written ({error.strerror})."
        ) from error
