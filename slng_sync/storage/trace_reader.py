"""Reading and checking of traces, line by line. ``trace_writer`` describes the format."""

import json
import os
from typing import Any, Iterator, Mapping, NamedTuple, Optional

from ..audio.format import AudioFormat
from ..dialects import Dialect
from ..dialects.base import number, text
from ..errors import AudioError, ConfigurationError
from ..validation import Path
from .trace_writer import VERSION

__all__ = ["Opened", "TraceLine", "damaged", "opened", "read_trace"]

LONGEST_MESSAGE = 60.0
"""The most audio of one message in seconds. Real ones are far shorter, and a replay creates that silence."""
HINT = "Pass a file that was written by Client.listen(trace=...)."


class TraceLine(NamedTuple):
    """One line of a trace. ``what`` is the kind of a client's message, ``at`` and ``seconds`` may be None."""

    name: str
    t: float
    dir: str
    kind: str
    data: Any
    what: str
    at: Optional[float]
    seconds: Optional[float]


class Opened(NamedTuple):
    """The dialect and the audio format of a connection in a trace."""

    dialect: Dialect
    audio_format: AudioFormat


def read_trace(path: Path) -> Iterator[TraceLine]:
    """Yield the lines of a trace. Skip an incomplete last line, which a killed process leaves.

    Raises ``AudioError`` with the number of an invalid line, and ``ConfigurationError`` unless ``path`` is a
    path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigurationError(f"path must be the path of a trace, not {path!r}.")
    name = os.fsdecode(path)
    begun = False
    try:
        with open(path, "rb") as file:
            for number_, line in enumerate(file, 1):
                read = _read(f"{name}, line {number_}", line)
                if read is not None:
                    begun = True
                    yield read
    except FileNotFoundError:
        raise AudioError(f"File not found: {name}.", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name} cannot be read: {reason}.") from error
    if not begun:
        raise AudioError(f"{name} contains no line of a trace: it is empty or was cut off.", hint=HINT)


def damaged(name: str, what: str) -> AudioError:
    """Return the error for an invalid line."""
    return AudioError(f"{name} {what}.", hint=HINT)


def opened(line: TraceLine) -> Opened:
    """Return the content of a line of the kind "open". Raises ``AudioError``."""
    data: Mapping[str, Any] = line.data if isinstance(line.data, dict) else {}
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise AudioError(
            f"{line.name} has trace version {version!r}, which this version of slng-sync cannot read.",
            hint="Use the version of slng-sync that wrote the trace, or a newer one.",
        )
    dialect = Dialect.models.get(text(data.get("model")))
    if dialect is None:
        raise AudioError(
            f"{line.name} names an unknown model: {data.get('model')!r}.",
            hint="Import the module with its dialect before the replay.",
        )
    try:
        return Opened(dialect(), AudioFormat(data.get("sample_rate"), data.get("channels")))  # type: ignore[arg-type]
    except ConfigurationError as error:
        raise damaged(line.name, "has an invalid audio format") from error


def _read(name: str, line: bytes) -> Optional[TraceLine]:
    """Return the content of a line, or None if it is empty or incomplete."""
    if not line.strip():
        return None
    try:
        read = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        if not line.endswith(b"\n"):
            return None
        raise damaged(name, "is not JSON: the file is not a trace, or it is damaged") from None
    if not isinstance(read, dict):
        raise damaged(name, "is not a JSON object: the file is not a trace")
    t_ms, direction, kind = number(read.get("t_ms")), text(read.get("dir")), text(read.get("kind"))
    if t_ms is None or direction not in ("client", "server", "session") or not kind or "data" not in read:
        raise damaged(name, "is not a line of a trace: t_ms, dir, kind or data is missing or invalid")
    at, seconds = _span(name, read, "at", 1e9), _span(name, read, "seconds", LONGEST_MESSAGE)
    return TraceLine(name, t_ms / 1000, direction, kind, read["data"], text(read.get("is")), at, seconds)


def _span(name: str, read: Mapping[str, Any], key: str, limit: float) -> Optional[float]:
    if read.get(key) is None:
        return None
    seconds = number(read[key])
    if seconds is None or not 0 <= seconds <= limit:
        raise damaged(name, f"is invalid: {key!r} must be a number of seconds, not {read[key]!r}"[:200])
    return seconds
