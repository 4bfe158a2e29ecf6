"""Removal of words that a server repeats after a reconnect.

The client resends audio that may not be settled, so a server may repeat words that were final already. If
words have times, those that end before the end of the last final are repeated. Otherwise the first new words
are compared with the last words of the finals. No I/O.
"""

import re
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple

from ..events import Transcript, Word

__all__ = ["OverlapTrimmer"]

TOLERANCE = 0.05
"""Seconds by which a word's end may differ when it is transcribed again."""
LONGEST_OVERLAP = 200
"""Words to compare with. The audio that is resent hardly contains more."""
CUT_WORDS = 2
"""Words at the beginning of a replay that may be fragments because the audio begins inside a word."""


class OverlapTrimmer:
    """Trims the transcripts of a new connection by the words that were final before.

    ``said`` are the words of the last finals. ``end`` is the end of the last final and ``begin`` the
    beginning of the new connection's audio, in seconds on the session's clock. ``is_over`` is True once no
    further transcript can repeat anything.
    """

    def __init__(self, said: Sequence[str], end: float, begin: float) -> None:
        self._said = [_plain(word) for word in said if _plain(word)][-LONGEST_OVERLAP:]
        self._end = end
        # How many of these words were repeated. None until the first transcript shows where the repetition
        # begins.
        self._repeated: Optional[int] = None
        self.is_over = not self._said or begin >= end - TOLERANCE

    def trim(self, transcript: Transcript) -> Optional[Transcript]:
        """Return the transcript without repeated words, or None if it has no others."""
        if self.is_over:
            return transcript
        if transcript.words and all(word.end is not None for word in transcript.words):
            return self._trim_by_time(transcript)
        return self._trim_by_words(transcript)

    def _trim_by_time(self, transcript: Transcript) -> Optional[Transcript]:
        kept = tuple(word for word in transcript.words if (word.end or 0.0) > self._end + TOLERANCE)
        self.is_over = transcript.is_final and bool(kept)
        if len(kept) == len(transcript.words):
            return transcript
        return _without_first(transcript, len(transcript.words) - len(kept), kept) if kept else None

    def _trim_by_words(self, transcript: Transcript) -> Optional[Transcript]:
        shown = transcript.text.split()
        places = [place for place, word in enumerate(shown) if _plain(word)]
        again, reached = self._align([_plain(shown[place]) for place in places], transcript.is_final)
        if transcript.is_final:
            self._repeated = reached
            self.is_over = not again or reached == len(self._said)
        if not again:
            return transcript
        cut = places[again] if again < len(places) else len(shown)
        return _without_first(transcript, cut, transcript.words[cut:])

    def _align(self, words: List[str], is_final: bool) -> Tuple[int, int]:
        """Return how many words at the beginning of ``words`` repeat earlier ones, and where those end.

        The first transcript may begin with any earlier word. Later ones continue where the last one ended.
        The longest match counts, and of several the earliest.
        """
        begins = (
            range(len(self._said)) if self._repeated is None else range(self._repeated, self._repeated + 1)
        )
        fragments = CUT_WORDS if self._repeated is None else 0
        best, again, reached = 0, 0, self._repeated or 0
        for begin in begins:
            for skipped in range(min(fragments, max(0, len(words) - 1)) + 1):
                length = min(len(self._said) - begin, len(words) - skipped)
                if length > best and self._is_repeated(words, skipped, begin, length, is_final):
                    best, again, reached = length, skipped + length, begin + length
        return again, reached

    def _is_repeated(self, words: List[str], skipped: int, begin: int, length: int, is_final: bool) -> bool:
        run, said = words[skipped : skipped + length], self._said[begin : begin + length]
        if not is_final and skipped + length == len(words) and said[-1].startswith(run[-1]):
            # The last word of a partial may be incomplete.
            run = [*run[:-1], said[-1]]
        return run == said and _are_fragments(words[:skipped], self._said[:begin])


def _are_fragments(words: List[str], before: List[str]) -> bool:
    """Return whether ``words`` may be the end of ``before``."""
    if not words:
        return True
    return bool(before) and before[-1].endswith("".join(words)[-2:])


def _without_first(transcript: Transcript, count: int, words: Tuple[Word, ...]) -> Optional[Transcript]:
    text = " ".join(transcript.text.split()[count:])
    if not text:
        return None
    starts = [word.start for word in words if word.start is not None]
    stable = text if transcript.is_final else ""
    start = starts[0] if starts else transcript.start
    return replace(transcript, text=text, words=words, stable=stable, start=start)


def _plain(word: str) -> str:
    """Return a word for comparison, without case and punctuation, which depend on its neighbours."""
    return re.sub(r"\W+", "", word.lower())
