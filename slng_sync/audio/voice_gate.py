"""The voice gate: decides for each part of the audio whether to send it. No I/O.

It withholds silence, detects the end of speech, and measures levels. The gate stays open for a second after
the last speech. Half a second of pre-roll is sent before speech, so that no word loses its beginning.
"""

from collections import deque
from typing import Deque, List, NamedTuple, Optional, Union

from ..errors import AudioError
from ..events import Level
from .format import AudioFormat
from .level import level_of
from .voice_activity import WINDOW_SECONDS, VoiceActivityDetector

__all__ = ["Decision", "SpeechEnded", "VoiceGate", "Withheld"]

LEVEL_SECONDS = 0.04
PRE_ROLL_SECONDS = 0.5
HOLD_SECONDS = 1.0
"""How long the gate stays open after the last speech, so that pauses within a sentence are sent."""
RECENT_WINDOWS, MIN_SPEECH_WINDOWS = 5, 3
"""Speech must fill 3 of the last 5 windows (60 of 100 ms), so that a click does not open the gate."""


class Withheld(NamedTuple):
    """A decision not to send this many frames."""

    frames: int


class SpeechEnded(NamedTuple):
    """A decision to finalize: the speaker has been silent for ``finalize_after`` seconds."""


Decision = Union[bytes, Withheld, Level, SpeechEnded]
"""Audio to send, frames to skip, a level to report, or a finalize."""


class VoiceGate:
    """A gate that takes audio in chunks of any size and returns decisions in the order of the audio.

    ``gate`` withholds silence. ``finalize_after`` is the number of seconds after speech at which it counts as
    ended. ``levels`` adds a ``Level`` every 40 ms. Raises ``AudioError`` if webrtcvad is missing, unless only
    ``levels`` is asked for: ``Level.speech`` is then always False.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        gate: bool = False,
        finalize_after: Optional[float] = None,
        levels: bool = False,
    ) -> None:
        self._frame_bytes = audio_format.frame_bytes
        self._window_bytes = audio_format.frames(WINDOW_SECONDS) * self._frame_bytes
        self._level_bytes = audio_format.frames(LEVEL_SECONDS) * self._frame_bytes
        self._detector = _detector(audio_format, is_required=gate or finalize_after is not None)
        self._levels = levels
        self._hold = max(HOLD_SECONDS, finalize_after or 0.0) if gate else None
        # A gate that closes also ends the utterance: its last words would otherwise wait for the next ones.
        self._finalize_after = self._hold if finalize_after is None else finalize_after
        self._remainder = b""
        self._unmeasured = b""
        self._is_open = not gate
        self._pre_roll: Deque[bytes] = deque()
        self._recent: Deque[bool] = deque(maxlen=RECENT_WINDOWS)
        self._silence = 0.0
        self._has_spoken = False

    def process(self, pcm: bytes, *, withhold: bool = False) -> List[Decision]:
        """Return the decisions for whole frames of PCM.

        ``withhold`` withholds all of it, and any audio that is kept for later, such as the pre-roll.
        """
        decisions: List[Decision] = self._reset() if withhold else []
        if withhold:
            decisions.append(Withheld(len(pcm) // self._frame_bytes))
        elif self._hold is None:
            decisions.append(pcm)
        for window in self._windows(pcm):
            speech = self._detector is not None and self._detector.is_speech(window)
            if not withhold:
                self._track_speech(speech)
                decisions += self._apply_gate(window) + self._speech_end()
            decisions += self._measure(window, speech)
        if withhold:
            self._remainder = b""
        return _merge(decisions)

    def flush(self) -> List[Decision]:
        """Return the decisions for audio that is still kept. No audio follows."""
        if self._hold is None:
            return []
        if not self._is_open:
            return self._reset()
        remainder, self._remainder = self._remainder, b""
        return [remainder] if remainder else []

    def _windows(self, pcm: bytes) -> List[bytes]:
        """Return the complete windows of 20 ms. Keep the remainder for the next call."""
        audio = self._remainder + pcm
        end = len(audio) - len(audio) % self._window_bytes
        self._remainder = audio[end:]
        return [audio[start : start + self._window_bytes] for start in range(0, end, self._window_bytes)]

    def _track_speech(self, speech: bool) -> None:
        self._recent.append(speech)
        if sum(self._recent) >= MIN_SPEECH_WINDOWS:
            self._silence, self._has_spoken = 0.0, True
        else:
            self._silence = round(self._silence + WINDOW_SECONDS, 3)

    def _speech_end(self) -> List[Decision]:
        after = self._finalize_after
        if after is None or not self._has_spoken or self._silence < after:
            return []
        self._has_spoken = False
        return [SpeechEnded()]

    def _apply_gate(self, window: bytes) -> List[Decision]:
        """Return the decisions for one window. Without a gate, ``process`` has already sent the audio."""
        if self._hold is None:
            return []
        if self._is_open:
            self._is_open = self._silence < self._hold
            return [window]
        self._pre_roll.append(window)
        if self._silence == 0.0:
            self._is_open = True
            kept: List[Decision] = list(self._pre_roll)
            self._pre_roll.clear()
            return kept
        if len(self._pre_roll) * WINDOW_SECONDS > PRE_ROLL_SECONDS:
            return [Withheld(len(self._pre_roll.popleft()) // self._frame_bytes)]
        return []

    def _measure(self, window: bytes, speech: bool) -> List[Decision]:
        if not self._levels:
            return []
        self._unmeasured += window
        if len(self._unmeasured) < self._level_bytes:
            return []
        measured, self._unmeasured = self._unmeasured, b""
        return [level_of(measured, speech=speech)]

    def _reset(self) -> List[Decision]:
        """Close the gate, forget earlier speech, and withhold the audio that is kept."""
        kept = sum(map(len, self._pre_roll)) + (len(self._remainder) if self._hold is not None else 0)
        self._remainder = b""
        self._pre_roll.clear()
        self._recent.clear()
        self._has_spoken = False
        self._is_open = self._hold is None
        return [Withheld(kept // self._frame_bytes)] if kept else []


def _merge(decisions: List[Decision]) -> List[Decision]:
    """Join neighbouring audio into one chunk, and neighbouring ``Withheld`` into one."""
    merged: List[Decision] = []
    chunks: List[bytes] = []
    for each in decisions:
        if isinstance(each, bytes):
            chunks.append(each)
            continue
        if chunks:
            merged.append(b"".join(chunks))
            chunks = []
        last = merged[-1] if merged else None
        if isinstance(each, Withheld) and isinstance(last, Withheld):
            merged[-1] = Withheld(last.frames + each.frames)
        else:
            merged.append(each)
    return [*merged, b"".join(chunks)] if chunks else merged


def _detector(audio_format: AudioFormat, *, is_required: bool) -> Optional[VoiceActivityDetector]:
    try:
        return VoiceActivityDetector(audio_format)
    except AudioError:
        if is_required:
            raise
        return None
