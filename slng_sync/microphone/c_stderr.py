"""Capture what C code writes to ``stderr`` during a call into PortAudio.

On Linux, PortAudio prints the failing line of its source if a device is unplugged during a call. A stream
makes 200 calls a second: too many to redirect the file descriptor, which the whole process shares. So this
module changes the C variable ``stderr`` for each call, which takes less than a microsecond.
"""

import sys
import threading
from typing import Any, List, Union

from .captured_stderr import filter_lines

__all__ = ["c_stderr"]


class CStderr:
    """A context manager that redirects the C variable ``stderr`` to memory, to be read by ``lines``."""

    def __init__(self) -> None:
        import ctypes

        self._libc: Any = ctypes.CDLL(None)
        self._libc.open_memstream.restype = ctypes.c_void_p
        self._variable = ctypes.c_void_p.in_dll(self._libc, "stderr")
        self._original = self._variable.value
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._redirected: int = self._libc.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        self._stream = ctypes.c_void_p(self._redirected)
        self._read = ctypes.string_at
        self._read_lock = threading.Lock()

    def __enter__(self) -> None:
        self._variable.value = self._redirected

    def __exit__(self, *error: object) -> None:
        self._variable.value = self._original

    def lines(self) -> List[str]:
        """Return the lines of sound libraries since the last call. Forward other lines to stderr."""
        with self._read_lock:
            self._libc.fflush(self._stream)
            written = self._read(self._text, self._size.value) if self._size.value else b""
            self._libc.rewind(self._stream)
        return filter_lines(written.splitlines(keepends=True))


class _NoCapture:
    """A stand-in for ``CStderr`` that captures nothing, where the C variable cannot be changed."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def lines(self) -> List[str]:
        """Return an empty list."""
        return []


_instances: List[Union[CStderr, _NoCapture]] = []
_instances_lock = threading.Lock()


def c_stderr() -> Union[CStderr, _NoCapture]:
    """Return the one instance of this process."""
    with _instances_lock:
        if not _instances:
            _instances.append(CStderr() if _is_glibc() else _NoCapture())
        return _instances[0]


def _is_glibc() -> bool:
    """Return whether the C library is glibc, the only one known to allow assigning to ``stderr``."""
    import ctypes

    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
