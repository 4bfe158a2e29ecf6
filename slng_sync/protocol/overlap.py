"""The seam between two connections: words that come again are taken out.

What was not surely settled is sent again, so a server may say words once more that were final already. Where
words have times, those that end before the seam are the repeated ones; where they have none, the words on
both sides are laid over each other. No I/O.
"""

import re
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple

from ..events import Transcript, Word

__all__ = ["OverlapTrimmer"]

TOLERANCE = 0.05
"""Seconds by which a word's end may differ when it is heard again."""
LONGEST_OVERLAP = 200
"""Words to look back upon: more are hardly said in the audio that is ever sent again."""
CUT_WORDS = 2
"""Words at the beginning of a replay that may be fragments, because the audio began inside them."""


class OverlapTrimmer:
    """What was final before a new connection began, for the transcripts that come after it.

    ``said`` are the words of the last finals; ``end`` is where the last of them ended, ``begin`` where the
    new connection's audio begins; in seconds of the session's clock. ``is_over`` once nothing that comes can
    be a repetition any more.
    """

    def __init__(self, said: Sequence[str], end: float, begin: float) -> None:
        self._said = [_plain(word) for word in said if _plain(word)][-LONGEST_OVERLAP:]
        self._end = end
        # How many of them have come again; None until the first words tell where the repetition begins.
        self._repeated: Optional[int] = None
        self.is_over = not self._said or begin >= end - TOLERANCE

    def trim(self, transcript: Transcript) -> Optional[Transcript]:
        """The transcript without what was said before; None where nothing is left of it."""
        if self.is_over:
            return transcript
        if transcript.words and all(word.end is not None for word in transcript.words):
            return self._by_time(transcript)
        return self._by_words(transcript)

    def _by_time(self, transcript: Transcript) -> Optional[Transcript]:
        kept = tuple(word for word in transcript.words if (word.end or 0.0) > self._end + TOLERANCE)
        self.is_over = transcript.is_final and bool(kept)
        if len(kept) == len(transcript.words):
            return transcript
        return _rest(transcript, len(transcript.words) - len(kept), kept) if kept else None

    def _by_words(self, transcript: Transcript) -> Optional[Transcript]:
        shown = transcript.text.split()
        places = [place for place, word in enumerate(shown) if _plain(word)]
        again, reached = self._align([_plain(shown[place]) for place in places], transcript.is_final)
        if transcript.is_final:
            self._repeated = reached
            self.is_over = not again or reached == len(self._said)
        if not again:
            return transcript
        cut = places[again] if again < len(places) else len(shown)
        return _rest(transcript, cut, transcript.words[cut:])

    def _align(self, heard: List[str], is_final: bool) -> Tuple[int, int]:
        """How many words at the beginning of ``heard`` were said before, and how far they reach in ``said``.

        The first words that come may repeat any of what was said; those after them go on from there. The
        longest run counts, and of several the earliest.
        """
        begins = (
            range(len(self._said)) if self._repeated is None else range(self._repeated, self._repeated + 1)
        )
        fragments = CUT_WORDS if self._repeated is None else 0
        best, again, reached = 0, 0, self._repeated or 0
        for begin in begins:
            for skipped in range(min(fragments, max(0, len(heard) - 1)) + 1):
                length = min(len(self._said) - begin, len(heard) - skipped)
                if length > best and self._is_repeated(heard, skipped, begin, length, is_final):
                    best, again, reached = length, skipped + length, begin + length
        return again, reached

    def _is_repeated(self, heard: List[str], skipped: int, begin: int, length: int, is_final: bool) -> bool:
        run, said = heard[skipped : skipped + length], self._said[begin : begin + length]
        if not is_final and skipped + length == len(heard) and said[-1].startswith(run[-1]):
            # The last word of a guess may be only half there.
            run = [*run[:-1], said[-1]]
        return run == said and _are_fragments(heard[:skipped], self._said[:begin])


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
    start = starts[0] if starts else transcript.start
    return replace(transcript, text=text, words=words, stable=stable, start=start)


def _plain(word: str) -> str:
    """A word as it is compared: without case and punctuation, which depend on what stands beside it."""
    return re.sub(r"\W+", "", word.lower())
