"""The thread ``slng-capture``, which reads a source and converts its audio to the session's format."""

import threading
import time
from typing import TYPE_CHECKING, Any, Iterator, Optional, Union

from ..audio.convert import Audio, Converter, to_pcm
from ..errors import AudioError, SlngError
from ..events import Event
from ..waiting import NEVER
from .audio_input import AudioInput
from .shared_state import SharedState

if TYPE_CHECKING:
    from ..audio.source import AudioSource

__all__ = ["Capture"]

STOP_TIMEOUT = 2.0
"""Seconds that a source may take to stop. A frozen sound server never stops."""


class Capture:
    """The reader of a source. It puts audio into the session's audio input, on the thread ``slng-capture``.

    ``live`` is True for a source that cannot wait, such as a microphone. ``duration`` is the length of the
    source in seconds, if known. ``error`` is set before ``ended`` if the source failed.
    """

    def __init__(self, source: "AudioSource", shared: SharedState, audio_input: AudioInput) -> None:
        self.live = bool(getattr(source, "live", False))
        self.duration: Optional[float] = getattr(source, "duration", None)
        self.error: Optional[SlngError] = None
        self._source = source
        self._shared = shared
        self._audio_input = audio_input
        self._chunks: Iterator[Union[Audio, Event]] = iter(())
        self._has_ended = threading.Event()
        self._give_up_at = NEVER
        # Made here to refuse formats that cannot be converted before anything starts.
        self._converter = Converter(source.audio_format, shared.audio_format)
        # Daemon: a source that never returns, such as a frozen sound server, must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="slng-capture", daemon=True)

    def check(self) -> None:
        """Raise the source's error if it already knows that it cannot be read."""
        check: Any = getattr(self._source, "check", None)
        if callable(check):
            check()

    def start(self) -> None:
        """Start reading."""
        # Start the iteration here, so that a ``stop`` from now on ends it.
        with_events: Any = getattr(self._source, "with_events", None)
        self._chunks = iter(with_events() if callable(with_events) else self._source)
        if self._give_up_at < NEVER:
            # The session ended before the source started, so the source missed that ``stop``.
            self.stop()
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the source has reached its end or has failed."""
        return self._has_ended.is_set()

    @property
    def given_up_at(self) -> float:
        """When to stop waiting for a source after ``stop``, on the monotonic clock."""
        return self._give_up_at

    def stop(self) -> None:
        """Ask the source to end soon. Any thread may call this."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + STOP_TIMEOUT)
        stop: Any = getattr(self._source, "stop", None)
        if callable(stop):
            stop()

    def stop_elsewhere(self) -> None:
        """Call ``stop`` on a separate thread. For ``slng-io``, as the ``stop`` of a source may block."""
        if self.ended or self._give_up_at < NEVER:
            return
        try:
            threading.Thread(target=self.stop, name="slng-stop", daemon=True).start()
        except RuntimeError:
            # The system has no thread, as at the end of the process. Blocking is harmless then.
            self.stop()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for this thread and the source's.

        Does nothing on the thread itself.
        """
        until = time.monotonic() + timeout
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            join: Any = getattr(self._source, "join", None)
            if callable(join):
                join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        try:
            self._read()
        except SlngError as error:
            self.error = error
        except BaseException as error:
            # SystemExit too: it would end only this thread and look like the end of the source.
            self.error = AudioError(f"The audio source raised {type(error).__name__}.")
            self.error.__cause__ = error
        finally:
            self._has_ended.set()
            self._shared.wake_up()

    def _read(self) -> None:
        audio_format = self._source.audio_format
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Event):
                    if not self._audio_input.report(chunk):
                        return
                elif not self._put(self._converter.convert(to_pcm(chunk, audio_format))):
                    return
        finally:
            # The audio before a failure is still transcribed.
            self._put(self._converter.flush())

    def _put(self, pcm: bytes) -> bool:
        return not pcm or self._audio_input.capture(pcm, live=self.live)
