"""The thread that reads a source: converts what comes to the session's format and hands it on."""

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
"""Seconds that a source may take to stop; a frozen sound server never does."""


class Capture:
    """Reads a source on a thread of its own, ``slng-capture``, into the session's audio input.

    ``error`` is what ended it too early, once it has ``ended``.
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
        # Here, so that formats that cannot be converted are refused before anything is started.
        self._converter = Converter(source.audio_format, shared.audio_format)
        # Daemon: a source that never returns, such as a frozen sound server, must not keep the process.
        self._thread = threading.Thread(target=self._run, name="slng-capture", daemon=True)

    def check(self) -> None:
        """Raise where the source can't be had, as far as it can tell before it is read."""
        check: Any = getattr(self._source, "check", None)
        if callable(check):
            check()

    def start(self) -> None:
        """Begin to read."""
        # The iteration is begun here, so that a ``stop`` from now on ends it.
        with_events: Any = getattr(self._source, "with_events", None)
        self._chunks = iter(with_events() if callable(with_events) else self._source)
        if self._give_up_at < NEVER:
            # The session was over before its source had begun, which then has not heard of it.
            self.stop()
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the source has given everything, or failed."""
        return self._has_ended.is_set()

    @property
    def given_up_at(self) -> float:
        """When to go on without a source that was asked to stop; on the monotonic clock."""
        return self._give_up_at

    def stop(self) -> None:
        """Ask the source to end soon. Callable from any thread."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + STOP_TIMEOUT)
        stop: Any = getattr(self._source, "stop", None)
        if callable(stop):
            stop()

    def stop_elsewhere(self) -> None:
        """Do what ``stop`` does on a thread of its own, for ``slng-io``: a source's ``stop`` may block."""
        if self.ended or self._give_up_at < NEVER:
            return
        try:
            threading.Thread(target=self.stop, name="slng-stop", daemon=True).start()
        except RuntimeError:
            # No thread can be had, as at the end of the process, where nothing else is held up.
            self.stop()

    def join(self, timeout: float) -> None:
        """Wait for the thread, unless it is the calling one or was never started, then for the source's."""
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
            # SystemExit too: it would end this thread only, and pass for the source's orderly end.
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
            # What the source gave before it failed is still worth hearing.
            self._put(self._converter.flush())

    def _put(self, pcm: bytes) -> bool:
        return not pcm or self._audio_input.capture(pcm, live=self.live)
