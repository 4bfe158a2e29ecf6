"""One thread for all streams on which nothing is to be done but to speak and to listen: it keeps their time.

Such a stream needs no I/O thread of its own. What is due on it meanwhile is done here, without ever waiting;
where there is more to do, the stream is told to go on by itself.
"""

import threading
import time
from collections import deque
from typing import Deque, Dict, List, Optional, Protocol

from ..transport.transport import WakeUp, Watch

__all__ = ["Kept", "Timekeeper", "timekeeper"]

JOIN_SLICE = 0.05


class Kept(Protocol):
    """A stream whose time is kept."""

    def tend(self) -> Optional[float]:
        """Do what is due, without waiting. When to come again, on the monotonic clock; None to ``go_on``."""

    def go_on(self) -> None:
        """There is more to do than that: get a thread and do it. Raises nothing."""


class Timekeeper:
    """The thread ``slng-time``, which is there while a stream is. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: Dict[Kept, float] = {}
        self._called: Deque[Kept] = deque()
        self._wake: Optional[WakeUp] = None
        self._thread: Optional[threading.Thread] = None

    def keep(self, stream: Kept) -> None:
        """Keep a stream's time from now on. Raises OSError or RuntimeError where the system gives no more."""
        with self._lock:
            if self._wake is None:
                wake = WakeUp()
                thread = threading.Thread(target=self._run, args=(wake,), name="slng-time", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    wake.close()
                    raise
                self._wake, self._thread = wake, thread
            self._due[stream] = time.monotonic()
            self._wake.ring()

    def call(self, stream: Kept) -> None:
        """Look after a stream at once, if its time is kept. A signal handler may call this too."""
        self._called.append(stream)
        wake = self._wake
        if wake is not None:
            wake.ring()

    def join(self, timeout: float) -> None:
        """Wait for the thread, while it has nothing left to do: another stream may come and keep it."""
        thread = self._thread
        until = time.monotonic() + timeout
        if thread is None or thread is threading.current_thread():
            return
        while not self._due and thread.is_alive() and time.monotonic() < until:
            thread.join(JOIN_SLICE)

    @property
    def thread(self) -> Optional[threading.Thread]:
        """The thread, where there is one: it waits for no stream."""
        return self._thread

    def forget_parent(self) -> None:
        """After a fork: the thread and the streams are the parent's."""
        if self._wake is not None:
            self._wake.close()
        vars(self).update(vars(Timekeeper()))

    def _run(self, wake: WakeUp) -> None:
        watch = Watch(wake)
        while True:
            with self._lock:
                if not self._due:
                    self._wake = None
                    self._called.clear()
                    wake.close()
                    return
                until = min(self._due.values())
            watch.wait(until - time.monotonic())
            for stream in self._take_due():
                self._look_after(stream)

    def _take_due(self) -> List[Kept]:
        """The streams that are due, or were called for."""
        now = time.monotonic()
        called = {self._called.popleft() for _ in range(len(self._called))}
        with self._lock:
            return [stream for stream, due in self._due.items() if due <= now or stream in called]

    def _look_after(self, stream: Kept) -> None:
        due = stream.tend()
        with self._lock:
            if due is not None:
                self._due[stream] = due
                return
            del self._due[stream]
        stream.go_on()


timekeeper = Timekeeper()
