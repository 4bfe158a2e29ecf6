"""What a session leaves on disk where it is asked to: its audio as WAV. Its messages are in ``trace``."""

import contextlib
import itertools
import os
import time
from typing import BinaryIO, Callable, Optional

from ..audio.format import AudioFormat
from ..audio.wav_writer import HEADER_BYTES, LARGEST_DATA, wav_header, write_whole
from ..errors import ConfigurationError, SlngError
from ..log import logger
from ..validation import Path

__all__ = ["Recorder", "Tell", "given_up", "open_new"]

Tell = Callable[[SlngError], None]

COUNT_SECONDS = 1.0
"""How much audio may be in the file that its header does not count yet, and for how long."""


class Recorder:
    """All audio that is sent, in a WAV file that can be read at any time.

    Each piece is written at once, and the header counts what is there, but for the last second: so much is
    lost where the process is killed. A file that would outgrow WAV's 4 GiB goes on in another: ``talk.wav``
    in ``talk-2.wav``. Nothing here raises once the file is open: where the disk takes no more, the record
    ends, and ``tell`` is told why. Called with the session's lock held.
    """

    def __init__(self, path: Path, audio_format: AudioFormat, tell: Tell) -> None:
        self._format = audio_format
        self._tell = tell
        self._largest = LARGEST_DATA - LARGEST_DATA % audio_format.frame_bytes
        self._step = audio_format.frames(COUNT_SECONDS) * audio_format.frame_bytes
        self._size = 0
        self._count_at = 0
        self._count_by = 0.0
        self._file: Optional[BinaryIO] = open_new("record", path, wav_header(audio_format, 0))
        self._name = self._first = os.fsdecode(path)

    def write(self, pcm: bytes) -> None:
        """Append whole frames."""
        try:
            while self._file is not None and self._size + len(pcm) > self._largest:
                room = self._largest - self._size
                self._append(self._file, pcm[:room])
                pcm = pcm[room:]
                self._go_on(self._file)
            if self._file is not None:
                self._append(self._file, pcm)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Complete the file."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            with file:
                self._count(file)
        except OSError as error:
            self._tell(given_up("record", self._name, error))

    def _append(self, file: BinaryIO, pcm: bytes) -> None:
        write_whole(file, pcm)
        self._size += len(pcm)
        if self._size >= self._count_at or time.monotonic() >= self._count_by:
            self._count(file)

    def _count(self, file: BinaryIO) -> None:
        """Write the header that counts what is there."""
        file.seek(0)
        write_whole(file, wav_header(self._format, self._size))
        file.seek(HEADER_BYTES + self._size)
        self._count_at = self._size + self._step
        self._count_by = time.monotonic() + COUNT_SECONDS

    def _go_on(self, full: BinaryIO) -> None:
        """Go on in another file, one that is not there yet."""
        with full:
            self._count(full)
        self._file = None
        root, suffix = os.path.splitext(self._first)
        for number in itertools.count(2):
            self._name = f"{root}-{number}{suffix}"
            with contextlib.suppress(FileExistsError):
                self._file = open(self._name, "xb", buffering=0)  # noqa: SIM115
                break
        logger.info("the recording goes on in %s", self._name)
        self._size = 0
        assert self._file is not None
        self._count(self._file)

    def _give_up(self, error: OSError) -> None:
        """Leave the file as it is, with a header that counts what was written whole."""
        file, self._file = self._file, None
        if file is not None and not file.closed:
            with contextlib.suppress(OSError), file:
                self._count(file)
        self._tell(given_up("record", self._name, error))


def open_new(option: str, path: Path, beginning: bytes = b"") -> BinaryIO:
    """Open a file to write, unbuffered, with its first bytes. Raises ``ConfigurationError``."""
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigurationError(f"{option} must be the path of a file to write, not {path!r}.")
    try:
        # Closed with the session.
        file = open(path, "wb", buffering=0)  # noqa: SIM115
        try:
            write_whole(file, beginning)
        except BaseException:
            file.close()
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{option}: {os.fspath(path)!r} cannot be written ({reason}).") from error
    return file


def given_up(option: str, name: str, error: OSError) -> SlngError:
    """The error for a file that cannot be written any more; in the log as well, for who has no on_error."""
    problem = SlngError(
        f"{option}: {name!r} ends here, it cannot be written any more "
        f"({error.strerror or type(error).__name__}); the session goes on.",
        hint="Make room on the disk, or give another path next time. What was written can be read.",
    )
    problem.__cause__ = error
    logger.warning("%s", problem.message)
    return problem
