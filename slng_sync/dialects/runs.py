"""Tokens of one message in runs: neighbours that differ in nothing but their text, times and confidence.

Python looks at a run, and only C functions look at each of its tokens. Everything here takes time in
proportion to the number of tokens. No I/O.
"""

import itertools
import operator
from itertools import groupby, repeat
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .base import LARGEST_NUMBER, label
from .words import Row

__all__ = ["Extent", "Joined", "Run", "runs_of", "two_runs_of"]

ORIGINAL, TRANSLATION = "original", "translation"
_FIELDS = ("text", "start_ms", "end_ms", "confidence")
_LABELS = ("speaker", "language", "translation_status")
_NO_LABELS = (None, None, None, None, False)
_row = operator.itemgetter(*_FIELDS)
_text, _is_final = operator.itemgetter("text"), operator.itemgetter("is_final")
_confidence = operator.itemgetter("confidence")
_STATUSES: Dict[Optional[str], str] = {ORIGINAL: ORIGINAL, TRANSLATION: TRANSLATION}
_LABEL_TYPES = frozenset({str, type(None)})
_NUMBERS = (int, float)

Token = Dict[str, Any]


class Run(NamedTuple):
    """Tokens that share all that stands here; ``text`` is all their texts.

    ``status`` is ORIGINAL, TRANSLATION or None; ``source`` the language that was translated.
    ``is_marked`` where markers may be in the texts.
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
        """The run of the tokens from number ``begin`` up to, not including, number ``end``."""
        return self.of(self.tokens[begin:end])

    def of(self, tokens: List[Token]) -> "Run":
        """A run of other tokens with the same labels."""
        return self._replace(tokens=tokens, text="".join(map(_text, tokens)))

    def rows(self) -> List[Row]:
        """The tokens as words are made of them: with speaker and language, where they have one."""
        try:
            rows = [*map(_row, self.tokens)]
        except KeyError:
            rows = [*zip(*(_values(self.tokens, name) for name in _FIELDS))]
        if self.speaker is None and self.language is None:
            return rows
        labels = self.speaker, self.language
        return [row + labels for row in rows]


class Joined:
    """The text of runs. ``speaker`` and ``language`` are those of the last run that has them.

    Tokens carry their own blanks, but for some that begin another language.
    """

    __slots__ = ("language", "speaker", "text")

    def __init__(self, text: str = "", speaker: Optional[str] = None, language: Optional[str] = None) -> None:
        self.text = text
        self.speaker = speaker
        self.language = language

    def differs_from(self, speaker: Optional[str], language: Optional[str]) -> bool:
        """Whether these are the labels of another speaker or of another language."""
        return (speaker is not None and self.speaker not in (None, speaker)) or (
            language is not None and self.language not in (None, language)
        )

    def followed_by(self, runs: Iterable[Run]) -> "Joined":
        """The text with these runs behind it; this one stays as it is."""
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
    """When tokens begin and end, in milliseconds, None where none tells; and their mean confidence."""

    __slots__ = ("_count", "_total", "end", "start")

    def __init__(self) -> None:
        self.start: Optional[float] = None
        self.end: Optional[float] = None
        self._total = 0.0
        self._count = 0

    @property
    def confidence(self) -> Optional[float]:
        """The mean of the tokens that have one."""
        return round(self._total / self._count, 4) if self._count else None

    def add(self, rows: Sequence[Row]) -> None:
        """Add tokens. Where they begin and end, blank ones tell nothing."""
        for said, start, end, confidence, *_ in rows:
            if type(confidence) in _NUMBERS and -LARGEST_NUMBER < confidence < LARGEST_NUMBER:
                self._total += confidence
                self._count += 1
            if not said.strip():
                continue
            if type(start) in _NUMBERS and -LARGEST_NUMBER < start < (
                LARGEST_NUMBER if self.start is None else self.start
            ):
                self.start = start
            if (
                type(end) in _NUMBERS
                and (-LARGEST_NUMBER if self.end is None else self.end) < end < LARGEST_NUMBER
            ):
                self.end = end

    def followed_by(self, tokens: List[Token]) -> "Extent":
        """The extent with these tokens behind it. The first of them begins it, and the last ends it."""
        extent = Extent.__new__(Extent)
        start, end = self.start, self.end
        extent.start = _next_number(tokens, "start_ms") if start is None else start
        last = tokens[-1].get("end_ms")
        if type(last) not in _NUMBERS or not -LARGEST_NUMBER < last < LARGEST_NUMBER:
            last = _next_number(reversed(tokens), "end_ms")
        extent.end = last if end is None or (last is not None and last > end) else end
        try:
            total, count = sum(map(_confidence, tokens)), len(tokens)
            if not 0 <= total <= count:
                total, count = _sum(tokens)
        except (ArithmeticError, KeyError, TypeError):
            total, count = _sum(tokens)
        extent._total, extent._count = self._total + total, self._count + count
        return extent


def _next_number(tokens: Iterable[Token], name: str) -> Optional[float]:
    return next((token[name] for token in tokens if _is_number(token.get(name))), None)


def _sum(tokens: List[Token]) -> Tuple[float, int]:
    """The sum of the confidences, and how many there are."""
    numbers = [*filter(_is_number, _values(tokens, "confidence"))]
    return sum(numbers), len(numbers)


def _is_number(value: Any) -> bool:
    """Whether ``number`` takes it for one."""
    return type(value) in _NUMBERS and -LARGEST_NUMBER < value < LARGEST_NUMBER


def two_runs_of(tokens: List[Any]) -> Optional[Tuple[Run, Run]]:
    """The final tokens and the others behind them, if all have the same labels and no marker; else None.

    Most messages are so. Their runs are found in a third of the time, and may be empty.
    """
    try:
        first = tokens[0]
        read, others = _READERS["speaker" in first, "language" in first, "translation_status" in first]
        if others and not all(map(others.isdisjoint, tokens)):
            return None
        texts, finality, *columns = zip(*map(read, tokens))
        text = "".join(texts)
        final = bytes(finality)
    except (LookupError, TypeError, ValueError):
        return None
    labels = _shared(first, columns) if columns else _NO_LABELS
    finals = len(final.rstrip(b"\0"))
    if labels is None or "<" in text or final.count(1) != finals:
        return None
    stable = "".join(texts[:finals])
    # Without the function in Python that the constructor of a NamedTuple is.
    return (
        tuple.__new__(Run, (tokens[:finals], stable, True, *labels)),
        tuple.__new__(Run, (tokens[finals:], text[len(stable) :], False, *labels)),
    )


def _reader(*present: bool) -> Tuple[Callable[[Token], Any], FrozenSet[str]]:
    names = [name for name, is_present in zip(_LABELS, present) if is_present]
    return operator.itemgetter("text", "is_final", *names), frozenset(_LABELS).difference(names)


_READERS = {present: _reader(*present) for present in itertools.product((False, True), repeat=3)}
"""For the labels that a token has: a function that reads it, and the labels that it does not have."""


def _shared(first: Token, columns: Sequence[Sequence[Any]]) -> Optional[Tuple[Any, ...]]:
    """The last fields of a run of tokens with these labels; None where they differ or are translated."""
    for column in columns:
        value = column[0]
        if type(value) is not str or not value or column.count(value) != len(column):
            return None
    status = first.get("translation_status")
    if status == TRANSLATION:
        return None
    return first.get("speaker"), first.get("language"), _STATUSES.get(status), None, False


def runs_of(tokens: List[Any]) -> List[Run]:
    """The runs of any tokens, in order. Leaves out what is no token."""
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
