"""The targets: where callbacks run. A session's mailbox asks its target to drain it.

``OwnThread``        ``dispatch=None``: a thread ``slng-callbacks`` for each session
``ExecutorTarget``   a ``concurrent.futures.Executor``: its threads
``FunctionTarget``   a callable that takes a function and runs it elsewhere, such as ``wx.CallAfter``
``Manual``           ``"manual"``: the thread that polls

A GUI toolkit is one more ``Target`` and a ``TargetFactory`` that is passed as ``dispatch``.
"""

import threading
import time
from abc import ABC, abstractmethod
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Union

from ..errors import ConfigurationError
from .registry import is_coroutine

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = [
    "DRAIN_SECONDS",
    "DispatchTo",
    "Drainable",
    "ExecutorTarget",
    "FunctionTarget",
    "Manual",
    "OwnThread",
    "Target",
    "TargetFactory",
    "check_dispatch",
    "make_target",
]

DRAIN_SECONDS = 0.008
"""Seconds that a drain may occupy a shared thread: half a screen frame at 60 Hz."""
NO_LIMIT = float("inf")

FOREIGN_POOLS = {"ProcessPoolExecutor", "InterpreterPoolExecutor"}
"""Executors that run functions without access to the program's objects."""


class Drainable(Protocol):
    """A mailbox, as its target sees it."""

    def drain(self) -> None:
        """Deliver what is queued, on the calling thread. Harmless at any time and on any thread."""

    def request_failed(self, error: BaseException) -> None:
        """Report that a request will not be met. The next ``put`` asks again."""

    @property
    def is_due(self) -> bool:
        """Whether something is queued."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be put."""

    @property
    def is_over(self) -> bool:
        """Whether the mailbox is closed and everything was delivered."""


class Target(ABC):
    """The place where a mailbox is drained. One target serves one mailbox.

    ``limit``     seconds that one drain may take; then the mailbox asks again
    ``reenters``  whether a callback may run the target's loop, as a modal dialog does. The mailbox then asks
                  for a drain while another one runs, so that deliveries go on inside the dialog.
    ``advice``    what to do when a request fails, or is not met for some seconds
    """

    limit = DRAIN_SECONDS
    reenters = True
    advice = ""

    @abstractmethod
    def start(self, mailbox: "Drainable") -> None:
        """Prepare for requests. Raises RuntimeError if the system has no thread."""

    @abstractmethod
    def request(self) -> None:
        """Ask that ``mailbox.drain`` runs once, soon. Called on any thread, with no lock held.

        Must not wait. May raise. Later failures are reported by ``mailbox.request_failed``. The mailbox
        makes the next request after this one has begun to run, or has failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Release resources after the last request. Called once. The last request must still be met."""

    @abstractmethod
    def join(self, timeout: float) -> bool:
        """Wait until the last request was met. Return False after ``timeout`` seconds.

        A target whose loop may belong to the calling thread waits only until the request is in that loop.
        """

    @property
    def runs_here(self) -> bool:
        """Whether the calling thread belongs to the target, so that it must not wait for deliveries."""
        return False


class TargetFactory(ABC):
    """A value of ``dispatch`` that makes a target for each session of a client."""

    @abstractmethod
    def make(self) -> Target:
        """Return a new target, not started. Called on the thread that calls ``listen()``."""


class OwnThread(Target):
    """A thread of the session. It has no other work, so a drain continues until nothing is queued."""

    limit = NO_LIMIT
    reenters = False

    def __init__(self) -> None:
        # Its put() may interrupt another put() of the same thread, as a signal handler does.
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._thread: Optional[threading.Thread] = None

    def start(self, mailbox: "Drainable") -> None:
        # Daemon: a callback that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, args=(mailbox,), name="slng-callbacks", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            raise

    def request(self) -> None:
        self._requests.put(True)

    def close(self) -> None:
        self._requests.put(False)

    def join(self, timeout: float) -> bool:
        if self._thread is None:
            return True
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    @property
    def runs_here(self) -> bool:
        # Compare threads, not ids: the system reuses the id of an ended thread.
        return threading.current_thread() is self._thread

    def _run(self, mailbox: "Drainable") -> None:
        while self._requests.get():
            self._meet(mailbox)

    def _meet(self, mailbox: "Drainable") -> None:
        mailbox.drain()


class FunctionTarget(OwnThread):
    """A function of the program that runs another function elsewhere, such as on a GUI's thread.

    It may block, so ``slng-callbacks`` calls it and not ``slng-io``. ``join`` waits until it was called: the
    thread that calls ``join`` may be the GUI's.
    """

    limit = DRAIN_SECONDS
    reenters = True
    advice = (
        "The GUI's main loop must run, and a callback must not block it. "
        "session.close() may be called on the GUI's thread."
    )

    def __init__(self, function: Callable[[Callable[[], None]], Any]) -> None:
        super().__init__()
        self._function = function

    def _meet(self, mailbox: "Drainable") -> None:
        try:
            # A bound method of the mailbox: its repr shows no spoken words.
            self._function(mailbox.drain)
        except BaseException as error:
            # SystemExit too: it would end this thread, and with it all deliveries.
            mailbox.request_failed(error)


