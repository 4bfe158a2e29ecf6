"""The words of a transcript, made from tokens at the first access. No I/O."""

import copy
import marshal
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Type

from ..events import Word
from .base import Timeline, number

__all__ = ["Row", "TokenStore", "WordBuilder", "Words"]

BATCH = 16
"""Tokens that are packed together. Packed singly they would take five times as long to unpack."""

Row = Tuple[Any, ...]
"""A token: text, start_ms, end_ms and confidence as on the wire, then speaker and language if it has any."""


class Words(Tuple[Word, ...]):
    """A tuple of words that is made at the first access, on the thread of that access.

    It is a tuple because ``dataclasses.asdict`` does not convert other sequences. Slices, sums, deep copies
    and unpickled objects are ordinary tuples, and so is the result of ``Words(...)``.
    """

    _made: Tuple[Word, ...]

    def __new__(cls, words: Iterable[Word] = ()) -> Tuple[Word, ...]:  # type: ignore[misc]
        """Return an ordinary tuple, as ``dataclasses.asdict`` needs it."""
        return tuple(words)

    @classmethod
    def made_by(cls, make: Callable[[], Tuple[Word, ...]]) -> "Words":
        """Return the words that ``make`` returns. Every call, on any thread, must return the same."""
        # C code that bypasses the methods of this class finds this one item. It fails instead of losing
        # words.
        words: Words = tuple.__new__(cls, (make,))
        return words

    def _all(self) -> Tuple[Word, ...]:
        try:
            return self._made
        except AttributeError:
            make: Any = tuple.__getitem__(self, 0)
        # Two threads may both make the words. ``setdefault`` gives both the same tuple.
        made: Tuple[Word, ...] = self.__dict__.setdefault("_made", make())
        return made

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Word]:
        return iter(self._all())

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __contains__(self, word: object) -> bool:
        return word in self._all()

    def index(self, *word_and_range: Any) -> int:
        return self._all().index(*word_and_range)

    def count(self, word: object) -> int:
        return self._all().count(word)

    def __eq__(self, other: object) -> bool:
        return self._all() == other

    def __ne__(self, other: object) -> bool:
        return self._all() != other

    def __lt__(self, other: Any) -> Any:
        return self._all() < other

    def __le__(self, other: Any) -> Any:
        return self._all() <= other

    def __gt__(self, other: Any) -> Any:
        return self._all() > other

    def __ge__(self, other: Any) -> Any:
        return self._all() >= other

    def __hash__(self) -> int:
        return hash(self._all())

    def __add__(self, other: Any) -> Any:
        return self._all() + other

    def __radd__(self, other: Any) -> Any:
        return other + self._all()

    def __mul__(self, times: Any) -> Any:
        return self._all() * times

    def __rmul__(self, times: Any) -> Any:
        return times * self._all()

    def __repr__(self) -> str:
        return repr(self._all())

    def __copy__(self) -> "Words":
        """Return the same words, not made yet. Making one of the two takes no memory in the other."""
        make: Any = tuple.__getitem__(self, 0)
        return Words.made_by(make)

    def __deepcopy__(self, memo: Dict[int, Any]) -> Tuple[Word, ...]:
        return copy.deepcopy(self._all(), memo)

    def __reduce__(self) -> Tuple[Type[Tuple[Word, ...]], Tuple[Tuple[Word, ...]]]:
        return tuple, (self._all(),)


class TokenStore:
    """The final tokens of a segment, packed in batches. One thread appends, any thread reads."""

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self.count = 0
        # Replaced as a whole, so another thread finds each token in exactly one of the two.
        self._kept: Tuple[Tuple[bytes, ...], List[Row]] = ((), [])

    def extend(self, rows: Sequence[Row]) -> None:
        """Append tokens."""
        if len(self._kept[1]) >= BATCH:
            self._pack(len(self._kept[1]) // BATCH * BATCH)
        fresh = self._kept[1]
        fresh += rows
        self.count += len(rows)

    def pack(self) -> None:
        """Pack the remaining tokens. Called when no more will follow."""
        self._pack(len(self._kept[1]))

    def between(self, begin: int, end: int) -> List[Row]:
        """Return the tokens from index ``begin`` up to, but not including, ``end``."""
        packed, fresh = self._kept
        first = min(begin // BATCH, len(packed))
        rows = [row for batch in packed[first:] for row in marshal.loads(batch)] + fresh
        return rows[begin - first * BATCH : end - first * BATCH]

    def _pack(self, count: int) -> None:
        packed, fresh = self._kept
        batches = [_packed(fresh[at : min(at + BATCH, count)]) for at in range(0, count, BATCH)]
        self._kept = packed + tuple(batches), fresh[count:]


def _packed(rows: List[Row]) -> bytes:
    try:
        return marshal.dumps(rows)
    except ValueError:
        # A value in place of a time is nested too deeply for marshal. Drop such values.
        return marshal.dumps([(row[0], *map(number, row[1:4]), *row[4:]) for row in rows])


class WordBuilder:
    """A builder of words from tokens. A blank, another speaker or another language starts a new word."""

    __slots__ = ("_language", "_last", "_open", "_speaker", "_timeline", "_words")

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._words: List[Word] = []
        # The tokens of the last word. The next token may continue it.
        self._open: List[Row] = []
        # The last character, and the last labels.
        self._last = ""
        self._speaker: Optional[str] = None
        self._language: Optional[str] = None

    def followed_by(self, rows: Iterable[Row]) -> "WordBuilder":
        """Return a new builder with these tokens added."""
        builder = WordBuilder(self._timeline)
        builder._words, builder._open = self._words[:], self._open[:]
        builder._last, builder._speaker, builder._language = self._last, self._speaker, self._language
        for row in rows:
            builder._add(row)
        return builder

    def words(self) -> Tuple[Word, ...]:
        """Return the words so far, including the last one, which may be incomplete."""
        last = (_word(self._open, self._timeline),) if self._open else ()
        return (*self._words, *last)

    def _add(self, row: Row) -> None:
        text: str = row[0]
        differs = len(row) > 4 and self._differs(row[4], row[5])
        if text and not text.isspace():
            if differs or not self._last or text[0].isspace() or self._last.isspace():
                self._end_word()
            self._open.append(row)
        self._last = text[-1:] or self._last

    def _differs(self, speaker: Optional[str], language: Optional[str]) -> bool:
        before = self._speaker, self._language
        self._speaker, self._language = speaker or before[0], language or before[1]
        return (before[0] or self._speaker, before[1] or self._language) != (self._speaker, self._language)

    def _end_word(self) -> None:
        if self._open:
            self._words.append(_word(self._open, self._timeline))
            self._open = []


def _word(rows: Sequence[Row], timeline: Timeline) -> Word:
    starts, ends, confidences = (
        [value for value in map(number, (row[field] for row in rows)) if value is not None]
        for field in (1, 2, 3)
    )
    labelled = [row for row in rows if len(row) > 4]
    return Word(
        "".join([row[0] for row in rows]).strip(),
        timeline.start(min(starts) / 1000) if starts else None,
        timeline.end(max(ends) / 1000) if ends else None,
        round(sum(confidences) / len(confidences), 4) if confidences else None,
        next((row[4] for row in labelled if row[4]), None),
        next((row[5] for row in labelled if row[5]), None),
    )
