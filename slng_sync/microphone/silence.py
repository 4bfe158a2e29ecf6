"""A microphone that gives silence: noticing it, and what to do about it on this system. No I/O."""

import sys
from typing import Dict, Optional

from ..audio.level import SILENCE_DBFS
from ..events import MicrophoneSilent

__all__ = ["QUIET_DBFS", "SilenceWatch", "quiet_hint", "silence_hint"]

QUIET_DBFS = -60.0
"""Below this peak nobody speaks into a microphone that works: a quiet room is about as loud."""
NOTHING_YET_SECONDS = 3.0
"""Digital silence from the beginning: a microphone that was never allowed, or is muted."""
NOTHING_MORE_SECONDS = 10.0
"""Digital silence after there was sound. Devices that suppress noise give that between words as well."""
QUIET_SECONDS = 10.0

SILENCE_HINTS = {
    "linux": "Is it muted, or another one meant? pactl set-source-mute @DEFAULT_SOURCE@ 0 unmutes it; "
    "slng-sync devices lists what there is.",
    "darwin": "Allow it: System Settings > Privacy & Security > Microphone, for the program that runs this "
    "(Terminal, or your editor); then start that anew. Is its input volume at zero (Sound > Input)?",
    "win32": 'Allow it: Settings > Privacy & security > Microphone, "Let desktop apps access your '
    'microphone". Is it muted (Settings > System > Sound > Input), or by a switch of its own?',
}
QUIET_HINTS = {
    "linux": "Raise its level (pavucontrol, or pactl set-source-volume @DEFAULT_SOURCE@ 100%), or choose "
    "another one: slng-sync devices lists them.",
    "darwin": "Raise its level: System Settings > Sound > Input; or choose another one there.",
    "win32": "Raise its level: Settings > System > Sound > Input; or choose another one there.",
}


def silence_hint() -> str:
    """What to do, on this system, about a microphone that gives nothing but zeros."""
    return _here(SILENCE_HINTS)


def quiet_hint() -> str:
    """What to do, on this system, about a microphone that can hardly be heard."""
    return _here(QUIET_HINTS)


class SilenceWatch:
    """Says once that there is nothing to hear, until there was something again."""

    def __init__(self) -> None:
        self._has_heard = False
        self._is_told = False
        self._zero_seconds = 0.0
        self._quiet_seconds = 0.0

    def hear(self, seconds: float, peak_dbfs: float) -> Optional[MicrophoneSilent]:
        """Take note of so many seconds of audio with that peak."""
        self._zero_seconds = self._zero_seconds + seconds if peak_dbfs <= SILENCE_DBFS else 0.0
        self._quiet_seconds = self._quiet_seconds + seconds if peak_dbfs < QUIET_DBFS else 0.0
        if not self._quiet_seconds:
            self._has_heard, self._is_told = True, False
        if self._is_told:
            return None
        if self._zero_seconds >= (NOTHING_MORE_SECONDS if self._has_heard else NOTHING_YET_SECONDS):
            return self._tell(self._zero_seconds, silence_hint())
        if not self._has_heard and self._quiet_seconds >= QUIET_SECONDS:
            return self._tell(self._quiet_seconds, quiet_hint())
        return None

    def _tell(self, seconds: float, hint: str) -> MicrophoneSilent:
        self._is_told = True
        return MicrophoneSilent(round(seconds, 1), hint)


def _here(hints: Dict[str, str]) -> str:
    return hints.get(sys.platform, hints["linux"])
