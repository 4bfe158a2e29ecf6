"""Values from JSON that are kept for long and looked at by few, in a fraction of the memory."""

import marshal
import operator
from typing import Any, List, Mapping, Sequence

__all__ = ["Packed", "PackedRows"]


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


class PackedRows:
    """JSON objects with the same keys, as tokens have, kept without these. A call gives the objects back."""

    __slots__ = ("_keys", "_packed")

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        keys = tuple(rows[0]) if rows else ()
        kept: Sequence[Any] = rows
        try:
            # One key alone would give no rows; and some rows may have more of them.
            if len(keys) > 1 and sum(map(len, rows)) == len(keys) * len(rows):
                kept = [*map(operator.itemgetter(*keys), rows)]
        except KeyError:
            pass
        self._keys = () if kept is rows else keys
        self._packed = Packed(kept)

    def __call__(self) -> List[Mapping[str, Any]]:
        rows = self._packed()
        return [dict(zip(self._keys, row)) for row in rows] if self._keys else rows
