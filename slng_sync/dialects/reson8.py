"""Reson8: JSON frames, audio as base64, transcripts in one piece.

Wire facts are from the SLNG model page of ``reson8/reson8stt:v1`` where nothing else is said.
"""

import functools
import math
from binascii import b2a_base64
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..audio.format import AudioFormat
from ..events import Endpoint, Flushed, Ready, Transcript, Word
from .base import (
    Dialect,
    Failure,
    Frame,
    Heard,
    Settled,
    Timeline,
    extra_field,
    is_text,
    label,
    number,
    require,
    require_bool,
    require_extra,
    text,
    text_frame,
)
from .failures import failure_in

__all__ = ["Reson8"]

PARTIAL_DELAY = 2.0
"""Partials trail the audio by some 1.2 s; this much before one, its segment had surely begun."""


@dataclass(frozen=True)
class Reson8(Dialect):
    """The model ``reson8/reson8stt:v1`` and its options.

    ``enable_partials``  whether partial transcripts are wanted
    ``language``         an ISO code or several; unset, the language is detected. Not on the model page,
                         understood by the gateway's other routes
    ``audio_envelope``   "json" as the model page says, or "binary" for plain binary frames
    ``encoding``         "pcm_s16le", or "linear16" as other pages name the same thing
    ``wait_for_ready``   False starts to send 2 s after the connection where no ready has come
    ``extra``            further keys for the config, passed on untouched

    Raises ``ConfigurationError`` for a wrong value.
    """

    model: ClassVar[str] = "reson8/reson8stt:v1"
    world_parts: ClassVar[Tuple[str, ...]] = ("eu",)
    sample_rates: ClassVar[Tuple[int, ...]] = (8000, 16000)
    needs_ready: ClassVar[bool] = True
    settles_by_finalize: ClassVar[bool] = True
    end_limit: ClassVar[float] = 2.0

    enable_partials: bool = True
    language: Union[str, Sequence[str], None] = None
    audio_envelope: str = "json"
    encoding: str = "pcm_s16le"
    wait_for_ready: bool = True
    extra: Mapping[str, Any] = extra_field()

    def __post_init__(self) -> None:
        require_bool(self, "enable_partials", "wait_for_ready")
        languages = [self.language] if isinstance(self.language, str) else self.language
        require(
            languages is None or (isinstance(languages, (list, tuple)) and all(map(is_text, languages))),
            "language",
            'an ISO code such as "en", or a list of them',
            self.language,
        )
        require(
            self.audio_envelope in ("json", "binary"),
            "audio_envelope",
            '"json" or "binary"',
            self.audio_envelope,
        )
        require(
            self.encoding in ("pcm_s16le", "linear16"), "encoding", '"pcm_s16le" or "linear16"', self.encoding
        )
        require_extra(self, self.extra, ("sample_rate", "channels"))

    def start(self, audio_format: AudioFormat) -> Frame:
        """``init`` with its config; audio has to wait for ``ready``."""
        config = {
            "encoding": self.encoding,
            "sample_rate": audio_format.sample_rate,
            "channels": audio_format.channels,
            "enable_partials": self.enable_partials,
        }
        if self.language:
            config["language"] = self.language if isinstance(self.language, str) else ",".join(self.language)
        return text_frame({"type": "init", "config": {**config, **self.extra}})

    def audio(self, pcm: bytes) -> Frame:
        """Raw samples without any header, in the chosen envelope."""
        if self.audio_envelope == "binary":
            return Frame(pcm, True)
        # Put together by hand: a JSON encoder would look at every character of the base64.
        message = b'{"type":"audio","data":"' + b2a_base64(pcm, newline=False) + b'"}'
        # Without the function in Python that the constructor of a NamedTuple is.
        return tuple.__new__(Frame, (message, False))

    def finalize(self) -> Frame:
        """Flushes what is buffered; answered by ``flush_confirmation``."""
        return text_frame({"type": "finalize"})

    def keepalive(self) -> Frame:
        """Nothing answers it."""
        return text_frame({"type": "keepalive"})

    def end(self) -> List[Frame]:
        """``close`` ends the audio and the session."""
        return [text_frame({"type": "close"})]

    def decoder(self, timeline: Timeline) -> "Reson8Decoder":
        """A decoder for a new connection."""
        return Reson8Decoder(timeline)

    def advice(self) -> str:
        """The envelopes are in dispute between the pages: name the other one."""
        other = "binary" if self.audio_envelope == "json" else "json"
        return f'The gateway may expect the other form of audio: try Reson8(audio_envelope="{other}").'


