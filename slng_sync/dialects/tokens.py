"""Soniox's tokens, folded into partials and finals.

Each frame brings final tokens, which are sent once and stand, and the non-final ones, which replace all
non-final ones before. Finals are cut at a marker (``<end>``, ``<fin>``), at a change of speaker and at a
change of language. Translated tokens belong to the spoken text before them, even behind a marker
[soniox-ws-api, real-time-transcription, real-time-translation].
"""

import functools
import operator
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..events import Endpoint, Flushed, Ready, Transcript, Translation
from ..packed import Packed
from .base import Failure, Finished, Heard, Settled, Timeline, label, number, text
from .failures import failure_in
from .phrase import Phrase, Text
from .token_run import Token, TokenRun

__all__ = ["SonioxDecoder"]

LONGEST_SEGMENT = 1000
"""Tokens of a final at the most, some minutes of speech: without endpoints nothing else cuts."""
END_MARKER = "<end>"
FIN_MARKER = "<fin>"
_BESIDES = frozenset({"language", "speaker", "translation_status"})
_MARKERS = (END_MARKER, FIN_MARKER)
_text_of, _is_final = operator.itemgetter("text"), operator.itemgetter("is_final")


class Segment:
    """The final tokens of a transcript to be, and the text of its translation.

    ``translated_to`` is the language of that; ``is_translated`` and ``awaits_translation`` say whether any of
    it has come, and whether some will.
    """

    __slots__ = """
        _known _timeline awaits_translation is_translated spoken text translated_to translation
    """.split()

    def __init__(self, timeline: Timeline) -> None:
        self.text = Text()
        self.spoken = TokenRun()
        self.translation = Text()
        self.translated_to: Optional[str] = None
        self.is_translated = False
        self.awaits_translation = False
        self._timeline = timeline
        self._known: Optional[Tuple[int, Phrase]] = None

    def add(self, token: Token) -> None:
        """Add a token to what it belongs to."""
        if _is_translation(token):
            self.translation.add(token)
            self.is_translated = True
            self.translated_to = self.translated_to or label(token.get("language"))
            return
        self.text.add(token)
        self.spoken.extend((token,))
        if token.get("translation_status") == "original":
            self.awaits_translation = True

    def span(self) -> Tuple[Optional[float], Optional[float]]:
        """When it began and ended on the session's clock; None where nothing tells."""
        start, end = self.spoken.span()
        return (
            None if start is None else self._timeline.start(start / 1000),
            None if end is None else self._timeline.end(end / 1000),
        )

    def is_over(self, token: Token) -> bool:
        """Whether a spoken token had better begin another one."""
        full = self.spoken.count >= LONGEST_SEGMENT and token["text"][:1].isspace()
        return full or self.text.differs_from(token)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not self.is_translated and not self.text.text.strip()

    def phrase(self, count: int) -> Phrase:
        """The words of the first ``count`` spoken tokens; callable from any thread."""
        known, phrase = self._known or (0, Phrase(self._timeline))
        if known > count:
            return Phrase(self._timeline).and_then(self.spoken.between(0, count))
        phrase = phrase.and_then(self.spoken.between(known, count))
        # Replaced and never changed: whoever else is here finds the old one or the new one.
        self._known = count, phrase
        return phrase


