"""Run one session to its end: transcripts go to the output, events and errors to the screen."""

import os
import queue
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ..client import Client
from ..errors import SlngError
from ..events import (
    AudioLost,
    Closed,
    Event,
    Level,
    MicrophoneLost,
    MicrophoneRestored,
    MicrophoneSilent,
    Reconnected,
    Reconnecting,
    Transcript,
)
from ..progress import REFRESH_SECONDS, bar_line
from ..session.session import Session
from ..session.sessions import Sessions
from ..transcript import TranscriptLog
from .exits import COMPLETE, INCOMPLETE, SIGNALLED, code_for
from .meter import Meter
from .output import Output
from .signals import Interruption, Signals
from .terminal import Screen

__all__ = ["Follower", "Inbox", "follow", "next_item"]

CLOSE_SECONDS = 10.0
WINDOWS_SLICE = 0.5

Inbox = queue.SimpleQueue
"""A queue from the callbacks and signal handlers to the main thread. ``put`` is safe in a signal handler."""


def follow(
    client: Client,
    source: Any,
    inbox: "Inbox[Any]",
    output: Output,
    screen: Screen,
    signals: Signals,
    **options: Any,
) -> int:
    """Stream ``source`` and return the exit code.

    The callbacks of ``client`` must put everything into ``inbox``. ``options`` are those of
    ``Client.listen``. The first Ctrl-C waits for the last words, the second stops at once. Raises what
    ``Client.listen`` raises.
    """
    session: Union[Session, Sessions] = client.listen(source, **options)
    follower = Follower(session.transcript, output, screen, session)
    follower.open_sessions = len(session) if isinstance(session, Sessions) else 1
    try:
        with signals.sent_to(inbox.put):
            while not follower.over:
                follower.handle(next_item(inbox, REFRESH_SECONDS if screen.bar_stream else None))
    except BaseException:
        session.abort()
        raise
    finally:
        screen.clear()
    output.end(session.transcript)
    session.close()
    return follower.code


def next_item(inbox: "Inbox[Any]", timeout: Optional[float] = None) -> Any:
    """Return the next item, or None after ``timeout`` seconds. On Windows it may also return None earlier."""
    if timeout is None and os.name == "nt":
        # On Windows Ctrl-C does not interrupt a wait. It is delivered between two waits.
        timeout = WINDOWS_SLICE
    try:
        return inbox.get(timeout=timeout)
    except queue.Empty:
        return None


@dataclass
class Follower:
    """The state of a session, or of a replay: its transcript, exit code and live lines.

    Not thread-safe: the main thread calls ``handle``. ``session`` is None for a replay.
    """

    log: TranscriptLog
    output: Output
    screen: Screen
    session: Union[Session, Sessions, None] = None
    open_sessions: int = 1
    over: bool = False
    code: int = COMPLETE
    partial: str = ""
    meter: Meter = field(default_factory=Meter)

    def handle(self, item: Any) -> None:
        """Handle a transcript, an event, an error, an interruption, or None to refresh the live lines."""
        if isinstance(item, Transcript):
            self._handle_transcript(item)
        elif isinstance(item, Interruption):
            self._interrupt(item.number)
        elif isinstance(item, SlngError):
            self._fail(item)
        elif isinstance(item, Closed):
            self._end(item)
        elif isinstance(item, Level):
            self.meter.update(item)
        elif isinstance(item, Event):
            self._report(item)
        self._refresh()

    def _handle_transcript(self, transcript: Transcript) -> None:
        # A final that is not printed above the live lines stays visible in them.
        is_printed = transcript.is_final and self.output.on_screen
        self.partial = "" if is_printed else transcript.text
        if transcript.is_final:
            self._refresh()
            if isinstance(self.session, Sessions):
                self.log = self.session.transcript
            self.output.final(transcript, self.log)

    def _interrupt(self, number: int) -> None:
        assert self.session is not None
        if self.code > SIGNALLED:
            self.session.abort()
            self.over = True
            return
        self.code = SIGNALLED + number
        if self.screen.is_live:
            self.screen.note("Waiting for the last words. Press Ctrl-C again to stop at once.")
        self.session.begin_close(CLOSE_SECONDS)

    def _fail(self, error: SlngError) -> None:
        self.screen.failure(error)
        self.code = self.code if self.code > SIGNALLED else code_for(error)

    def _end(self, closed: Closed) -> None:
        self.open_sessions -= 1
        self.over = self.open_sessions == 0
        if self.code == COMPLETE and not closed.complete:
            self.screen.error(
                "The transcript is incomplete: the server did not acknowledge the last audio.",
                "The transcript so far was kept. Transcribe the recording again for the rest.",
            )
            self.code = INCOMPLETE

    def _report(self, event: Event) -> None:
        if isinstance(event, AudioLost):
            self.screen.error(f"{event.seconds:.1f} s of audio were lost: {event.reason}.")
            self.code = self.code or INCOMPLETE
        elif isinstance(event, Reconnecting):
            self.screen.note(f"{event.cause.message} Reconnecting (attempt {event.attempt}).")
        elif isinstance(event, Reconnected):
            resending = f"resending {event.replayed:.1f} s of audio"
            self.screen.note(f"Reconnected after {event.outage:.1f} s; {resending}.")
        elif isinstance(event, MicrophoneSilent):
            self.screen.note(f"The microphone has been silent for {event.seconds:.0f} s. {event.hint}")
        elif isinstance(event, MicrophoneLost):
            self.screen.note(f"{event.reason} Waiting for the microphone to come back.")
        elif isinstance(event, MicrophoneRestored):
            self._report_restored(event)

    def _report_restored(self, event: MicrophoneRestored) -> None:
        restored = f"The microphone {event.device!r} is back after {event.outage:.1f} s"
        if event.lost:
            restored += f"; {event.lost:.1f} s of audio were lost"
            self.code = self.code or INCOMPLETE
        self.screen.note(f"{restored}.")

    def _refresh(self) -> None:
        if self.screen.is_live:
            self.screen.show(self.partial, self._bar())

    def _bar(self) -> str:
        if self.session is None:
            return ""
        duration, stream = self.session.source_seconds, self.screen.bar_stream
        if stream is None:
            return ""
        if not duration:
            return self.meter.line()
        stats = self.session.stats
        return bar_line(stats.sent, stats.settled, duration, stream)
