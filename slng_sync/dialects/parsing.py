"""Parsing of JSON messages. ``orjson``, if installed, takes a third of the time. No I/O."""

import functools
import importlib
import json
from typing import Any, Callable, Mapping, Optional, Union

__all__ = ["Bytes", "Parse", "best_parse", "parse"]

Bytes = Union[bytes, bytearray, memoryview]

Parse = Callable[[Bytes], Optional[Mapping[str, Any]]]

_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def parse(payload: Bytes) -> Optional[Mapping[str, Any]]:
    """Return a JSON object, or None if the payload is anything else."""
    try:
        said = str(payload, "utf-8").strip()
        message, end = _scan(said, 0)
    except (ValueError, RecursionError, StopIteration):
        return None
    return message if isinstance(message, dict) and end == len(said) else None


@functools.lru_cache(maxsize=None)
def best_parse() -> Parse:
    """Return the fastest parser. It works as ``parse``, but may turn integers above 64 bits into floats."""
    try:
        load = importlib.import_module("orjson").loads
    except Exception:
        return parse

    def parse_quickly(payload: Bytes) -> Optional[Mapping[str, Any]]:
        try:
            message = load(payload)
        except ValueError:
            # orjson refuses NaN and half a surrogate pair. ``parse`` accepts them, so let it decide.
            return parse(payload)
        return message if isinstance(message, dict) else None

    return parse_quickly
