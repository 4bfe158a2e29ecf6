"""The files of a session: a disk that hangs does not hold up a source, and files are closed once."""

from pathlib import Path
from typing import Any, List

import pytest

from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.session.files import SessionFiles
from slng_sync.session.io_loop import TaskWakeup


def test_a_disk_that_does_not_catch_up_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SessionFiles(AudioFormat(), TaskWakeup(), record=tmp_path / "talk.wav")
    waits: List[float] = []
    answers = [True, False]

    def wait_for_room(timeout: float) -> Any:
        waits.append(timeout)
        return answers.pop(0)

    monkeypatch.setattr(files._writer, "wait_for_room", wait_for_room)
    for _ in range(5):
        files.wait_for_room()
    assert len(waits) == 2


def test_files_are_closed_once_however_often_they_are_asked_to(tmp_path: Path) -> None:
    queue = SendQueue(AudioFormat())
    files = SessionFiles(AudioFormat(), TaskWakeup(), trace=tmp_path / "talk.jsonl")
    files.open()
    for _ in range(2):
        files.close(queue, complete=False, drained=False).result(20)
    assert (tmp_path / "talk.jsonl").read_text().count('"end"') == 1
