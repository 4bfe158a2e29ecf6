"""Runs: adjacent tokens of a message that differ only in text, times and confidence.

Python code handles runs, and only C functions handle single tokens. All functions take time linear in the
number of tokens. No I/O.
"""

import functools
import operator
from itertools import groupby, repeat
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .base import LARGEST_NUMBER, label
from .words import Row

__all__ = ["Alike", "Extent", "Joined", "Run", "alike", "columns_of", "runs_of"]

ORIGINAL, TRANSLATION = "original", "translation"
_FIELDS = ("text", "start_ms", "end_ms", "confidence")
_LABELS = ("speaker", "language", "translation_status")
_NO_LABELS = (None, None, None)
_row = operator.itemgetter(*_FIELDS)
_text = operator.itemgetter("text")
_STATUSES: Dict[Optional[str], str] = {ORIGINAL: ORIGINAL, TRANSLATION: TRANSLATION}
_LABEL_TYPES = frozenset({str, type(None)})
_NUMBERS = (int, float)
LONGEST_KEYS = 500
"""The most characters that the field names of a token may have in all."""

Token = Dict[str, Any]
Labels = Tuple[Optional[str], Optional[str], Optional[str]]
Column = Sequence[Any]
"""One field of every token."""


class Run(NamedTuple):
    """Adjacent tokens with the same labels. ``text`` is their joined text.

    ``status`` is ORIGINAL, TRANSLATION or None. ``source`` is the language that was translated. ``is_marked``
    is True if the texts may contain markers.
    """

    tokens: List[Token]
    text: str
    is_final: bool
    speaker: Optional[str] = None
    language: Optional[str] = None
    status: Optional[str] = None
    source: Optional[str] = None
    is_marked: bool = False

    def part(self, begin: int, end: int) -> "Run":
        """Return the run of ``tokens[begin:end]``."""
        return self.of(self.tokens[begin:end])

    def of(self, tokens: List[Token]) -> "Run":
        """Return a run of other tokens with the same labels."""
        return self._replace(tokens=tokens, text="".join(map(_text, tokens)))

    def rows(self) -> List[Row]:
        """Return the tokens as rows for ``WordBuilder``, with speaker and language if the run has any."""
        try:
            rows = [*map(_row, self.tokens)]
        except KeyError:
            rows = [*zip(*(_values(self.tokens, name) for name in _FIELDS))]
        if self.speaker is None and self.language is None:
            return rows
        labels = self.speaker, self.language
        return [row + labels for row in rows]


class Joined:
    """The joined text of runs, with the ``speaker`` and ``language`` of the last run that has them.

    Tokens contain their own blanks, except some at a change of language.
    """

    __slots__ = ("language", "speaker", "text")

    def __init__(self, text: str = "", speaker: Optional[str] = None, language: Optional[str] = None) -> None:
        self.text = text
        self.speaker = speaker
        self.language = language

    def differs_from(self, speaker: Optional[str], language: Optional[str]) -> bool:
        """Return whether these labels name another speaker or another language."""
        return (speaker is not None and self.speaker not in (None, speaker)) or (
            language is not None and self.language not in (None, language)
        )

    def followed_by(self, runs: Iterable[Run]) -> "Joined":
        """Return a new object with these runs appended."""
        parts, last = [self.text], self.text[-1:]
        labels = Joined("", self.speaker, self.language)
        for run in runs:
            first = run.tokens[0]["text"][:1]
            is_apart = labels.differs_from(run.speaker, run.language)
            if is_apart and first and last and not first.isspace() and not last.isspace():
                parts.append(" ")
            parts.append(run.text)
            last = run.text[-1:] or last
            labels.speaker, labels.language = run.speaker or labels.speaker, run.language or labels.language
        labels.text = "".join(parts)
        return labels


