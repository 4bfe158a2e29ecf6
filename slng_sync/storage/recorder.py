"""The recording of a session: the audio that is sent, as a WAV file."""

import itertools
import os
import time
from typing import BinaryIO

from ..audio.format import AudioFormat
from ..audio.wav_writer import HEADER_BYTES, LARGEST_DATA, wav_header
from ..log import logger
from ..validation import Path
from .files import check_path, create_beside, open_to_replace
from .writer import FileWriter

__all__ = ["Recorder"]

COUNT_SECONDS = 1.0
"""The interval at which the header is updated, in seconds of audio and of time."""


class Recorder:
    """The recording: a WAV file with all audio that is sent. It can be read at any time.

    ``slng-writer`` writes each chunk at once and updates the header every second. If the process is killed,
    readers see all audio but the last second. Beyond the 4 GiB of a WAV file, ``talk.wav`` continues in
    ``talk-2.wav``. Methods raise nothing: problems are in ``FileWriter.take_problems``.

    Raises ``ConfigurationError`` if the file cannot be written. The constructor waits for the disk.
    """

    def __init__(self, path: Path, audio_format: AudioFormat, writer: FileWriter) -> None:
        name = check_path("record", path)
        self._file = writer.open("record", name, lambda: _WavFile(name, audio_format, writer))

    def write(self, pcm: bytes) -> None:
        """Queue whole frames, without a copy. Never waits for the disk."""
        self._file.write(pcm)

    def close(self) -> None:
        """Queue the end of the file."""
        self._file.close()


class _WavFile:
    """The file as ``slng-writer`` writes it."""

    def __init__(self, path: str, audio_format: AudioFormat, writer: FileWriter) -> None:
        self.name = path
        self._first = path
        self._format = audio_format
        self._writer = writer
        self._largest = LARGEST_DATA - LARGEST_DATA % audio_format.frame_bytes
        self._step = audio_format.frames(COUNT_SECONDS) * audio_format.frame_bytes
        self._size = 0
        self._count_at = 0
        self._count_by = 0.0
        self._file = open_to_replace(path)
        self._begin(self._file)

    def write(self, data: bytes) -> None:
        """Append whole frames. Continue in another file if this one is full."""
        while self._size + len(data) > self._largest:
            room = self._largest - self._size
            self._append(data[:room])
            data = data[room:]
            self._continue()
        self._append(data)

    def complete(self) -> None:
        """Update the header and close the file."""
        # The file is already closed if the next file could not be created.
        if not self._file.closed:
            with self._file:
                self._count()

    def release(self) -> None:
        """Close the file without writing to it."""
        self._file.close()

    def _begin(self, file: BinaryIO) -> None:
        try:
            self._writer.write(file, wav_header(self._format, 0))
        except BaseException:
            file.close()
            raise

    def _append(self, pcm: bytes) -> None:
        self._writer.write(self._file, pcm)
        self._size += len(pcm)
        if self._size >= self._count_at or time.monotonic() >= self._count_by:
            self._count()

    def _count(self) -> None:
        """Write a header with the current size."""
        self._file.seek(0)
        self._writer.write(self._file, wav_header(self._format, self._size))
        self._file.seek(HEADER_BYTES + self._size)
        self._count_at = self._size + self._step
        self._count_by = time.monotonic() + COUNT_SECONDS

    def _continue(self) -> None:
        """Continue in a new file with the next free number."""
        self.complete()
        try:
            self._file, self.name = create_beside(self._first, itertools.count(2))
        except OSError as error:
            self.name = os.fsdecode(error.filename or self._first)
            raise
        logger.info("the recording continues in %s", self.name)
        self._size = self._count_at = 0
        self._begin(self._file)
