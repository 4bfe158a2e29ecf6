"""The writer thread: it never blocks its callers, and a hung disk does not block other files."""

import os
import threading
import time
from pathlib import Path
from typing import List

import pytest
from disks import PATIENCE, HungDisk, Wakeup, finish, problems, written

from slng_sync import ConfigurationError, SlngError
from slng_sync.storage import writer as writer_module
from slng_sync.storage.files import open_to_replace
from slng_sync.storage.writer import FileWriter, OutputFile

POSIX = pytest.mark.skipif(os.name == "nt", reason="uses what POSIX has")


class Plain:
    """A file of bytes that writes a mark at its end."""

    def __init__(self, path: Path, writer: FileWriter) -> None:
        self.name = str(path)
        self._writer = writer
        self._file = open_to_replace(self.name)

    def write(self, data: bytes) -> None:
        self._writer.write(self._file, data)

    def complete(self) -> None:
        with self._file:
            self._writer.write(self._file, b".")

    def release(self) -> None:
        self._file.close()


def opened(writer: FileWriter, path: Path, option: str = "record") -> OutputFile:
    return writer.open(option, str(path), lambda: Plain(path, writer))


def hung(writer: FileWriter, disk: HungDisk, path: Path) -> OutputFile:
    """Return a file whose second write hangs."""
    file = opened(writer, path)
    file.write(b"one")
    written(writer)
    disk.hang()
    file.write(b"two")
    assert disk.hangs.wait(PATIENCE)
    return file


def test_one_thread_writes_in_order_and_ends(tmp_path: Path) -> None:
    """The thread starts with the first file and has a name. close() completes every file."""
    writer = FileWriter()
    assert "slng-writer" not in [thread.name for thread in threading.enumerate()]
    one, two = opened(writer, tmp_path / "one"), opened(writer, tmp_path / "two")
    assert [thread.name for thread in threading.enumerate()].count("slng-writer") == 1
    for number in range(100):
        one.write(b"%d " % number)
        two.write(b"x")
    assert not writer.is_done
    finish(writer)
    assert writer.is_done
    assert (tmp_path / "one").read_bytes() == b"".join(b"%d " % number for number in range(100)) + b"."
    assert (tmp_path / "two").read_bytes() == b"x" * 100 + b"."
    one.write(b"later")
    one.close()
    writer.close()
    assert problems(writer) == []


def test_a_writer_without_files_is_done_at_once() -> None:
    """There is no thread to wait for."""
    closed, abandoned = FileWriter(), FileWriter()
    closed.close()
    abandoned.abandon()
    assert closed.is_done and abandoned.is_done
    assert problems(abandoned) == []


def test_the_end_is_told_to_a_future(tmp_path: Path) -> None:
    """So that callers need not poll for the end."""
    writer, done = FileWriter(), threading.Event()
    writer.done.add_done_callback(lambda _: done.set())
    opened(writer, tmp_path / "file")
    assert not done.is_set()
    writer.close()
    assert done.wait(PATIENCE)


