"""Soniox's tokens, folded into partials and finals.

Each frame brings final tokens, which are sent once and stand, and the non-final ones, which replace all
non-final ones before. Finals are cut at a marker (``<end>``, ``<fin>``), at a change of speaker and at a
change of language. Translated tokens belong to the spoken text before them, even behind a marker
[soniox-ws-api, real-time-transcription, real-time-translation].
"""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..events import Endpoint, Flushed, Ready, Transcript, Translation
from .base import Failure, Finished, Heard, Settled, Timeline, label, number, text
from .failures import failure_in
from .phrase import Phrase, Token

__all__ = ["SonioxDecoder"]

LONGEST_SEGMENT = 1000
"""Tokens of a final at the most, some minutes of speech: without endpoints nothing else cuts."""
END_MARKER = "<end>"
FIN_MARKER = "<fin>"


class Segment:
    """The final tokens of a transcript to be, and those of its translation."""

    def __init__(self, timeline: Timeline) -> None:
        self.spoken = Phrase(timeline)
        self.translated = Phrase(timeline)
        self.awaits_translation = False

    def copy(self) -> "Segment":
        """The same once more, to which other tokens can be added."""
        twin = Segment.__new__(Segment)
        twin.spoken, twin.translated = self.spoken.copy(), self.translated.copy()
        twin.awaits_translation = self.awaits_translation
        return twin

    def add(self, token: Token) -> None:
        """Add a token to what it belongs to."""
        if _is_translation(token):
            self.translated.add(token)
            return
        self.spoken.add(token)
        if token.get("translation_status") == "original":
            self.awaits_translation = True

    def is_over(self, token: Token) -> bool:
        """Whether a spoken token had better begin another one."""
        full = self.spoken.length >= LONGEST_SEGMENT and token["text"][:1].isspace()
        return full or self.spoken.differs_from(token)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not self.spoken.text.strip() and not self.translated.length


class SonioxDecoder:
    """Soniox's frames, and the gateway's own where they come in between."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._open = Segment(timeline)
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
        return self._pending().spoken.text.strip()

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
        if promote and self._shown:
            finals.append(self._transcript(self._pending(), is_final=True, complete=False))
            self._tail = []
        return finals

    def _fold(self, tokens: Sequence[object]) -> List[Heard]:
        heard: List[Heard] = []
        self._tail = []
        for token in tokens:
            if isinstance(token, dict) and isinstance(token.get("text"), str):
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
        finals = self._cut() if self._open.is_over(token) else []
        self._open.add(token)
        return finals

    def _translate(self, token: Token) -> None:
        """Give a translated token to the last spoken text in the language it was translated from."""
        candidates = [each for each in (*self._held, self._open) if each.spoken.length]
        source = label(token.get("source_language"))
        fitting = [each for each in candidates if not source or each.spoken.last_language in (None, source)]
        chosen = (fitting or candidates or [self._open])[-1]
        chosen.add(token)

    def _cut(self) -> List[Transcript]:
        """Close the open segment: a final, unless it still waits for its translation."""
        segment, self._open = self._open, Segment(self._timeline)
        if segment.is_empty:
            return []
        finals = self.release()
        if segment.awaits_translation:
            self._held.append(segment)
            return finals
        return [*finals, self._final(segment)]

    def _partial(self, had_final: bool) -> List[Transcript]:
        segment = self._open.copy()
        for token in self._tail:
            segment.add(token)
        shown = segment.spoken.text.strip()
        if shown == self._shown and not (had_final and shown):
            return []
        self._shown = shown
        if had_final and not shown:
            return []
        stable = self._open.spoken.text.lstrip()
        stable = stable if shown.startswith(stable) else stable.rstrip()
        return [self._transcript(segment, is_final=False, stable=stable)]

    def _pending(self) -> Segment:
        segment = Segment(self._timeline)
        for token in self._tail:
            segment.add(token)
        return segment

    def _final(self, segment: Segment) -> Transcript:
        return self._transcript(segment, is_final=True)

    def _transcript(
        self, segment: Segment, *, is_final: bool, stable: Optional[str] = None, complete: bool = True
    ) -> Transcript:
        spoken, translated = segment.spoken, segment.translated
        said, words = spoken.text.strip(), spoken.words()
        return Transcript(
            said,
            is_final,
            spoken.start,
            spoken.end,
            spoken.confidence,
            spoken.language,
            spoken.speaker,
            words,
            said if stable is None else stable,
            Translation(translated.text.strip(), translated.language) if translated.length else None,
            complete,
            self._frame,
        )


def _is_translation(token: Token) -> bool:
    return token.get("translation_status") == "translation"


def _strip_markers(token: Token) -> Tuple[Optional[Token], List[str]]:
    """The token without markers, None where nothing is left of it, and its markers; some come glued on."""
    said = token["text"]
    if "<" not in said:
        return token, []
    markers = [marker for marker in (END_MARKER, FIN_MARKER) if marker in said]
    for marker in markers:
        said = said.replace(marker, "")
    return ({**token, "text": said} if said.strip() or not markers else None), markers
