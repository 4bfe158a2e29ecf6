"""The decoder of Soniox's tokens.

Each message contains final tokens, which are sent once and do not change, and non-final tokens, which replace
all earlier non-final ones. A segment ends at a marker (``<end>``, ``<fin>``), at a change of speaker and at a
change of language. Translated tokens belong to the spoken text before them, even after a marker
[soniox-ws-api, real-time-transcription, real-time-translation].

A message takes time linear in its own tokens and in one segment, whose length is limited.
"""

import functools
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..events import Endpoint, Flushed, Ready, Transcript, Translation, Word
from .base import Decoded, Failure, Finished, Settled, Timeline, label, number, text
from .failures import failure_in
from .packed import PackedMessage
from .runs import ORIGINAL, TRANSLATION, Alike, Extent, Joined, Run, alike, columns_of, runs_of
from .words import Row, TokenStore, WordBuilder, Words

__all__ = ["SonioxDecoder"]

LONGEST_SEGMENT = 1000
"""Spoken tokens, a few minutes of speech, after which a segment ends at the next blank, at the latest after
twice as many."""
LONGEST_TEXT = 16_000
"""Characters of a segment or its translation after which the next token ends the segment."""
END_MARKER = "<end>"
FIN_MARKER = "<fin>"
_MARKERS = (END_MARKER, FIN_MARKER)


class Segment:
    """The final tokens of a future transcript, spoken and translated.

    ``awaits_translation`` is True if a translation will follow, ``is_translated`` if some of it has arrived.
    """

    __slots__ = """
        _known _timeline awaits_translation extent is_translated spoken tokens translated_to translation
    """.split()

    def __init__(self, timeline: Timeline) -> None:
        self.spoken = Joined()
        self.extent = Extent()
        self.tokens = TokenStore()
        self.translation = Joined()
        self.translated_to: Optional[str] = None
        self.is_translated = False
        self.awaits_translation = False
        self._timeline = timeline
        self._known: Tuple[int, WordBuilder] = 0, WordBuilder(timeline)

    def speak(self, run: Run) -> None:
        """Add spoken tokens. The caller has checked that there is room."""
        self.add_rows(run.rows(), run.text)
        self.add_labels(run.speaker, run.language, run.status)

    def add_rows(self, rows: Sequence[Row], said: str) -> None:
        """Add spoken tokens without their labels."""
        self.spoken.text += said
        self.extent.add(rows)
        self.tokens.extend(rows)

    def add_labels(self, speaker: Optional[str], language: Optional[str], status: Optional[str]) -> None:
        """Add the labels of spoken tokens. The caller has checked that they do not differ."""
        spoken = self.spoken
        spoken.speaker, spoken.language = speaker or spoken.speaker, language or spoken.language
        self.awaits_translation = self.awaits_translation or status == ORIGINAL

    def translate(self, runs: Sequence[Run]) -> None:
        """Add translated tokens."""
        self.translation = self.translation.followed_by(runs)
        self.translated_to = self.translated_to or _first(run.language for run in runs)
        self.is_translated = self.is_translated or bool(runs)

    def pieces(self, run: Run) -> Iterator[Run]:
        """Split a run of spoken tokens where a new segment has to begin. The first part may be empty."""
        texts, room = [token["text"] for token in run.tokens], LONGEST_SEGMENT - self.tokens.count
        if self.is_over(run.speaker, run.language):
            yield run.part(0, 0)
            room = LONGEST_SEGMENT
        begin = 0
        for at in range(max(0, room), len(texts)):
            size = at - begin - room
            if size >= 0 and (texts[at][:1].isspace() or size >= LONGEST_SEGMENT):
                yield run.part(begin, at)
                begin, room = at, LONGEST_SEGMENT
        yield run.part(begin, len(texts)) if begin else run

    def has_room_for(self, count: int, speaker: Optional[str], language: Optional[str]) -> bool:
        """Return whether ``count`` more spoken tokens with these labels belong to this segment."""
        return self.tokens.count + count <= LONGEST_SEGMENT and not self.is_over(speaker, language)

    def is_over(self, speaker: Optional[str], language: Optional[str]) -> bool:
        """Return whether a spoken token with these labels begins a new segment."""
        spoken = self.spoken
        if len(spoken.text) >= LONGEST_TEXT or len(self.translation.text) >= LONGEST_TEXT:
            return True
        if speaker == spoken.speaker and language == spoken.language:
            return False
        return spoken.differs_from(speaker, language)

    @property
    def is_empty(self) -> bool:
        """Whether the segment has neither spoken text nor a translation."""
        return not self.is_translated and not self.spoken.text.strip()

    def words(self, count: int, runs: Iterable[Run] = ()) -> Tuple[Word, ...]:
        """Return the words of the first ``count`` spoken tokens and of these runs.

        Any thread may call this.
        """
        known, builder = self._known
        if known > count:
            known, builder = 0, WordBuilder(self._timeline)
        builder = builder.followed_by(self.tokens.between(known, count))
        # The pair is replaced as a whole, so another thread sees the old one or the new one.
        self._known = count, builder
        return builder.followed_by(row for run in runs for row in run.rows()).words()


