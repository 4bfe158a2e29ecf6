"""A group of sessions, one for each channel: ``Client.listen(source, channels="separate")``."""

import contextlib
import threading
import time
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Type, Union, overload

from ..audio.channels import Channel
from ..errors import ConfigurationError, SessionClosed, SlngError, WaitTimeout
from ..events import Transcript
from ..log import logger
from ..transcript import TranscriptLog
from ..validation import check_timeout
from ..waiting import NEVER
from .session import CLOSE_TIMEOUT, LONGEST_TIMEOUT, Session
from .shared_state import SharedState
from .state import State, Stats

__all__ = ["Sessions", "channel_names", "requested_names"]


class Sessions(Sequence[Session]):
    """A sequence of sessions, one for each channel of a source, in order. ``Client.listen()`` makes it.

    Its methods act on all sessions. Each session has its own connection. Callbacks of two sessions may run at
    once, unless ``dispatch`` puts them on one thread. A session that fails does not end the others. Every
    method may be called from any thread and from inside a callback. A ``with`` block closes all sessions
    cleanly at its end.
    """

    def __init__(self, members: Sequence[Tuple[Session, SharedState]], channels: Sequence[Channel]) -> None:
        self._sessions = tuple(session for session, _ in members)
        self._shared = tuple(shared for _, shared in members)
        self._stop_source = channels[0].stop_all
        # Shared by all mailboxes, so that ``poll`` can wait for any of them.
        self._polled = threading.Condition()
        for shared in self._shared:
            shared.mailbox.poll_with(self._polled)

    def open(self, *, wait: bool = True) -> "Sessions":
        """Connect all sessions at the same time, then start the source.

        ``Client.listen()`` has done this. Raises the first error of any of them.
        """
        if self[0].state is not State.NEW:
            return self
        try:
            for session in self:
                session._begin_open(wait=wait)
            if wait:
                for session in self:
                    session._wait_open()
            for session in self:
                session._start_capture()
        except BaseException:
            self.abort()
            raise
        return self

    def close(self, timeout: float = CLOSE_TIMEOUT, wait: bool = True) -> bool:
        """Close all sessions as ``Session.close`` does, within one ``timeout``.

        Return True if all were complete.
        """
        check_timeout(timeout)
        if not wait:
            self._begin_close(timeout)
            return False
        complete = self._close(timeout)
        _log(self._claim_errors())
        return complete

    def begin_close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Call ``close(timeout, wait=False)``."""
        self.close(timeout, wait=False)

    def abort(self) -> None:
        """End all sessions at once, without sending buffered audio or waiting for the server."""
        for shared in self._shared:
            shared.aborted = True
        for session in self:
            session.abort()

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until all sessions are over and every callback has run.

        Raises the first error that was not reported before, and logs the others. Raises ``WaitTimeout`` after
        ``timeout`` seconds.
        """
        check_timeout(timeout)
        until = NEVER if timeout is None else time.monotonic() + timeout
        errors: List[SlngError] = []
        for session in self:
            try:
                session.wait(None if until == NEVER else max(0.0, until - time.monotonic()))
            except WaitTimeout:
                # An error of another session is more important than the timeout.
                if not errors:
                    raise
                break
            except SlngError as error:
                errors.append(error)
        _raise_first(errors)

    def finalize(self, timeout: float = 3.0, wait: bool = True) -> bool:
        """Ask for finals on every channel. Return True once the server has confirmed all of them.

        Waits at most ``timeout`` seconds, and not at all with ``wait=False`` or inside a callback. Raises
        ``SessionClosed`` once all sessions are over.
        """
        check_timeout(timeout)
        until = time.monotonic() + min(timeout, LONGEST_TIMEOUT)
        marks: List[Any] = []
        refusals: List[SlngError] = []
        for session in self:
            try:
                marks.append((session, session._request_finalize()))
            except SlngError as error:
                refusals.append(error)
        unreported = [error for error in refusals if not isinstance(error, SessionClosed)]
        _raise_first(unreported if marks else unreported or refusals[:1])
        if wait and self._may_wait:
            for session, mark in marks:
                session._shared.wait_for(lambda mark=mark: mark.settled, max(0.0, until - time.monotonic()))
        return not refusals and all(mark.confirmed for _, mark in marks)

    def pause(self) -> None:
        """Stop sending the audio of all channels until ``resume()``."""
        for session in self:
            session.pause()

    def resume(self) -> None:
        """Send audio again after ``pause()``."""
        for session in self:
            session.resume()

    def mute(self, muted: bool = True) -> None:
        """Send silence for all channels until ``mute(False)``."""
        for session in self:
            session.mute(muted)

    def poll(self, timeout: float = 0.0) -> int:
        """Run the waiting callbacks of all sessions, and return how many items were delivered.

        Waits at most ``timeout`` seconds for the first. Raises ``ConfigurationError`` unless the client has
        ``dispatch="manual"``.
        """
        check_timeout(timeout)
        count = sum(session.poll() for session in self)
        if count or not timeout:
            return count
        mailboxes = [shared.mailbox for shared in self._shared]
        with self._polled:
            self._polled.wait_for(
                lambda: any(each.is_due for each in mailboxes) or all(each.is_closed for each in mailboxes),
                min(timeout, LONGEST_TIMEOUT),
            )
        return sum(session.poll() for session in self)

    @property
    def transcript(self) -> TranscriptLog:
        """The finals of all channels so far, ordered by time. This is a copy, which does not grow."""
        finals = [entry for shared in self._shared for entry in _timed(shared.delivery.log)]
        return TranscriptLog(final for _, final in sorted(finals, key=lambda entry: entry[0]))

    @property
    def stats(self) -> Stats:
        """The counters so far.

        ``captured``, ``sent`` and ``settled`` are the smallest of all channels, the others are sums.
        """
        # A session that ended early must not hold back the progress of the others.
        alive = [session.stats for session in self if session.state is not State.CLOSED]
        every = [session.stats for session in self]
        behind = alive or every
        return Stats(
            captured=min(each.captured for each in behind),
            sent=min(each.sent for each in behind),
            settled=min(each.settled for each in behind),
            buffered=sum(each.buffered for each in every),
            lost=sum(each.lost for each in every),
            partials=sum(each.partials for each in every),
            finals=sum(each.finals for each in every),
            connections=sum(each.connections for each in every),
            ignored_frames=sum(each.ignored_frames for each in every),
        )

    @property
    def source_seconds(self) -> Optional[float]:
        """The length of the source in seconds, if known."""
        return self[0].source_seconds

    @overload
    def __getitem__(self, index: int) -> Session: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Session]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Session, Sequence[Session]]:
        return self._sessions[index]

    def __len__(self) -> int:
        return len(self._sessions)

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        self._close(CLOSE_TIMEOUT)
        unreported = self._claim_errors()
        if kind is None:
            _raise_first(unreported)
        _log(unreported)

    def __repr__(self) -> str:
        return f"<Sessions {', '.join(f'{each.channel}: {each.state.name.lower()}' for each in self)}>"

    def _begin_close(self, timeout: float) -> None:
        # Stop the source first, for all channels at once, so that each gets the same rest of the audio.
        self._stop_source()
        for session in self:
            session._begin_close(timeout)

    def _close(self, timeout: float) -> bool:
        until = time.monotonic() + min(timeout, LONGEST_TIMEOUT)
        self._begin_close(timeout)
        if not self._may_wait:
            return False
        # They close at the same time, so waiting for each in turn takes as long as the slowest one.
        left = [session._close_in_order(max(0.0, until - time.monotonic())) for session in self]
        return all(left)

    @property
    def _may_wait(self) -> bool:
        return all(shared.may_wait for shared in self._shared)

    def _claim_errors(self) -> List[SlngError]:
        """Claim and return the unreported errors of sessions that are over."""
        over = [shared for shared in self._shared if shared.state is State.CLOSED]
        errors = [shared.outcome.claim() for shared in over]
        return [error for error in errors if error is not None]


