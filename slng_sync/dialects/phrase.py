"""Tokens put together: the text and the words of what was said without a break, token by token.

What was added once is not looked at again, so a partial costs as much at the end of a long utterance as at
its beginning. No I/O.
"""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..events import Word
from .base import Timeline, label, number

__all__ = ["Phrase", "Token"]

Token = Mapping[str, Any]


class Phrase:
    """What tokens say. ``start`` and ``end`` in seconds on the session's clock; None where nothing tells.

    ``speaker`` and ``language`` are those of the first token that has them; ``length`` counts the tokens.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.length = 0
        self.text = ""
        self.speaker: Optional[str] = None
        self.language: Optional[str] = None
        self.start: Optional[float] = None
        self.end: Optional[float] = None
        self._timeline = timeline
        self._last_speaker: Optional[str] = None
        self.last_language: Optional[str] = None
        self._words: List[Word] = []
        self._confidences: List[float] = []
        # The tokens of the last word, to which the next token may belong.
        self._open: List[Token] = []

    def copy(self) -> "Phrase":
        """The same once more, to which other tokens can be added."""
        twin = Phrase.__new__(Phrase)
        twin.__dict__.update(self.__dict__)
        twin._words, twin._confidences = self._words[:], self._confidences[:]
        twin._open = self._open[:]
        return twin

    def differs_from(self, token: Token) -> bool:
        """Whether a token is another speaker's or in another language."""
        speaker, language = _labels(token)
        return (speaker is not None and self._last_speaker not in (None, speaker)) or (
            language is not None and self.last_language not in (None, language)
        )

    def add(self, token: Token) -> None:
        """Add a token. They carry their own blanks, but for some that begin another language."""
        said = token["text"]
        self.length += 1
        apart = self.differs_from(token)
        self._note_labels(token)
        if not said.strip():
            self.text += said
            return
        joined = not (said[0].isspace() or self.text[-1:].isspace())
        if apart and joined:
            self.text += " "
        if apart or not joined:
            self._end_word()
        self.text += said
        self._open.append(token)

    def words(self) -> Tuple[Word, ...]:
        """The words so far. What is added after this begins a new one."""
        self._end_word()
        return tuple(self._words)

    @property
    def confidence(self) -> Optional[float]:
        """The mean of the words'."""
        return _mean(self._confidences)

    def _note_labels(self, token: Token) -> None:
        speaker, language = _labels(token)
        if speaker:
            self.speaker, self._last_speaker = self.speaker or speaker, speaker
        if language:
            self.language, self.last_language = self.language or language, language

    def _end_word(self) -> None:
        if not self._open:
            return
        word, self._open = self._word(self._open), []
        self._words.append(word)
        if word.confidence is not None:
            self._confidences.append(word.confidence)
        self.start = _least(self.start, word.start)
        self.end = _most(self.end, word.end)

    def _word(self, tokens: Sequence[Token]) -> Word:
        # One pass, no helpers: half of the cost of a frame is here.
        start = end = speaker = language = None
        confidences: List[float] = []
        for token in tokens:
            start = _least(start, number(token.get("start_ms")))
            end = _most(end, number(token.get("end_ms")))
            confidence = number(token.get("confidence"))
            if confidence is not None:
                confidences.append(confidence)
            speaker = speaker or label(token.get("speaker"))
            language = language or label(token.get("language"))
        said = tokens[0]["text"] if len(tokens) == 1 else "".join(token["text"] for token in tokens)
        return Word(
            said.strip(),
            None if start is None else self._timeline.start(start / 1000),
            None if end is None else self._timeline.end(end / 1000),
            _mean(confidences),
            speaker,
            language,
        )


def _least(one: Optional[float], other: Optional[float]) -> Optional[float]:
    return other if one is None else one if other is None or one < other else other


def _most(one: Optional[float], other: Optional[float]) -> Optional[float]:
    return other if one is None else one if other is None or one > other else other


def _labels(token: Token) -> Tuple[Optional[str], Optional[str]]:
    return label(token.get("speaker")), label(token.get("language"))


def _mean(values: Sequence[float]) -> Optional[float]:
    return round(sum(values) / len(values), 4) if values else None
