"""A trace, line by line, checked. How it is written, and what stands in it, is told by ``trace``."""

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
"""Seconds of audio: no message has a fraction of it, and silence of that length has to be made."""
HINT = "Give a file that Client.listen(trace=...) has written."


class TraceLine(NamedTuple):
    """``what`` is what a client's message is; ``at`` and ``seconds`` are None where they are not there."""

    name: str
    t: float
    dir: str
    kind: str
    data: Any
    what: str
    at: Optional[float]
    seconds: Optional[float]


class Opened(NamedTuple):
    """What a line says of a connection that begins."""

    dialect: Dialect
    audio_format: AudioFormat


def read_trace(path: Path) -> Iterator[TraceLine]:
    """Read a trace; a last line that is not whole is left out, a crash has cut it off.

    Raises ``AudioError`` with the number of the line that makes no sense, ``ConfigurationError`` for what is
    no path.
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
        raise AudioError(f"There is no file {name}.", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name} cannot be read: {reason}.") from error
    if not begun:
        raise AudioError(f"{name} is empty: there is no line of a trace in it.", hint=HINT)


def damaged(name: str, what: str) -> AudioError:
    """The error for a line that makes no sense."""
    return AudioError(f"{name} {what}.", hint=HINT)


def opened(line: TraceLine) -> Opened:
    """What a line of the kind "open" says. Raises ``AudioError``."""
    data: Mapping[str, Any] = line.data if isinstance(line.data, dict) else {}
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise AudioError(
            f"{line.name} is of a trace that this version cannot read (version {version!r}).",
            hint="Take the version of slng-sync that wrote it, or a newer one.",
        )
    dialect = Dialect.models.get(text(data.get("model")))
    if dialect is None:
        raise AudioError(
            f"{line.name} names a model that is not known here: {data.get('model')!r}.",
            hint="Import the module with its dialect first.",
        )
    try:
        return Opened(dialect(), AudioFormat(data.get("sample_rate"), data.get("channels")))  # type: ignore[arg-type]
    except ConfigurationError as error:
        raise damaged(line.name, "makes no sense as the beginning of a connection") from error


def _read(name: str, line: bytes) -> Optional[TraceLine]:
    """What stands in a line; None where it is not whole, or empty."""
    if not line.strip():
        return None
    try:
        read = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        if not line.endswith(b"\n"):
            return None
        raise damaged(name, "is no JSON, so this is no trace, or it is damaged") from None
    if not isinstance(read, dict):
        raise damaged(name, "is no JSON object, so this is no trace")
    t_ms, direction, kind = number(read.get("t_ms")), text(read.get("dir")), text(read.get("kind"))
    if t_ms is None or direction not in ("client", "server", "session") or not kind or "data" not in read:
        raise damaged(name, "is no line of a trace: it wants t_ms, dir, kind and data")
    at, seconds = _span(name, read, "at", 1e9), _span(name, read, "seconds", LONGEST_MESSAGE)
    return TraceLine(name, t_ms / 1000, direction, kind, read["data"], text(read.get("is")), at, seconds)


def _span(name: str, read: Mapping[str, Any], key: str, limit: float) -> Optional[float]:
    if read.get(key) is None:
        return None
    seconds = number(read[key])
    if seconds is None or not 0 <= seconds <= limit:
        raise damaged(name, f"makes no sense: {key!r} must be seconds, not {read[key]!r}"[:200])
    return seconds
