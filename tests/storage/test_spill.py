"""The spill: audio is read back unchanged, removed once settled, and kept if never acknowledged."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Optional

import pytest
from disks import PATIENCE, RATE, HungDisk, Wakeup, audio, finish, mode, positions, problems, read, written
from hypothesis import given, settings
from hypothesis import strategies as st

from slng_sync import Client, ConfigurationError
from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.audio_buffer import AudioBuffer, Chunk
from slng_sync.protocol.send_queue import END, FINALIZE, Mark, SendQueue
from slng_sync.storage import spill as spill_module
from slng_sync.storage.spill import Spill
from slng_sync.storage.writer import FileWriter

FORMAT = AudioFormat(RATE, 1)
MOST_READS = 100
SECOND = RATE
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and links")


class Spilling(SendQueue):
    """A send queue of one second with a spill, and methods for what the session does with it."""

    __slots__ = ("dropped", "spill", "writer")

    def __init__(self, folder: Path, writer: FileWriter, capacity: float = 1.0) -> None:
        self.spill = Spill(str(folder), FORMAT, writer)
        self.writer = writer
        self.dropped: List[str] = []
        super().__init__(FORMAT, capacity_seconds=capacity, store=self.spill)

    def speak(self, frames: int, *, piece: int = 100) -> None:
        """Put audio, as a microphone that cannot wait."""
        for _ in range(0, frames, piece):
            self.put(audio(self.captured, piece))
            if self.drop_oldest(self.excess):
                self.dropped.append(self.spill.trouble)

    def spoken(self, frames: int, *, piece: int = 100) -> None:
        """Put audio and wait for the disk."""
        self.speak(frames, piece=piece)
        written(self.writer)

    def next(self, *, flush: bool = False) -> Any:
        """Take the next chunk, once it is loaded."""
        for _ in range(MOST_READS):
            taken = self.take(flush=flush)
            if taken is not None or self.spill._wanted is None:
                return taken
            written(self.writer)
        pytest.fail("A message does not come back from disk.")

    def everything(self) -> List[Any]:
        return list(iter(self.next, None))

    def heard(self) -> List[int]:
        return [at for piece in self.everything() if isinstance(piece, bytes) for at in positions(piece)]


@pytest.fixture
def queue(writer: FileWriter, tmp_path: Path) -> Spilling:
    return Spilling(tmp_path, writer)


def wavs(folder: Path) -> List[Path]:
    return sorted(folder.glob("*/*.wav"))


def names(folder: Path) -> List[str]:
    return [path.name for path in wavs(folder)]


class TestQueue:
    """A send queue with a spill."""

    def test_what_has_no_room_comes_back_in_its_order(self, queue: Spilling, tmp_path: Path) -> None:
        """There is room for one second. Ten seconds are put, and all are sent, half a second per message."""
        queue.spoken(10 * SECOND)
        assert len(wavs(tmp_path)) == 1
        assert queue.everything() == [audio(start, 500) for start in range(0, 10 * SECOND, 500)]

    def test_memory_does_not_grow(self, queue: Spilling, tmp_path: Path) -> None:
        """Two hours offline are read back. Memory holds seconds of audio and one handle per file."""
        for _ in range(120):
            queue.spoken(60 * SECOND, piece=500)
            assert queue.spill._unwritten.size == 0
        assert queue._unsent.in_memory == SECOND
        assert len(queue._unsent) <= 2 + 120
        assert len(wavs(tmp_path)) == 120
        at = 0
        while (piece := queue.next()) is not None:
            assert piece == audio(at, 500)
            at += 500
            # A block that is partly sent, and the next one.
            assert queue.spill._loaded.size <= 2 * 20 * SECOND
        assert at == 7200 * SECOND

    def test_files_go_as_their_audio_is_settled(self, queue: Spilling, tmp_path: Path) -> None:
        """Files are removed one by one, and the session's folder with the last one."""
        queue.spoken(181 * SECOND, piece=500)
        assert names(tmp_path) == ["000001.000.wav", "000061.000.wav", "000121.000.wav"]
        queue.everything()
        for seconds, left in ((60.9, 3), (61.0, 2)):
            queue.settle(seconds)
            written(queue.writer)
            assert len(wavs(tmp_path)) == left
        queue.settle(181.0)
        written(queue.writer)
        assert list(tmp_path.iterdir()) == []

    def test_what_was_sent_and_not_settled_is_sent_again_from_disk(self, queue: Spilling) -> None:
        """Audio on disk is never dropped."""
        queue.spoken(8 * SECOND)
        queue.everything()
        queue.settle(2.345)
        assert queue.rewind() == 0
        assert queue.heard() == list(range(2345, 8 * SECOND))

    def test_gaps_stand_between_files(self, queue: Spilling, tmp_path: Path) -> None:
        """A pause does not shift later audio: the name of the next file is its start."""
        queue.speak(2 * SECOND)
        queue.skip(5 * SECOND)
        queue.spoken(SECOND)
        assert names(tmp_path) == ["000001.000.wav", "000007.000.wav"]
        assert queue.heard() == [*range(2 * SECOND), *range(7 * SECOND, 8 * SECOND)]
        assert queue.start(2.5) == 7.5

    def test_once_all_is_sent_memory_is_enough_again(self, queue: Spilling, tmp_path: Path) -> None:
        """Until then new audio is appended to the disk, so that there are few files."""
        queue.spoken(3 * SECOND)
        queue.everything()
        queue.settle(3.0)
        queue.spoken(SECOND)
        assert wavs(tmp_path) == []

    def test_what_was_not_answered_for_stays_at_the_end(self, queue: Spilling, tmp_path: Path) -> None:
        """All of it, including audio in memory, in files whose names sort by time."""
        queue.speak(4 * SECOND)
        queue.leave(complete=False)
        finish(queue.writer)
        assert b"".join(map(read, wavs(tmp_path))) == audio(0, 4 * SECOND)
        assert problems(queue.writer) == []

    def test_an_end_without_anything_on_disk_leaves_nothing(self, queue: Spilling, tmp_path: Path) -> None:
        """Neither a complete session nor one that is aborted while connected leaves files."""
        queue.speak(SECOND)
        queue.leave(complete=False)
        written(queue.writer)
        assert list(tmp_path.iterdir()) == []
        queue.speak(SECOND)
        queue.everything()
        queue.leave(complete=True)
        written(queue.writer)
        assert list(tmp_path.iterdir()) == []

    def test_a_spill_that_is_not_needed_starts_no_thread(self, queue: Spilling) -> None:
        queue.speak(SECOND)
        queue.everything()
        queue.settle(1.0)
        queue.leave(complete=True)
        assert queue.writer._thread is None


