"""Waking a thread that waits on sockets."""

import io
import os
import socket
import sys
from selectors import SelectorKey
from typing import List, Tuple

__all__ = ["Wakeup"]

Events = List[Tuple[SelectorKey, int]]
"""What ``select`` of a selector returns."""

# An eventfd adds the number that is written to it to its counter.
_ONE = (1).to_bytes(8, sys.byteorder)


class EventSignal:
    """A signal that a selector can watch: an eventfd, one open file. Needs Linux and Python 3.10."""

    __slots__ = ("_file", "fileno")

    def __init__(self) -> None:
        # A file object, not a bare number: once closed, the number may belong to another file.
        self._file = io.FileIO(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "r+")
        self.fileno = self._file.fileno

    def set(self) -> None:
        """Make the file readable. Raises OSError or ValueError if it is closed."""
        self._file.write(_ONE)

    def clear(self) -> None:
        """Read the file empty. Raises as ``set`` does."""
        self._file.read(len(_ONE))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class SocketSignal:
    """A signal that a selector can watch on any system: a pair of sockets, two open files."""

    __slots__ = ("_receiver", "_sender", "fileno")

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.fileno = self._receiver.fileno

    def set(self) -> None:
        """Make the receiving socket readable. Raises OSError if it is closed or full."""
        self._sender.send(b"!")

    def clear(self) -> None:
        """Read the receiving socket empty. Raises OSError if it is closed or empty."""
        self._receiver.recv(64)

    def close(self) -> None:
        """Close both sockets."""
        self._receiver.close()
        self._sender.close()


class Wakeup:
    """Wakes one thread that waits in a selector.

    ``set`` may be called from any thread and from a signal handler. It costs a system call only while the
    thread waits. The waiting thread registers the object with its selector and brackets each poll::

        timeout = 0 if wakeup.prepare() else timeout
        events = selector.select(timeout)
        wakeup.finish(events)

    Raises OSError if the system has no file for it.
    """

    __slots__ = ("_signal", "close", "fileno", "is_awaited", "is_set")

    def __init__(self) -> None:
        self._signal = EventSignal() if hasattr(os, "eventfd") else SocketSignal()
        self.fileno, self.close = self._signal.fileno, self._signal.close
        self.is_awaited = False
        self.is_set = False

    def set(self) -> None:
        """Wake the waiting thread, or keep it from its next wait."""
        if self.is_set:
            return
        self.is_set = True
        # ``prepare`` writes and reads these two flags in the opposite order, so one side sees the other.
        if self.is_awaited:
            self._wake()

    def prepare(self) -> bool:
        """Announce that the calling thread is about to wait. Return whether the wake-up is set already."""
        self.is_awaited = True
        return self.is_set

    def finish(self, events: Events) -> None:
        """Note that the calling thread has waited, and clear the wake-up. ``events`` is what the poll found.

        The thread looks for work after this call: what another thread queued before a ``set`` is then there.
        """
        self.is_awaited = False
        if any(key.fileobj is self for key, _ in events):
            self._clear()
        # Last: in another order, a ``set`` that comes in between would be lost.
        self.is_set = False

    def _wake(self) -> None:
        try:
            self._signal.set()
        except (OSError, ValueError):
            # Full: the thread is awake. Closed: the thread has ended.
            pass

    def _clear(self) -> None:
        try:
            self._signal.clear()
        except (OSError, ValueError):
            pass