class Extent:
    """The start and end of tokens in milliseconds, None if unknown, and their mean confidence."""

    __slots__ = ("_count", "_end", "_start", "_total")

    def __init__(self) -> None:
        # Outside the range of all numbers while they are unknown.
        self._start = LARGEST_NUMBER
        self._end = -LARGEST_NUMBER
        self._total = 0.0
        self._count = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Add tokens. Blank tokens do not count for start and end."""
        for row in rows:
            said, start, end, confidence = row[:4]
            if type(confidence) in _NUMBERS and -LARGEST_NUMBER < confidence < LARGEST_NUMBER:
                self._total += confidence
                self._count += 1
            if said.strip():
                if type(start) in _NUMBERS and -LARGEST_NUMBER < start < self._start:
                    self._start = start
                if type(end) in _NUMBERS and self._end < end < LARGEST_NUMBER:
                    self._end = end

    def followed_by(
        self, starts: Column, ends: Column, confidences: Column
    ) -> Tuple[Optional[float], Optional[float], Optional[float]]:
        """Return start, end and mean confidence, including these tokens.

        Their first start counts if no start is known yet. Their last end counts if it is later.
        """
        total, count = self._total, self._count
        start = self._start if self._start < LARGEST_NUMBER else None
        end = self._end if self._end > -LARGEST_NUMBER else None
        if not ends:
            return start, end, round(total / count, 4) if count else None
        if start is None:
            start = next(filter(_is_number, starts), None)
        last = ends[-1]
        if type(last) not in _NUMBERS or not -LARGEST_NUMBER < last < LARGEST_NUMBER:
            last = next(filter(_is_number, reversed(ends)), None)
        if end is None or (last is not None and last > end):
            end = last
        more, number_of_them = _sum(confidences)
        count += number_of_them
        return start, end, round((total + more) / count, 4) if count else None


def _sum(values: Column) -> Tuple[float, int]:
    """Return the sum and the count of the values that are numbers."""
    try:
        # Usually all of them are numbers.
        total: float = sum(values)
        if 0 <= total <= len(values):
            return total, len(values)
    except (ArithmeticError, TypeError):
        pass
    numbers = [*filter(_is_number, values)]
    return sum(numbers), len(numbers)


def _is_number(value: Any) -> bool:
    """Return whether ``base.number`` accepts the value."""
    return type(value) in _NUMBERS and -LARGEST_NUMBER < value < LARGEST_NUMBER


def columns_of(tokens: List[Token]) -> List[Column]:
    """Return the starts, ends and confidences of any tokens."""
    return [_values(tokens, name) for name in _FIELDS[1:]]


Alike = Tuple[List[Row], List[Column], str, int, Optional[str], Optional[str], Optional[str]]
"""Rows, their columns, the joined text, the count of final tokens; speaker, language and status of all."""


def alike(tokens: List[Any]) -> Optional[Alike]:
    """Read tokens with the same fields and labels, no marker, and the final tokens first. Return None
    otherwise.

    Most messages are of this kind. This takes a third of the time of ``runs_of``.
    """
    try:
        keys = tuple(tokens[0])
        read, names = _reader(keys)
        if [*map(len, tokens)].count(len(keys)) != len(tokens):
            return None
        rows = [*map(read, tokens)]
        columns: List[Column] = [*zip(*rows)]
        text = "".join(columns[0])
        finality = bytes(columns[4])
    except (LookupError, TypeError, ValueError):
        return None
    labels = _shared(names, columns) if names else _NO_LABELS
    finals = len(finality.rstrip(b"\0"))
    if labels is None or "<" in text or finality.count(1) != finals:
        return None
    return rows, columns, text, finals, labels[0], labels[1], labels[2]


@functools.lru_cache(maxsize=64)
def _reader(keys: Tuple[str, ...]) -> Tuple[Callable[[Token], Row], Tuple[str, ...]]:
    """Return a function that reads all fields of a token with these keys, and the names of its labels.

    The function reads unused fields too: if it can read a token with as many keys, the keys are the same.
    Raises ``ValueError`` for unreasonably long keys, because the result is cached.
    """
    if len("".join(keys)) > LONGEST_KEYS:
        raise ValueError("too many keys")
    labels = tuple(name for name in _LABELS if name in keys)
    names = (*_FIELDS, "is_final", *labels)
    return operator.itemgetter(*names, *(key for key in keys if key not in names)), labels


def _shared(names: Sequence[str], columns: Sequence[Column]) -> Optional[Labels]:
    """Return speaker, language and status of all tokens, or None if these differ or are of a translation."""
    for column in columns[5 : 5 + len(names)]:
        if type(column[0]) is not str or not column[0] or column.count(column[0]) != len(column):
            return None
    if names == _LABELS[:2]:
        return columns[5][0], columns[6][0], None
    labels = {name: column[0] for name, column in zip(names, columns[5:])}
    status = labels.get("translation_status")
    if status == TRANSLATION:
        return None
    return labels.get("speaker"), labels.get("language"), _STATUSES.get(status)


def runs_of(tokens: List[Any]) -> List[Run]:
    """Return the runs of any tokens, in order. Skip values that are not tokens."""
    tokens = [token for token in tokens if isinstance(token, dict) and isinstance(token.get("text"), str)]
    texts = [*map(_text, tokens)]
    keys = zip(
        map(bool, _values(tokens, "is_final")),
        _labels(tokens, "speaker"),
        _labels(tokens, "language"),
        map(_STATUSES.get, _labels(tokens, "translation_status")),
        _labels(tokens, "source_language"),
        map(operator.contains, texts, repeat("<")),
    )
    runs, at = [], 0
    for key, same in groupby(keys):
        begin, at = at, at + len([*same])
        runs.append(Run(tokens[begin:at], "".join(texts[begin:at]), *key))
    return runs


def _values(tokens: List[Token], name: str) -> List[Any]:
    return [*map(dict.get, tokens, repeat(name))]


def _labels(tokens: List[Token], name: str) -> List[Optional[str]]:
    values = _values(tokens, name)
    if _LABEL_TYPES.issuperset(map(type, values)) and "" not in values:
        return values
    return [*map(label, values)]
