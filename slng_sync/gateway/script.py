"""The script engine: it releases the words of a script by the amount of audio received.

It uses no clock. A word is tentative and cut short while its audio arrives, tentative and whole once all its
audio is there, and final after some more audio. An endpoint follows a word that ends an utterance.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..audio.format import AudioFormat
from ..errors import ConfigurationError
from . import stamps
from .engine import ALL_ABILITIES, HeardWord, StreamOptions, Update

__all__ = ["Script", "ScriptEngine", "ScriptWord"]

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


@dataclass(frozen=True)
class ScriptWord:
    """A word and its position in the audio, in seconds. ``endpoint`` means that the speaker pauses after it.

    ``speaker``, ``language`` and ``translation`` are sent only to clients that asked for them.
    """

    text: str
    start: float
    end: float
    speaker: Optional[str] = None
    language: Optional[str] = None
    translation: Optional[str] = None
    confidence: float = 0.95
    endpoint: bool = False


class Script:
    """The words of a recording, in the order in which they are spoken.

    A word becomes final by itself ``settle`` seconds of audio after its end. The endpoint is sent
    ``endpoint_delay`` seconds of audio after the end of an utterance.
    """

    def __init__(
        self, words: Iterable[ScriptWord], *, settle: float = 0.5, endpoint_delay: float = 0.3
    ) -> None:
        self.words: Tuple[ScriptWord, ...] = tuple(words)
        self.settle = settle
        self.endpoint_delay = endpoint_delay
        self.ends = [word.end for word in self.words]
        for word in self.words:
            if not 0 <= word.start < word.end:
                raise ConfigurationError(f"A ScriptWord must have 0 <= start < end, not {word!r}.")
        for earlier, later in zip(self.words, self.words[1:]):
            if later.start < earlier.start or later.end < earlier.end:
                raise ConfigurationError(
                    f"The words of a script must be sorted by time, but {later!r} follows {earlier!r}."
                )

    @classmethod
    def from_text(
        cls, text: str, seconds_per_word: float = 0.4, *, start: float = 0.0, language: Optional[str] = None
    ) -> "Script":
        """Return the script of a text at an even pace.

        ``.``, ``!`` and ``?`` end an utterance. A second of silence follows.
        """
        words: List[ScriptWord] = []
        for token in text.split():
            ends = token[-1] in ".!?"
            stop = start + 0.8 * seconds_per_word
            words.append(ScriptWord(token, round(start, 3), round(stop, 3), language=language, endpoint=ends))
            start += seconds_per_word + (1.0 if ends else 0.0)
        return cls(words)

    @classmethod
    def numbered(cls, count: int, every: float = 0.5, *, utterance: int = 10) -> "Script":
        """Return a script that counts: "one", "two", ... "onehundredone". Each word is one token, and unique.

        Word number n (from 1) lasts from ``(n - 0.9) * every`` to ``(n - 0.2) * every`` seconds. An endpoint
        follows every ``utterance`` words.
        """
        return cls(
            ScriptWord(
                _number_word(n),
                round((n - 0.9) * every, 4),
                round((n - 0.2) * every, 4),
                endpoint=n % utterance == 0,
            )
            for n in range(1, count + 1)
        )

    @property
    def text(self) -> str:
        """Return all words, joined by blanks."""
        return " ".join(word.text for word in self.words)

    @property
    def seconds(self) -> float:
        """Return the length of audio after which the last word is final by itself."""
        return (self.ends[-1] if self.ends else 0.0) + max(self.settle, self.endpoint_delay)

    @staticmethod
    def audio(seconds: float, audio_format: Optional[AudioFormat] = None, *, start: float = 0.0) -> bytes:
        """Return audio for ``script_clock="content"``, which carries its position (see `stamps`)."""
        audio_format = audio_format or AudioFormat()
        return stamps.stamped(audio_format.frames(start), audio_format.frames(seconds), audio_format.channels)

    @staticmethod
    def position_of(pcm: bytes, audio_format: Optional[AudioFormat] = None) -> Optional[float]:
        """Return the position in seconds at which audio from `audio` begins, or None for other audio."""
        audio_format = audio_format or AudioFormat()
        frame = stamps.position_of(pcm, audio_format.channels)
        return None if frame is None else frame / audio_format.sample_rate


def _number_word(n: int) -> str:
    if n < 20:
        return _ONES[n]
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if n >= size:
            return _number_word(n // size) + name + (_number_word(n % size) if n % size else "")
    return _TENS[n // 10] + (_ONES[n % 10] if n % 10 else "")


class _Coverage(NamedTuple):
    """The part of a word whose audio was received.

    ``start`` and ``end`` are on the connection's clock. ``covered`` is its length in seconds. ``from_start``
    is True if it includes the beginning of the word.
    """

    start: float
    end: float
    covered: float
    from_start: bool

    def is_recognized(self, word: ScriptWord) -> bool:
        """Return True for half of the word or more. Of two exact halves only the first one counts."""
        half = 0.5 * (word.end - word.start)
        return self.covered >= half - 1e-9 if self.from_start else self.covered > half + 1e-9


class ScriptEngine:
    """The engine that plays a script to one connection.

    With the clock ``"connection"`` the script begins with the first audio of the connection. With
    ``"content"`` it follows the position that the audio carries: a word is recognised each time that at least
    half of its audio arrives, at the time of that audio on this connection.
    """

    abilities = ALL_ABILITIES

    def __init__(
        self, script: Script, audio_format: AudioFormat, options: StreamOptions, clock: str = "connection"
    ) -> None:
        self._script = script
        self._format = audio_format
        self._frame_bytes = options.sample_bytes * audio_format.channels
        self._content = clock == "content"
        self._frames = 0
        self._content_end = 0.0
        self._coverage: Dict[int, _Coverage] = {}
        self._pending: List[Tuple[HeardWord, bool]] = []

    @property
    def position(self) -> float:
        """Return the seconds of audio received."""
        return self._frames / self._format.sample_rate

    def audio(self, pcm: bytes) -> List[Update]:
        frames = len(pcm) // self._frame_bytes
        if self._content:
            for run in stamps.runs(pcm, self._format.channels):
                self._receive(run.frames, run.position)
        else:
            self._receive(frames, self._frames)
        return self._new_updates()

    def finalize(self) -> List[Update]:
        # Half of a word is enough for it to become final now. The rest of its audio is then ignored.
        words = self._script.words
        self._complete([i for i, coverage in self._coverage.items() if coverage.is_recognized(words[i])])
        final = tuple(word for word, _ in self._pending)
        self._pending.clear()
        return [Update(self.position, final=final)]

    def end(self) -> List[Update]:
        return self.finalize()

    def close(self) -> None:
        self._coverage.clear()

    def _receive(self, frames: int, position: Optional[int]) -> None:
        """Process consecutive frames that begin at ``position`` of the script (None: outside of it)."""
        at = self.position
        self._frames += frames
        if position is None:
            return
        begin = position / self._format.sample_rate
        # Not begin + length, because the next begin must equal this end exactly.
        end = (position + frames) / self._format.sample_rate
        if abs(begin - self._content_end) > 0.5 / self._format.sample_rate:
            self._jump(begin)
        self._content_end = end
        index = bisect_right(self._script.ends, begin)
        finished: List[int] = []
        while index < len(self._script.words) and self._script.words[index].start < end:
            self._cover(index, begin, end, at - begin)
            if self._script.words[index].end <= end:
                finished.append(index)
            index += 1
        self._complete(finished)

    def _cover(self, index: int, begin: float, end: float, shift: float) -> None:
        word = self._script.words[index]
        start, stop = max(word.start, begin), min(word.end, end)
        before = self._coverage.get(index, _Coverage(start + shift, 0.0, 0.0, start <= word.start))
        self._coverage[index] = before._replace(end=stop + shift, covered=before.covered + stop - start)

    def _jump(self, begin: float) -> None:
        """Complete the words that a jump to ``begin`` interrupts, because audio is missing or repeated."""
        words = self._script.words
        passed = [i for i in self._coverage if words[i].end <= begin or words[i].start >= begin]
        if begin < self._content_end:
            passed = list(self._coverage)
        self._complete(sorted(passed))

    def _complete(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            word, coverage = self._script.words[index], self._coverage.pop(index)
            if coverage.is_recognized(word):
                self._pending.append((_heard_word(word, coverage), word.endpoint))

    def _new_updates(self) -> List[Update]:
        """Return an update for each endpoint, and one for the remaining words that have become final."""
        updates: List[Update] = []
        final: List[HeardWord] = []
        done = 0
        for count, (word, endpoint) in enumerate(self._pending, 1):
            if endpoint and word.end + self._script.endpoint_delay <= self.position:
                words = tuple(w for w, _ in self._pending[done:count])
                updates.append(Update(self.position, final=words, endpoint=True))
                done = count
        while done < len(self._pending):
            word, endpoint = self._pending[done]
            # The last word of an utterance becomes final with its endpoint.
            if endpoint or word.end + self._script.settle > self.position:
                break
            final.append(word)
            done += 1
        del self._pending[:done]
        updates.append(Update(self.position, final=tuple(final), tentative=self._tentative()))
        return updates

    def _tentative(self) -> Tuple[HeardWord, ...]:
        """Return the words that are not final. One whose audio is incomplete is cut short."""
        words = [word for word, _ in self._pending]
        for index in sorted(self._coverage):
            word, coverage = self._script.words[index], self._coverage[index]
            share = coverage.covered / (word.end - word.start)
            if 0.5 <= share < 1.0:
                guess = word.text[: max(1, int(len(word.text) * share))]
                words.append(_heard_word(word, coverage, guess, confidence=0.6))
        return tuple(words)


def _heard_word(
    word: ScriptWord, coverage: _Coverage, text: Optional[str] = None, confidence: Optional[float] = None
) -> HeardWord:
    return HeardWord(
        text=word.text if text is None else text,
        start=coverage.start,
        end=coverage.end,
        confidence=word.confidence if confidence is None else confidence,
        speaker=word.speaker,
        language=word.language,
        translation=word.translation if text is None else None,
    )
