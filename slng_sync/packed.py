"""Values from JSON that are kept for long and looked at by few, in a fraction of the memory."""

import contextlib
import marshal
from typing import Any

__all__ = ["Packed"]


class Packed:
    """A value as it came out of JSON, kept as it is until ``pack``. A call gives it back, from any thread."""

    __slots__ = ("_kept", "_was_tried")

    def __init__(self, value: Any) -> None:
        self._was_tried = False
        # Bytes once it is packed, which nothing out of JSON is: replaced in one step, as others may look.
        self._kept = value

    def pack(self) -> "Packed":
        """Take up less room from now on. The value is made anew with each call then."""
        if not self._was_tried:
            self._was_tried = True
            # What is nested too deeply for that, as nothing is that a server means, stays as it is.
            with contextlib.suppress(ValueError):
                # Not as JSON, which takes three times as long; it never leaves this process.
                self._kept = marshal.dumps(self._kept)
        return self

    def __call__(self) -> Any:
        kept = self._kept
        return marshal.loads(kept) if isinstance(kept, bytes) else kept