class SonioxDecoder:
    """The decoder of Soniox's messages, and of the gateway's own messages among them."""

    __slots__ = ("_held", "_message", "_open", "_packed", "_shown", "_tail", "_timeline")

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._open = Segment(timeline)
        self._held: List[Segment] = []
        self._tail: List[Run] = []
        self._shown = ""
        self._message: Mapping[str, Any] = {}
        self._packed: Optional[PackedMessage] = None

    def __call__(self, message: Mapping[str, Any]) -> List[Decoded]:
        """Decode one message."""
        self._message, self._packed = message, None
        if "type" in message or "error_code" in message:
            failure = failure_in(message)
            if failure is not None:
                # The empty list of tokens in an error message must not clear the partial.
                return [*self.end(), Failure(failure)]
            if text(message.get("type")).lower() == "ready":
                return [Ready(label(message.get("session_id")))]
        decoded: List[Decoded] = []
        tokens = message.get("tokens")
        if isinstance(tokens, list):
            decoded = self._take_all(tokens)
        settled = number(message.get("final_audio_proc_ms", message.get("audio_final_proc_ms")))
        if settled:
            # Faster than the constructor of a NamedTuple, which is a Python function.
            decoded.append(tuple.__new__(Settled, (self._timeline.end(settled / 1000),)))
        if message.get("finished") is True:
            decoded += [*self.end(), Finished()]
        return decoded

    @property
    def pending(self) -> str:
        """The text of the spoken non-final tokens."""
        return Joined().followed_by(_spoken(self._tail)).text.strip() if self._tail else ""

    @property
    def held(self) -> bool:
        """Whether a transcript waits for its translation."""
        return bool(self._held)

    def release(self) -> List[Transcript]:
        """Return the held transcripts, with the translation so far."""
        held, self._held = self._held, []
        return [self._final(segment) for segment in held]

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """Return the open segment as a final. With ``promote``, also return the non-final tokens as one."""
        finals = self._cut() + self.release()
        self._shown = self.pending
        if promote and self._shown:
            finals.append(self._final(self._pending(), complete=False))
            self._tail = []
        return finals

    def _take_all(self, tokens: List[Any]) -> List[Decoded]:
        same = alike(tokens)
        if same is not None and self._open.has_room_for(same[3], same[4], same[5]):
            said = self._take_alike(tokens, same)
            return [] if said == self._shown else [self._partial_of(said, same)]
        marker = _marker(tokens)
        spoken = tokens[:-1] if marker else tokens
        same = alike(spoken) if marker else None
        decoded: List[Decoded] = []
        if same is not None and self._open.has_room_for(same[3], same[4], same[5]):
            self._take_alike(spoken, same)
        else:
            self._tail = []
            for run in runs_of(spoken):
                decoded += self._take_marked(run) if run.is_marked else self._take(run)
        if marker:
            decoded += self._take_marker(marker)
        return decoded + self._partial(decoded)

    def _take_alike(self, tokens: List[Any], same: Alike) -> str:
        """Add tokens that end no segment. Return the text of the partial."""
        rows, columns, said, finals, speaker, language, status = same
        segment = self._open
        if finals:
            stable = "".join(columns[0][:finals])
            said = said[len(stable) :]
            if speaker or language or status:
                labels = (speaker, language) if speaker or language else ()
                segment.add_rows([row[:4] + labels for row in rows[:finals]], stable)
                segment.add_labels(speaker, language, status)
            else:
                segment.add_rows([row[:4] for row in rows[:finals]], stable)
        self._tail = []
        if finals < len(rows):
            # Faster than the constructor of a NamedTuple, which is a Python function.
            fields = (tokens[finals:], said, False, speaker, language, status, None, False)
            self._tail.append(tuple.__new__(Run, fields))
        return (segment.spoken.text + said).strip()

    def _partial_of(self, said: str, same: Alike) -> Transcript:
        """Return the partial after tokens that end no segment."""
        _, columns, _, finals, speaker, language, _ = same
        _, starts, ends, confidences, *_ = columns
        extent = self._open.extent.followed_by(starts[finals:], ends[finals:], confidences[finals:])
        return self._show(said, self._tail, speaker, language, *extent)

    def _take_marked(self, run: Run) -> List[Decoded]:
        """Add tokens that may contain markers. Return the results."""
        decoded: List[Decoded] = []
        for token in run.tokens:
            said, markers = _strip_markers(token["text"])
            if said.strip() or not markers:
                decoded += self._take(run.of([{**token, "text": said}]))
            for marker in markers:
                decoded += self._take_marker(marker)
        return decoded

    def _take_marker(self, marker: str) -> List[Decoded]:
        return [*self._cut(), Endpoint() if marker == END_MARKER else Flushed()]

    def _take(self, run: Run) -> Sequence[Transcript]:
        """Add a run. Return the finals that end before it or within it."""
        if not run.is_final:
            if run.tokens:
                self._tail.append(run)
            return ()
        if run.status == TRANSLATION:
            return self._translate(run)
        if self._open.has_room_for(len(run.tokens), run.speaker, run.language):
            self._open.speak(run)
            return ()
        finals: List[Transcript] = []
        first, *others = self._open.pieces(run)
        if first.tokens:
            self._open.speak(first)
        for piece in others:
            finals += self._cut()
            self._open.speak(piece)
        return finals

    def _translate(self, run: Run) -> Sequence[Transcript]:
        """Add a translation to the last segment in its source language. Return the finals that this ends."""
        candidates = [each for each in (*self._held, self._open) if each.tokens.count]
        source = run.source
        fitting = [each for each in candidates if not source or each.spoken.language in (None, source)]
        chosen = (fitting or candidates or [self._open])[-1]
        finals: List[Transcript] = []
        if len(chosen.translation.text) >= LONGEST_TEXT:
            finals = self._cut() + self.release()
            chosen = self._open
        chosen.translate((run,))
        return finals

    def _cut(self) -> List[Transcript]:
        """End the open segment. Return its final, or hold it if it waits for a translation."""
        segment, self._open = self._open, Segment(self._timeline)
        if segment.is_empty:
            return []
        finals = self.release()
        if segment.awaits_translation:
            self._held.append(segment)
            return finals
        return [*finals, self._final(segment)]

    def _partial(self, decoded: Sequence[Decoded]) -> List[Decoded]:
        """Return the partial, unless its text is that of the last one."""
        spoken = _spoken(self._tail)
        said = self._open.spoken.followed_by(spoken).text.strip()
        if any(isinstance(each, Transcript) for each in decoded):
            # A final has replaced the last partial, so send the open text again.
            self._shown = ""
        if said == self._shown:
            return []
        speaker, language = _first(run.speaker for run in spoken), _first(run.language for run in spoken)
        tokens = [token for run in spoken for token in run.tokens]
        extent = self._open.extent.followed_by(*columns_of(tokens))
        return [self._show(said, spoken, speaker, language, *extent)]

    def _show(
        self,
        said: str,
        spoken: List[Run],
        speaker: Optional[str],
        language: Optional[str],
        start: Optional[float],
        end: Optional[float],
        confidence: Optional[float],
    ) -> Transcript:
        """Return a partial that ends with the runs ``spoken``. Its labels are the first ones of these."""
        self._shown = said
        segment = self._open
        stable = segment.spoken.text.lstrip()
        has_translation = segment.is_translated or len(spoken) < len(self._tail)
        values = {
            "text": said,
            "is_final": False,
            "start": None if start is None else self._timeline.start(start / 1000),
            "end": None if end is None else self._timeline.end(end / 1000),
            "confidence": confidence,
            "language": segment.spoken.language or language,
            "speaker": segment.spoken.speaker or speaker,
            "words": Words.made_by(functools.partial(segment.words, segment.tokens.count, spoken)),
            "stable": stable if said.startswith(stable) else stable.rstrip(),
            "translation": _translation(segment, self._tail) if has_translation else None,
            "complete": True,
            "raw": self._message,
            "channel": None,
        }
        partial = object.__new__(Transcript)
        # This takes half the time of the constructor.
        object.__setattr__(partial, "__dict__", values)
        return partial

    def _pending(self) -> Segment:
        segment = Segment(self._timeline)
        spoken = _spoken(self._tail)
        for run in spoken:
            rows = run.rows()
            segment.extent.add(rows)
            segment.tokens.extend(rows)
        segment.spoken = Joined().followed_by(spoken)
        segment.translate(_translated(self._tail))
        return segment

    def _final(self, segment: Segment, *, complete: bool = True) -> Transcript:
        """Return the final of a segment. It packs its tokens and message, because programs keep finals."""
        said = segment.spoken.text.strip()
        start, end, confidence = segment.extent.followed_by((), (), ())
        segment.tokens.pack()
        if self._packed is None:
            # Packed once for all finals of a message, which may be thousands.
            self._packed = PackedMessage(self._message)
        return Transcript(
            text=said,
            is_final=True,
            start=None if start is None else self._timeline.start(start / 1000),
            end=None if end is None else self._timeline.end(end / 1000),
            confidence=confidence,
            language=segment.spoken.language,
            speaker=segment.spoken.speaker,
            words=Words.made_by(functools.partial(_words, segment.tokens, self._timeline)),
            stable=said,
            translation=_translation(segment, ()),
            complete=complete,
            raw=self._packed,
        )


