"""Tokens of one message in runs: neighbours that differ in nothing but their text, times and confidence.

Python looks at a run, and only C functions look at each of its tokens. Everything here takes time in
proportion to the number of tokens. No I/O.
"""

import operator
from itertools import groupby, repeat
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .base import label, number
from .words import Row

__all__ = ["Extent", "Joined", "Run", "runs_of"]

ORIGINAL, TRANSLATION = "original", "translation"
_LABELS = frozenset({"language", "speaker", "translation_status"})
_FIELDS = ("text", "start_ms", "end_ms", "confidence")
_row, _text, _is_final = (
    operator.itemgetter(*_FIELDS),
    operator.itemgetter(0),
    operator.itemgetter("is_final"),
)
_TEXTS = frozenset({str, type(None)})
_NUMBERS = frozenset({int, float})

Token = Mapping[str, Any]


class Run(NamedTuple):
    """Tokens that share all that stands here; ``text`` is all their texts.

    ``status`` is ORIGINAL, TRANSLATION or None; ``source`` the language that was translated.
    ``is_marked`` where markers may be in the texts.
    """

    rows: Sequence[Row]
    text: str
    is_final: bool
    speaker: Optional[str] = None
    language: Optional[str] = None
    status: Optional[str] = None
    source: Optional[str] = None
    is_marked: bool = False

    def part(self, begin: int, end: int) -> "Run":
        """The run of the tokens from number ``begin`` up to, not including, number ``end``."""
        rows = self.rows[begin:end]
        return self._replace(rows=rows, text="".join(map(_text, rows)))

    def labelled_rows(self) -> Sequence[Row]:
        """The tokens with speaker and language, where they have one."""
        if self.speaker is None and self.language is None:
            return self.rows
        labels = self.speaker, self.language
        return [row + labels for row in self.rows]


class Joined(NamedTuple):
    """The text of runs. ``speaker`` and ``language`` are those of the last run that has them.

    Tokens carry their own blanks, but for some that begin another language.
    """

    text: str = ""
    speaker: Optional[str] = None
    language: Optional[str] = None

    def differs_from(self, run: Run) -> bool:
        """Whether a run is another speaker's or in another language."""
        return (run.speaker is not None and self.speaker not in (None, run.speaker)) or (
            run.language is not None and self.language not in (None, run.language)
        )

    def followed_by(self, runs: Iterable[Run]) -> "Joined":
        """The text with these runs behind it."""
        parts, last = [self.text], self.text[-1:]
        joined = self
        for run in runs:
            if joined.differs_from(run) and last and not last.isspace():
                first = run.rows[0][0][:1]
                if first and not first.isspace():
                    parts.append(" ")
            parts.append(run.text)
            last = run.text[-1:] or last
            joined = Joined("", run.speaker or joined.speaker, run.language or joined.language)
        return Joined("".join(parts), joined.speaker, joined.language)


class Extent(NamedTuple):
    """When tokens begin and end, in milliseconds, None where none tells; the sum of their confidences.

    ``counted`` is how many of them have a confidence.
    """

    start: Optional[float] = None
    end: Optional[float] = None
    total: float = 0.0
    counted: int = 0

    @property
    def confidence(self) -> Optional[float]:
        """The mean of the tokens' confidences."""
        return round(self.total / self.counted, 4) if self.counted else None

    def followed_by(self, run: Run) -> "Extent":
        """The extent of this and a run. Blank tokens tell nothing."""
        texts, starts, ends, confidences = zip(*run.rows)
        if not all(map(str.strip, texts)):
            rows = [row for row in run.rows if row[0].strip()]
            return self.followed_by(run._replace(rows=rows)) if rows else self
        total, count = _sum(confidences)
        return tuple.__new__(
            Extent,
            (
                _extreme(min, self.start, starts),
                _extreme(max, self.end, ends),
                self.total + total,
                self.counted + count,
            ),
        )


