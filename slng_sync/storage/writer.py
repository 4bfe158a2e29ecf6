"""The thread ``slng-writer``, which does all disk access of one session.

Other threads queue their data and never wait for a disk. Each session that writes has its own thread, so a
dead network drive delays the files of one session only.
"""

import contextlib
import errno
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import BinaryIO, Callable, Deque, List, Optional, Protocol, Tuple, TypeVar

from ..audio.wav_writer import write_whole
from ..errors import SlngError, WaitTimeout
from ..log import logger, stack_of
from ..system_limits import refused
from ..waiting import SLICE
from .files import reason_of, stopped, unwritable

__all__ = ["Abandoned", "FileWriter", "Job", "OutputFile", "Sink", "Unfinished", "Wakeable"]

QUEUE_BYTES = 8_000_000
OPEN_TIMEOUT = 10.0

DISK = (
    "Check the disk and its free space, or use another path next time. The data written so far is readable."
)
SLOW = "Use a path on a faster disk next time. The data written so far is readable."
UNREACHABLE = "Check the disk: a network drive may be unreachable. The last audio or messages are missing."

Job = Callable[[], None]
Result = TypeVar("Result")


class Abandoned(OSError):
    """The session has ended without waiting for the disk. Nothing more is written."""

    def __init__(self) -> None:
        super().__init__(errno.ECANCELED, "the session has ended")


class Wakeable(Protocol):
    """A wake-up of the thread that uses a ``FileWriter``."""

    def set(self) -> None:
        """Wake the thread up."""


class Sink(Protocol):
    """A file as ``slng-writer`` sees it. Only that thread calls it."""

    @property
    def name(self) -> str:
        """The path of the file."""

    def write(self, data: bytes) -> None:
        """Write ``data``. Raises ``OSError``."""

    def complete(self) -> None:
        """Complete the file and close it, even if this raises ``OSError``."""

    def release(self) -> None:
        """Close the file without writing to it."""


class Unfinished(Protocol):
    """A file or folder that is reported if the writer is abandoned before it is complete."""

    @property
    def option(self) -> str:
        """The option that asked for it."""

    @property
    def name(self) -> str:
        """The path of the file or folder."""

    def close(self) -> None:
        """Queue its completion. Any thread may call this."""

    def release(self) -> None:
        """Close open files. Called by ``slng-writer``, last."""


