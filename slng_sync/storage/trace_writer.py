"""The trace of a session: all messages in both directions with their times, as lines of JSON.

``replay`` reads it. Besides the messages it contains everything else that a replay needs, so a replay needs
neither the audio nor the options of the session.
"""

import json
import re
import time
from base64 import b64encode
from typing import Any, Dict, Optional

from ..dialects.base import Dialect, Message
from ..protocol.send_queue import SETTLE
from ..protocol.stream_protocol import StreamProtocol
from ..redaction import Redaction
from ..validation import Path
from .files import check_path, open_to_replace
from .writer import FileWriter

__all__ = ["VERSION", "TraceWriter"]

VERSION = 1
"""The version of the format. It changes if an older reader would misread new lines."""

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_as_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


class TraceWriter:
    """The trace of a session's connections, spoken words included. Each line is a JSON object.

    ``t_ms``    milliseconds since the beginning of the trace
    ``dir``     "client" or "server" for a message, "session" for other events
    ``kind``    "text", "binary" or "close"; for "session" it is "open", "lost" or "end"
    ``is``      the purpose of a client's message: "start", "audio", "finalize", "settle" (a finalize that
                the client sent on its own account), "keepalive", "end", or "other"
    ``at``      where the audio of the message begins, or where the audio of a finalize or end ends, in
                seconds on the session's clock. Audio without it is silence in place of a keepalive
    ``seconds`` the length of the audio
    ``data``    the text, base64 as ``@b64(...)``, ``@empty``, or the code and reason of a close. Audio is
                left out unless ``audio`` is true: ``@audio(1600 bytes)`` is the size of the PCM

    "open" is the beginning of a connection, with the model and the audio format. "lost" is a connection that
    will be replaced, with the reason. "end" is the end of the session; it is missing if the process was
    killed. Headers are not in the trace, so neither is the key. A key that the server repeats is replaced by
    ``***``.

    ``slng-io`` calls the methods and formats the lines. ``slng-writer`` writes each line at once. Methods
    raise nothing: problems are in ``FileWriter.take_problems``.

    Raises ``ConfigurationError`` if the file cannot be written. The constructor waits for the disk.
    """

    def __init__(self, path: Path, writer: FileWriter, *, audio: bool = False) -> None:
        name = check_path("trace", path)
        self._file = writer.open("trace", name, lambda: _LineFile(name, writer))
        self._with_audio = audio
        self._begun = time.monotonic()
        self._protocol: Optional[StreamProtocol] = None
        self._redaction = Redaction()
        self._is_started = False
        self._stream_sent = self._sent = 0

    def opened(self, protocol: StreamProtocol, redaction: Redaction) -> None:
        """Write that a connection begins. Its messages follow."""
        queue = protocol.queue
        self._protocol, self._redaction, self._is_started = protocol, redaction, False
        self._stream_sent, self._sent = queue.stream_sent, queue.sent
        data = {
            "version": VERSION,
            "model": protocol.dialect.model,
            "sample_rate": queue.audio_format.sample_rate,
            "channels": queue.audio_format.channels,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._line("session", "open", data, at=queue.start(0.0))

    def sent(self, frame: Message) -> None:
        """Write a message of the client. Called for each message before the next one is chosen."""
        assert self._protocol is not None
        queue = self._protocol.queue
        frames, moved = queue.stream_sent - self._stream_sent, queue.sent != self._sent
        self._stream_sent, self._sent = queue.stream_sent, queue.sent
        if frames:
            self._audio(frame, frames, queue.sent - frames if moved else None)
            return
        purpose = _purpose(self._protocol.dialect, frame) if self._is_started else "start"
        self._is_started = True
        at = None
        if purpose in ("finalize", "end") and queue.last_asked is not None:
            at = queue.audio_format.seconds(queue.last_asked.position)
            if queue.last_asked.is_own:
                purpose = SETTLE
        self._message("client", frame.payload, frame.binary, **{"is": purpose}, at=at)

    def received(self, payload: bytes, binary: bool) -> None:
        """Write a message of the server."""
        self._message("server", payload, binary)

    def closed(self, code: int, reason: str) -> None:
        """Write that the server has closed, or that the connection broke (1006)."""
        self._line("server", "close", {"code": code, "reason": reason})

    def lost(self, reason: str) -> None:
        """Write that the connection is lost. The next one begins at the current position of the queue."""
        assert self._protocol is not None
        self._line("session", "lost", {"reason": reason}, at=self._protocol.queue.start(0.0))

    def end(self, *, complete: bool, drained: bool) -> None:
        """Write the last line and queue the end of the file. ``drained`` is True after a clean close."""
        self._line("session", "end", {"complete": complete, "drained": drained})
        self._file.close()

    def _audio(self, frame: Message, frames: int, begin: Optional[int]) -> None:
        assert self._protocol is not None
        audio_format = self._protocol.queue.audio_format
        if not self._with_audio:
            data = f"@audio({frames * audio_format.frame_bytes} bytes)"
        else:
            data = _base64(frame.payload) if frame.binary else frame.payload.decode("utf-8", "replace")
        kind = "binary" if frame.binary else "text"
        at, seconds = None if begin is None else audio_format.seconds(begin), audio_format.seconds(frames)
        self._line("client", kind, data, **{"is": "audio"}, at=at, seconds=seconds)

    def _message(self, direction: str, payload: bytes, binary: bool, **beside: Any) -> None:
        if binary:
            hidden = self._redaction.text(payload.decode("latin-1")).encode("latin-1", "replace")
            self._line(direction, "binary", _base64(hidden) if payload else "@empty", **beside)
        else:
            self._line(direction, "text", self._hidden(payload.decode("utf-8", "replace")), **beside)

    def _hidden(self, said: str) -> str:
        """Return a text without the key, however its letters are escaped."""
        if "\\u" in said:
            plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), said)
            hidden = self._redaction.text(plain)
            if hidden != plain:
                return hidden
        return self._redaction.text(said)

    def _line(self, direction: str, kind: str, data: object, **beside: Any) -> None:
        if not self._file.is_open:
            return
        t_ms = round((time.monotonic() - self._begun) * 1000)
        line: Dict[str, Any] = {"t_ms": t_ms, "dir": direction, "kind": kind}
        for name, value in beside.items():
            if value is not None:
                line[name] = round(value, 6) if isinstance(value, float) else value
        line["data"] = data
        self._file.write((_as_json(line) + "\n").encode("utf-8", "replace"))


class _LineFile:
    """The file as ``slng-writer`` writes it."""

    def __init__(self, path: str, writer: FileWriter) -> None:
        self.name = path
        self._writer = writer
        self._file = open_to_replace(path)

    def write(self, data: bytes) -> None:
        """Append a line."""
        self._writer.write(self._file, data)

    def complete(self) -> None:
        """Close the file. Raises ``OSError``: a network drive may report a full disk only now."""
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _base64(payload: bytes) -> str:
    return f"@b64({b64encode(payload).decode('ascii')})"


def _purpose(dialect: Dialect, frame: Message) -> str:
    """Return the purpose of a message other than the first one and audio."""
    if frame == dialect.finalize():
        return "finalize"
    if frame == dialect.keepalive():
        return "keepalive"
    return "end" if frame in dialect.end() else "other"