class ExecutorTarget(Target):
    """A ``concurrent.futures.Executor``. A drain is limited because many sessions share few threads."""

    reenters = False
    advice = "The executor needs a free thread, and must not be shut down before the session is closed."

    # The executor whose thread this is, while it runs a drain.
    _current = threading.local()

    def __init__(self, executor: "Executor") -> None:
        self._executor = executor
        self._mailbox: Optional[Drainable] = None
        self._over = threading.Event()

    def start(self, mailbox: "Drainable") -> None:
        self._mailbox = mailbox

    def request(self) -> None:
        self._executor.submit(self._run).add_done_callback(self._finish)

    def close(self) -> None:
        self._set_over()

    def join(self, timeout: float) -> bool:
        return self._mailbox is None or self._over.wait(max(0.0, timeout))

    @property
    def runs_here(self) -> bool:
        # A callback of another session may occupy the only thread that could run this session's.
        return getattr(self._current, "executor", None) is self._executor

    def _run(self) -> None:
        assert self._mailbox is not None
        outer, self._current.executor = getattr(self._current, "executor", None), self._executor
        try:
            self._mailbox.drain()
        finally:
            self._current.executor = outer

    def _finish(self, future: "Future[None]") -> None:
        """Report a request that was cancelled or broken. The executor may hold its own lock here."""
        assert self._mailbox is not None
        error = _error_of(future)
        if error is not None:
            self._mailbox.request_failed(error)
        self._set_over()

    def _set_over(self) -> None:
        if self._mailbox is not None and self._mailbox.is_over:
            self._over.set()


class Manual(Target):
    """The program polls. A poll continues until nothing is queued: its caller decides how often to poll."""

    limit = NO_LIMIT

    def __init__(self) -> None:
        self.polled = threading.Condition()
        # Re-entrant, because a callback may poll, for instance while it shows a dialog.
        self._turn = threading.RLock()
        self._mailbox: Optional[Drainable] = None

    def start(self, mailbox: "Drainable") -> None:
        self._mailbox = mailbox

    def request(self) -> None:
        with self.polled:
            self.polled.notify_all()

    def close(self) -> None:
        self.request()

    def join(self, timeout: float) -> bool:
        return True

    def poll(self, mailbox: "Drainable", deliver: Callable[[], int], timeout: float) -> int:
        """Wait for something to deliver, then for the thread that polls now, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with self.polled:
            self.polled.wait_for(lambda: mailbox.is_due or mailbox.is_closed, timeout)
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return 0
        try:
            return deliver()
        finally:
            self._turn.release()


DispatchTo = Union[None, str, "Executor", Callable[[Callable[[], None]], Any], TargetFactory]
"""A value of ``Client(dispatch=)``."""


def check_dispatch(dispatch: object) -> None:
    """Raise ``ConfigurationError`` unless callbacks can run there."""
    if dispatch is None or isinstance(dispatch, TargetFactory):
        return
    if isinstance(dispatch, str) and dispatch == "manual":
        return
    if _is_executor(dispatch):
        _check_executor(dispatch)
    elif not callable(dispatch) or is_coroutine(dispatch) or _is_executor_class(dispatch):
        raise ConfigurationError(
            f"dispatch cannot run callbacks: {dispatch!r}.",
            hint='Use None (one thread for each session), "manual" (then call session.poll()), a '
            "concurrent.futures.ThreadPoolExecutor(4), or a function that takes a function and runs it, such "
            "as wx.CallAfter.",
        )


def make_target(dispatch: DispatchTo) -> Target:
    """Return a target for one session; ``check_dispatch`` has accepted ``dispatch``."""
    if dispatch is None:
        return OwnThread()
    if isinstance(dispatch, str):
        return Manual()
    if isinstance(dispatch, TargetFactory):
        return dispatch.make()
    if callable(dispatch) and not _is_executor(dispatch):
        return FunctionTarget(dispatch)
    executor: Any = dispatch
    return ExecutorTarget(executor)


def _is_executor(value: object) -> bool:
    # Imported here: most programs have none.
    from concurrent.futures import Executor

    return isinstance(value, Executor)


def _is_executor_class(value: object) -> bool:
    from concurrent.futures import Executor

    return isinstance(value, type) and issubclass(value, Executor)


def _check_executor(executor: object) -> None:
    # By name, because importing the classes would load multiprocessing.
    if any(base.__name__ in FOREIGN_POOLS for base in type(executor).__mro__):
        raise ConfigurationError(
            f"dispatch must not be a {type(executor).__name__}: callbacks run in this process.",
            hint="Use concurrent.futures.ThreadPoolExecutor(4).",
        )


def _error_of(future: "Future[None]") -> Optional[BaseException]:
    if future.cancelled():
        from concurrent.futures import CancelledError

        return CancelledError()
    return future.exception()
