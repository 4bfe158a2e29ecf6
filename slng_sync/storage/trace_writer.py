"""The trace of a session: what was said on the wire by whom and when, as lines of JSON.

``replay`` reads it. All that a replay needs stands in the lines beside the messages, so that neither the
audio nor the options of the session have to be there.
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
"""Of the lines; a higher one is for changes that an older reader would take wrongly."""

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_as_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


class TraceWriter:
    """Every message of a session's connections, one JSON object a line, spoken words included.

    ``t_ms``    counts from the beginning of the trace
    ``dir``     "client" or "server" for a message of theirs, "session" for what happened beside these
    ``kind``    "text", "binary" or "close"; of the session "open", "lost" or "end"
    ``is``      what a client's message is: "start", "audio", "finalize", "settle" (a finalize of the
                client's own), "keepalive", "end", or "other"
    ``at``      where its audio begins, or what it asks for ends, in seconds of the session's clock; without
                it audio is silence that stands in for a keepalive. ``seconds`` is how long audio is
    ``data``    the text itself, base64 as ``@b64(...)``, ``@empty``, or the close's code and reason. Audio is
                left out unless ``audio`` is true: ``@audio(1600 bytes)`` says how much PCM it was

    "open" is a connection that begins, with the model and the format of the audio; "lost" one that will be
    replaced, with the reason; "end" the end of the session. A trace without it is that of a killed process.
    Headers are not in it, so neither is the key; a key that the server repeats is replaced by ``***``.

    One thread, ``slng-io``, calls the methods and formats the lines; ``slng-writer`` writes each at once.
    Once the file is open nothing raises: problems are in ``FileWriter.take_problems``.

    Raises ``ConfigurationError`` where the file cannot be written. The constructor waits for the disk.
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
        """Write that a connection begins; its messages follow."""
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
        """Write a message of the client's. Called after it was chosen and before the next one is."""
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
        """Write a message of the server's."""
        self._message("server", payload, binary)

    def closed(self, code: int, reason: str) -> None:
        """Write that the server has closed, or that the connection broke (1006)."""
        self._line("server", "close", {"code": code, "reason": reason})

    def lost(self, reason: str) -> None:
        """Write that the connection is lost. The next one begins where the queue stands now."""
        assert self._protocol is not None
        self._line("session", "lost", {"reason": reason}, at=self._protocol.queue.start(0.0))

    def end(self, *, complete: bool, drained: bool) -> None:
        """Write the last line and queue the end of the file. ``drained``: the session ended in order."""
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
        """Close the file. Raises ``OSError``: a network drive may only now say that there is no room."""
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _base64(payload: bytes) -> str:
    return f"@b64({b64encode(payload).decode('ascii')})"


def _purpose(dialect: Dialect, frame: Message) -> str:
    """Return what a message is that is neither the first one nor audio."""
    if frame == dialect.finalize():
        return "finalize"
    if frame == dialect.keepalive():
        return "keepalive"
    return "end" if frame in dialect.end() else "other"
