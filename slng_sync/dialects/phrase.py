"""Tokens put together: the text of what was said without a break, at once; its words, for who asks.

A frame costs its own tokens only, however long the utterance is by then. No I/O.
"""

from typing import Iterable, List, Optional, Sequence, Tuple

from ..events import Word
from .base import Timeline, label, number
from .token_run import Token

__all__ = ["Phrase", "Text"]


class Text:
    """The text of tokens. They carry their own blanks, but for some that begin another language."""

    __slots__ = ("language", "speaker", "text")

    def __init__(self) -> None:
        self.text = ""
        # Of the last token that has them.
        self.speaker: Optional[str] = None
        self.language: Optional[str] = None

    def and_then(self, tokens: Sequence[Token]) -> "Text":
        """A text that goes on with these tokens; this one stays as it is."""
        text = Text()
        text.text, text.speaker, text.language = self.text, self.speaker, self.language
        for token in tokens:
            text.add(token)
        return text

    def differs_from(self, token: Token) -> bool:
        """Whether a token is another speaker's or in another language."""
        speaker, language = label(token.get("speaker")), label(token.get("language"))
        return (speaker is not None and self.speaker not in (None, speaker)) or (
            language is not None and self.language not in (None, language)
        )

    def add(self, token: Token) -> bool:
        """Add a token; whether it begins a word."""
        said: str = token["text"]
        apart = False
        if "language" in token or "speaker" in token:
            apart = self.differs_from(token)
            self.speaker = label(token.get("speaker")) or self.speaker
            self.language = label(token.get("language")) or self.language
        if not said or said.isspace():
            self.text += said
            return False
        begins = not self.text or said[0].isspace() or self.text[-1].isspace()
        self.text += f" {said}" if apart and not begins else said
        return begins or apart


class Phrase:
    """The words of tokens. ``start`` and ``end`` in seconds on the session's clock; None where nothing tells.

    ``speaker`` and ``language`` are those of the first token that has them.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.speaker: Optional[str] = None
        self.language: Optional[str] = None
        self.start: Optional[float] = None
        self.end: Optional[float] = None
        self._timeline = timeline
        self._text = Text()
        self._words: List[Word] = []
        self._confidences: List[float] = []
        # The tokens of the last word, to which the next token may belong.
        self._open: List[Token] = []

    def and_then(self, tokens: Iterable[Token]) -> "Phrase":
        """A phrase that goes on with these tokens; this one stays as it is."""
        phrase = Phrase.__new__(Phrase)
        phrase.__dict__.update(self.__dict__)
        phrase._text = self._text.and_then(())
        phrase._words, phrase._confidences = self._words[:], self._confidences[:]
        phrase._open = self._open[:]
        for token in tokens:
            phrase._add(token)
        return phrase

    def words(self) -> Tuple[Word, ...]:
        """The words. Nothing is added to a phrase after this."""
        self._end_word()
        return tuple(self._words)

    @property
    def confidence(self) -> Optional[float]:
        """The mean of the words'."""
        return _mean(self._confidences)

    def _add(self, token: Token) -> None:
        if self._text.add(token):
            self._end_word()
        self.speaker = self.speaker or self._text.speaker
        self.language = self.language or self._text.language
        if token["text"].strip():
            self._open.append(token)

    def _end_word(self) -> None:
        if not self._open:
            return
        word, self._open = self._word(self._open), []
        self._words.append(word)
        if word.confidence is not None:
            self._confidences.append(word.confidence)
        if word.start is not None and (self.start is None or word.start < self.start):
            self.start = word.start
        if word.end is not None and (self.end is None or word.end > self.end):
            self.end = word.end

    def _word(self, tokens: Sequence[Token]) -> Word:
        start = end = speaker = language = None
        confidences: List[float] = []
        for token in tokens:
            begins, ends = number(token.get("start_ms")), number(token.get("end_ms"))
            if begins is not None and (start is None or begins < start):
                start = begins
            if ends is not None and (end is None or ends > end):
                end = ends
            confidence = number(token.get("confidence"))
            if confidence is not None:
                confidences.append(confidence)
            speaker = speaker or label(token.get("speaker"))
            language = language or label(token.get("language"))
        return Word(
            "".join([token["text"] for token in tokens]).strip(),
            None if start is None else self._timeline.start(start / 1000),
            None if end is None else self._timeline.end(end / 1000),
            _mean(confidences),
            speaker,
            language,
        )


def _mean(values: Sequence[float]) -> Optional[float]:
    return round(sum(values) / len(values), 4) if values else None