def test_a_message_may_consist_of_several_pieces_on_disk(queue: Spilling) -> None:
    """As after a reconnect, where the pieces that were sent apart leave together. Each is read by itself."""
    queue.spill._read_ahead = 70
    queue.speak(SECOND)
    queue.spoken(3 * SECOND)
    longest, queue.longest = queue.longest, 100
    for _ in range(20):
        assert isinstance(queue.next(), bytes)
    assert queue.rewind() == 0
    queue.longest = longest
    assert queue.heard() == list(range(4 * SECOND))


ACTIONS = st.one_of(
    st.tuples(st.just("speak"), st.integers(1, 1200)),
    st.tuples(st.just("skip"), st.integers(1, 300)),
    st.tuples(st.just("send"), st.integers(1, 4)),
    st.tuples(st.just("settle"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["finalize", "answer", "cut", "flush", "write"]), st.just(0)),
)


def act(queue: SendQueue, kind: str, amount: int) -> List[object]:
    if kind == "speak":
        queue.put(audio(queue.captured, amount))
    elif kind == "skip":
        queue.skip(amount)
    elif kind == "settle":
        queue.settle(queue.sent / RATE * amount / 100)
    elif kind == "finalize":
        queue.request(FINALIZE)
    elif kind == "answer":
        queue.answer()
    elif kind == "cut":
        assert queue.rewind() == 0
    elif kind == "write":
        if isinstance(queue, Spilling):
            written(queue.writer)
    else:
        take = queue.next if isinstance(queue, Spilling) else queue.take
        return [take(flush=kind == "flush") for _ in range(max(1, amount))]
    return []


