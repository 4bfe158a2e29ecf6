"""The files of one session: the recording, the trace, the spill, and the thread that writes them."""

from concurrent.futures import Future
from typing import List, Optional

from ..audio.format import AudioFormat
from ..errors import SlngError
from ..protocol.send_queue import SendQueue
from ..storage.recorder import Recorder
from ..storage.spill import Spill
from ..storage.trace_writer import TraceWriter
from ..storage.writer import FileWriter, Wakeable
from ..validation import Path

__all__ = ["SessionFiles"]

WAIT_FOR_DISK = 2.0
"""Seconds that a recording which is read faster than it is written may be held up."""


class SessionFiles:
    """The files that a session writes. No method waits for the disk, except ``open``.

    ``wakeup`` is set when the disk has read something back, or has a problem.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        wakeup: Wakeable,
        *,
        record: Optional[Path] = None,
        trace: Optional[Path] = None,
        trace_audio: bool = False,
        spill: Optional[str] = None,
    ) -> None:
        self._audio_format = audio_format
        self._writer = FileWriter(wakeup)
        self._may_wait = True
        self._is_closed = False
        self._record_path = record
        self._trace_path = trace
        self._trace_audio = trace_audio
        self._recorder: Optional[Recorder] = None
        self.trace: Optional[TraceWriter] = None
        self.spill = None if spill is None else Spill(spill, audio_format, self._writer)

    def open(self) -> None:
        """Create the recording and the trace, waiting for the disk. Raises ``ConfigurationError``."""
        try:
            if self._record_path is not None:
                self._recorder = Recorder(self._record_path, self._audio_format, self._writer)
            if self._trace_path is not None:
                self.trace = TraceWriter(self._trace_path, self._writer, audio=self._trace_audio)
        except BaseException:
            self._writer.close()
            raise

    def record(self, pcm: bytes) -> None:
        """Append audio to the recording, if there is one."""
        if self._recorder is not None:
            self._recorder.write(pcm)

    def wait_for_room(self) -> None:
        """Wait a moment until the disk has caught up. For a thread that can wait; no lock is held."""
        # Not again once the disk did not catch up: a disk that hangs would hold up each chunk.
        self._may_wait = self._may_wait and self._writer.wait_for_room(WAIT_FOR_DISK)

    def take_problems(self) -> List[SlngError]:
        """Return the problems since the last call."""
        return self._writer.take_problems()

    def close(self, queue: SendQueue, *, complete: bool, drained: bool) -> "Future[None]":
        """Complete and close all files. The returned future is done once they are closed."""
        if not self._is_closed:
            self._is_closed = True
            queue.leave(complete=complete)
            if self.trace is not None:
                self.trace.end(complete=complete, drained=drained)
            self._writer.close()
        return self._writer.done

    @property
    def writes(self) -> int:
        """The number of writes so far. It grows while the disk responds."""
        return self._writer.writes

    def abandon(self) -> None:
        """Stop writing, and report each unfinished file. For a disk that does not respond."""
        self._writer.abandon()
