import os
import threading
from typing import Tuple

import pytest

from slng_sync.microphone import captured_stderr as module
from slng_sync.microphone.captured_stderr import captured_stderr


def stderr() -> Tuple[int, int]:
    """Return the identity of the file behind descriptor 2."""
    status = os.fstat(2)
    return status.st_dev, status.st_ino


def test_lines_of_sound_libraries_are_collected(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as lines:
        os.write(2, b"ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\n")
        os.write(2, b"Expression 'AlsaStart( stream, 0 )' failed in 'pa_linux_alsa.c', line: 3246\n")
        os.write(2, b"jack server is not running or cannot be started\n")
    assert [line.split()[0] for line in lines] == ["ALSA", "Expression", "jack"]
    assert capfd.readouterr().err == ""


def test_lines_of_other_code_are_forwarded(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as lines:
        os.write(2, b"Traceback (most recent call last):\nALSA lib\n")
    assert not lines
    assert capfd.readouterr().err == "Traceback (most recent call last):\nALSA lib\n"


def test_stderr_is_restored_after_an_error() -> None:
    before = stderr()
    with pytest.raises(KeyError), captured_stderr():
        raise KeyError
    assert stderr() == before


def test_stderr_is_restored_when_the_sound_system_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CAPTURE_SECONDS", 0.05)
    before = stderr()
    with captured_stderr():
        while stderr() != before:
            threading.Event().wait(0.01)


def test_a_program_without_stderr_collects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(descriptor: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", dup)
    with captured_stderr() as lines:
        pass
    assert lines == []