class SonioxDecoder:
    """Soniox's frames, and the gateway's own where they come in between."""

    __slots__ = ("_frame", "_fresh", "_held", "_open", "_shown", "_tail", "_timeline")

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._open = Segment(timeline)
        self._held: List[Segment] = []
        self._tail: List[Token] = []
        self._shown = ""
        self._frame: Mapping[str, Any] = {}
        # What the finals of the last frame are made from. Packed with the next one: many speakers may pause
        # at once, and then their words come first.
        self._fresh: List[Union[Packed, TokenRun]] = []

    def __call__(self, frame: Mapping[str, Any]) -> List[Heard]:
        """Decode one frame."""
        self._frame = frame
        if self._fresh:
            self._pack_fresh()
        if "type" in frame or "error_code" in frame:
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
            # Without the function in Python that the constructor of a NamedTuple is.
            heard.append(tuple.__new__(Settled, (self._timeline.end(settled / 1000),)))
        if frame.get("finished") is True:
            heard += [*self.end(), Finished()]
        return heard

    @property
    def pending(self) -> str:
        """The text of the non-final tokens that were spoken."""
        return self._pending().text.text.strip()

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
            finals.append(self._final(self._pending(), complete=False))
            self._tail = []
        self._pack_fresh()
        return finals

    def _fold(self, tokens: List[Any]) -> List[Heard]:
        ends = bool(tokens) and _is_marker(tokens[-1])
        shown = self._take_plain(tokens[:-1] if ends else tokens)
        if shown is None:
            return self._take_each(tokens)
        if not ends:
            return self._show(shown, self._tail)
        heard = self._take_marked(tokens[-1])
        return heard + self._partial(heard)

    def _take_each(self, tokens: List[Any]) -> List[Heard]:
        heard: List[Heard] = []
        self._tail = tail = []
        for token in tokens:
            if not isinstance(token, dict):
                continue
            said = token.get("text")
            if not isinstance(said, str):
                continue
            if "<" in said:
                heard += self._take_marked(token)
            elif not token.get("is_final"):
                tail.append(token)
            else:
                heard += self._take(token)
        return heard + self._partial(heard)

    def _take_plain(self, tokens: List[Any]) -> Optional[str]:
        """Take tokens that do nothing but go on with what is said, as most do; None where they do more.

        All at once, which costs less than one after the other. Tells all that is open then.
        """
        segment = self._open
        try:
            texts = [*map(_text_of, tokens)]
            finality = bytes(map(_is_final, tokens))
            # Nobody has asked for speakers, languages or a translation where no token tells of them.
            said = "".join(texts)
            are_plain = "<" not in said and all(map(_BESIDES.isdisjoint, tokens))
        except (KeyError, TypeError, ValueError):
            return None
        count = len(finality.rstrip(b"\0"))
        if not are_plain or finality.count(1) != count or segment.spoken.count + count > LONGEST_SEGMENT:
            return None
        shown = segment.text.text + said
        if count:
            segment.text.text += "".join(texts[:count])
            segment.spoken.extend_plain(tokens[:count])
        self._tail = tokens[count:]
        return shown.strip()

    def _take_marked(self, marked: Token) -> List[Heard]:
        """Take a token that may have markers in it, or be one."""
        heard: List[Heard] = []
        token, markers = _strip_markers(marked)
        if token is not None and token.get("is_final"):
            heard += self._take(token)
        elif token is not None:
            self._tail.append(token)
        for marker in markers:
            heard += [*self._cut(), Endpoint() if marker == END_MARKER else Flushed()]
        return heard

    def _take(self, token: Token) -> List[Transcript]:
        """Take a token that is final."""
        if _is_translation(token):
            self._translate(token)
            return []
        finals = self._cut() if self._open.is_over(token) else []
        self._open.add(token)
        return finals

    def _translate(self, token: Token) -> None:
        """Give a translated token to the last spoken text in the language it was translated from."""
        candidates = [each for each in (*self._held, self._open) if each.spoken.count]
        source = label(token.get("source_language"))
        fitting = [each for each in candidates if not source or each.text.language in (None, source)]
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

    def _partial(self, heard: Sequence[Heard]) -> List[Heard]:
        """What is to be shown after all this was heard."""
        translated = [token for token in self._tail if _is_translation(token)]
        spoken = [token for token in self._tail if not _is_translation(token)]
        shown = self._open.text.and_then(spoken).text.strip()
        if any(isinstance(each, Transcript) for each in heard):
            # The final took the place of what was shown; what is open now is shown anew.
            self._shown = ""
        return self._show(shown, spoken, translated)

    def _show(self, shown: str, spoken: List[Token], translated: Sequence[Token] = ()) -> List[Heard]:
        """The partial that says so, unless the last one did."""
        if shown == self._shown:
            return []
        self._shown = shown
        segment = self._open
        stable = segment.text.text.lstrip()
        stable = stable if shown.startswith(stable) else stable.rstrip()
        known = {
            "text": shown,
            "is_final": False,
            "stable": stable,
            "translation": _translation(segment, translated) if translated or segment.is_translated else None,
            "raw": self._frame,
        }
        details = functools.partial(_details, segment, segment.spoken.count, spoken)
        return [Transcript.later(details, known)]

    def _pending(self) -> Segment:
        segment = Segment(self._timeline)
        for token in self._tail:
            segment.add(token)
        return segment

    def _pack_fresh(self) -> None:
        for each in self._fresh:
            each.pack()
        self._fresh = []

    def _final(self, segment: Segment, *, complete: bool = True) -> Transcript:
        """All of a segment; what it takes to make its words is to be packed, because finals are kept."""
        said = segment.text.text.strip()
        start, end = segment.span()
        if not self._fresh:
            # Once for all the finals of a frame: it may have thousands.
            self._fresh.append(Packed(self._frame))
        self._fresh.append(segment.spoken)
        known = {
            "text": said,
            "is_final": True,
            "start": start,
            "end": end,
            "language": segment.text.language,
            "speaker": segment.text.speaker,
            "stable": said,
            "translation": _translation(segment, ()),
            "complete": complete,
            "raw": self._fresh[0],
        }
        return Transcript.later(functools.partial(_words_of, segment.spoken, self._timeline), known)


def _words_of(tokens: TokenRun, timeline: Timeline) -> Dict[str, Any]:
    phrase = Phrase(timeline).and_then(tokens.between(0, tokens.count))
    return {"words": phrase.words(), "confidence": phrase.confidence}


def _details(segment: Segment, count: int, tail: Sequence[Token]) -> Dict[str, Any]:
    """What not everybody asks for, and what costs the most."""
    phrase = segment.phrase(count).and_then(tail)
    return {
        "words": phrase.words(),
        "start": phrase.start,
        "end": phrase.end,
        "confidence": phrase.confidence,
        "language": phrase.language,
        "speaker": phrase.speaker,
    }


def _translation(segment: Segment, tail: Sequence[Token]) -> Optional[Translation]:
    if not tail and not segment.is_translated:
        return None
    said = segment.translation.and_then(tail)
    languages = (label(token.get("language")) for token in tail)
    return Translation(said.text.strip(), segment.translated_to or next(filter(None, languages), None))


def _is_translation(token: Token) -> bool:
    return token.get("translation_status") == "translation"


def _is_marker(token: Any) -> bool:
    return isinstance(token, dict) and token.get("text") in _MARKERS


def _strip_markers(token: Token) -> Tuple[Optional[Token], List[str]]:
    """The token without markers, None where nothing is left of it, and its markers; some come glued on."""
    said = token["text"]
    markers = [marker for marker in _MARKERS if marker in said]
    for marker in markers:
        said = said.replace(marker, "")
    return ({**token, "text": said} if said.strip() or not markers else None), markers