def comparable(pieces: List[object]) -> List[object]:
    return [(each.kind, each.position) if isinstance(each, Mark) else each for each in pieces]


@given(actions=st.lists(ACTIONS, max_size=60), read_ahead=st.sampled_from([0.07, 0.3, 10.0]))
@settings(max_examples=100, deadline=None)
def test_the_same_is_sent_with_memory_and_with_disk(
    tmp_path_factory: pytest.TempPathFactory, actions: List[Any], read_ahead: float
) -> None:
    """Half a second of memory with a spill sends the same messages as unlimited memory."""
    folder, writer = tmp_path_factory.mktemp("spill"), FileWriter()
    endless, disk = SendQueue(FORMAT, capacity_seconds=1e6), Spilling(folder, writer, 0.5)
    disk.spill._read_ahead = FORMAT.frames(read_ahead)
    try:
        for kind, amount in actions:
            assert comparable(act(disk, kind, amount)) == comparable(act(endless, kind, amount))
            assert disk.unsettled_seconds == pytest.approx(endless.unsettled_seconds)
            assert disk.start(0.1) == endless.start(0.1)
            assert disk.excess == 0 and disk._unsent.in_memory + disk._replay.in_memory <= 500
        for queue in (endless, disk):
            queue.request(END)
        assert comparable(disk.everything()) == comparable(list(iter(endless.take, None)))
        disk.settle(disk.captured / RATE)
    finally:
        finish(writer)
    assert list(folder.iterdir()) == []
    assert problems(writer) == []


STEPS = st.one_of(
    st.tuples(st.just("keep"), st.integers(1, 900)),
    st.tuples(st.just("skip"), st.integers(1, 300)),
    st.tuples(st.just("settle"), st.integers(1, 100)),
    st.tuples(st.just("load"), st.integers(0, 10**6)),
    st.tuples(st.sampled_from(["hang", "answer", "write", "fill", "free"]), st.just(0)),
)


