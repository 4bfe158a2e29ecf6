"""Soniox's tokens, folded into partials and finals.

Each frame brings final tokens, which are sent once and stand, and the non-final ones, which replace all
non-final ones before. Finals are cut at a marker (``<end>``, ``<fin>``), at a change of speaker and at a
change of language. Translated tokens belong to the spoken text before them, even behind a marker
[soniox-ws-api, real-time-transcription, real-time-translation].
"""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..events import Endpoint, Flushed, Ready, Transcript, Translation, Word
from .base import Failure, Finished, Heard, Settled, Timeline, label, number, text
from .failures import failure_in

__all__ = ["SonioxDecoder"]

Token = Mapping[str, Any]

LONGEST_SEGMENT = 1000
"""Tokens of a final at the most, some minutes of speech: an endless one would cost more with each frame."""
END_MARKER = "<end>"
FIN_MARKER = "<fin>"


class Segment:
    """The final tokens of a transcript to be, and those of its translation."""

    __slots__ = ("spoken", "translated")

    def __init__(self) -> None:
        self.spoken: List[Token] = []
        self.translated: List[Token] = []

    def label(self, name: str) -> Optional[str]:
        """Its speaker or its language: the last token's that has one."""
        return next((found for token in reversed(self.spoken) if (found := label(token.get(name)))), None)

    def differs_from(self, token: Token) -> bool:
        """Whether a spoken token belongs to another speaker or is in another language."""
        return any(
            (new := label(token.get(name))) and (old := self.label(name)) and new != old
            for name in ("speaker", "language")
        )

    def is_full(self, token: Token) -> bool:
        """Whether a word begins that had better begin another one: without endpoints, nothing else cuts."""
        return len(self.spoken) >= LONGEST_SEGMENT and token["text"][:1].isspace()

    @property
    def awaits_translation(self) -> bool:
        """Whether its tokens say that a translation will follow."""
        return any(token.get("translation_status") == "original" for token in self.spoken)


