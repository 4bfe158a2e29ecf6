"""Keep what the sound libraries write on stderr out of the program's output.

ALSA and JACK take a function for their messages; they are given one that does nothing. PortAudio writes to
file descriptor 2 itself, so that is led into a file for as long as a call into it lasts. The calls that are
made all the time are the matter of ``c_stderr``.
"""

import os
import re
import threading
from contextlib import contextmanager
from typing import Iterable, Iterator, List

__all__ = ["captured_stderr", "silence_libraries", "sort_lines"]

# A call that takes longer hangs, and the program shall have its stderr back.
LONGEST_CAPTURE = 2.0

OF_A_SOUND_LIBRARY = re.compile(
    rb"ALSA lib |Expression '|\|\|PaMacCore|Jack|jack server |Cannot connect to server |"
    rb"connect\(2\) call to |attempt to connect to server"
)

_one_at_a_time = threading.Lock()


def silence_libraries() -> None:
    """Give ALSA and JACK, where they are loaded, a message handler in C that does nothing."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return
    import ctypes

    # Any C function without effect will do. One in Python would need the GIL in audio threads.
    nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
    for library, setters in (
        ("libasound.so.2", ["snd_lib_error_set_handler"]),
        ("libjack.so.0", ["jack_set_error_function", "jack_set_info_function"]),
    ):
        try:
            loaded = ctypes.CDLL(library, os.RTLD_NOLOAD)
        except OSError:
            continue
        for setter in setters:
            getattr(loaded, setter)(nothing)


@contextmanager
def captured_stderr() -> Iterator[List[str]]:
    """Collect the lines that sound libraries write to file descriptor 2; they are there when the block ends.

    The descriptor is the whole process's: what others wrote in the meantime is passed on.
    """
    import tempfile

    lines: List[str] = []
    with _one_at_a_time:
        try:
            stderr = os.dup(2)
        except OSError:  # A program without a console has none.
            yield lines
            return
        with tempfile.TemporaryFile() as file:
            giving_back = threading.Timer(LONGEST_CAPTURE, os.dup2, (stderr, 2))
            giving_back.daemon = True  # It must not hold up a program that ends while the sound system hangs.
            giving_back.start()
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                giving_back.cancel()
                giving_back.join()
                os.dup2(stderr, 2)
                os.close(stderr)
                file.seek(0)
                lines += sort_lines(file)


def sort_lines(written: Iterable[bytes]) -> List[str]:
    """The lines that a sound library wrote; those of others are passed on to stderr."""
    lines = []
    for line in written:
        if OF_A_SOUND_LIBRARY.match(line):
            lines.append(line.decode("utf-8", "replace").strip())
        else:
            os.write(2, line)
    return lines
