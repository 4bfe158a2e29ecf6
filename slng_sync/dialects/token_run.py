"""A run of final tokens: what each tells of its word, packed, as it is kept and few ask for it. No I/O."""

import operator
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..packed import Packed
from .base import number

__all__ = ["Token", "TokenRun"]

BATCH = 16
"""Tokens that are packed together: one by one they would take five times as long to read back."""
_FIELDS = ("text", "start_ms", "end_ms", "confidence", "speaker", "language")
_plain_row = operator.itemgetter(*_FIELDS[:4])
_start, _end = operator.itemgetter(1), operator.itemgetter(2)

Token = Mapping[str, Any]
Row = Sequence[Any]
"""The values of a token's fields; the last ones may be left out."""


class TokenRun:
    """Tokens in their order. One thread appends; any may read those it knows of by ``count``."""

    __slots__ = ("_kept", "_span", "count")

    def __init__(self) -> None:
        self.count = 0
        # Replaced together, so that whoever reads meanwhile finds each token in one of both.
        self._kept: Tuple[Tuple[Packed, ...], List[Row]] = ((), [])
        self._span: Tuple[Optional[float], Optional[float]] = None, None

    def extend(self, tokens: Sequence[Token]) -> None:
        """Append tokens."""
        self._append([[*map(token.get, _FIELDS)] for token in tokens])

    def extend_plain(self, tokens: Sequence[Token]) -> None:
        """Append tokens that tell of no speaker and no language, in a third of the time."""
        try:
            self._append([*map(_plain_row, tokens)])
        except KeyError:
            self.extend(tokens)

    def pack(self) -> None:
        """No more will come: pack the rest as well."""
        while self._kept[1]:
            self._pack_batch()

    def between(self, begin: int, end: int) -> List[Token]:
        """The tokens from number ``begin`` up to, not including, number ``end``."""
        packed, fresh = self._kept
        first = min(begin // BATCH, len(packed))
        rows = [row for batch in packed[first:] for row in batch()] + fresh
        return [_token(row) for row in rows[begin - first * BATCH : end - first * BATCH]]

    def span(self) -> Tuple[Optional[float], Optional[float]]:
        """When the first began and the last ended, in milliseconds; None where nothing tells."""
        return self._span_with(self._kept[1])

    def _append(self, rows: List[Row]) -> None:
        # What came before, not this: at the end of an utterance, when many come, there is no time to lose.
        while len(self._kept[1]) >= BATCH:
            self._pack_batch()
        fresh = self._kept[1]
        fresh += rows
        self.count += len(rows)

    def _pack_batch(self) -> None:
        packed, fresh = self._kept
        batch = fresh[:BATCH]
        self._span = self._span_with(batch)
        self._kept = (*packed, Packed(batch).pack()), fresh[BATCH:]

    def _span_with(self, rows: Sequence[Row]) -> Tuple[Optional[float], Optional[float]]:
        said = [row for row in rows if row[0].strip()]
        start, end = self._span
        return _extreme(min, start, [*map(_start, said)]), _extreme(max, end, [*map(_end, said)])


def _extreme(
    choose: Callable[[List[float]], float], known: Optional[float], values: List[Any]
) -> Optional[float]:
    """The least, or the largest, of what is known and of those values that are numbers."""
    try:
        # All of them are numbers, as a rule: this takes a fifth of the time.
        extreme = number(choose(values))
    except (RecursionError, TypeError, ValueError):
        extreme = None
    numbers = [number(each) for each in values] if extreme is None else [extreme]
    told = [value for value in (known, *numbers) if value is not None]
    return choose(told) if told else None


def _token(row: Row) -> Dict[str, Any]:
    return {field: value for field, value in zip(_FIELDS, row) if value is not None}
