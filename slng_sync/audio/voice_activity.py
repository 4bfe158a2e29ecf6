"""Voice activity detection with WebRTC's VAD, for audio of any format."""

from typing import Any

from ..errors import AudioError
from .convert import Converter
from .format import AudioFormat

__all__ = ["WINDOW_SECONDS", "VoiceActivityDetector"]

WINDOW_SECONDS = 0.02
RATES = (8000, 16000, 32000, 48000)
"""Sample rates in Hz that WebRTC's VAD accepts. Audio at other rates is resampled to 16 kHz."""
AGGRESSIVENESS = 2
"""From 0 to 3. A higher value rejects more noise and more speech."""


class VoiceActivityDetector:
    """A detector that tells speech from noise in windows of 20 ms.

    Raises ``AudioError`` if webrtcvad is not installed.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._vad = _import_webrtcvad().Vad(AGGRESSIVENESS)
        rate = audio_format.sample_rate if audio_format.sample_rate in RATES else 16000
        self._format = AudioFormat(rate, 1)
        self._converter = Converter(audio_format, self._format)
        self._window_bytes = self._format.frames(WINDOW_SECONDS) * self._format.frame_bytes
        self._remainder = b""
        self._last = False

    def is_speech(self, window: bytes) -> bool:
        """Return whether the next 20 ms are speech. With resampling, the result lags by some 40 ms."""
        self._remainder += self._converter.convert(window)
        size = self._window_bytes
        while len(self._remainder) >= size:
            converted, self._remainder = self._remainder[:size], self._remainder[size:]
            self._last = self._vad.is_speech(converted, self._format.sample_rate)
        return self._last


def _import_webrtcvad() -> Any:
    try:
        import webrtcvad
    except ImportError as error:
        raise AudioError(
            f"Voice activity detection needs webrtcvad, which cannot be imported ({error}).",
            hint='Install it: pip install "slng-sync[vad]".',
        ) from error
    return webrtcvad
