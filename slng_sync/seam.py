"""The seam between two connections: words that come again are taken out.

What was not surely settled is sent again, so a server may say words once more that were final already. Where
words have times, those that end before the seam are the repeated ones; where they have none, the words on
both sides are laid over each other. No I/O.
"""

import re
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple

from .events import Transcript, Word

__all__ = ["Seam"]

TOLERANCE = 0.05
"""Seconds by which a word's end may differ when it is heard again."""
LONGEST_OVERLAP = 40
"""Words; more than are spoken in the time that is ever replayed after its final."""
CUT_WORDS = 2
"""Words at the beginning of a replay that may be fragments, because the audio began inside them."""


class Seam:
    """What was final before a new connection began, for the transcripts that come after it.

    ``said`` are the words of the last finals; ``end`` is where the last of them ended, ``begin`` where the
    new connection's audio begins; in seconds of the session's clock.
    """

    def __init__(self, said: Sequence[str], end: float, begin: float) -> None:
        self._said = [_plain(word) for word in said if _plain(word)][-LONGEST_OVERLAP:]
        self._end = end
        self._begin = begin

    @property
    def overlaps(self) -> bool:
        """Whether anything can come twice at all."""
        return bool(self._said) and self._begin < self._end - TOLERANCE

    def trim(self, transcript: Transcript) -> Optional[Transcript]:
        """The transcript without what was said before; None where nothing is left of it."""
        if not self.overlaps:
            return transcript
        if transcript.words and all(word.end is not None for word in transcript.words):
            return self._by_time(transcript)
        if transcript.start is not None and transcript.start >= self._end:
            return transcript
        return self._by_words(transcript)

    def passed(self, transcript: Transcript) -> bool:
        """Whether what comes after this final can't be a repetition any more."""
        return not self.overlaps or (transcript.end is not None and transcript.end > self._end + TOLERANCE)

    def _by_time(self, transcript: Transcript) -> Optional[Transcript]:
        kept = tuple(word for word in transcript.words if (word.end or 0.0) > self._end + TOLERANCE)
        if len(kept) == len(transcript.words):
            return transcript
        return _rest(transcript, len(transcript.words) - len(kept), kept) if kept else None

    def _by_words(self, transcript: Transcript) -> Optional[Transcript]:
        again = repeated(self._said, [_plain(word) for word in transcript.text.split()])
        if not again:
            return transcript
        return _rest(transcript, again, transcript.words[again:])


def repeated(said: List[str], heard: List[str]) -> int:
    """How many words at the beginning of ``heard`` repeat the end of ``said``, with fragments before them.

    The longest run counts. One that begins behind a fragment counts only where the fragment could be the rest
    of the word that was said in its place.
    """
    for length in range(min(len(said), len(heard)), 0, -1):
        tail = said[-length:]
        for skipped in range(min(CUT_WORDS, len(heard) - length) + 1):
            if heard[skipped : skipped + length] == tail and _are_fragments(heard[:skipped], said[:-length]):
                return skipped + length
    return 0


def _are_fragments(heard: List[str], before: List[str]) -> bool:
    """Whether these words may be what is left of the words said before, cut at the front."""
    if not heard:
        return True
    return bool(before) and before[-1].endswith("".join(heard)[-2:])


def _rest(transcript: Transcript, count: int, words: Tuple[Word, ...]) -> Optional[Transcript]:
    text = " ".join(transcript.text.split()[count:])
    if not text:
        return None
    starts = [word.start for word in words if word.start is not None]
    stable = text if transcript.is_final else ""
    return replace(
        transcript, text=text, words=words, stable=stable, start=starts[0] if starts else transcript.start
    )


def _plain(word: str) -> str:
    """A word as it is compared: without case and punctuation, which depend on what stands beside it."""
    return re.sub(r"\W+", "", word.lower())