def _extreme(choose: Any, known: Optional[float], values: Sequence[Any]) -> Optional[float]:
    """The least, or the largest, of ``known`` and of those values that are numbers."""
    try:
        # All of them are numbers, as a rule.
        extreme = number(choose(values))
    except (RecursionError, TypeError):
        extreme = None
    if extreme is None:
        numbers = [value for value in map(number, values) if value is not None]
        if not numbers:
            return known
        extreme = choose(numbers)
    return extreme if known is None else choose(known, extreme)


def _sum(values: Sequence[Any]) -> Tuple[float, int]:
    """The sum of those values that are numbers, and how many they are."""
    if _NUMBERS.issuperset(map(type, values)) and min(values) >= 0:
        total = number(sum(values)) if max(values) <= 1 else None
        if total is not None:
            return total, len(values)
    numbers = [value for value in map(number, values) if value is not None]
    return sum(numbers), len(numbers)


def runs_of(tokens: List[Any]) -> List[Run]:
    """The runs of a message's tokens, in order. Leaves out what is no token."""
    try:
        rows = _rows(tokens)
        text = "".join(map(_text, rows))
        finality = bytes(map(_is_final, tokens))
        labels = _shared_labels(tokens)
    except (KeyError, TypeError, ValueError):
        return _grouped(tokens)
    finals = len(finality.rstrip(b"\0"))
    # As a rule only, final ones come before the others and all have the same labels.
    if labels is None or "<" in text or finality.count(1) != finals:
        return _grouped(tokens)
    if finals in (0, len(rows)):
        return [Run(rows, text, bool(finals), *labels)] if rows else []
    stable = "".join(map(_text, rows[:finals]))
    return [
        Run(rows[:finals], stable, True, *labels),
        Run(rows[finals:], text[len(stable) :], False, *labels),
    ]


def _rows(tokens: List[Any]) -> List[Row]:
    try:
        return [*map(_row, tokens)]
    except KeyError:
        return [*zip(*(map(dict.get, tokens, repeat(name)) for name in _FIELDS))]


def _shared_labels(tokens: List[Any]) -> Optional[Tuple[Optional[str], Optional[str], Optional[str]]]:
    """Speaker, language and status of all tokens; None where they differ, or are translated."""
    if all(map(_LABELS.isdisjoint, tokens)):
        return None, None, None
    speakers, languages, statuses = (
        {*map(dict.get, tokens, repeat(name))} for name in ("speaker", "language", "translation_status")
    )
    if not len(speakers) == len(languages) == len(statuses) == 1:
        return None
    (speaker,), (language,), (status,) = speakers, languages, statuses
    if status == TRANSLATION or not _TEXTS.issuperset((type(speaker), type(language))):
        return None
    return speaker or None, language or None, ORIGINAL if status == ORIGINAL else None


def _grouped(tokens: List[Any]) -> List[Run]:
    """The runs of any tokens."""
    tokens = [token for token in tokens if isinstance(token, dict) and isinstance(token.get("text"), str)]
    rows = _rows(tokens)
    keys = zip(
        map(bool, _values(tokens, "is_final")),
        _labels(tokens, "speaker"),
        _labels(tokens, "language"),
        map(_STATUSES.get, _labels(tokens, "translation_status")),
        _labels(tokens, "source_language"),
        map(operator.contains, map(_text, rows), repeat("<")),
    )
    runs, at = [], 0
    for key, same in groupby(keys):
        part = rows[at : at + len([*same])]
        at += len(part)
        runs.append(Run(part, "".join(map(_text, part)), *key))
    return runs


_STATUSES: Dict[Optional[str], str] = {ORIGINAL: ORIGINAL, TRANSLATION: TRANSLATION}


def _values(tokens: List[Dict[str, Any]], name: str) -> List[Any]:
    return [*map(dict.get, tokens, repeat(name))]


def _labels(tokens: List[Dict[str, Any]], name: str) -> List[Optional[str]]:
    values = _values(tokens, name)
    if _TEXTS.issuperset(map(type, values)) and "" not in values:
        return values
    return [*map(label, values)]
