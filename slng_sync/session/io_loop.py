"""The thread ``slng-io``: one in the process, while there is a session. It owns every connection.

Each session lives on it as a generator that does what is due, never waits, and yields the time at which it
wants to go on; data on its socket and ``Task.wake`` resume it earlier. A pass resumes every session that has
something to do. At most 500 passes a second: many sessions share wake-ups, a single one never waits.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from typing import Collection, Deque, Dict, Generator, List, Optional, Protocol, Set

from ..log import logger
from ..protocol.rate_limit import RateLimit
from ..transport.wakeup import Wakeup
from ..waiting import NEVER

__all__ = ["IoLoop", "Life", "Task", "TaskWakeup", "io_loop"]

PASSES_PER_SECOND = 500.0
BURST = 8.0
"""Passes at once after a pause: a chunk, its answer and a wake-up of one session never wait."""
JOIN_SLICE = 0.05
NO_MORE = -1.0
"""In the place of a time, once a session has ended."""
LONGEST_WAIT = 3600.0
"""Seconds after which a pass looks for due sessions in any case: the system's clock takes no longer times."""
FAILURE_PAUSE = 0.1
"""Seconds before the next pass after one that failed as a whole."""


class Life(Protocol):
    """What a session does on ``slng-io``."""

    def run(self) -> Generator[float, None, None]:
        """Yield the time, on the monotonic clock, at which to go on at the latest."""

    def end_pass(self) -> None:
        """Let others begin with what a pass has brought, once the pass is over. Raise nothing."""

    def report_end(self) -> None:
        """Report the end, once ``run`` has returned and the loop has let go of the session."""

    def fail(self, error: BaseException) -> None:
        """End after ``run`` or ``report_end`` has raised, which they should not. Raise nothing."""

    def forget_parent(self) -> None:
        """Give back, in the child of a fork, what ``run`` has opened."""


class Task:
    """A session on the loop. Only ``slng-io`` calls its methods, except ``wake``."""

    __slots__ = (
        "_events",
        "_loop",
        "_sock",
        "due",
        "has_news",
        "is_awake",
        "is_over",
        "is_readable",
        "life",
        "steps",
        "was_woken",
    )

    def __init__(self, loop: "IoLoop", life: Life) -> None:
        self._loop = loop
        self._sock: Optional[socket.socket] = None
        self._events = 0
        self.life = life
        self.steps = life.run()
        self.due = 0.0
        self.is_awake = False
        self.is_over = False
        self.is_readable = False
        self.was_woken = False
        """Whether ``wake`` was called since the session was resumed last."""
        self.has_news = False
        """Whether something is to be done at the end of the pass."""

    def wake(self) -> None:
        """Resume the session in the next pass. Any thread, and a signal handler, may call this."""
        if not self.is_awake:
            self.is_awake = True
            self._loop.call(self)

    def watch(self, sock: socket.socket) -> None:
        """Resume the session when the socket has something to read."""
        self._sock, self._events = sock, selectors.EVENT_READ
        self._loop.selector.register(sock, self._events, self)

    def watch_writing(self, wanted: bool) -> None:
        """Resume the session also when the socket takes more; or no longer."""
        events = selectors.EVENT_READ | selectors.EVENT_WRITE if wanted else selectors.EVENT_READ
        if events != self._events and self._sock is not None:
            self._events = events
            self._loop.selector.modify(self._sock, events, self)

    def unwatch(self) -> None:
        """Forget the socket, before it is closed."""
        self.is_readable = False
        if self._sock is not None:
            sock, self._sock = self._sock, None
            with contextlib.suppress(KeyError, OSError, ValueError):
                self._loop.selector.unregister(sock)


class TaskWakeup:
    """Wakes a session that may not be on the loop yet. ``task`` is there once it is.

    ``is_set`` says that something besides audio has changed: the session looks at everything then.
    """

    __slots__ = ("is_set", "task")

    def __init__(self) -> None:
        self.task: Optional[Task] = None
        self.is_set = False

    def set(self) -> None:
        """Resume the session on ``slng-io``. Any thread, and a signal handler, may call this."""
        self.is_set = True
        self.resume()

    def resume(self) -> None:
        """Resume the session because there is audio to send, and nothing else has changed."""
        task = self.task
        if task is not None:
            task.wake()


