"""Keep the messages of sound libraries out of the program's stderr.

ALSA and JACK accept a message handler; they get one that does nothing. PortAudio writes to file descriptor 2
directly, so the descriptor is redirected to a file during a call. ``c_stderr`` covers the frequent calls.
"""

import os
import re
import threading
from contextlib import contextmanager
from typing import Iterable, Iterator, List

__all__ = ["captured_stderr", "filter_lines", "silence_libraries"]

# A call that takes longer has hung. The program then gets its stderr back.
MAX_CAPTURE_SECONDS = 2.0

SOUND_LIBRARY_LINE = re.compile(
    rb"ALSA lib |Expression '|\|\|PaMacCore|Jack|jack server |Cannot connect to server |"
    rb"connect\(2\) call to |attempt to connect to server"
)

_capture_lock = threading.Lock()


def silence_libraries() -> None:
    """Set a message handler that does nothing in ALSA and JACK, if they are loaded."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return
    import ctypes

    # Any C function without side effects works. A Python function would need the GIL in audio threads.
    no_op = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
    for library, setters in (
        ("libasound.so.2", ["snd_lib_error_set_handler"]),
        ("libjack.so.0", ["jack_set_error_function", "jack_set_info_function"]),
    ):
        try:
            loaded = ctypes.CDLL(library, os.RTLD_NOLOAD)
        except OSError:
            continue
        for setter in setters:
            getattr(loaded, setter)(no_op)


@contextmanager
def captured_stderr() -> Iterator[List[str]]:
    """Collect the lines that sound libraries write to file descriptor 2. The list is filled at the end.

    The whole process shares the descriptor, so lines of other code are forwarded to stderr at the end.
    """
    import tempfile

    lines: List[str] = []
    with _capture_lock:
        try:
            stderr = os.dup(2)
        except OSError:  # A program without a console has no stderr.
            yield lines
            return
        with tempfile.TemporaryFile() as file:
            restore_timer = threading.Timer(MAX_CAPTURE_SECONDS, os.dup2, (stderr, 2))
            restore_timer.daemon = True  # It must not keep a program alive while the sound system hangs.
            restore_timer.start()
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                restore_timer.cancel()
                restore_timer.join()
                os.dup2(stderr, 2)
                os.close(stderr)
                file.seek(0)
                lines += filter_lines(file)


def filter_lines(written: Iterable[bytes]) -> List[str]:
    """Return the lines that sound libraries wrote. Forward the others to stderr."""
    lines = []
    for line in written:
        if SOUND_LIBRARY_LINE.match(line):
            lines.append(line.decode("utf-8", "replace").strip())
        else:
            os.write(2, line)
    return lines