def _words(tokens: TokenStore, timeline: Timeline) -> Tuple[Word, ...]:
    return WordBuilder(timeline).followed_by(tokens.between(0, tokens.count)).words()


def _translation(segment: Segment, tail: Sequence[Run]) -> Optional[Translation]:
    translated = _translated(tail)
    if not translated and not segment.is_translated:
        return None
    said = segment.translation.followed_by(translated).text.strip()
    return Translation(said, segment.translated_to or _first(run.language for run in translated))


def _spoken(runs: Sequence[Run]) -> List[Run]:
    return [run for run in runs if run.status != TRANSLATION]


def _translated(runs: Sequence[Run]) -> List[Run]:
    return [run for run in runs if run.status == TRANSLATION]


def _first(labels: Iterable[Optional[str]]) -> Optional[str]:
    return next(filter(None, labels), None)


def _marker(tokens: List[Any]) -> Optional[str]:
    """Return the last token's text if it is a marker, else None."""
    last = tokens[-1] if tokens else None
    said = last.get("text") if type(last) is dict else None
    return said if said in _MARKERS else None


def _strip_markers(said: str) -> Tuple[str, List[str]]:
    """Return a text without markers, and its markers. Some are attached to a word."""
    markers = [marker for marker in _MARKERS if marker in said]
    for marker in markers:
        said = said.replace(marker, "")
    return said, markers
