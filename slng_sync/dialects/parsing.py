"""JSON objects out of messages: by ``orjson`` where that is installed, in a third of the time. No I/O."""

import functools
import importlib
import json
from typing import Any, Callable, Mapping, Optional, Union

__all__ = ["Bytes", "Parse", "best_parse", "parse"]

Bytes = Union[bytes, bytearray, memoryview]

Parse = Callable[[Bytes], Optional[Mapping[str, Any]]]

_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def parse(payload: Bytes) -> Optional[Mapping[str, Any]]:
    """A JSON object, or None."""
    try:
        said = str(payload, "utf-8").strip()
        message, end = _scan(said, 0)
    except (ValueError, RecursionError, StopIteration):
        return None
    return message if isinstance(message, dict) and end == len(said) else None


@functools.lru_cache(maxsize=None)
def best_parse() -> Parse:
    """The quickest function that does the same, but that integers of more than 64 bits may become floats."""
    try:
        load = importlib.import_module("orjson").loads
    except Exception:
        return parse

    def parse_quickly(payload: Bytes) -> Optional[Mapping[str, Any]]:
        try:
            message = load(payload)
        except ValueError:
            # It is stricter than the other: with NaN, or half a surrogate pair in a word, that has to decide.
            return parse(payload)
        return message if isinstance(message, dict) else None

    return parse_quickly
