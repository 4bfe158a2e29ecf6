"""Values from JSON that are kept for long and looked at by few, in a tenth of the memory."""

import marshal
import zlib
from typing import Any

__all__ = ["Packed"]

WINDOW_BITS = 12
MEMORY_LEVEL = 4
"""With so little the compressor works in 24 kB: with its own default, each of many threads takes 256."""


class Packed:
    """A value as it came out of JSON. A call gives it back, made anew each time."""

    __slots__ = ("_is_packed", "_kept")

    def __init__(self, value: Any) -> None:
        self._kept: Any = value
        self._is_packed = False
        compress = zlib.compressobj(1, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
        try:
            # Not as JSON, which takes three times as long; it never leaves this process.
            self._kept = compress.compress(marshal.dumps(value)) + compress.flush()
            self._is_packed = True
        except ValueError:
            # It is nested too deeply for that, as nothing is that a server means. Then it stays as it is.
            pass

    def __call__(self) -> Any:
        return marshal.loads(zlib.decompress(self._kept)) if self._is_packed else self._kept