@given(steps=st.lists(STEPS, max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_sequence_of_keep_settle_and_load_gives_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: List[Any]
) -> None:
    """For any parts in any order, with a disk that hangs, is full or works."""
    folder, writer = tmp_path_factory.mktemp("spill"), FileWriter()
    with pytest.MonkeyPatch.context() as patch:
        disk = HungDisk(patch)
        spill = Spill(str(folder), FORMAT, writer)
        stored: List[Any] = []
        position = settled = 0
        for kind, amount in steps:
            if kind == "keep":
                stored.append(spill.keep(position, audio(position, amount)))
                position += amount
            elif kind == "skip":
                position += amount
            elif kind == "settle":
                settled = max(settled, position * amount // 100)
                spill.settle(settled)
            elif kind == "load":
                left = [each for each in stored if each.start >= settled]
                if left:
                    check_part(left[amount % len(left)], amount, spill, disk, writer)
            elif kind in ("fill", "free"):
                patch.setattr(spill_module, "LEAST_FREE", 10**18 if kind == "fill" else 0)
            elif kind == "hang":
                disk.hang()
            else:
                disk.answer()
        disk.answer()
        patch.setattr(spill_module, "LEAST_FREE", 0)
        spill.settle(position)
        finish(writer)
    assert list(folder.iterdir()) == []
    assert problems(writer) == []


def check_part(stored: Any, seed: int, spill: Spill, disk: HungDisk, writer: FileWriter) -> None:
    """Load a part of the stored audio and compare it."""
    begin = seed % (len(stored) // 2)
    end = begin + 1 + seed // 7 % (len(stored) // 2 - begin)
    part = stored[2 * begin : 2 * end]
    pcm = part.load()
    if pcm is None:
        disk.answer()
        written(writer)
        pcm = part.load()
    assert pcm == audio(stored.start + begin, end - begin)
    assert len(part) == len(pcm)


class TestHungDisk:
    """A disk that hangs, for a while or for ever."""

    def test_nothing_waits_for_it_and_nothing_is_lost(self, disk: HungDisk, queue: Spilling) -> None:
        """Unwritten audio is in memory and is sent from there."""
        queue.spoken(2 * SECOND)
        disk.hang()
        queue.speak(3 * SECOND)
        assert disk.hangs.wait(PATIENCE)
        assert queue.take() == audio(0, 500)
        assert queue.take() == audio(500, 500)
        assert queue.take() is None, "it is on disk, which hangs"
        disk.answer()
        assert queue.heard() == list(range(SECOND, 5 * SECOND))
        assert queue.dropped == []

    def test_what_it_does_not_take_in_time_is_dropped(
        self, disk: HungDisk, queue: Spilling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded, so the oldest audio in memory is dropped, as without a spill."""
        monkeypatch.setattr(spill_module, "HELD_BYTES", 2 * 3 * SECOND)
        disk.hang()
        queue.speak(6 * SECOND)
        assert queue.spill._unwritten.size == 2 * 3 * SECOND
        assert set(queue.dropped) == {"the disk is too slow"}
        disk.answer()
        written(queue.writer)
        queue.spoken(SECOND)
        assert queue.heard() == [*range(SECOND, 4 * SECOND), *range(5 * SECOND, 7 * SECOND)]

    def test_a_load_wakes_who_asked(self, tmp_path: Path) -> None:
        """So that ``slng-io`` does not have to poll."""
        wakeup = Wakeup()
        writer = FileWriter(wakeup)
        queue = Spilling(tmp_path, writer)
        queue.spoken(3 * SECOND)
        sent = [queue.take(), queue.take()]
        piece = queue.take()
        assert piece is None
        wakeup.wait()
        assert queue.take() == audio(SECOND, 500)
        assert sent == [audio(0, 500), audio(500, 500)]
        finish(writer)

    def test_what_is_read_ahead_is_there_at_once(self, queue: Spilling) -> None:
        """Only the first load waits, because the spill reads ahead."""
        queue.spoken(120 * SECOND, piece=500)
        waits = 0
        at = 0
        while at < 120 * SECOND:
            piece = queue.take()
            if piece is None:
                waits += 1
            else:
                at += len(piece) // 2  # type: ignore[arg-type]
            written(queue.writer)
        assert waits <= 1 + 1, "at the beginning, and at most where a file ends"

    def test_an_abandoned_spill_leaves_the_disk_alone(
        self, disk: HungDisk, queue: Spilling, tmp_path: Path
    ) -> None:
        """The missing audio is reported."""
        queue.spoken(3 * SECOND)
        disk.hang()
        queue.speak(2 * SECOND)
        assert disk.hangs.wait(PATIENCE)
        queue.leave(complete=False)
        queue.writer.close()
        queue.writer.abandon()
        done = disk.done
        disk.answer()
        queue.writer.done.result(PATIENCE)
        assert disk.done == done + 1
        (problem,) = problems(queue.writer)
        assert problem.startswith("spill: writing to") and "the disk did not answer" in problem
        assert b"".join(map(read, wavs(tmp_path))) == audio(SECOND, 2 * SECOND)


class TestTrouble:
    """A failing disk never ends a session. Lost audio is reported."""

    def test_a_full_disk_loses_the_oldest_in_memory(
        self, queue: Spilling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Audio on disk is safe. The reason of AudioLost names the problem."""
        queue.spoken(3 * SECOND)
        monkeypatch.setattr(spill_module, "LEAST_FREE", 10**18)
        monkeypatch.setattr(spill_module, "HELD_BYTES", 200)
        queue.spoken(100)
        queue.speak(2 * SECOND)
        assert queue._unsent.in_memory <= SECOND
        assert set(queue.dropped) == {"less than 1000000000000 MB are free"}
        # The first second was in memory, and the first that came after the disk was full.
        assert queue.heard() == [*range(SECOND, 3100), *range(4100, 5100)]

    def test_a_disk_that_has_room_again_is_used_again(
        self, queue: Spilling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a new file. Audio that fits into memory is not lost."""
        queue.spoken(2 * SECOND)
        with monkeypatch.context() as full:
            full.setattr(spill_module, "LEAST_FREE", 10**18)
            queue.spoken(SECOND)
        queue.spoken(2 * SECOND)
        assert queue.heard() == list(range(5 * SECOND))
        assert queue.spill._unwritten.size == 0
        assert len(wavs(tmp_path)) == 2
        assert queue.dropped == []

    def test_a_folder_that_was_removed_is_a_loss(self, queue: Spilling, tmp_path: Path) -> None:
        """The audio in it is reported as lost once, and the session goes on."""
        queue.spoken(121 * SECOND)
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        queue.spoken(SECOND)
        queue.spoken(SECOND)
        expected = [*range(SECOND), *range(121 * SECOND, 123 * SECOND)]
        assert queue.heard() == [at % 65536 for at in expected]
        assert queue.unreadable == 120 * SECOND
        queue.settle(123.0)
        written(queue.writer)
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_is_gone_leaves_memory(
        self, writer: FileWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The given folder itself is not created again, because it may be on a disk that was unplugged."""
        monkeypatch.setattr(spill_module, "HELD_BYTES", 200)
        folder = tmp_path / "stick"
        folder.mkdir()
        queue = Spilling(folder, writer)
        queue.speak(SECOND)
        folder.rmdir()
        queue.spoken(100)
        queue.speak(2 * SECOND)
        assert not folder.exists()
        assert set(queue.dropped) == {"No such file or directory"}
        assert queue.heard() == [*range(SECOND, 1100), *range(2100, 3100)]

    def test_a_disk_that_fails_leaves_no_crumbs(
        self, queue: Spilling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Failed attempts leave neither empty files nor a folder. The rest is reported at the end."""

        def fails(file: Any, pcm: bytes) -> None:
            Path(file.path).touch()
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(spill_module._SpillFile, "append", fails)
        queue.spoken(3 * SECOND)
        assert list(tmp_path.iterdir()) == []
        queue.leave(complete=False)
        finish(queue.writer)
        (problem,) = problems(queue.writer)
        assert problem.startswith("spill: writing to") and "(Input/output error)" in problem
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_was_cut_off_is_a_loss(self, queue: Spilling, tmp_path: Path) -> None:
        """The remaining part of the file is sent."""
        queue.spoken(4 * SECOND)
        os.truncate(wavs(tmp_path)[0], 44 + 2 * 1000)
        assert queue.heard() == list(range(2 * SECOND))
        assert queue.unreadable == 2 * SECOND

    def test_a_writer_that_is_closed_takes_nothing(self, queue: Spilling) -> None:
        queue.spoken(2 * SECOND)
        finish(queue.writer)
        queue.speak(SECOND)
        assert [queue.take(), queue.take(), queue.take()] == [audio(0, 500), audio(500, 500), None]


class Broken:
    """Stored audio that cannot be loaded."""

    def __len__(self) -> int:
        return 200

    def __getitem__(self, part: slice) -> "Broken":
        return self

    def load(self) -> Optional[bytes]:
        raise OSError("gone")

    def joined(self, later: object) -> None:
        return None


class Slow(Broken):
    """Stored audio that is loaded at the second request."""

    def __init__(self) -> None:
        self.asked = 0

    def load(self) -> Optional[bytes]:
        self.asked += 1
        return bytes(200) if self.asked > 1 else None


class TestBuffer:
    """The audio buffer, with audio in memory and in a store."""

    def test_an_unreadable_chunk_takes_only_itself_along(self) -> None:
        """The audio before and after it stays."""
        buffer = AudioBuffer(2)
        buffer.append(Chunk(0, Broken()))
        buffer.append(Chunk(100, audio(100, 50)))
        buffer.append(Chunk(150, Broken()))
        lost: List[int] = []
        assert buffer.cut(100, lost.append) == ([], b"")
        assert lost == [100]
        assert buffer.cut(150, lost.append) == ([Chunk(100, audio(100, 50))], audio(100, 50))
        assert lost == [100, 100]
        assert (buffer.frames, buffer.in_memory, len(buffer)) == (0, 0, 0)

    def test_what_is_not_loaded_stays_where_it_is(self) -> None:
        """So does the audio before it in the same message."""
        buffer = AudioBuffer(2)
        buffer.append(Chunk(0, audio(0, 50)))
        buffer.append(Chunk(50, Slow()))
        lost: List[int] = []
        assert buffer.cut(150, lost.append) is None
        assert (buffer.frames, buffer.in_memory, len(buffer)) == (150, 50, 2)
        cut = buffer.cut(150, lost.append)
        assert cut is not None and cut[1] == audio(0, 50) + bytes(200)
        assert (buffer.frames, buffer.in_memory, lost) == (0, 0, [])


CRASH = """
import os, signal, sys
from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.storage.spill import Spill
from slng_sync.storage.writer import FileWriter
format, writer = AudioFormat(1000, 1), FileWriter()
queue = SendQueue(format, capacity_seconds=1.0, store=Spill(sys.argv[1], format, writer))
for start in range(0, 130_000, 50):
    queue.put(b"".join((at % 65536).to_bytes(2, "little") for at in range(start, start + 50)))
writer.call(lambda: None, 30)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_what_a_killed_process_leaves_can_be_read(tmp_path: Path) -> None:
    """Complete WAV files up to the last written chunk. Only audio in memory is lost."""
    process = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], timeout=60)
    assert process.returncode == -signal.SIGKILL
    parts = [read(path) for path in wavs(tmp_path)]
    assert [len(part) // 2 for part in parts] == [60_000, 60_000, 9_000]
    assert b"".join(parts) == audio(1000, 129_000)


class TestFolder:
    """The option ``spill``."""

    def test_it_is_made_where_it_is_missing(self, tmp_path: Path) -> None:
        """The check whether it is writable leaves nothing in it."""
        Client("soniox/speech-ai:rt-v4", api_key="any", spill=tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []

    @pytest.mark.parametrize("kind", ["a file", "in a file", "no path", "a null"])
    def test_what_cannot_be_a_folder_is_refused(self, tmp_path: Path, kind: str) -> None:
        """When the client is created. The error names the option."""
        file = tmp_path / "file"
        file.touch()
        given: Any = {"a file": file, "in a file": file / "x", "no path": 7, "a null": "a\0b"}[kind]
        with pytest.raises(ConfigurationError, match=r"^spill"):
            Client("soniox/speech-ai:rt-v4", api_key="any", spill=given)

    @POSIX
    def test_others_on_the_computer_cannot_listen(self, queue: Spilling, tmp_path: Path) -> None:
        """Only the owner can read the session's folder and files."""
        umask = os.umask(0)
        try:
            queue.spoken(2 * SECOND)
        finally:
            os.umask(umask)
        (folder,) = tmp_path.iterdir()
        assert mode(folder) == 0o700
        assert [mode(path) for path in wavs(tmp_path)] == [0o600]

    def test_two_sessions_have_two_folders(self, queue: Spilling, tmp_path: Path) -> None:
        """Neither touches the other's files, and their names are unpredictable."""
        other = Spilling(tmp_path, queue.writer)
        queue.spoken(2 * SECOND)
        other.spoken(3 * SECOND)
        assert len({path.name.split("-")[-1] for path in tmp_path.iterdir()}) == 2
        queue.everything()
        queue.settle(2.0)
        written(queue.writer)
        assert len(list(tmp_path.iterdir())) == 1
        assert other.heard() == list(range(3 * SECOND))

    @POSIX
    def test_a_link_in_the_place_of_a_file_is_not_followed(self, queue: Spilling, tmp_path: Path) -> None:
        """Neither when a file is created nor when it is reopened."""
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        queue.spoken(2 * SECOND)
        (first,) = wavs(tmp_path)
        first.rename(first.with_suffix(".moved"))
        first.symlink_to(victim)
        (first.parent / "000002.000.wav").symlink_to(victim)
        queue.spoken(100)
        queue.spoken(SECOND)
        assert victim.read_bytes() == b"precious"
        assert names(tmp_path) == ["000001.000.wav", "000002.000-2.wav", "000002.000.wav"]
        assert queue.spill._unwritten.size == 0