class Reson8Decoder:
    """Reson8's frames: each partial replaces the last one, each final stands."""

    held = False

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._partial: Optional[Transcript] = None
        self._segment_begun: Optional[float] = None
        self._last_end = timeline.start(0.0)

    def __call__(self, frame: Mapping[str, Any]) -> List[Heard]:
        """Decode one frame."""
        kind = text(frame.get("type")).lower()
        if kind == "error" or "error_code" in frame:
            failure = failure_in(frame)
            if failure is not None:
                return [Failure(failure)]
        if kind == "partial_transcript":
            return self._heard_partial(frame)
        if kind == "final_transcript":
            return self._heard_final(frame)
        if kind == "flush_confirmation":
            return [Flushed(label(frame.get("id")))]
        if kind == "ready":
            return [Ready(label(frame.get("session_id")))]
        return [Endpoint()] if kind == "utterance_end" else []

    @property
    def pending(self) -> str:
        """The text of the open partial."""
        return self._partial.text if self._partial else ""

    def release(self) -> List[Transcript]:
        """Nothing is ever held here."""
        return []

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """The open partial, where it is to become a final."""
        partial, self._partial = self._partial, None
        if not (promote and partial):
            self._partial = partial
            return []
        return [self._final(partial.raw, partial.text, complete=False)]

    def _heard_partial(self, frame: Mapping[str, Any]) -> List[Heard]:
        said = _said(frame)
        if said == self.pending:
            return []
        if self._segment_begun is None:
            self._segment_begun = self._timeline.heard
        partial = self._open(frame, said)
        self._partial = partial if said else None
        return [partial]

    def _heard_final(self, frame: Mapping[str, Any]) -> List[Heard]:
        said = _said(frame)
        was_open, self._partial = self.pending, None
        begun, self._segment_begun = self._segment_begun, None
        if not said:
            # It answers a finalize over silence. What was shown and came to nothing is taken back.
            return [self._open(frame, "")] if was_open else []
        final = self._final(frame, said)
        heard: List[Heard] = [final]
        if (final.words and final.words[-1].end is not None) or _has_times(frame):
            heard.append(Settled(final.end or 0.0))
        elif begun is not None:
            heard.append(Settled(max(0.0, begun - PARTIAL_DELAY)))
        self._last_end = final.end or self._last_end
        return heard

    def _open(self, frame: Mapping[str, Any], said: str) -> Transcript:
        """A partial: few ask for more of it than its text."""
        details = functools.partial(self._details, frame, self._last_end, self._timeline.reached)
        return Transcript.later(details, {"text": said, "is_final": False, "raw": frame})

    def _final(self, frame: Mapping[str, Any], said: str, *, complete: bool = True) -> Transcript:
        details = self._details(frame, self._last_end, self._timeline.reached)
        return Transcript(text=said, is_final=True, stable=said, complete=complete, raw=frame, **details)

    def _details(self, frame: Mapping[str, Any], last_end: float, reached: float) -> Dict[str, Any]:
        """What a frame tells besides its text; ``last_end`` and ``reached`` as they were when it came."""
        language = label(frame.get("language"))
        words = self._words(frame.get("words"), language)
        start, end = self._span(frame, words, last_end, reached)
        return {
            "start": start,
            "end": end,
            "confidence": _probability(frame.get("confidence")),
            "language": language,
            "speaker": None,
            "words": words,
        }

    def _span(
        self, frame: Mapping[str, Any], words: Tuple[Word, ...], last_end: float, reached: float
    ) -> Tuple[float, float]:
        """Where it stands: by its words, by ``start`` and ``duration``, else from the last final to now."""
        if words:
            starts = [word.start for word in words if word.start is not None]
            ends = [word.end for word in words if word.end is not None]
            if starts and ends:
                return min(starts), max(ends)
        begin, duration = number(frame.get("start")), number(frame.get("duration"))
        if begin is not None and duration is not None:
            return self._timeline.start(begin), self._timeline.end(begin + duration)
        end = max(last_end, reached)
        if begin is not None:
            return self._timeline.start(begin), max(end, self._timeline.start(begin))
        # ``duration`` is that of the segment, and the audio sent since its end is not known.
        start = last_end if duration is None else max(last_end, end - duration)
        return round(start, 6), end

    def _words(self, entries: object, language: Optional[str]) -> Tuple[Word, ...]:
        if not entries or not isinstance(entries, list):
            return ()
        words = (self._word(entry, language) for entry in entries if isinstance(entry, Mapping))
        return tuple(word for word in words if word.text)

    def _word(self, entry: Mapping[str, Any], language: Optional[str]) -> Word:
        start, end = number(entry.get("start")), number(entry.get("end"))
        if start is None and (start_ms := number(entry.get("start_ms"))) is not None:
            start = start_ms / 1000
            duration_ms = number(entry.get("duration_ms"))
            end = start + duration_ms / 1000 if duration_ms is not None else end
        return Word(
            text=(text(entry.get("word")) or text(entry.get("text"))).strip(),
            start=None if start is None else self._timeline.start(start),
            end=None if end is None else self._timeline.end(end),
            confidence=_probability(entry.get("confidence")),
            speaker=label(entry.get("speaker")),
            language=label(entry.get("language")) or language,
        )


def _has_times(frame: Mapping[str, Any]) -> bool:
    return number(frame.get("start")) is not None and number(frame.get("duration")) is not None


def _said(frame: Mapping[str, Any]) -> str:
    return (text(frame.get("transcript")) or text(frame.get("text"))).strip()


def _probability(value: object) -> Optional[float]:
    """0 to 1 as documented; below 0 it is the natural logarithm that native Reson8 sends."""
    confidence = number(value)
    if confidence is None or confidence > 1:
        return None
    return math.exp(confidence) if confidence < 0 else confidence
