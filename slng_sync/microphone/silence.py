"""Detect a silent microphone, and say what to do about it on this operating system. No I/O."""

import sys
from typing import Dict, Optional

from ..audio.level import SILENCE_DBFS
from ..events import MicrophoneSilent

__all__ = ["LOW_LEVEL_DBFS", "SilenceDetector", "low_level_hint", "silence_hint"]

LOW_LEVEL_DBFS = -60.0
"""Speech into a working microphone has a higher peak. A quiet room is about as loud as this."""
INITIAL_SILENCE_SECONDS = 3.0
"""Digital silence from the start means that the microphone is muted, or that access was never allowed."""
LATER_SILENCE_SECONDS = 10.0
"""After there was sound, wait longer: devices that suppress noise deliver digital silence between words."""
LOW_LEVEL_SECONDS = 10.0

SILENCE_HINTS = {
    "linux": "Is it muted, or is it the wrong device? Unmute: pactl set-source-mute @DEFAULT_SOURCE@ 0. "
    "List devices: slng-sync devices.",
    "darwin": "Allow access: System Settings > Privacy & Security > Microphone, for the program that runs "
    "this (Terminal, or your editor), and restart that program. Is the input volume at zero (Sound > Input)?",
    "win32": 'Allow access: Settings > Privacy & security > Microphone, "Let desktop apps access your '
    'microphone". Is it muted (Settings > System > Sound > Input), or by a switch on the device?',
}
LOW_LEVEL_HINTS = {
    "linux": "Raise the input level (pavucontrol, or pactl set-source-volume @DEFAULT_SOURCE@ 100%), or "
    "choose another device. List devices: slng-sync devices.",
    "darwin": "Raise the input level in System Settings > Sound > Input, or choose another device there.",
    "win32": "Raise the input level in Settings > System > Sound > Input, or choose another device there.",
}


def silence_hint() -> str:
    """Return what to do on this system about a microphone that delivers only zeros."""
    return _for_platform(SILENCE_HINTS)


def low_level_hint() -> str:
    """Return what to do on this system about a microphone whose level is too low."""
    return _for_platform(LOW_LEVEL_HINTS)


class SilenceDetector:
    """A detector that reports silence once, and again only after there was sound."""

    def __init__(self) -> None:
        self._has_sound = False
        self._is_reported = False
        self._silent_seconds = 0.0
        self._low_level_seconds = 0.0

    def update(self, seconds: float, peak_dbfs: float) -> Optional[MicrophoneSilent]:
        """Take the duration and the peak of the next audio. Return the event if it is due."""
        self._silent_seconds = self._silent_seconds + seconds if peak_dbfs <= SILENCE_DBFS else 0.0
        self._low_level_seconds = self._low_level_seconds + seconds if peak_dbfs < LOW_LEVEL_DBFS else 0.0
        if not self._low_level_seconds:
            self._has_sound, self._is_reported = True, False
        if self._is_reported:
            return None
        if self._silent_seconds >= (LATER_SILENCE_SECONDS if self._has_sound else INITIAL_SILENCE_SECONDS):
            return self._report(self._silent_seconds, silence_hint())
        if not self._has_sound and self._low_level_seconds >= LOW_LEVEL_SECONDS:
            return self._report(self._low_level_seconds, low_level_hint())
        return None

    def _report(self, seconds: float, hint: str) -> MicrophoneSilent:
        self._is_reported = True
        return MicrophoneSilent(round(seconds, 1), hint)


def _for_platform(hints: Dict[str, str]) -> str:
    return hints.get(sys.platform, hints["linux"])