class FileWriter:
    """The queue of ``slng-writer`` and its thread, which the first job starts. Never blocks its callers.

    ``done`` is a future that completes once every file is closed, on the thread ``slng-writer``. ``wakeup``
    is set after a problem or loaded audio. ``writes`` counts the writes so far. It grows on a slow disk, but
    not on one that hangs.
    """

    def __init__(self, wakeup: Optional[Wakeable] = None, *, limit: int = QUEUE_BYTES) -> None:
        self.done: Future[None] = Future()
        self.writes = 0
        self._wakeup = wakeup
        self._limit = limit
        # Reentrant: a signal handler may call in while its own thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._jobs: Deque[Tuple[Job, int]] = deque()
        self._queued = 0
        self._problems: List[SlngError] = []
        self._unfinished: List[Unfinished] = []
        self._thread: Optional[threading.Thread] = None
        self._is_closing = self._is_abandoned = False

    # Any thread.

    @property
    def is_done(self) -> bool:
        """Whether every file is closed."""
        return self.done.done()

    def open(self, option: str, path: str, opening: Callable[[], Sink]) -> "OutputFile":
        """Call ``opening`` on ``slng-writer`` and wait for its file, at most ``OPEN_TIMEOUT`` seconds.

        Raises ``ConfigurationError`` if the file cannot be opened, and ``SlngError`` if the system has no
        thread. Must not be called with a lock held.
        """
        try:
            return self.call(lambda: self._opened(option, opening), OPEN_TIMEOUT)
        except WaitTimeout as error:
            self.abandon()
            late = OSError(errno.ETIMEDOUT, f"the disk did not answer within {OPEN_TIMEOUT:g} s")
            raise unwritable(option, path, late) from error
        except (OSError, ValueError) as error:
            raise unwritable(option, path, error) from error

    def call(self, function: Callable[[], Result], timeout: float) -> Result:
        """Call ``function`` on ``slng-writer`` after all queued jobs, and return its result.

        Raises the exception of ``function``, and ``WaitTimeout``. Must not be called with a lock held.
        """
        result: Future[Result] = Future()
        if not self.submit(lambda: _fulfil(result, function)):
            raise Abandoned if self._is_closing else refused(RuntimeError("can't start new thread"))
        until = time.monotonic() + timeout
        while not result.done() and time.monotonic() < until:
            with contextlib.suppress(FutureTimeout):
                return result.result(max(0.0, min(until - time.monotonic(), SLICE)))
        if not result.done():
            raise WaitTimeout(f"The disk did not answer within {timeout:g} s.")
        return result.result()

    def submit(self, job: Job, size: int = 0) -> bool:
        """Queue a job that holds ``size`` bytes.

        Return False if the queue is full or the writer is closing.
        """
        with self._changed:
            is_full = size and self._queued and self._queued + size > self._limit
            if is_full or self._is_closing or not self._has_thread():
                return False
            self._jobs.append((job, size))
            self._queued += size
            self._changed.notify_all()
            return True

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until less than half of the queue is in use. Return False after ``timeout`` seconds.

        For threads that can wait, such as one that reads a file. Must not be called with a lock held.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: self._is_closing or self._queued <= self._limit // 2, timeout
            )

    def take_problems(self) -> List[SlngError]:
        """Return the problems since the last call."""
        with self._changed:
            problems, self._problems = self._problems, []
        return problems

    def report(self, problem: SlngError) -> None:
        """Log a problem and keep it for ``take_problems``."""
        logger.warning("%s", problem.message)
        with self._changed:
            self._problems.append(problem)
        self.wake_up()

    def wake_up(self) -> None:
        """Wake up the thread that uses the writer."""
        if self._wakeup is not None:
            self._wakeup.set()

    def add(self, unfinished: Unfinished) -> None:
        """Add a file or folder that must be complete before the writer is done."""
        with self._changed:
            self._unfinished.append(unfinished)

    def remove(self, finished: Unfinished) -> None:
        """Remove a complete file or folder."""
        with self._changed:
            if finished in self._unfinished:
                self._unfinished.remove(finished)

    def close(self) -> None:
        """Complete and close every file, then end the thread. Return at once. ``done`` reports the end."""
        with self._changed:
            for each in tuple(self._unfinished):
                each.close()
            self._end()

    def abandon(self) -> None:
        """Write nothing more, and report each file that is not complete. Returns at once.

        The thread finishes the call in which it hangs, closes its files and ends.
        """
        with self._changed:
            if self._is_abandoned or self.is_done:
                return
            self._is_abandoned = True
            self._jobs.clear()
            unfinished = tuple(self._unfinished)
            self._end()
        for each in unfinished:
            self.report(stopped(each.option, each.name, "the disk did not answer", UNREACHABLE))

    # The thread ``slng-writer``.

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing more may be written."""
        return self._is_abandoned

    def check(self) -> None:
        """Raise ``Abandoned`` if nothing more may be written."""
        if self._is_abandoned:
            raise Abandoned

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write ``data`` to an unbuffered file, unless the writer was abandoned. Raises ``OSError``."""
        self.check()
        write_whole(file, data)
        self.writes += 1

    def _opened(self, option: str, opening: Callable[[], Sink]) -> "OutputFile":
        self.check()
        file = OutputFile(self, option, opening())
        self.add(file)
        return file

    def _has_thread(self) -> bool:
        if self._thread is None:
            # Daemon: a disk that hangs must not keep the process alive.
            thread = threading.Thread(target=self._run, name="slng-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _end(self) -> None:
        self._is_closing = True
        if self._thread is None and not self.is_done:
            self.done.set_result(None)
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            job = self._next()
            if job is None:
                break
            self._execute(*job)
            # Free its data before waiting for the next job.
            del job
        for each in tuple(self._unfinished):
            each.release()
        self.done.set_result(None)

    def _next(self) -> Optional[Tuple[Job, int]]:
        """Wait for a job and return it, or None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closing)
            return self._jobs.popleft() if self._jobs else None

    def _execute(self, job: Job, size: int) -> None:
        try:
            job()
        except Exception as error:
            # This branch should never run: jobs report their own problems. It keeps the other files going.
            logger.error("slng-writer: %s\n%s", type(error).__name__, stack_of(error))
        if size:
            with self._changed:
                self._queued -= size
                self._changed.notify_all()


class OutputFile:
    """One file of a ``FileWriter``. Any thread queues data; ``slng-writer`` writes it.

    A file that can no longer be written is completed and reported once. Later data is ignored.
    """

    def __init__(self, writer: FileWriter, option: str, sink: Sink) -> None:
        self.option = option
        self._writer = writer
        self._sink = sink
        # Benign race: either thread sets it to False, never back. The other one may see that late.
        self.is_open = True
        self._is_complete = False

    @property
    def name(self) -> str:
        """The path of the file."""
        return self._sink.name

    def write(self, data: bytes) -> None:
        """Queue data. If the queue is full, end the file here and report the problem."""
        if self.is_open and not self._writer.submit(lambda: self._write(data), len(data)):
            self.close()
            self._writer.report(stopped(self.option, self.name, "the disk is too slow", SLOW))

    def close(self) -> None:
        """Queue the end of the file."""
        if self.is_open:
            self.is_open = False
            self._writer.submit(self._complete)

    def release(self) -> None:
        """Close the file without writing to it."""
        self._sink.release()

    def _write(self, data: bytes) -> None:
        if self._is_complete:
            return
        try:
            self._sink.write(data)
        except OSError as error:
            self._fail(error)

    def _complete(self) -> None:
        """Complete the file. Called again, it does nothing."""
        if self._is_complete:
            return
        self._is_complete = True
        failure: Optional[OSError] = None
        try:
            self._sink.complete()
        except OSError as error:
            failure = error
        # First, so that abandoning the writer does not report the file again.
        self._writer.remove(self)
        if failure is not None:
            self._report(failure)

    def _fail(self, error: OSError) -> None:
        """Complete the file with the data so far, and report the problem."""
        self.is_open, self._is_complete = False, True
        try:
            self._sink.complete()
        except OSError as another:
            logger.debug("%s: closing after a failure: %s", self.option, reason_of(another))
        self._writer.remove(self)
        self._report(error)

    def _report(self, error: OSError) -> None:
        # An abandoned file was reported when it was abandoned.
        if not isinstance(error, Abandoned):
            problem = stopped(self.option, self.name, reason_of(error), DISK)
            problem.__cause__ = error
            self._writer.report(problem)


def _fulfil(result: "Future[Result]", function: Callable[[], Result]) -> None:
    try:
        value = function()
    except Exception as error:
        result.set_exception(error)
    else:
        result.set_result(value)
