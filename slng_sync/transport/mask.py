"""The mask that each frame of a client has to wear [RFC 6455, section 5.3].

In Python it is the dearest step between a chunk and the wire. Where ``websockets`` is installed, as it is
with the local gateway, its function in C does it in a tenth of the time.
"""

import functools
import importlib.machinery
import importlib.util
from types import ModuleType
from typing import Callable

__all__ = ["Mask", "best_mask", "mask"]

Mask = Callable[[bytes, bytes], bytes]


def mask(payload: bytes, key: bytes) -> bytes:
    """The payload with each byte changed by one of the four of the key, in turn."""
    size = len(payload)
    rest = -size % 4
    if rest:
        payload += bytes(rest)
    # As one big number: a loop over bytes would cost a hundred times as much.
    repeated = int.from_bytes(key, "little") * _ones(len(payload) // 4)
    masked = (int.from_bytes(payload, "little") ^ repeated).to_bytes(len(payload), "little")
    return masked[:size] if rest else masked


@functools.lru_cache(maxsize=None)
def best_mask() -> Mask:
    """The quickest function for it that is to be had here."""
    sample, key = bytes(range(7)), b"\x81\x42\x24\x18"
    try:
        in_c = _extension("websockets", "speedups").apply_mask
        # What belongs to another package may change some day.
        return in_c if in_c(sample, key) == mask(sample, key) else mask
    except Exception:
        return mask


def _extension(package: str, name: str) -> ModuleType:
    """A module in C by itself: its package would bring 2.5 MB with it."""
    found = importlib.util.find_spec(package)
    within = importlib.machinery.PathFinder.find_spec(
        f"{package}.{name}", found.submodule_search_locations if found else []
    )
    if within is None or within.loader is None:
        raise ImportError(f"{package}.{name} is not installed")
    module = importlib.util.module_from_spec(within)
    within.loader.exec_module(module)
    return module


@functools.lru_cache(maxsize=16)
def _ones(count: int) -> int:
    """What repeats a number of four bytes so often where it is multiplied with it."""
    return int.from_bytes(b"\1\0\0\0" * count, "little")
