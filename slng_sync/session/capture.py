"""The thread that reads a source: converts what comes to the session's format and hands it on."""

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Union

from ..audio.convert import Audio, Converter, to_pcm
from ..audio.format import AudioFormat
from ..errors import AudioError, SlngError
from ..events import Event
from ..waiting import NEVER

if TYPE_CHECKING:
    from ..audio.source import AudioSource

__all__ = ["Capture"]

STOP_LIMIT = 2.0
"""How long a source may take to stop; a frozen sound server never does."""


class Capture:
    """Reads ``source`` on a thread of its own, ``slng-capture``.

    ``put`` takes each piece of PCM, and each event of a source that has some to tell, and returns False where
    no more is wanted; ``done()`` is called at the end, whatever the reason. ``error`` is then what ended it
    too early.
    """

    def __init__(
        self,
        source: "AudioSource",
        target: AudioFormat,
        put: Callable[[Union[bytes, Event]], bool],
        done: Callable[[], None],
    ) -> None:
        self.live = bool(getattr(source, "live", False))
        self.duration: Optional[float] = getattr(source, "duration", None)
        self.error: Optional[SlngError] = None
        self._source = source
        self._chunks: Iterator[Union[Audio, Event]] = iter(())
        self._put = put
        self._done = done
        self._has_ended = threading.Event()
        self._give_up_at = NEVER
        # Here, so that formats that cannot be converted are refused before anything is started.
        self._converter = Converter(source.audio_format, target)
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
        hear: Any = getattr(self._source, "hear", None)
        self._chunks = iter(hear() if callable(hear) else self._source)
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
        self._give_up_at = min(self._give_up_at, time.monotonic() + STOP_LIMIT)
        stop: Any = getattr(self._source, "stop", None)
        if callable(stop):
            stop()

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
        except Exception as error:
            self.error = AudioError(f"The audio source raised {type(error).__name__}.")
            self.error.__cause__ = error
        finally:
            self._has_ended.set()
            self._done()

    def _read(self) -> None:
        audio_format = self._source.audio_format
        try:
            for chunk in self._chunks:
                heard = (
                    chunk
                    if isinstance(chunk, Event)
                    else self._converter.convert(to_pcm(chunk, audio_format))
                )
                if heard and not self._put(heard):
                    return
        finally:
            # What the source gave before it failed is still worth hearing.
            rest = self._converter.flush()
            if rest:
                self._put(rest)
