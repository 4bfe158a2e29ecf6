"""Write words as Soniox tokens: parts of words, the first with a leading blank."""

from typing import Any, Dict, Iterator, List, Optional, Tuple

from .engine import HeardWord
from .soniox_config import SonioxConfig

__all__ = ["Token", "TokenWriter", "marker"]

Token = Dict[str, Any]

# Languages that are written without blanks between words.
UNSPACED = frozenset({"ja", "lo", "my", "th", "zh"})
PUNCTUATION = ".,!?;:"


def marker(text: str) -> Token:
    """Return ``<end>`` or ``<fin>`` as a token, which is final and has no times."""
    return {"text": text, "is_final": True}


class TokenWriter:
    """An encoder of words as tokens, with only the fields that the client asked for.

    It splits long words in two and punctuation off, so that a client has to join tokens correctly.
    """

    def __init__(self, config: SonioxConfig) -> None:
        self._config = config
        self._began = False
        self._translated = False

    def final(self, words: Tuple[HeardWord, ...]) -> List[Token]:
        """Return final tokens: the spoken words, then their translations."""
        tokens: List[Token] = []
        translations: List[Token] = []
        for word in words:
            tokens.extend(self._spoken(word, True, blank=self._began))
            translations.extend(self._translation(word))
            self._began = True
        return tokens + translations

    def tentative(self, words: Tuple[HeardWord, ...]) -> List[Token]:
        """Return non-final tokens for the words after the final ones."""
        tokens: List[Token] = []
        for index, word in enumerate(words):
            tokens.extend(self._spoken(word, False, blank=self._began or index > 0))
        return tokens

    def _spoken(self, word: HeardWord, final: bool, blank: bool) -> Iterator[Token]:
        language = word.language or "en"
        start, length = word.start, max(1, len(word.text))
        for index, piece in enumerate(_pieces(word.text)):
            end = start + (word.end - word.start) * len(piece) / length
            token: Token = {
                "text": (" " if blank and index == 0 and language not in UNSPACED else "") + piece,
                "start_ms": round(start * 1000),
                "end_ms": round(end * 1000),
                "confidence": word.confidence,
                "is_final": final,
            }
            if self._config.diarization:
                token["speaker"] = word.speaker or "1"
            if self._config.translation:
                token["translation_status"] = "original" if self._target(word) else "none"
            if self._config.languages:
                token["language"] = language
            yield token
            start = end

    def _target(self, word: HeardWord) -> Optional[str]:
        translation = self._config.translation
        return translation.target(word.language or "en") if translation else None

    def _translation(self, word: HeardWord) -> Iterator[Token]:
        target = self._target(word)
        if target is None or not word.translation:
            return
        for piece in word.translation.split():
            # The first translated token has no leading blank.
            blank = self._translated and target not in UNSPACED
            self._translated = True
            token: Token = {"text": (" " if blank else "") + piece, "is_final": True}
            if self._config.diarization:
                token["speaker"] = word.speaker or "1"
            token["translation_status"] = "translation"
            token["language"] = target
            token["source_language"] = word.language or "en"
            yield token


def _pieces(text: str) -> List[str]:
    """Split punctuation off a word, and a long word in two."""
    stem = text.rstrip(PUNCTUATION)
    pieces = [stem[:2], stem[2:]] if len(stem) > 6 else [stem]
    return [piece for piece in (*pieces, text[len(stem) :]) if piece]