class SonioxDecoder:
    """Soniox's frames, and the gateway's own where they come in between."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._open = Segment()
        self._held: List[Segment] = []
        self._tail: List[Token] = []
        self._shown = ""
        self._frame: Mapping[str, Any] = {}

    def __call__(self, frame: Mapping[str, Any]) -> List[Heard]:
        """Decode one frame."""
        self._frame = frame
        failure = failure_in(frame)
        if failure is not None:
            # Its empty list of tokens clears nothing.
            return [*self.end(), Failure(failure)]
        if text(frame.get("type")).lower() == "ready":
            return [Ready(label(frame.get("session_id")))]
        heard: List[Heard] = []
        tokens = frame.get("tokens")
        if isinstance(tokens, list):
            heard = self._fold(tokens)
        settled = number(frame.get("final_audio_proc_ms", frame.get("audio_final_proc_ms")))
        if settled:
            heard.append(Settled(self._timeline.end(settled / 1000)))
        if frame.get("finished") is True:
            heard += [*self.end(), Finished()]
        return heard

    @property
    def pending(self) -> str:
        """The text of the non-final tokens that were spoken."""
        return _join(_spoken(self._tail)).strip()

    @property
    def held(self) -> bool:
        """Whether a transcript waits for its translation."""
        return bool(self._held)

    def release(self) -> List[Transcript]:
        """What waited for its translation."""
        held, self._held = self._held, []
        return [self._final(segment) for segment in held]

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """What is final and was not cut yet; with ``promote`` the non-final rest as well."""
        finals = self._cut() + self.release()
        self._shown = self.pending
        if promote and self.pending:
            spoken, translated, said = _spoken(self._tail), _translated(self._tail), self.pending
            finals.append(self._transcript(spoken, translated, is_final=True, stable=said, complete=False))
            self._tail = []
        return finals

    def _fold(self, tokens: Sequence[object]) -> List[Heard]:
        heard: List[Heard] = []
        self._tail = []
        for token in tokens:
            if isinstance(token, Mapping) and isinstance(token.get("text"), str):
                spoken, markers = _strip_markers(token)
                if spoken is not None:
                    heard += self._take(spoken)
                for marker in markers:
                    heard += [*self._cut(), Endpoint() if marker == END_MARKER else Flushed()]
        heard += self._partial(any(isinstance(each, Transcript) for each in heard))
        return heard

    def _take(self, token: Token) -> List[Transcript]:
        if not token.get("is_final"):
            self._tail.append(token)
            return []
        if _is_translation(token):
            self._translate(token)
            return []
        finals = self._cut() if self._open.differs_from(token) or self._open.is_full(token) else []
        self._open.spoken.append(token)
        return finals

    def _translate(self, token: Token) -> None:
        """Give a translated token to the last spoken text in the language it was translated from."""
        candidates = [each for each in (*self._held, self._open) if each.spoken]
        source = label(token.get("source_language"))
        fitting = [each for each in candidates if not source or each.label("language") in (None, source)]
        chosen = (fitting or candidates or [self._open])[-1]
        chosen.translated.append(token)

    def _cut(self) -> List[Transcript]:
        """Close the open segment: a final, unless it still waits for its translation."""
        segment, self._open = self._open, Segment()
        if not _join(segment.spoken).strip() and not segment.translated:
            return []
        finals = self.release()
        if segment.awaits_translation:
            self._held.append(segment)
            return finals
        return [*finals, self._final(segment)]

    def _partial(self, had_final: bool) -> List[Transcript]:
        tokens = self._open.spoken + _spoken(self._tail)
        translated = self._open.translated + _translated(self._tail)
        shown = _join(tokens).strip()
        if shown == self._shown and not (had_final and shown):
            return []
        self._shown = shown
        if had_final and not shown:
            return []
        stable = _join(self._open.spoken).lstrip()
        stable = stable if shown.startswith(stable) else stable.rstrip()
        return [
            self._transcript(
                tokens, self._open.translated + translated, is_final=False, stable=stable, text=shown
            )
        ]

    def _final(self, segment: Segment) -> Transcript:
        stable = _join(segment.spoken).strip()
        return self._transcript(segment.spoken, segment.translated, is_final=True, stable=stable)

    def _transcript(
        self,
        spoken: List[Token],
        translated: List[Token],
        *,
        is_final: bool,
        stable: str,
        text: Optional[str] = None,
        complete: bool = True,
    ) -> Transcript:
        words = self._words(spoken)
        starts = [word.start for word in words if word.start is not None]
        ends = [word.end for word in words if word.end is not None]
        return Transcript(
            text=stable if text is None else text,
            is_final=is_final,
            start=min(starts) if starts else None,
            end=max(ends) if ends else None,
            confidence=_mean([word.confidence for word in words]),
            language=_label(spoken, "language"),
            speaker=_label(spoken, "speaker"),
            words=words,
            stable=stable,
            translation=_translation(translated),
            complete=complete,
            raw=self._frame,
        )

    def _words(self, tokens: List[Token]) -> Tuple[Word, ...]:
        """Tokens that carry a leading blank, or follow one, begin a word."""
        groups: List[List[Token]] = []
        blank = True
        for token in tokens:
            said = token["text"]
            if said.strip():
                if blank or said[0].isspace() or not groups or _is_apart(groups[-1][-1], token):
                    groups.append([])
                groups[-1].append(token)
            blank = not said or said[-1].isspace()
        return tuple(self._word(group) for group in groups)

    def _word(self, tokens: List[Token]) -> Word:
        starts = [start for token in tokens if (start := number(token.get("start_ms"))) is not None]
        ends = [end for token in tokens if (end := number(token.get("end_ms"))) is not None]
        return Word(
            text="".join(token["text"] for token in tokens).strip(),
            start=self._timeline.start(min(starts) / 1000) if starts else None,
            end=self._timeline.end(max(ends) / 1000) if ends else None,
            confidence=_mean([number(token.get("confidence")) for token in tokens]),
            speaker=_label(tokens, "speaker"),
            language=_label(tokens, "language"),
        )


def _is_translation(token: Token) -> bool:
    return token.get("translation_status") == "translation"


def _spoken(tokens: Sequence[Token]) -> List[Token]:
    return [token for token in tokens if not _is_translation(token)]


def _translated(tokens: Sequence[Token]) -> List[Token]:
    return [token for token in tokens if _is_translation(token)]


def _strip_markers(token: Token) -> Tuple[Optional[Token], List[str]]:
    """The token without markers, None where nothing is left of it, and its markers; some come glued on."""
    said = token["text"]
    if "<" not in said:
        return token, []
    markers = [marker for marker in (END_MARKER, FIN_MARKER) if marker in said]
    for marker in markers:
        said = said.replace(marker, "")
    return ({**token, "text": said} if said.strip() or not markers else None), markers


def _join(tokens: Sequence[Token]) -> str:
    """The tokens' text: they carry their own blanks, but for some that begin another language."""
    parts: List[str] = []
    last: Optional[Token] = None
    for token in tokens:
        said = token["text"]
        if last is not None and _is_apart(last, token) and said[:1].strip() and parts[-1][-1:].strip():
            parts.append(" ")
        parts.append(said)
        last = token if said else last
    return "".join(parts)


def _is_apart(before: Token, token: Token) -> bool:
    """Whether two tokens are of different speakers or languages."""
    return any(
        (old := label(before.get(name))) and (new := label(token.get(name))) and old != new
        for name in ("speaker", "language")
    )


def _label(tokens: Sequence[Token], name: str) -> Optional[str]:
    return next((found for token in tokens if (found := label(token.get(name)))), None)


def _translation(tokens: List[Token]) -> Optional[Translation]:
    return Translation(_join(tokens).strip(), _label(tokens, "language")) if tokens else None


def _mean(values: Sequence[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None
