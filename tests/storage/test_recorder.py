"""Recordings: readable at any moment, and errors never end the session."""

import os
import subprocess
import sys
import threading
import wave
from pathlib import Path
from typing import Any, List

import pytest
from disks import PATIENCE, RATE, HungDisk, audio, finish, mode, problems, read, written

from slng_sync import AudioFormat, ConfigurationError
from slng_sync.storage import recorder as recorder_module
from slng_sync.storage.recorder import Recorder
from slng_sync.storage.writer import FileWriter

FORMAT = AudioFormat(RATE, 1)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="uses what Linux has")


class TestRecorder:
    """The recording."""

    def test_it_can_be_read_while_it_grows(self, writer: FileWriter, tmp_path: Path) -> None:
        """The header is never more than a second behind."""
        path = tmp_path / "talk.wav"
        recorder = Recorder(path, FORMAT, writer)
        for at in range(0, 5000, 50):
            recorder.write(audio(at, 50))
            written(writer)
            counted = read(path) if at else b""
            assert audio(0, at + 50).startswith(counted)
            assert len(counted) >= 2 * (at + 50 - 1000)
            assert path.stat().st_size == 44 + 2 * (at + 50)
        recorder.close()
        written(writer)
        assert read(path) == audio(0, 5000)
        recorder.close()
        recorder.write(b"\0\0")
        finish(writer)
        assert read(path) == audio(0, 5000)

    def test_audio_now_and_then_is_counted_at_once(
        self, writer: FileWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a second without audio."""
        monkeypatch.setattr(recorder_module, "COUNT_SECONDS", 0.0)
        recorder = Recorder(tmp_path / "talk.wav", FORMAT, writer)
        recorder.write(audio(0, 10))
        written(writer)
        assert read(tmp_path / "talk.wav") == audio(0, 10)

    def test_no_audio_is_an_empty_file(self, writer: FileWriter, tmp_path: Path) -> None:
        """But a valid WAV file, completed when the writer is closed."""
        Recorder(tmp_path / "talk.wav", FORMAT, writer)
        finish(writer)
        with wave.open(str(tmp_path / "talk.wav")) as file:
            assert (file.getnframes(), file.getframerate()) == (0, RATE)

    def test_only_its_thread_writes(self, disk: HungDisk, writer: FileWriter, tmp_path: Path) -> None:
        """While the disk hangs, audio is queued without a copy. All of it is written in the end."""
        recorder = Recorder(tmp_path / "talk.wav", FORMAT, writer)
        disk.hang()
        for at in range(0, 3000, 50):
            recorder.write(audio(at, 50))
        assert disk.hangs.wait(PATIENCE)
        recorder.close()
        disk.answer()
        finish(writer)
        assert read(tmp_path / "talk.wav") == audio(0, 3000)
        assert problems(writer) == []

    def test_an_abandoned_recording_can_be_read(
        self, disk: HungDisk, writer: FileWriter, tmp_path: Path
    ) -> None:
        """Up to the length in its last header. It is not modified any more."""
        recorder = Recorder(tmp_path / "talk.wav", FORMAT, writer)
        recorder.write(audio(0, 1500))
        written(writer)
        disk.hang()
        recorder.write(audio(1500, 1500))
        recorder.write(audio(3000, 1500))
        assert disk.hangs.wait(PATIENCE)
        writer.abandon()
        disk.answer()
        finish(writer)
        assert read(tmp_path / "talk.wav") == audio(0, 1500)
        assert (tmp_path / "talk.wav").stat().st_size == 44 + 6000
        assert len(problems(writer)) == 1

    @pytest.mark.parametrize("piece", [50, 999, 7000])
    def test_what_wav_cannot_count_goes_on_in_another_file(
        self, piece: int, writer: FileWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a gap, and without overwriting an existing file."""
        monkeypatch.setattr(recorder_module, "LARGEST_DATA", 2501)
        (tmp_path / "talk-3.wav").write_bytes(b"mine")
        recorder = Recorder(tmp_path / "talk.wav", FORMAT, writer)
        for at in range(0, 7000, piece):
            recorder.write(audio(at, min(piece, 7000 - at)))
        finish(writer)
        names = ["talk", "talk-2", *(f"talk-{number}" for number in range(4, 8))]
        parts = [read(tmp_path / f"{name}.wav") for name in names]
        assert b"".join(parts) == audio(0, 7000)
        assert [len(part) for part in parts] == [2500] * 5 + [1500]
        assert (tmp_path / "talk-3.wav").read_bytes() == b"mine"
        if os.name != "nt":
            assert {mode(tmp_path / f"{name}.wav") for name in names} == {0o600}

    def test_another_file_that_cannot_be_made_is_reported(
        self, writer: FileWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once. The first file is complete."""
        monkeypatch.setattr(recorder_module, "LARGEST_DATA", 2000)
        folder = tmp_path / "stick"
        folder.mkdir()
        recorder = Recorder(folder / "talk.wav", FORMAT, writer)
        recorder.write(audio(0, 900))
        written(writer)
        folder.rename(tmp_path / "elsewhere")
        for _ in range(5):
            recorder.write(audio(900, 200))
        finish(writer)
        assert problems(writer) == [
            f"record: writing to {str(folder / 'talk-2.wav')!r} stopped (No such file or directory). "
            "The session continues."
        ]
        assert read(tmp_path / "elsewhere" / "talk.wav") == audio(0, 1000)

    @LINUX
    def test_what_cannot_be_rewound_is_reported(self, writer: FileWriter, tmp_path: Path) -> None:
        """A pipe cannot be rewound to update the header. The recording ends without an exception."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        read_end: List[Any] = []
        reader = threading.Thread(target=lambda: read_end.append(path.open("rb")))
        reader.start()
        recorder = Recorder(path, FORMAT, writer)
        reader.join()
        recorder.write(audio(0, 100))
        recorder.write(audio(0, 100))
        finish(writer)
        read_end[0].close()
        assert len(problems(writer)) == 1

    @LINUX
    def test_a_disk_that_is_full_from_the_beginning_is_refused(self, writer: FileWriter) -> None:
        with pytest.raises(ConfigurationError, match="record: '/dev/full' cannot be written"):
            Recorder("/dev/full", FORMAT, writer)

    def test_what_is_no_path_is_refused(self, writer: FileWriter) -> None:
        not_a_path: Any = 7
        with pytest.raises(ConfigurationError, match="record must be the path"):
            Recorder(not_a_path, FORMAT, writer)


FULL = """
import resource, sys
from slng_sync import AudioFormat
from slng_sync.storage.recorder import Recorder
from slng_sync.storage.writer import FileWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
writer = FileWriter()
recorder = Recorder(sys.argv[1], AudioFormat(1000, 1), writer)
for _ in range(100):
    recorder.write(bytes(1600))
writer.close()
writer.done.result(20)
for problem in writer.take_problems():
    print(problem.message)
"""


@LINUX
def test_a_disk_that_becomes_full_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    """With all completely written chunks. The problem is logged too."""
    path = tmp_path / "talk.wav"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    (problem,) = done.stdout.splitlines()
    assert problem.startswith(f"record: writing to {str(path)!r} stopped (")
    assert problem in done.stderr
    assert len(read(path)) == 31 * 1600


KILLED = """
import sys, time
from slng_sync import AudioFormat
from slng_sync.storage.recorder import Recorder
from slng_sync.storage.writer import FileWriter
writer = FileWriter()
recorder = Recorder(sys.argv[1], AudioFormat(1000, 1), writer)
for at in range(0, 5000, 50):
    recorder.write(b"".join(each.to_bytes(2, "little") for each in range(at, at + 50)))
writer.call(lambda: None, 20)
print("written", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_leaves_can_be_played(tmp_path: Path) -> None:
    """The header counts at least four of five seconds of audio."""
    path = tmp_path / "talk.wav"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    counted = read(path)
    assert len(counted) >= 2 * 4000
    assert audio(0, 5000).startswith(counted)
    assert path.stat().st_size == 44 + 10_000, "what is not counted yet is there all the same"