class TestHungDisk:
    """A disk that hangs, such as a disconnected network drive."""

    def test_it_blocks_no_caller(self, disk: HungDisk, writer: FileWriter, tmp_path: Path) -> None:
        """Neither writes nor close() block, and another session's files are still written."""
        file = hung(writer, disk, tmp_path / "file")
        begun = time.monotonic()
        for _ in range(1000):
            file.write(b"more")
        file.close()
        writer.close()
        assert time.monotonic() - begun < 1
        assert not writer.is_done
        disk.answer()
        writer.done.result(PATIENCE)
        assert (tmp_path / "file").read_bytes() == b"onetwo" + b"more" * 1000 + b"."

    def test_what_overflows_ends_the_file_and_is_reported_once(self, disk: HungDisk, tmp_path: Path) -> None:
        """The file ends with the data before, completed. The user of the writer is woken."""
        wakeup = Wakeup()
        writer = FileWriter(wakeup, limit=100)
        file = hung(writer, disk, tmp_path / "file")
        for _ in range(30):
            file.write(b"0123456789")
        wakeup.wait()
        (problem,) = writer.take_problems()
        assert problem.message == (
            f"record: writing to {str(tmp_path / 'file')!r} stopped (the disk is too slow). "
            "The session continues."
        )
        assert "faster disk" in problem.hint
        assert writer.take_problems() == []
        disk.answer()
        finish(writer)
        assert (tmp_path / "file").read_bytes() == b"onetwo" + b"0123456789" * 9 + b"."

    def test_one_write_may_be_larger_than_the_queue(self, tmp_path: Path) -> None:
        """Because the data is in memory already."""
        writer = FileWriter(limit=100)
        opened(writer, tmp_path / "file").write(bytes(1000))
        finish(writer)
        assert (tmp_path / "file").stat().st_size == 1001

    def test_an_abandoned_writer_writes_nothing_more(self, disk: HungDisk, tmp_path: Path) -> None:
        """The hung call is the last one: no queued data, no end mark, and the file is closed."""
        writer = FileWriter()
        file = hung(writer, disk, tmp_path / "file")
        file.write(b"three")
        writer.close()
        writer.abandon()
        writer.abandon()
        assert not writer.is_done
        (problem,) = problems(writer)
        assert "stopped (the disk did not answer)" in problem
        file.write(b"four")
        writes = writer.writes
        disk.answer()
        writer.done.result(PATIENCE)
        assert writer.writes == writes + 1
        assert (tmp_path / "file").read_bytes() == b"onetwo"
        assert problems(writer) == []

    def test_who_can_wait_waits_for_room(self, disk: HungDisk, tmp_path: Path) -> None:
        """At most for the timeout, and not at all if there is room or the writer is closed."""
        writer = FileWriter(limit=100)
        assert writer.wait_for_room(0.0)
        file = hung(writer, disk, tmp_path / "file")
        file.write(bytes(80))
        assert not writer.wait_for_room(0.01)
        disk.answer()
        assert writer.wait_for_room(PATIENCE)
        finish(writer)
        assert writer.wait_for_room(0.0)

    @POSIX
    def test_a_file_that_cannot_be_opened_in_time_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such as a pipe without a reader. It is closed once it opens, without any data."""
        monkeypatch.setattr(writer_module, "OPEN_TIMEOUT", 0.1)
        os.mkfifo(tmp_path / "pipe")
        writer = FileWriter()
        with pytest.raises(ConfigurationError, match=r"record: .*cannot be written .*did not answer within"):
            opened(writer, tmp_path / "pipe")
        with (tmp_path / "pipe").open("rb") as reader:
            assert reader.read() == b""
        writer.done.result(PATIENCE)


class TestFailures:
    """A disk that returns errors."""

    @POSIX
    def test_a_full_disk_ends_one_file(self, writer: FileWriter, tmp_path: Path) -> None:
        """It is reported once, with the reason and a hint. Other files are still written."""
        full, fine = opened(writer, Path("/dev/full")), opened(writer, tmp_path / "fine", "trace")
        for _ in range(3):
            full.write(b"abc")
            fine.write(b"abc")
        written(writer)
        (problem,) = writer.take_problems()
        assert problem.message == (
            "record: writing to '/dev/full' stopped (No space left on device). The session continues."
        )
        assert "free space" in problem.hint
        assert isinstance(problem.__cause__, OSError)
        finish(writer)
        assert (tmp_path / "fine").read_bytes() == b"abc" * 3 + b"."

    def test_a_file_that_cannot_be_opened_is_refused(self, writer: FileWriter, tmp_path: Path) -> None:
        for path in (tmp_path / "missing" / "file", tmp_path):
            with pytest.raises(ConfigurationError, match=r"record: .*cannot be written"):
                opened(writer, path)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")
    def test_a_folder_without_permission_is_refused(self, writer: FileWriter, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(ConfigurationError, match="Permission denied"):
            opened(writer, tmp_path / "file")

    def test_no_thread_is_an_error_of_the_librarys(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        writer = FileWriter()
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", refuse)
            assert not writer.submit(lambda: None)
            with pytest.raises(SlngError, match="can't start new thread"):
                opened(writer, tmp_path / "file")
        opened(writer, tmp_path / "file").write(b"abc")
        finish(writer)
        assert (tmp_path / "file").read_bytes() == b"abc."

    def test_a_job_that_raises_takes_nothing_along(self, writer: FileWriter) -> None:
        ran: List[int] = []
        writer.submit(lambda: ran.append(1 // 0))
        writer.submit(lambda: ran.append(1))
        written(writer)
        assert ran == [1]
