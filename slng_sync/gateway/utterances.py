"""Recognise words in 16 kHz mono audio with PocketSphinx. Runs in the recogniser's process.

A voice activity detector classifies each 30 ms as speech or silence. Speech, with a little audio before it,
is one utterance for the decoder. A pause ends the utterance.
"""

import re
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Tuple

__all__ = ["UtteranceRecognizer"]

FRAME_SECONDS = 0.03
FRAME_BYTES = 960
BYTES_PER_SECOND = 32000
BEFORE_SPEECH = 12
SPEECH_IN_LAST = (3, 5)
PAUSE = 0.6
# In seconds. After LONG an utterance ends at a shorter pause, after TOO_LONG even without one.
LONG, TOO_LONG = 12.0, 25.0
SHORT_PAUSE = 0.15
PARTIAL_EVERY = 4

Update = Dict[str, Any]


class _Frame(NamedTuple):
    data: bytes
    start: float
    speech: bool


class UtteranceRecognizer:
    """Audio in, updates out: dictionaries with ``final``, ``tentative`` and ``endpoint``."""

    def __init__(self, decoder: Any, detector: Any, pause: float = PAUSE) -> None:
        self._decoder = decoder
        self._detector = detector
        self._pause = min(pause, PAUSE)
        self._rest = b""
        self._bytes_done = 0
        self._before: Deque[_Frame] = deque(maxlen=BEFORE_SPEECH)
        self._speaking = False
        self._start = 0.0
        self._length = 0.0
        self._silence = 0.0
        self._frames = 0

    def receive(self, pcm: bytes) -> List[Update]:
        """Process audio. The last update holds the tentative words."""
        updates: List[Update] = []
        data = self._rest + pcm
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        partial_due = False
        for at in range(0, whole, FRAME_BYTES):
            frame = self._frame(data[at : at + FRAME_BYTES])
            updates.extend(self._receive_frame(frame))
            partial_due = partial_due or (self._speaking and self._frames % PARTIAL_EVERY == 0)
        if partial_due and self._speaking:
            updates.append(_update((), self._tentative()))
        return updates

    def finalize(self) -> List[Update]:
        """End the utterance here, even if it has only just begun."""
        if self._rest:
            rest, self._rest = self._rest[: len(self._rest) // 2 * 2], b""
            start = self._bytes_done / BYTES_PER_SECOND
            self._bytes_done += len(rest)
            self._buffer_or_decode(_Frame(rest, start, False))
        if not self._speaking and sum(frame.speech for frame in self._before) >= SPEECH_IN_LAST[0]:
            self._begin()
        self._before.clear()
        return [_update(self._end(), ())] if self._speaking else []

    def _frame(self, data: bytes) -> _Frame:
        start = self._bytes_done / BYTES_PER_SECOND
        self._bytes_done += FRAME_BYTES
        return _Frame(data, start, bool(self._detector.is_speech(data)))

    def _receive_frame(self, frame: _Frame) -> List[Update]:
        self._buffer_or_decode(frame)
        if not self._speaking:
            enough, last = SPEECH_IN_LAST
            if sum(f.speech for f in list(self._before)[-last:]) >= enough:
                self._begin()
            return []
        self._silence = 0.0 if frame.speech else self._silence + FRAME_SECONDS
        if not self._is_over():
            return []
        words = self._end()
        return [_update(words, (), endpoint=True)] if words else [_update((), ())]

    def _buffer_or_decode(self, frame: _Frame) -> None:
        if self._speaking:
            self._decode(frame.data)
        else:
            self._before.append(frame)

    def _is_over(self) -> bool:
        pause = SHORT_PAUSE if self._length > LONG else self._pause
        return self._silence >= pause or self._length > TOO_LONG

    def _begin(self) -> None:
        self._speaking = True
        self._start, self._length, self._silence, self._frames = self._before[0].start, 0.0, 0.0, 0
        self._decoder.start_utt()
        for frame in self._before:
            self._decode(frame.data)
        self._before.clear()

    def _decode(self, data: bytes) -> None:
        if data:
            self._decoder.process_raw(data, False, False)
            self._length += len(data) / BYTES_PER_SECOND
            self._frames += 1

    def _end(self) -> Tuple[Update, ...]:
        self._speaking = False
        self._decoder.end_utt()
        return self._words(final=True)

    def _tentative(self) -> Tuple[Update, ...]:
        return self._words(final=False)

    def _words(self, final: bool) -> Tuple[Update, ...]:
        words: List[Update] = []
        if self._decoder.hyp() is None:
            return ()
        for segment in self._decoder.seg():
            text = _plain(segment.word)
            if text:
                words.append(
                    {
                        "text": text,
                        "start": self._start + segment.start_frame / 100,
                        "end": self._start + (segment.end_frame + 1) / 100,
                        # Only known once the utterance has ended. It is linear, and may be slightly over 1.
                        "confidence": round(min(1.0, max(0.0, segment.prob)), 3) if final else 0.5,
                    }
                )
        return tuple(words)


def _update(final: Tuple[Update, ...], tentative: Tuple[Update, ...], endpoint: bool = False) -> Update:
    return {"final": final, "tentative": tentative, "endpoint": endpoint}


def _plain(word: str) -> str:
    """Return the plain spelling of a dictionary entry, or "" for silence and noise."""
    if word.startswith(("<", "[", "+")):
        return ""
    return re.sub(r"\(\d+\)$", "", word).lower()
