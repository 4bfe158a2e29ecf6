"""A run of final tokens: what each tells of its word, packed, as it is kept and few ask for it. No I/O."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..packed import Packed
from .base import number

__all__ = ["Token", "TokenRun"]

BATCH = 16
"""Tokens that are packed together: one by one they would take five times as long to read back."""
_FIELDS = ("text", "start_ms", "end_ms", "confidence", "speaker", "language")

Token = Mapping[str, Any]


class TokenRun:
    """Tokens in their order. One thread appends; any may read those it knows of by ``count``."""

    __slots__ = ("_end", "_kept", "_start", "count")

    def __init__(self) -> None:
        self.count = 0
        # Replaced together, so that whoever reads meanwhile finds each token in one of both.
        self._kept: Tuple[Tuple[Packed, ...], List[Token]] = ((), [])
        self._start: Optional[float] = None
        self._end: Optional[float] = None

    def extend(self, tokens: Sequence[Token]) -> None:
        """Append tokens."""
        fresh = self._kept[1]
        fresh += tokens
        self.count += len(tokens)
        while len(fresh) >= BATCH:
            fresh = self._pack()

    def close(self) -> None:
        """No more will come: pack the rest as well."""
        self._pack()

    def _pack(self) -> List[Token]:
        """Pack a batch, or what there is; gives what is left."""
        packed, fresh = self._kept
        batch, rest = fresh[:BATCH], fresh[BATCH:]
        if batch:
            self._start, self._end = self._span_with(batch)
            self._kept = (*packed, Packed([[*map(token.get, _FIELDS)] for token in batch])), rest
        return rest

    def between(self, begin: int, end: int) -> List[Token]:
        """The tokens from number ``begin`` up to, not including, number ``end``."""
        packed, fresh = self._kept
        first = min(begin // BATCH, len(packed))
        tokens = [_token(row) for batch in packed[first:] for row in batch()] + fresh
        return tokens[begin - first * BATCH : end - first * BATCH]

    def span(self) -> Tuple[Optional[float], Optional[float]]:
        """When the first began and the last ended, in milliseconds; None where nothing tells."""
        return self._span_with(self._kept[1])

    def _span_with(self, fresh: Sequence[Token]) -> Tuple[Optional[float], Optional[float]]:
        said = [token for token in fresh if token["text"].strip()]
        starts = [start for token in said if (start := number(token.get("start_ms"))) is not None]
        ends = [end for token in said if (end := number(token.get("end_ms"))) is not None]
        if self._start is not None:
            starts.append(self._start)
        if self._end is not None:
            ends.append(self._end)
        return min(starts, default=None), max(ends, default=None)


def _token(row: Sequence[Any]) -> Dict[str, Any]:
    return {field: value for field, value in zip(_FIELDS, row) if value is not None}
