"""The microphone: whether there is one, and whether anything is to be heard from it."""

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
"""For opening and recording; a sound server that hangs is given up by then."""
SHOWN_SECONDS = 0.1


def microphones(case: Case) -> Check:
    """Which microphones there are, and which of them is meant."""
    devices = Microphone.devices()
    figures: Dict[str, Any] = {"devices": [asdict(device) for device in devices]}
    try:
        case.chosen = choose(devices, case.device)
    except AudioError as error:
        return failed("microphones", error, figures=figures)
    figures["chosen"] = case.chosen.index
    which = "the default one" if case.device is None else "the chosen one"
    return Check("microphones", OK, f"{len(devices)} found; {which} is {case.chosen}", "", figures)


def recording(case: Case) -> Check:
    """What two seconds of it sound like."""
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
            f"It gave nothing at all for {LIMIT_SECONDS:g} s.",
            hint="Disconnect it and connect it again, and close other programs that use it.",
        )
        return failed("recording", nothing, figures=figures)
    if level.peak_dbfs <= SILENCE_DBFS:
        silent = AudioError(
            "It gives only zeros, and no room is that quiet: it is muted, or this program may not use it.",
            hint=silence_hint(),
        )
        return failed("recording", silent, figures=figures)
    return _judge(level, figures)


def _judge(level: Level, figures: Dict[str, Any]) -> Check:
    heard = f"peak {level.peak_dbfs:g} dBFS, rms {level.rms_dbfs:g} dBFS"
    if level.clipping:
        said = f"{heard}: too loud, its peaks are cut off"
        return Check("recording", WARNING, said, too_loud(), figures)
    if level.peak_dbfs < LOW_LEVEL_DBFS:
        said = f"{heard}: far too quiet, if somebody spoke"
        return Check("recording", WARNING, said, low_level_hint(), figures)
    return Check("recording", OK, heard, "", figures)


def _record(case: Case) -> bytes:
    """Two seconds, or less where no more comes in time. Raises AudioError."""
    microphone = Microphone(None if case.chosen is None else case.chosen.index)
    wanted = int(microphone.audio_format.sample_rate * RECORD_SECONDS) * microphone.audio_format.frame_bytes
    shown = int(microphone.audio_format.sample_rate * SHOWN_SECONDS) * microphone.audio_format.frame_bytes
    pcm: List[bytes] = []
    size = 0
    limit = threading.Timer(LIMIT_SECONDS, microphone.stop)
    limit.daemon = True  # It must not hold up the end of the program.
    limit.start()
    try:
        # Closed here and now also where Ctrl-C ends it.
        with closing(cast("Generator[bytes, None, None]", iter(microphone))) as pieces:
            for piece in pieces:
                pcm.append(piece)
                if (size + len(piece)) // shown > size // shown:
                    case.hear(level_of(b"".join(pcm)[-shown:]))
                size += len(piece)
                if size >= wanted:
                    break
    finally:
        limit.cancel()
        limit.join()
    return b"".join(pcm)
