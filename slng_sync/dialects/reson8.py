"""The dialect of Reson8: JSON messages, audio as base64, whole transcripts.

Wire facts are from the SLNG model page of ``reson8/reson8stt:v1`` unless another source is named.
"""

import functools
import math
from binascii import b2a_base64
from dataclasses import dataclass
from typing import Any, ClassVar, List, Mapping, Optional, Sequence, Tuple, Union

from ..audio.format import AudioFormat
from ..events import Endpoint, Flushed, Ready, Transcript, Word
from .base import (
    Decoded,
    Dialect,
    Failure,
    Message,
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
    text_message,
)
from .failures import failure_in
from .packed import PackedMessage
from .words import Words

__all__ = ["Reson8"]

PARTIAL_DELAY = 2.0
"""Seconds before a partial at which its segment had certainly begun. Partials lag by about 1.2 s."""


@dataclass(frozen=True)
class Reson8(Dialect):
    """The model ``reson8/reson8stt:v1`` and its options.

    ``enable_partials``  whether the server sends partial transcripts
    ``language``         an ISO code or a list of them. Without it the server detects the language. The model
                         page does not mention it, but the gateway's other endpoints accept it
    ``audio_envelope``   "json" as on the model page, or "binary" for plain binary messages
    ``encoding``         "pcm_s16le", or "linear16", another name for it on other pages
    ``wait_for_ready``   False sends audio 2 s after connecting even if the server has not sent ready
    ``extra``            more keys for the config, sent unchanged

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

    def start(self, audio_format: AudioFormat) -> Message:
        """Return ``init`` with the config. Audio has to wait for ``ready``."""
        config = {
            "encoding": self.encoding,
            "sample_rate": audio_format.sample_rate,
            "channels": audio_format.channels,
            "enable_partials": self.enable_partials,
        }
        if self.language:
            config["language"] = self.language if isinstance(self.language, str) else ",".join(self.language)
        return text_message({"type": "init", "config": {**config, **self.extra}})

    def audio(self, pcm: bytes) -> Message:
        """Return raw samples without a header, in the selected envelope."""
        if self.audio_envelope == "binary":
            return Message(pcm, True)
        # Assembled by hand, because a JSON encoder would examine every character of the base64.
        message = b'{"type":"audio","data":"' + b2a_base64(pcm, newline=False) + b'"}'
        # Faster than the constructor of a NamedTuple, which is a Python function.
        return tuple.__new__(Message, (message, False))

    def finalize(self) -> Message:
        """Return ``finalize``. The server answers it with ``flush_confirmation``."""
        return text_message({"type": "finalize"})

    def keepalive(self) -> Message:
        """Return ``keepalive``. The server does not answer it."""
        return text_message({"type": "keepalive"})

    def end(self) -> List[Message]:
        """Return ``close``, which ends the audio and the session."""
        return [text_message({"type": "close"})]

    def decoder(self, timeline: Timeline) -> "Reson8Decoder":
        """Return a decoder for a new connection."""
        return Reson8Decoder(timeline)

    def advice(self) -> str:
        """Return a hint that names the other envelope, because the documentation is inconsistent."""
        other = "binary" if self.audio_envelope == "json" else "json"
        return f'The gateway may expect audio in the other envelope. Try Reson8(audio_envelope="{other}").'


class Reson8Decoder:
    """The decoder of Reson8. Each partial replaces the last one. Finals do not change."""

    held = False

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._partial: Optional[Transcript] = None
        self._segment_begun: Optional[float] = None
        self._last_end = timeline.start(0.0)

    def __call__(self, message: Mapping[str, Any]) -> List[Decoded]:
        """Decode one message."""
        kind = text(message.get("type")).lower()
        if kind == "error" or "error_code" in message:
            failure = failure_in(message)
            if failure is not None:
                return [Failure(failure)]
        if kind == "partial_transcript":
            return self._take_partial(message)
        if kind == "final_transcript":
            return self._take_final(message)
        if kind == "flush_confirmation":
            return [Flushed(label(message.get("id")))]
        if kind == "ready":
            return [Ready(label(message.get("session_id")))]
        return [Endpoint()] if kind == "utterance_end" else []

    @property
    def pending(self) -> str:
        """The text of the open partial."""
        return self._partial.text if self._partial else ""

    def release(self) -> List[Transcript]:
        """Return an empty list: Reson8 sends no translations to wait for."""
        return []

    def end(self, *, promote: bool = False) -> List[Transcript]:
        """Return the open partial as a final if ``promote`` is true."""
        if not (promote and self._partial):
            return []
        partial, self._partial = self._partial, None
        return [self._transcript(partial.raw, partial.text, is_final=True, complete=False)]

    def _take_partial(self, message: Mapping[str, Any]) -> List[Decoded]:
        said = _text_of(message)
        if said == self.pending:
            return []
        if self._segment_begun is None:
            self._segment_begun = self._timeline.heard
        partial = self._transcript(message, said, is_final=False)
        self._partial = partial if said else None
        return [partial]

    def _take_final(self, message: Mapping[str, Any]) -> List[Decoded]:
        said = _text_of(message)
        was_open, self._partial = self.pending, None
        begun, self._segment_begun = self._segment_begun, None
        if not said:
            # The answer to a finalize during silence. An empty partial clears the open one.
            return [self._transcript(message, "", is_final=False)] if was_open else []
        final = self._transcript(message, said, is_final=True)
        decoded: List[Decoded] = [final]
        if _last_word_ends(message) or _has_times(message):
            decoded.append(Settled(final.end or 0.0))
        elif begun is not None:
            decoded.append(Settled(max(0.0, begun - PARTIAL_DELAY)))
        self._last_end = final.end or self._last_end
        return decoded

    def _transcript(
        self, message: Mapping[str, Any], said: str, *, is_final: bool, complete: bool = True
    ) -> Transcript:
        """Return the transcript of a message. A final packs its message, because programs keep finals."""
        start, end = self._span(message)
        raw = PackedMessage(message) if is_final else message
        return Transcript(
            text=said,
            is_final=is_final,
            start=start,
            end=end,
            confidence=_probability(message.get("confidence")),
            language=label(message.get("language")),
            words=Words.made_by(functools.partial(_words, raw, self._timeline))
            if message.get("words")
            else (),
            stable=said if is_final else "",
            complete=complete,
            raw=raw,
        )

    def _span(self, message: Mapping[str, Any]) -> Tuple[float, float]:
        """Return start and end: from the words, from ``start`` and ``duration``, or else estimated."""
        times = [_times(entry) for entry in _entries(message)]
        starts = [start for start, _ in times if start is not None]
        ends = [end for _, end in times if end is not None]
        if starts and ends:
            return self._timeline.start(min(starts)), self._timeline.end(max(ends))
        begin, duration = number(message.get("start")), number(message.get("duration"))
        if begin is not None and duration is not None:
            return self._timeline.start(begin), self._timeline.end(begin + duration)
        end = max(self._last_end, self._timeline.reached)
        if begin is not None:
            return self._timeline.start(begin), max(end, self._timeline.start(begin))
        # ``duration`` is the length of the segment. How much audio was sent since its end is unknown.
        start = self._last_end if duration is None else max(self._last_end, end - duration)
        return round(start, 6), end


def _words(message: Mapping[str, Any], timeline: Timeline) -> Tuple[Word, ...]:
    language = label(message.get("language"))
    return tuple(_word(entry, language, timeline) for entry in _entries(message))


def _entries(message: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """Return the entries of ``words`` that have a text."""
    entries = message.get("words")
    if not entries or not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, Mapping) and _entry_text(entry)]


def _entry_text(entry: Mapping[str, Any]) -> str:
    return (text(entry.get("word")) or text(entry.get("text"))).strip()


def _times(entry: Mapping[str, Any]) -> Tuple[Optional[float], Optional[float]]:
    """Return start and end of a word in seconds, from either of its two formats."""
    start, end = number(entry.get("start")), number(entry.get("end"))
    start_ms = number(entry.get("start_ms")) if start is None else None
    if start_ms is not None:
        start = start_ms / 1000
        duration_ms = number(entry.get("duration_ms"))
        end = start + duration_ms / 1000 if duration_ms is not None else end
    return start, end


def _word(entry: Mapping[str, Any], language: Optional[str], timeline: Timeline) -> Word:
    start, end = _times(entry)
    return Word(
        text=_entry_text(entry),
        start=None if start is None else timeline.start(start),
        end=None if end is None else timeline.end(end),
        confidence=_probability(entry.get("confidence")),
        speaker=label(entry.get("speaker")),
        language=label(entry.get("language")) or language,
    )


def _last_word_ends(message: Mapping[str, Any]) -> bool:
    entries = _entries(message)
    return bool(entries) and _times(entries[-1])[1] is not None


def _has_times(message: Mapping[str, Any]) -> bool:
    return number(message.get("start")) is not None and number(message.get("duration")) is not None


def _text_of(message: Mapping[str, Any]) -> str:
    return (text(message.get("transcript")) or text(message.get("text"))).strip()


def _probability(value: object) -> Optional[float]:
    """Return a confidence from 0 to 1. A negative one is a natural logarithm, as native Reson8 sends it."""
    confidence = number(value)
    if confidence is None or confidence > 1:
        return None
    return math.exp(confidence) if confidence < 0 else confidence
