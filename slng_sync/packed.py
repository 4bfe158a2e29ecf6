"""Values from JSON that are kept for long and looked at by few, in a fraction of the memory."""

import marshal
from typing import Any

__all__ = ["Packed"]


class Packed:
    """A value as it came out of JSON. A call gives it back, made anew each time."""

    __slots__ = ("_is_packed", "_kept")

    def __init__(self, value: Any) -> None:
        try:
            # Not as JSON, which takes three times as long; it never leaves this process.
            self._kept: Any = marshal.dumps(value)
            self._is_packed = True
        except ValueError:
            # It is nested too deeply for that, as nothing is that a server means. Then it stays as it is.
            self._kept = value
            self._is_packed = False

    def __call__(self) -> Any:
        return marshal.loads(self._kept) if self._is_packed else self._kept
