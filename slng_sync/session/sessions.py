"""A session for each channel of a source, held as one: ``Client.listen(source, channels="separate")``."""

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

__all__ = ["Sessions", "channel_names", "names_asked_for"]


class Sessions(Sequence[Session]):
    """A session for each channel of a source, in the order of the channels. Made by ``Client.listen()``.

    A sequence of the sessions; what is done here is done to all of them. Each has its own connection, and its
    own thread for callbacks, so two callbacks may run at once. One that fails does not end the others. Every
    method may be called from any thread and from inside a callback. As a context manager they close in order
    when it is left.
    """

    def __init__(self, members: Sequence[Tuple[Session, SharedState]], channels: Sequence[Channel]) -> None:
        self._sessions = tuple(session for session, _ in members)
        self._shared = tuple(shared for _, shared in members)
        self._stop_source = channels[0].stop_all
        # One for all, so that ``poll`` can wait for whichever has something to deliver.
        self._polled = threading.Condition()
        for shared in self._shared:
            shared.mailbox.poll_with(self._polled)

    def open(self, *, wait: bool = True) -> "Sessions":
        """Connect them all at once, then start the source. Raises what stands against one of them."""
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
        """End all in order, like ``Session.close``, within one ``timeout``; True if nothing was left open."""
        check_timeout(timeout)
        if not wait:
            self._begin_close(timeout)
            return False
        complete = self._close(timeout)
        _log(self._untold())
        return complete

    def begin_close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Do what ``close(timeout, wait=False)`` does."""
        self.close(timeout, wait=False)

    def abort(self) -> None:
        """End all at once: nothing more is sent, and nothing waited for."""
        for shared in self._shared:
            shared.aborted = True
        for session in self:
            session.abort()

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until all are over and every callback has run.

        Raises what ended one of them, if that was not told before (what ended others too is logged), and
        ``WaitTimeout`` where time was up.
        """
        check_timeout(timeout)
        until = NEVER if timeout is None else time.monotonic() + timeout
        errors: List[SlngError] = []
        for session in self:
            try:
                session.wait(None if until == NEVER else max(0.0, until - time.monotonic()))
            except WaitTimeout:
                # Unless there is something to tell that weighs more.
                if not errors:
                    raise
                break
            except SlngError as error:
                errors.append(error)
        _raise_first(errors)

    def finalize(self, timeout: float = 3.0, wait: bool = True) -> bool:
        """Make everything said so far on every channel final; True once that is confirmed for all of them.

        With ``wait=False``, or inside a callback, it only asks. Raises ``SessionClosed`` once all are over.
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
        untold = [error for error in refusals if not isinstance(error, SessionClosed)]
        _raise_first(untold if marks else untold or refusals[:1])
        if wait and self._may_wait:
            for session, mark in marks:
                session._shared.wait_for(lambda mark=mark: mark.settled, max(0.0, until - time.monotonic()))
        return not refusals and all(mark.confirmed for _, mark in marks)

    def pause(self) -> None:
        """Withhold the audio of all channels until ``resume()``."""
        for session in self:
            session.pause()

    def resume(self) -> None:
        """Let audio flow again."""
        for session in self:
            session.resume()

    def mute(self, muted: bool = True) -> None:
        """Send silence for all channels instead of what is heard, until ``mute(False)``."""
        for session in self:
            session.mute(muted)

    def poll(self, timeout: float = 0.0) -> int:
        """Run the callbacks that are due, where ``dispatch="manual"``; tell how many deliveries there were.

        Waits at most ``timeout`` seconds for the first.
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
        """All finals so far of all channels, in order of time: a copy, which does not grow."""
        finals = [entry for shared in self._shared for entry in _timed(shared.delivery.log)]
        return TranscriptLog(final for _, final in sorted(finals, key=lambda entry: entry[0]))

    @property
    def stats(self) -> Stats:
        """What was done so far: lengths of the channel that is furthest behind, all else added up."""
        # What has ended early does not hold up the others, nor the bar that shows them.
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
        """How much audio the source has in all, where it knows."""
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
        untold = self._untold()
        if kind is None:
            _raise_first(untold)
        _log(untold)

    def __repr__(self) -> str:
        return f"<Sessions {', '.join(f'{each.channel}: {each.state.name.lower()}' for each in self)}>"

    def _begin_close(self, timeout: float) -> None:
        # The source first, all at once: what it has left is then for every channel.
        self._stop_source()
        for session in self:
            session._begin_close(timeout)

    def _close(self, timeout: float) -> bool:
        until = time.monotonic() + min(timeout, LONGEST_TIMEOUT)
        self._begin_close(timeout)
        if not self._may_wait:
            return False
        # All end at the same time: to wait for one after the other takes as long as for the slowest.
        left = [session._close_in_order(max(0.0, until - time.monotonic())) for session in self]
        return all(left)

    @property
    def _may_wait(self) -> bool:
        return all(shared.may_wait for shared in self._shared)

    def _untold(self) -> List[SlngError]:
        """What has ended sessions, and nobody was told; from now on it is."""
        over = [shared for shared in self._shared if shared.state is State.CLOSED]
        errors = [shared.outcome.claim() for shared in over]
        return [error for error in errors if error is not None]


def names_asked_for(channels: Any) -> Optional[Tuple[str, ...]]:
    """The names in ``channels``, none of them for "separate". Raises ConfigurationError for anything else."""
    if channels == "separate":
        return None
    with contextlib.suppress(TypeError):
        names = () if isinstance(channels, str) else tuple(channels)
        if names and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names):
            return names
    raise ConfigurationError(
        f'channels must be a number, "separate" for a session of each, or their names, not {channels!r}.',
        hint='Names are all different, such as channels=["agent", "customer"].',
    )


def channel_names(names: Optional[Sequence[str]], count: int) -> Tuple[str, ...]:
    """What to call the channels of a source. Raises ConfigurationError where they cannot be heard apart."""
    if count < 2:
        raise ConfigurationError(
            "The source has only 1 channel: there is nothing to separate.",
            hint="Ask a microphone for more, Microphone(channels=2). Of raw PCM and chunks say the channels "
            'by their names, channels=["left", "right"].',
        )
    if names is None:
        return ("left", "right") if count == 2 else tuple(str(number) for number in range(1, count + 1))
    if len(names) != count:
        raise ConfigurationError(f"channels has {len(names)} names, and the source {count} channels.")
    return tuple(names)


def _timed(log: TranscriptLog) -> Iterator[Tuple[float, Transcript]]:
    """The finals, each with when it began; one that does not say stands behind the one before it."""
    begun = 0.0
    for final in log:
        begun = max(begun, final.start or 0.0)
        yield begun, final


def _raise_first(errors: List[SlngError]) -> None:
    if errors:
        _log(errors[1:])
        raise errors[0]


def _log(errors: Sequence[SlngError]) -> None:
    """There is nobody left to tell."""
    for error in errors:
        logger.error("a session ended with an error: %s: %s", type(error).__name__, error)
