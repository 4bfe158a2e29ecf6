"""The stderr of C programs, led aside while a call into PortAudio lasts.

On Linux PortAudio prints where in its source it failed, when a device is unplugged in the middle of a call.
That call is made two hundred times a second: too often to lead the file descriptor aside, which everybody
shares. So it is C's own variable ``stderr`` that points elsewhere meanwhile, at less than a microsecond.
"""

import sys
import threading
from typing import Any, List, Union

from .captured_stderr import sort_lines

__all__ = ["c_stderr"]


class CStderr:
    """A context manager inside of which what C code writes to ``stderr`` is kept for ``lines``."""

    def __init__(self) -> None:
        import ctypes

        self._libc: Any = ctypes.CDLL(None)
        self._libc.open_memstream.restype = ctypes.c_void_p
        self._variable = ctypes.c_void_p.in_dll(self._libc, "stderr")
        self._real = self._variable.value
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._aside: int = self._libc.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        self._stream = ctypes.c_void_p(self._aside)
        self._read = ctypes.string_at
        self._taking = threading.Lock()

    def __enter__(self) -> None:
        self._variable.value = self._aside

    def __exit__(self, *error: object) -> None:
        self._variable.value = self._real

    def lines(self) -> List[str]:
        """What sound libraries have written since this was asked last; what others have is passed on."""
        with self._taking:
            self._libc.fflush(self._stream)
            written = self._read(self._text, self._size.value) if self._size.value else b""
            self._libc.rewind(self._stream)
        return sort_lines(written.splitlines(keepends=True))


class _Nothing:
    """Where C's stderr is not to be had, nothing is led aside."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def lines(self) -> List[str]:
        """There are none."""
        return []


_made: List[Union[CStderr, _Nothing]] = []
_making = threading.Lock()


def c_stderr() -> Union[CStderr, _Nothing]:
    """The one of this process."""
    with _making:
        if not _made:
            _made.append(CStderr() if _is_glibc() else _Nothing())
        return _made[0]


def _is_glibc() -> bool:
    """Only there is ``stderr`` known to be a variable that may be changed."""
    import ctypes

    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
