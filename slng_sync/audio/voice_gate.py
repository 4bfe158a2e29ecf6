"""What is heard before it is sent: how loud it is, whether somebody speaks, when they have stopped. No I/O.

With a gate, silence is withheld. Nothing of a word is: audio passes until a second after the last speech,
and half a second of what came before the next speech is kept for it.
"""

from collections import deque
from typing import Deque, List, NamedTuple, Optional, Union

from ..errors import AudioError
from ..events import Level
from .format import AudioFormat
from .level import level_of
from .voice_activity import FRAME_SECONDS, VoiceDetector

__all__ = ["Heard", "SpeechEnded", "VoiceGate", "Withheld"]

LEVEL_SECONDS = 0.04
PRE_ROLL_SECONDS = 0.5
HOLD_SECONDS = 1.0
"""How long the gate stays open after the last speech: the pauses within a sentence pass."""
RECENT, SPEECH_AMONG_THEM = 5, 3
"""Of the last 100 ms so much has to be speech: a click is none."""


class Withheld(NamedTuple):
    """So many frames are not to be sent."""

    frames: int


class SpeechEnded(NamedTuple):
    """Whoever spoke has been silent for long enough: what was said is to be made final."""


Heard = Union[bytes, Withheld, Level, SpeechEnded]


class VoiceGate:
    """Takes audio in any pieces, and says in order what is to become of it.

    ``gate`` withholds silence; ``finalize_after`` is how many seconds after speech it is over; ``levels``
    asks for a ``Level`` every 40 ms. Raises ``AudioError`` where webrtcvad is missing; for levels alone it
    may be.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        gate: bool = False,
        finalize_after: Optional[float] = None,
        levels: bool = False,
    ) -> None:
        self._width = audio_format.frame_bytes
        self._frame = audio_format.frames(FRAME_SECONDS) * self._width
        self._block = audio_format.frames(LEVEL_SECONDS) * self._width
        self._detector = _detector(audio_format, is_needed=gate or finalize_after is not None)
        self._levels = levels
        self._hold = max(HOLD_SECONDS, finalize_after or 0.0) if gate else None
        # A gate that closes ends what was said, or its last words would wait for the next ones.
        self._finalize_after = self._hold if finalize_after is None else finalize_after
        self._rest = b""
        self._unmeasured = b""
        self._is_open = not gate
        self._pre_roll: Deque[bytes] = deque()
        self._recent: Deque[bool] = deque(maxlen=RECENT)
        self._silence = 0.0
        self._has_spoken = False

    def hear(self, pcm: bytes, *, withhold: bool = False) -> List[Heard]:
        """Take whole frames; with ``withhold`` none of it is to be sent, and nothing is kept for later."""
        heard: List[Heard] = self._forget() if withhold else []
        if withhold:
            heard.append(Withheld(len(pcm) // self._width))
        elif self._hold is None:
            heard.append(pcm)
        for frame in self._frames(pcm):
            speech = self._detector is not None and self._detector.is_speech(frame)
            if not withhold:
                self._listen(speech)
                heard += self._gated(frame) + self._ended()
            heard += self._measure(frame, speech)
        if withhold:
            self._rest = b""
        return _joined(heard)

    def flush(self) -> List[Heard]:
        """The end: what was kept back to be heard as a whole."""
        if self._hold is None:
            return []
        if not self._is_open:
            return self._forget()
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _frames(self, pcm: bytes) -> List[bytes]:
        """Whole pieces of 20 ms, as far as there are any by now."""
        whole = self._rest + pcm
        end = len(whole) - len(whole) % self._frame
        self._rest = whole[end:]
        return [whole[at : at + self._frame] for at in range(0, end, self._frame)]

    def _listen(self, speech: bool) -> None:
        self._recent.append(speech)
        if sum(self._recent) >= SPEECH_AMONG_THEM:
            self._silence, self._has_spoken = 0.0, True
        else:
            self._silence = round(self._silence + FRAME_SECONDS, 3)

    def _ended(self) -> List[Heard]:
        after = self._finalize_after
        if after is None or not self._has_spoken or self._silence < after:
            return []
        self._has_spoken = False
        return [SpeechEnded()]

    def _gated(self, frame: bytes) -> List[Heard]:
        """What becomes of 20 ms, where there is a gate."""
        if self._hold is None:
            return []
        if self._is_open:
            self._is_open = self._silence < self._hold
            return [frame]
        self._pre_roll.append(frame)
        if self._silence == 0.0:
            self._is_open = True
            kept: List[Heard] = list(self._pre_roll)
            self._pre_roll.clear()
            return kept
        if len(self._pre_roll) * FRAME_SECONDS > PRE_ROLL_SECONDS:
            return [Withheld(len(self._pre_roll.popleft()) // self._width)]
        return []

    def _measure(self, frame: bytes, speech: bool) -> List[Heard]:
        if not self._levels:
            return []
        self._unmeasured += frame
        if len(self._unmeasured) < self._block:
            return []
        block, self._unmeasured = self._unmeasured, b""
        return [level_of(block, speech=speech)]

    def _forget(self) -> List[Heard]:
        """Begin anew: what was said is over, and what was kept back is not sent."""
        kept = sum(map(len, self._pre_roll)) + (len(self._rest) if self._hold is not None else 0)
        self._rest = b""
        self._pre_roll.clear()
        self._recent.clear()
        self._has_spoken = False
        self._is_open = self._hold is None
        return [Withheld(kept // self._width)] if kept else []


def _joined(heard: List[Heard]) -> List[Heard]:
    """The same with neighbours put together: fewer and longer pieces of audio, and of silence."""
    joined: List[Heard] = []
    pieces: List[bytes] = []
    for each in heard:
        if isinstance(each, bytes):
            pieces.append(each)
            continue
        if pieces:
            joined.append(b"".join(pieces))
            pieces = []
        last = joined[-1] if joined else None
        if isinstance(each, Withheld) and isinstance(last, Withheld):
            joined[-1] = Withheld(last.frames + each.frames)
        else:
            joined.append(each)
    return [*joined, b"".join(pieces)] if pieces else joined


def _detector(audio_format: AudioFormat, *, is_needed: bool) -> Optional[VoiceDetector]:
    try:
        return VoiceDetector(audio_format)
    except AudioError:
        if is_needed:
            raise
        return None
