"""Recorded sessions: the messages on the wire, and the options with which our client sends the same.

``lines`` are the lines of the file. ``turns`` are the same session with audio counted instead of timed, so
that it can be replayed in a moment. The server waits for a client's turn, and performs a server's turn.
"""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from slng_sync import AudioFormat, Dialect, Reson8, Soniox

SESSIONS = Path(__file__).parent / "sessions"
_EXPECTED = json.loads((SESSIONS / "EXPECTED.json").read_text("utf-8"))
EXPECTED: Dict[str, Any] = {Path(name).stem: expected for name, expected in _EXPECTED.items()}
NAMES = sorted(EXPECTED)
LONGEST_RUN = 4.0
"""Longer audio is replayed as this many seconds. It is silence, and only its length was recorded."""

_PCM = re.compile(r"@pcm\(bytes=(\d+),")
_PCM_RUN = re.compile(r"@pcm_run\(count=(\d+),bytes=(\d+),every_ms=(\d+),")
_LITERAL = re.compile(r"@b64\((.*)\)")


class Line(NamedTuple):
    """One line of a file, see ``sessions/README.md``."""

    t_ms: int
    dir: str
    kind: str
    data: Any

    @property
    def message(self) -> Optional[Mapping[str, Any]]:
        """Return the JSON object of a text message, or None."""
        if self.kind != "text" or not self.data.startswith("{"):
            return None
        message: Mapping[str, Any] = json.loads(self.data)
        return message


class Turn(NamedTuple):
    """One step of a session. ``kind`` is start, audio, finalize, keepalive, end or hang_up for the client;
    sends, closes, drops, refuses or freezes for the server.
    """

    kind: str
    data: Any = None

    @property
    def is_from_server(self) -> bool:
        """Return True if this is the server's turn."""
        return self.kind in ("sends", "closes", "drops", "refuses", "freezes")


class Recording:
    """One recorded session."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.expected = EXPECTED[name]
        text = (SESSIONS / f"{name}.jsonl").read_text("utf-8")
        self.lines = [Line(**json.loads(line)) for line in text.splitlines()]
        self.start = next((line.message for line in self.lines if line.dir == "client"), None) or {}

    @property
    def is_soniox(self) -> bool:
        """Return True for the Soniox dialect, False for Reson8."""
        return self.name.startswith("soniox")

    @property
    def dialect(self) -> Dialect:
        """Return the dialect with the options of the recorded session."""
        return _soniox(self.start) if self.is_soniox else self._reson8()

    @property
    def audio_format(self) -> AudioFormat:
        """Return the audio format in the client's first message."""
        config = self.start.get("config", self.start)
        return AudioFormat(
            config.get("sample_rate", 16000), config.get("channels", config.get("num_channels", 1))
        )

    def audio_before(self, t_ms: float) -> float:
        """Return the seconds of audio that the client had sent by ``t_ms``."""
        sent = 0
        for line in self.lines:
            if line.dir == "client" and line.t_ms <= t_ms:
                sent += _audio_bytes(line, t_ms)
        return self.audio_format.seconds(sent // self.audio_format.frame_bytes)

    @property
    def turns(self) -> List[Turn]:
        """Return the steps of the session in order."""
        turns: List[Turn] = []
        counted = 0.0
        for line in self.lines:
            seconds = self.audio_before(line.t_ms) - counted
            counted += seconds
            if seconds > 0:
                _add(turns, Turn("audio", self._literal(line) or self._silence(min(seconds, LONGEST_RUN))))
            turn = _turn(line)
            if turn is not None:
                _add(turns, turn)
        if turns[-1].kind == "hang_up" and self.lines[-1].data["code"] == 1006:
            # The client gave up on a server that stopped answering after its last message.
            last = max(at for at, turn in enumerate(turns) if turn.is_from_server)
            turns[-1:] = []
            turns.insert(last + 1, Turn("freezes"))
        return turns

    def _silence(self, seconds: float) -> bytes:
        return bytes(self.audio_format.frames(seconds) * self.audio_format.frame_bytes)

    def _literal(self, line: Line) -> Optional[bytes]:
        message = line.message or {}
        if line.dir == "client" and message.get("type") == "audio" and "@pcm" not in message["data"]:
            return b64decode(message["data"])
        return None

    def _reson8(self) -> Reson8:
        config = dict(self.start.get("config", {}))
        for name in ("sample_rate", "channels"):
            config.pop(name, None)
        binary = any(line.dir == "client" and line.kind == "binary" for line in self.lines)
        options = ("enable_partials", "encoding", "language")
        known = {name: config.pop(name) for name in options if name in config}
        return Reson8(audio_envelope="binary" if binary else "json", extra=config, **known)


def _soniox(start: Mapping[str, Any]) -> Soniox:
    options = {key: value for key, value in start.items() if key not in ("type", "model", "audio_format")}
    options.pop("sample_rate", None)
    options.pop("num_channels", None)
    options.setdefault("enable_endpoint_detection", False)
    return Soniox(config_type=start.get("type", None if start else "config"), **options)


def _audio_bytes(line: Line, t_ms: float) -> int:
    """Return the bytes of a line's audio that had been sent by ``t_ms``."""
    if line.kind == "close":
        return 0
    run = _PCM_RUN.search(line.data)
    if run:
        count, size, every = map(int, run.groups())
        return size * max(0, min(count, int((t_ms - line.t_ms) // every) + 1))
    one = _PCM.search(line.data)
    if one:
        return int(one[1])
    message = line.message or {}
    return len(b64decode(message["data"])) if message.get("type") == "audio" and t_ms >= line.t_ms else 0


def _turn(line: Line) -> Optional[Turn]:
    """Return the turn of a line, or None for audio."""
    if line.kind == "close":
        return _farewell(line)
    if line.dir == "server":
        return Turn("sends", line.data)
    kind = (line.message or {}).get("type")
    if kind in ("finalize", "keepalive"):
        return Turn(kind)
    if kind in ("close", "") or line.data in ("", "@empty"):
        return Turn("end", line.data)
    if line.message is not None and kind != "audio":
        return Turn("start", line.message)
    # Audio is counted elsewhere. A container's header is left out, because our client sends raw samples.
    return None


def _farewell(line: Line) -> Turn:
    if line.dir == "client":
        return Turn("hang_up")
    if "http_status" in line.data:
        return Turn("refuses", line.data)
    return Turn("drops") if line.data.get("abnormal") else Turn("closes", line.data)


def _add(turns: List[Turn], turn: Turn) -> None:
    """Append a turn. Consecutive audio turns are joined, consecutive keepalives count as one."""
    if turns and turns[-1].kind == turn.kind == "keepalive":
        return
    if turns and turns[-1].kind == turn.kind == "audio":
        turns[-1] = Turn("audio", turns[-1].data + turn.data)
    else:
        turns.append(turn)
