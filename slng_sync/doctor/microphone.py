"""Checks of the microphone: whether there is one, and whether it delivers sound."""

import threading
import time
from contextlib import closing
from dataclasses import asdict
from typing import Any, Dict, Generator, List, cast

from ..audio.level import SILENCE_DBFS, level_of
from ..errors import AudioError
from ..events import Level
from ..microphone.device import choose
from ..microphone.microphone import Microphone
from ..microphone.silence import LOW_LEVEL_DBFS, low_level_hint, silence_hint
from .case import Case
from .check import OK, WARNING, Check, failed
from .cures import too_loud

__all__ = ["microphones", "recording"]

RECORD_SECONDS = 2.0
LIMIT_SECONDS = 8.0
"""Timeout for opening and recording, in case the sound server hangs."""
LEVEL_SECONDS = 0.1


def microphones(case: Case) -> Check:
    """Check that the chosen or default microphone exists."""
    devices = Microphone.devices()
    figures: Dict[str, Any] = {"devices": [asdict(device) for device in devices]}
    try:
        case.chosen = choose(devices, case.device)
    except AudioError as error:
        return failed("microphones", error, figures=figures)
    figures["chosen"] = case.chosen.index
    which = "the default is" if case.device is None else "chosen:"
    return Check("microphones", OK, f"{len(devices)} found; {which} {case.chosen}", "", figures)


def recording(case: Case) -> Check:
    """Record two seconds and check their level."""
    begun = time.monotonic()
    pcm = _record(case)
    level = level_of(pcm)
    figures = {
        "seconds": round(len(pcm) / 32000, 2),
        "took_seconds": round(time.monotonic() - begun, 2),
        "rms_dbfs": level.rms_dbfs,
        "peak_dbfs": level.peak_dbfs,
        "clipping": level.clipping,
    }
    if not pcm:
        nothing = AudioError(
            f"The microphone delivered no audio within {LIMIT_SECONDS:g} s.",
            hint="Disconnect it and connect it again, and close other programs that use it.",
        )
        return failed("recording", nothing, figures=figures)
    if level.peak_dbfs <= SILENCE_DBFS:
        silent = AudioError(
            "The microphone delivers only digital silence: it is muted, or this program has no permission to "
            "use it.",
            hint=silence_hint(),
        )
        return failed("recording", silent, figures=figures)
    return _judge(level, figures)


def _judge(level: Level, figures: Dict[str, Any]) -> Check:
    measured = f"peak {level.peak_dbfs:g} dBFS, rms {level.rms_dbfs:g} dBFS"
    if level.clipping:
        detail = f"{measured}: too loud, the peaks are clipped"
        return Check("recording", WARNING, detail, too_loud(), figures)
    if level.peak_dbfs < LOW_LEVEL_DBFS:
        detail = f"{measured}: too quiet, if you spoke"
        return Check("recording", WARNING, detail, low_level_hint(), figures)
    return Check("recording", OK, measured, "", figures)


def _record(case: Case) -> bytes:
    """Return two seconds of audio, or less if ``LIMIT_SECONDS`` expire. Raises ``AudioError``."""
    microphone = Microphone(None if case.chosen is None else case.chosen.index)
    wanted = int(microphone.audio_format.sample_rate * RECORD_SECONDS) * microphone.audio_format.frame_bytes
    shown = int(microphone.audio_format.sample_rate * LEVEL_SECONDS) * microphone.audio_format.frame_bytes
    pcm: List[bytes] = []
    size = 0
    limit = threading.Timer(LIMIT_SECONDS, microphone.stop)
    # A daemon thread, because it must not keep the process from exiting.
    limit.daemon = True
    limit.start()
    try:
        # ``closing`` closes the device at once, even after Ctrl-C.
        with closing(cast("Generator[bytes, None, None]", iter(microphone))) as chunks:
            for chunk in chunks:
                pcm.append(chunk)
                if (size + len(chunk)) // shown > size // shown:
                    case.on_level(level_of(b"".join(pcm)[-shown:]))
                size += len(chunk)
                if size >= wanted:
                    break
    finally:
        limit.cancel()
        limit.join()
    return b"".join(pcm)