class IoLoop:
    """All sessions of the process, and the thread they live on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: Set[Task] = set()
        self._called: Deque[Task] = deque()
        # No session is due before. May be too early after a change, never too late.
        self._earliest = NEVER
        # The wake-up is there while the thread runs. The thread is kept longer: it may be in its last steps.
        self._wakeup: Optional[Wakeup] = None
        self._thread: Optional[threading.Thread] = None

    selector: selectors.BaseSelector

    def start(self, life: Life) -> Task:
        """Add a session. Raises OSError or RuntimeError if the system gives no more files or threads."""
        task = Task(self, life)
        with self._lock:
            if self._wakeup is None:
                self._start_thread()
            self._tasks.add(task)
            self._earliest = 0.0
        task.wake()
        return task

    def call(self, task: Task) -> None:
        """Resume a session in the next pass."""
        self._called.append(task)
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end if it has no session left; another session may keep it."""
        thread = self._thread
        until = time.monotonic() + timeout
        if thread is None or self.is_current_thread:
            return
        while not self._tasks and thread.is_alive() and time.monotonic() < until:
            thread.join(JOIN_SLICE)

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs on ``slng-io``, which must not wait."""
        return threading.current_thread() is self._thread

    def forget_parent(self) -> None:
        """Start afresh in the child of a fork: the thread and the sessions belong to the parent."""
        if self._wakeup is not None:
            # Closing is enough: unregistering would change the parent's selector, which shares its state.
            self.selector.close()
            self._wakeup.close()
        IoLoop.__init__(self)

    def _start_thread(self) -> None:
        wakeup = Wakeup()
        try:
            self.selector = selectors.DefaultSelector()
        except OSError:
            wakeup.close()
            raise
        self.selector.register(wakeup, selectors.EVENT_READ)
        # Daemon: at the end of the process ``lifetime`` gives the sessions their time.
        thread = threading.Thread(target=self._run, args=(wakeup,), name="slng-io", daemon=True)
        self._wakeup, self._thread = wakeup, thread
        try:
            thread.start()
        except RuntimeError:
            self._stop(wakeup)
            raise

    def _stop(self, wakeup: Wakeup) -> None:
        self._wakeup = None
        self._called.clear()
        self.selector.close()
        wakeup.close()

    def _run(self, wakeup: Wakeup) -> None:
        passes = RateLimit(time.monotonic(), per_second=PASSES_PER_SECOND, burst=BURST)
        while True:
            with self._lock:
                if not self._tasks:
                    self._stop(wakeup)
                    return
            pause = passes.free_at - time.monotonic()
            if pause > 0.0:
                # What gathers in the meantime shares the next pass.
                time.sleep(pause)
            try:
                ready = self._wait(wakeup)
                now = time.monotonic()
                passes.spend(now)
                self._pass(ready, now)
            except Exception as error:
                # A safety net, for no single session is to blame: the thread of all sessions has to go on.
                logger.critical("a pass of slng-io failed; it goes on", exc_info=error)
                time.sleep(FAILURE_PAUSE)

    def _wait(self, wakeup: Wakeup) -> Dict[Task, None]:
        """Wait for a socket, a wake-up, or the time. Return the sessions whose socket is ready."""
        timeout = 0.0 if wakeup.prepare() else max(0.0, self._earliest - time.monotonic())
        events = self.selector.select(min(timeout, LONGEST_WAIT))
        ready: Dict[Task, None] = {}
        for key, mask in events:
            if key.data is not None:
                key.data.is_readable = key.data.is_readable or bool(mask & selectors.EVENT_READ)
                ready[key.data] = None
        wakeup.finish(events)
        return ready

    def _pass(self, ready: Dict[Task, None], now: float) -> None:
        """Resume every session that is ready, was woken, or is due."""
        called = self._called
        while called:
            ready[called.popleft()] = None
        if now >= self._earliest:
            ready.update((task, None) for task in self._copy_of_tasks() if task.due <= now)
            self._resume_all(ready)
            self._earliest = min((task.due for task in self._copy_of_tasks()), default=NEVER)
        else:
            self._resume_all(ready)

    def _copy_of_tasks(self) -> List[Task]:
        with self._lock:
            return [*self._tasks]

    def _resume_all(self, tasks: Collection[Task]) -> None:
        for task in tasks:
            if task.is_over:
                # Woken after its end, as by a source that still gave audio.
                continue
            # First, so that whatever is put in from now on wakes it again.
            task.was_woken, task.is_awake = task.is_awake, False
            try:
                task.due = due = next(task.steps, NO_MORE)
                if due == NO_MORE:
                    self._remove(task)
                    task.life.report_end()
                elif due < self._earliest:
                    self._earliest = due
            except BaseException as error:
                logger.critical("a session failed on slng-io, which goes on", exc_info=error)
                self._remove(task)
                task.life.fail(error)
        # All at once: a callback would take the interpreter from the pass at each of its system calls.
        for task in tasks:
            if task.has_news:
                task.has_news = False
                task.life.end_pass()

    def _remove(self, task: Task) -> None:
        """Forget a session. Before its end is reported: who waits for that may then wait for the thread."""
        task.is_over, task.due = True, NEVER
        task.unwatch()
        with self._lock:
            self._tasks.discard(task)


io_loop = IoLoop()
