"""Whether somebody speaks: WebRTC's voice detection, on audio of any format."""

from typing import Any

from ..errors import AudioError
from .convert import Converter
from .format import AudioFormat

__all__ = ["FRAME_SECONDS", "VoiceDetector"]

FRAME_SECONDS = 0.02
RATES = (8000, 16000, 32000, 48000)
"""What the detector knows; other rates are converted for it."""
STRICTNESS = 2
"""From 0 to 3; the stricter, the more noise is told from speech, and the more speech is taken for noise."""


class VoiceDetector:
    """Says for each 20 ms of audio whether it is speech. Raises ``AudioError`` where webrtcvad is missing."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._vad = _webrtcvad().Vad(STRICTNESS)
        rate = audio_format.sample_rate if audio_format.sample_rate in RATES else 16000
        self._format = AudioFormat(rate, 1)
        self._converter = Converter(audio_format, self._format)
        self._size = self._format.frames(FRAME_SECONDS) * self._format.frame_bytes
        self._rest = b""
        self._last = False

    def is_speech(self, frame: bytes) -> bool:
        """Hear the next 20 ms. Where rates are converted, the answer is some 40 ms old."""
        self._rest += self._converter.convert(frame)
        while len(self._rest) >= self._size:
            piece, self._rest = self._rest[: self._size], self._rest[self._size :]
            self._last = self._vad.is_speech(piece, self._format.sample_rate)
        return self._last


def _webrtcvad() -> Any:
    try:
        import webrtcvad
    except ImportError as error:
        raise AudioError(
            f"Telling speech from silence needs webrtcvad, which cannot be imported ({error}).",
            hint='Install it: pip install "slng-sync[vad]".',
        ) from error
    return webrtcvad
