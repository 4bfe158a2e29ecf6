"""The state that the threads of a session share: its phase, send queue, mailbox and outcome.

One lock guards the state and the send queue. It is held for microseconds, never while waiting, writing or
calling out.
"""

import time
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..audio.format import AudioFormat
from ..callbacks.delivery import ChannelDelivery, Delivery
from ..callbacks.mailbox import Mailbox
from ..callbacks.registry import Callbacks
from ..dialects.base import Dialect
from ..errors import SessionClosed, SlngError
from ..protocol.send_queue import SendQueue
from ..waiting import NEVER, Changes
from .io_loop import TaskWakeup, io_loop
from .outcome import Outcome
from .state import Settings, State

if TYPE_CHECKING:
    from ..transport.connecting import ConnectAttempt
    from .files import SessionFiles

__all__ = ["SharedState"]

# Some Pythons look up a member of an enumeration by a function in Python.
CLOSED = State.CLOSED


class SharedState:
    """The state of one session. Any thread may use it.

    ``changes`` reports every change to waiting threads. ``deadline`` is when the session has to have ended,
    on the monotonic clock. ``attempt`` is the last attempt to connect.
    """

    __slots__ = """
        aborted attempt audio_format changes complete connections deadline delivery dialect files
        ignored_messages lock mailbox never_opened outcome queue settings state waits_for_open wakeup
    """.split()

    def __init__(
        self,
        settings: Settings,
        dialect: Dialect,
        audio_format: AudioFormat,
        callbacks: Callbacks,
        *,
        tap: Optional[Callable[[Any], None]] = None,
        channel: Optional[str] = None,
        wakeup: Optional[TaskWakeup] = None,
        files: "Optional[SessionFiles]" = None,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.audio_format = audio_format
        self.changes = Changes()
        self.lock = self.changes.lock
        self.state = State.NEW
        self.outcome = Outcome()
        self.mailbox = Mailbox(callbacks, settings.dispatch)
        self.delivery = (
            Delivery(self.mailbox, tap) if channel is None else ChannelDelivery(channel, self.mailbox, tap)
        )
        self.queue = SendQueue(
            audio_format,
            capacity_seconds=settings.buffer_seconds,
            chunk_seconds=settings.chunk_seconds,
            store=None if files is None else files.spill,
            lock=self.lock,
        )
        self.files = files
        self.wakeup = wakeup or TaskWakeup()
        self.deadline = NEVER
        self.aborted = False
        self.attempt: Optional[ConnectAttempt] = None
        self.complete = False
        self.never_opened = False
        self.waits_for_open = True
        self.connections = self.ignored_messages = 0

    def enter(self, state: State) -> None:
        """Change the state. No other code does. A session that is ending cannot go back."""
        with self.lock:
            if state is State.CLOSED or self.state < State.DRAINING:
                self.state = state
        self.changes.notify()

    def wake_up(self) -> None:
        """Wake up ``slng-io`` to look at everything in this session."""
        self.wakeup.set()

    def wait_for(self, condition: Callable[[], object], timeout: Optional[float]) -> bool:
        """Wait until ``condition`` is true, and return False after the timeout.

        It is called with the lock held.
        """
        return self.changes.wait_for(condition, timeout)

    def shorten_deadline(self, timeout: float) -> None:
        """Move the deadline forward to at most ``timeout`` seconds from now."""
        with self.lock:
            self.deadline = min(self.deadline, time.monotonic() + timeout)

    @property
    def is_over(self) -> bool:
        """Whether the session needs no more audio."""
        return self.state is CLOSED or self.aborted

    @property
    def is_leaving(self) -> bool:
        """Whether the session is closing or closed."""
        return self.state >= State.DRAINING or self.aborted

    @property
    def may_wait(self) -> bool:
        """Whether the calling thread may wait for the session. Its callbacks and ``slng-io`` may not.

        The garbage collector may close a generator of ``Client.stream`` on ``slng-io``.
        """
        return not (self.mailbox.in_callback or io_loop.is_current_thread)

    def refusal(self) -> SlngError:
        """Return the error for a call after the end of the session."""
        error, ended_by = self.outcome.claim(), self.outcome.error
        if error is None and isinstance(ended_by, SessionClosed):
            error = SessionClosed(ended_by.message, hint=ended_by.hint)
        if error is None:
            error = SessionClosed("The session is over.", hint="Client.listen() begins a new one.")
            error.__cause__ = ended_by
        return error

    def forget_parent(self) -> None:
        """Mark the session as dead in the child of a fork: threads and connection belong to the parent."""
        self.changes = Changes()
        self.lock = self.queue.lock = self.changes.lock
        self.wakeup.task = None
        self.mailbox.forget_parent()
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self.outcome = Outcome()
            self.outcome.set(
                SessionClosed(
                    "The session belongs to the process that opened it.", hint="Open one in the child."
                )
            )
