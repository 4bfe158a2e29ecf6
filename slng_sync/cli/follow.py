"""One stream from its beginning to its end: its words to the output, its news to the screen."""

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

__all__ = ["Follower", "Heard", "follow", "next_item"]

CLOSE_SECONDS = 10.0
WINDOWS_SLICE = 0.5

Heard = queue.SimpleQueue
"""What callbacks and signals put in and the main thread takes out. Putting is safe in a signal handler."""


def follow(
    client: Client,
    source: Any,
    heard: "Heard[Any]",
    output: Output,
    screen: Screen,
    signals: Signals,
    **options: Any,
) -> int:
    """Stream ``source``; tell the exit code. ``client`` puts everything it has into ``heard``.

    ``options`` are those of ``Client.listen``. The first Ctrl-C ends in order, with the last words; the
    second ends at once. Raises what keeps the stream from beginning.
    """
    session: Union[Session, Sessions] = client.listen(source, **options)
    follower = Follower(session.transcript, output, screen, session)
    follower.streams = len(session) if isinstance(session, Sessions) else 1
    try:
        with signals.told_to(heard.put):
            while not follower.over:
                follower.take(next_item(heard, REFRESH_SECONDS if screen.bar_stream else None))
    except BaseException:
        session.abort()
        raise
    finally:
        screen.clear()
    output.end(session.transcript)
    session.close()
    return follower.code


def next_item(heard: "Heard[Any]", timeout: Optional[float] = None) -> Any:
    """The next thing to deal with; None where there was none for a time."""
    if timeout is None and os.name == "nt":
        # Windows delivers Ctrl-C only between two waits.
        timeout = WINDOWS_SLICE
    try:
        return heard.get(timeout=timeout)
    except queue.Empty:
        return None


@dataclass
class Follower:
    """What is known of a stream so far: of a session's, or of one that is only told again."""

    log: TranscriptLog
    output: Output
    screen: Screen
    session: Union[Session, Sessions, None] = None
    streams: int = 1
    over: bool = False
    code: int = COMPLETE
    partial: str = ""
    meter: Meter = field(default_factory=Meter)

    def take(self, item: Any) -> None:
        """Deal with a transcript, an event, an error, or an interruption."""
        if isinstance(item, Transcript):
            self._hear(item)
        elif isinstance(item, Interruption):
            self._interrupt(item.number)
        elif isinstance(item, SlngError):
            self._fail(item)
        elif isinstance(item, Closed):
            self._end(item)
        elif isinstance(item, Level):
            self.meter.hear(item)
        elif isinstance(item, Event):
            self._tell(item)
        self._refresh()

    def _hear(self, transcript: Transcript) -> None:
        # What does not stand above the live lines as a line of its own stays in them.
        stands = transcript.is_final and self.output.on_screen
        self.partial = "" if stands else transcript.text
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
        if self.screen.watched:
            self.screen.note("Waiting for the last words. Ctrl-C again ends at once.")
        self.session.begin_close(CLOSE_SECONDS)

    def _fail(self, error: SlngError) -> None:
        self.screen.failure(error)
        self.code = self.code if self.code > SIGNALLED else code_for(error)

    def _end(self, closed: Closed) -> None:
        self.streams -= 1
        self.over = self.streams == 0
        if self.code == COMPLETE and not closed.complete:
            self.screen.error(
                "The transcript is not complete: the server did not answer for the last of the audio.",
                "What it has said so far is there. Transcribing again may give the rest.",
            )
            self.code = INCOMPLETE

    def _tell(self, event: Event) -> None:
        if isinstance(event, AudioLost):
            self.screen.error(f"{event.seconds:.1f} s of audio were lost: {event.reason}.")
            self.code = self.code or INCOMPLETE
        elif isinstance(event, Reconnecting):
            self.screen.note(f"{event.cause.message} Reconnecting (attempt {event.attempt}).")
        elif isinstance(event, Reconnected):
            again = f"{event.replayed:.1f} s of speech go out again"
            self.screen.note(f"Connected again after {event.outage:.1f} s; {again}.")
        elif isinstance(event, MicrophoneSilent):
            self.screen.note(f"The microphone has been silent for {event.seconds:.0f} s. {event.hint}")
        elif isinstance(event, MicrophoneLost):
            self.screen.note(f"{event.reason} Waiting for it.")
        elif isinstance(event, MicrophoneRestored):
            self._tell_restored(event)

    def _tell_restored(self, event: MicrophoneRestored) -> None:
        back = f"The microphone {event.device!r} is back after {event.outage:.1f} s"
        if event.lost:
            back += f", {event.lost:.1f} s of which were not heard"
            self.code = self.code or INCOMPLETE
        self.screen.note(f"{back}.")

    def _refresh(self) -> None:
        if self.screen.watched:
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
