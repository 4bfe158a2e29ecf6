"""Support for tests of files: writers that end with the test, hung disks, and readers of WAV files."""

import os
import threading
import wave
from pathlib import Path
from typing import Any, BinaryIO, List

import pytest

from slng_sync.audio.wav import read_wav
from slng_sync.storage import writer as writer_module
from slng_sync.storage.writer import FileWriter

RATE = 1000
"""A frame is a millisecond."""
PATIENCE = 20.0


class Wakeup:
    """A wakeup that counts how often it was set and can wait for that."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(PATIENCE)
        self._event.clear()


class HungDisk:
    """A disk whose writes hang from ``hang`` until ``answer``. Counts the completed writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self.hangs = threading.Event()
        self.done = 0
        self._write = writer_module.write_whole
        monkeypatch.setattr(writer_module, "write_whole", self._write_whole)

    def _write_whole(self, file: BinaryIO, data: bytes) -> None:
        if not self._answers.is_set():
            self.hangs.set()
            assert self._answers.wait(PATIENCE)
        self._write(file, data)
        self.done += 1

    def hang(self) -> None:
        self._answers.clear()
        self.hangs.clear()

    def answer(self) -> None:
        self._answers.set()


def finish(writer: FileWriter) -> None:
    """Close a writer and wait for its end."""
    writer.close()
    writer.done.result(PATIENCE)


def written(writer: FileWriter) -> None:
    """Wait until all queued data is written."""
    writer.call(lambda: None, PATIENCE)


def problems(writer: FileWriter) -> List[str]:
    return [each.message for each in writer.take_problems()]


def mode(path: Any) -> int:
    return os.stat(path).st_mode & 0o777


def audio(start: int, frames: int) -> bytes:
    """Return frames that each hold their own position."""
    return b"".join((at % 65536).to_bytes(2, "little") for at in range(start, start + frames))


def positions(pcm: bytes) -> List[int]:
    return [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), 2)]


def read(path: Path) -> bytes:
    """Return the audio in a file, read in two ways that must agree."""
    with path.open("rb") as file:
        ours = b"".join(read_wav(file, str(path)).chunks(file))
    with wave.open(str(path)) as standard:
        assert standard.getframerate() == RATE
        assert standard.readframes(standard.getnframes()) == ours
    return ours