def requested_names(channels: Any) -> Optional[Tuple[str, ...]]:
    """Return the names in ``channels``, or None for "separate". Raises ``ConfigurationError`` otherwise."""
    if channels == "separate":
        return None
    with contextlib.suppress(TypeError):
        names = () if isinstance(channels, str) else tuple(channels)
        if names and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names):
            return names
    raise ConfigurationError(
        f'channels must be a number, "separate" or a list of different names, not {channels!r}.',
        hint='For example channels=["agent", "customer"].',
    )


def channel_names(names: Optional[Sequence[str]], count: int) -> Tuple[str, ...]:
    """Return the names of the channels of a source.

    Raises ``ConfigurationError`` if there is one channel, or another number of channels than of names.
    """
    if count < 2:
        raise ConfigurationError(
            "The source has only 1 channel, so channels cannot be separated.",
            hint="For a microphone use Microphone(channels=2). For raw PCM and chunks name the channels, "
            'channels=["left", "right"].',
        )
    if names is None:
        return ("left", "right") if count == 2 else tuple(str(number) for number in range(1, count + 1))
    if len(names) != count:
        raise ConfigurationError(f"channels has {len(names)} names, but the source has {count} channels.")
    return tuple(names)


def _timed(log: TranscriptLog) -> Iterator[Tuple[float, Transcript]]:
    """Yield each final with its start. One without a start follows the final before it."""
    begun = 0.0
    for final in log:
        begun = max(begun, final.start or 0.0)
        yield begun, final


def _raise_first(errors: List[SlngError]) -> None:
    if errors:
        _log(errors[1:])
        raise errors[0]


def _log(errors: Sequence[SlngError]) -> None:
    """Log errors that no call is left to raise."""
    for error in errors:
        logger.error("a session ended with an error: %s: %s", type(error).__name__, error)
