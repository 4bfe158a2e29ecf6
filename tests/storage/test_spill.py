"""Audio on disk: it comes back as it was, goes when it is settled, and stays where nothing answered."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from heard import Heard
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reconnect import gateway
from test_send_queue import RATE, audio, positions, taken
from test_session import client_for

from slng_sync import AudioLost, Client, Closed, ConfigurationError, Reconnecting, Reson8, Soniox, WaitTimeout
from slng_sync.audio.format import AudioFormat
from slng_sync.audio.wav import read_wav
from slng_sync.gateway import Faults, Script, Trouble
from slng_sync.protocol.audio_buffer import AudioBuffer, Chunk
from slng_sync.protocol.send_queue import END, FINALIZE, Mark, SendQueue
from slng_sync.session.audio_input import AudioInput
from slng_sync.storage import spill as spill_module
from slng_sync.storage.spill import Spill
from slng_sync.waiting import Changes

FORMAT = AudioFormat(RATE, 1)
SECOND = RATE


def spilling(folder: Path, capacity: float = 1.0) -> SendQueue:
    return SendQueue(FORMAT, capacity_seconds=capacity, store=Spill(str(folder), FORMAT))


def speak(queue: SendQueue, frames: int, *, piece: int = 100) -> None:
    for _ in range(0, frames, piece):
        queue.put(audio(queue.captured, piece))


def heard(queue: SendQueue) -> List[int]:
    return [at for piece in taken(queue) if isinstance(piece, bytes) for at in positions(piece)]


def wavs(folder: Path) -> List[Path]:
    return sorted(folder.glob("*/*.wav"))


def read(path: Path) -> List[int]:
    """The positions in a file, which both readers must find."""
    with path.open("rb") as file:
        wav = read_wav(file, str(path))
        ours = b"".join(wav.chunks(file))
    with wave.open(str(path)) as standard:
        assert standard.readframes(standard.getnframes()) == ours
        assert standard.getframerate() == wav.audio_format.sample_rate == RATE
    return positions(ours)


class TestQueue:
    """The send queue with a folder."""

    def test_what_has_no_room_comes_back_in_its_order(self, tmp_path: Path) -> None:
        """Room for one second, ten are spoken: all of it leaves, half a second a message."""
        queue = spilling(tmp_path)
        speak(queue, 10 * SECOND)
        assert len(wavs(tmp_path)) == 1
        pieces = taken(queue)
        assert pieces == [audio(start, 500) for start in range(0, 10 * SECOND, 500)]

    def test_memory_does_not_grow(self, tmp_path: Path) -> None:
        """Ten minutes without a connection: a second of it in memory, and a handle for each file."""
        queue = spilling(tmp_path)
        speak(queue, 600 * SECOND, piece=500)
        assert queue._unsent.in_memory == SECOND
        assert len(queue._unsent) <= 2 + 10
        assert len(wavs(tmp_path)) == 10

    def test_files_go_as_their_audio_is_settled(self, tmp_path: Path) -> None:
        """One after the other, and the session's folder with the last."""
        queue = spilling(tmp_path)
        speak(queue, 181 * SECOND, piece=500)
        assert [path.name for path in wavs(tmp_path)] == [
            "000001.000.wav",
            "000061.000.wav",
            "000121.000.wav",
        ]
        taken(queue)
        queue.settle(60.9)
        assert len(wavs(tmp_path)) == 3
        queue.settle(61.0)
        assert len(wavs(tmp_path)) == 2
        queue.settle(181.0)
        assert list(tmp_path.iterdir()) == []

    def test_what_was_sent_and_not_settled_is_sent_again_from_disk(self, tmp_path: Path) -> None:
        """Nothing that is on disk is forgotten for want of room."""
        queue = spilling(tmp_path)
        speak(queue, 8 * SECOND)
        taken(queue)
        queue.settle(2.345)
        assert queue.rewind() == 0
        assert heard(queue) == list(range(2345, 8 * SECOND))

    def test_gaps_stand_between_files(self, tmp_path: Path) -> None:
        """A pause does not shift what comes after it: the next file says where it begins."""
        queue = spilling(tmp_path)
        speak(queue, 2 * SECOND)
        queue.skip(5 * SECOND)
        speak(queue, SECOND)
        assert [path.name for path in wavs(tmp_path)] == ["000001.000.wav", "000007.000.wav"]
        assert heard(queue) == [*range(2 * SECOND), *range(7 * SECOND, 8 * SECOND)]
        assert queue.start(2.5) == 7.5

    def test_once_all_is_sent_memory_is_enough_again(self, tmp_path: Path) -> None:
        """Until then what is new follows what is on disk, so that files are few."""
        queue = spilling(tmp_path)
        speak(queue, 3 * SECOND)
        taken(queue)
        queue.settle(3.0)
        speak(queue, SECOND)
        assert wavs(tmp_path) == []

    def test_what_was_not_answered_for_stays_at_the_end(self, tmp_path: Path) -> None:
        """All of it, what was in memory as well, named so that it sorts by time."""
        queue = spilling(tmp_path)
        speak(queue, 4 * SECOND)
        queue.leave(complete=False)
        assert [at for path in wavs(tmp_path) for at in read(path)] == list(range(4 * SECOND))

    def test_an_end_without_anything_on_disk_leaves_nothing(self, tmp_path: Path) -> None:
        """A session that is aborted online does not fill the folder, nor one that is complete."""
        queue = spilling(tmp_path)
        speak(queue, SECOND)
        queue.leave(complete=False)
        assert list(tmp_path.iterdir()) == []
        speak(queue, SECOND)
        taken(queue)
        queue.leave(complete=True)
        assert list(tmp_path.iterdir()) == []


ACTIONS = st.one_of(
    st.tuples(st.just("speak"), st.integers(1, 1200)),
    st.tuples(st.just("skip"), st.integers(1, 300)),
    st.tuples(st.just("send"), st.integers(1, 4)),
    st.tuples(st.just("settle"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["finalize", "answer", "cut", "flush"]), st.just(0)),
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
    else:
        return [queue.take(flush=kind == "flush") for _ in range(max(1, amount))]
    return []


def comparable(pieces: List[object]) -> List[object]:
    return [(each.kind, each.position) if isinstance(each, Mark) else each for each in pieces]


@given(st.lists(ACTIONS, max_size=60))
@settings(max_examples=150, deadline=None)
def test_the_same_is_sent_with_memory_and_with_disk(
    tmp_path_factory: pytest.TempPathFactory, actions: List[Any]
) -> None:
    """Half a second of memory and a folder behave as endless memory does, message for message."""
    folder = tmp_path_factory.mktemp("spill")
    endless, disk = SendQueue(FORMAT, capacity_seconds=1e6), spilling(folder, 0.5)
    for kind, amount in actions:
        assert comparable(act(disk, kind, amount)) == comparable(act(endless, kind, amount))
        assert disk.unsettled_seconds == pytest.approx(endless.unsettled_seconds)
        assert disk.start(0.1) == endless.start(0.1)
        assert disk.excess == 0 and disk._unsent.in_memory + disk._replay.in_memory <= 500
    for queue in (endless, disk):
        queue.request(END)
    assert comparable(taken(disk)) == comparable(taken(endless))
    disk.settle(disk.captured / RATE)
    assert list(folder.iterdir()) == []


def fails(file: Any, pcm: bytes) -> None:
    Path(file.path).touch()
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class Loss:
    """An intake of a live source, and what it tells."""

    def __init__(self, queue: SendQueue, *, pump: Any = lambda: None) -> None:
        self.queue = queue
        self.told: List[AudioLost] = []
        self.intake = AudioInput(
            queue,
            Changes(),
            pass_on=lambda pcm: False,
            pump=pump,
            is_over=lambda: False,
            tell=self.told.append,
        )

    def speak(self, frames: int) -> None:
        for _ in range(0, frames, 100):
            self.intake.put_live(audio(self.queue.captured, 100))

    @property
    def seconds(self) -> float:
        self.intake.lose_unreadable()
        self.intake.tell_losses()
        return sum(each.seconds for each in self.told)


class TestTrouble:
    """A disk that does not do its part never ends a session; what is lost is told."""

    def test_a_full_disk_loses_the_oldest_in_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is on disk is safe there; the reason says what the disk lacks."""
        loss = Loss(spilling(tmp_path))
        loss.speak(3 * SECOND)
        monkeypatch.setattr(spill_module, "LEAST_FREE", 10**18)
        loss.speak(2 * SECOND)
        assert loss.queue._unsent.in_memory <= SECOND
        assert loss.seconds == 2.0
        assert {each.reason for each in loss.told} == {
            "it could not be sent before the buffer was full, and the disk takes no more "
            "(less than 1000000000000 MB are free)"
        }
        # The first second was in memory, and the first that came after the disk was full.
        assert heard(loss.queue) == [*range(SECOND, 3 * SECOND), *range(4 * SECOND, 5 * SECOND)]

    def test_a_disk_that_has_room_again_is_used_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a file of its own; nothing more is lost."""
        loss = Loss(spilling(tmp_path))
        loss.speak(2 * SECOND)
        with monkeypatch.context() as full:
            full.setattr(spill_module, "LEAST_FREE", 10**18)
            loss.speak(SECOND)
        loss.speak(2 * SECOND)
        assert loss.seconds == 1.0
        assert heard(loss.queue) == list(range(SECOND, 5 * SECOND))
        assert len(wavs(tmp_path)) == 2

    def test_a_folder_that_was_removed_is_a_loss(self, tmp_path: Path) -> None:
        """Of what was in it, once, and the rest goes on."""
        loss = Loss(spilling(tmp_path))
        loss.speak(121 * SECOND)
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        loss.speak(SECOND)
        assert heard(loss.queue) == [
            at % 65536 for at in [*range(SECOND), *range(121 * SECOND, 122 * SECOND)]
        ]
        assert loss.seconds == 120.0
        assert {each.reason for each in loss.told} == {"it could not be read back from disk"}
        loss.queue.settle(122.0)
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_is_gone_leaves_memory(self, tmp_path: Path) -> None:
        """The given folder itself is not made anew: it may have been a disk that was unplugged."""
        folder = tmp_path / "stick"
        folder.mkdir()
        loss = Loss(spilling(folder))
        loss.speak(SECOND)
        folder.rmdir()
        loss.speak(2 * SECOND)
        assert not folder.exists()
        assert loss.seconds == 2.0
        assert "No such file or directory" in loss.told[0].reason
        assert heard(loss.queue) == list(range(2 * SECOND, 3 * SECOND))

    def test_a_disk_that_fails_leaves_no_crumbs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No empty file for each try, and no folder."""
        loss = Loss(spilling(tmp_path))
        monkeypatch.setattr(spill_module._SpillFile, "append", fails)
        loss.speak(3 * SECOND)
        assert loss.seconds == 2.0
        assert "(Input/output error)" in loss.told[0].reason
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_was_cut_off_is_a_loss(self, tmp_path: Path) -> None:
        """What is still there goes out."""
        loss = Loss(spilling(tmp_path))
        loss.speak(4 * SECOND)
        os.truncate(wavs(tmp_path)[0], 44 + 2 * 1000)
        assert heard(loss.queue) == list(range(2 * SECOND))
        assert loss.seconds == 2.0

    def test_a_send_whose_time_is_up_goes_to_disk(self, tmp_path: Path) -> None:
        """Where there is a folder, else it raises."""
        loss = Loss(spilling(tmp_path))
        with loss.intake._changes.lock:
            assert loss.intake.put(audio(0, 3 * SECOND), 0.0)
        assert heard(loss.queue) == list(range(3 * SECOND))
        without = Loss(SendQueue(FORMAT, capacity_seconds=1.0))
        with without.intake._changes.lock, pytest.raises(WaitTimeout):
            without.intake.put(audio(0, 3 * SECOND), 0.0)


def test_an_unreadable_piece_takes_only_its_own_file_along() -> None:
    """What lies behind it in memory stays."""

    class Broken:
        def __len__(self) -> int:
            return 200

        def __getitem__(self, part: slice) -> "Broken":
            return self

        def __bytes__(self) -> bytes:
            raise OSError("gone")

        def joined(self, later: object) -> None:
            return None

    run = AudioBuffer(2)
    run.append(Chunk(0, Broken()))
    run.append(Chunk(100, audio(100, 50)))
    lost: List[int] = []
    assert run.cut(100, lost.append) == ([], b"")
    assert lost == [100]
    assert run.cut(50, lost.append)[1] == audio(100, 50)


CRASH = """
import os, signal, sys
from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.storage.spill import Spill
format = AudioFormat(1000, 1)
queue = SendQueue(format, capacity_seconds=1.0, store=Spill(sys.argv[1], format))
for start in range(0, 130_000, 50):
    queue.put(b"".join((at % 65536).to_bytes(2, "little") for at in range(start, start + 50)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_what_a_killed_process_leaves_can_be_read(tmp_path: Path) -> None:
    """Complete WAV files, up to the last piece; only what was in memory is gone."""
    process = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert [len(read(path)) for path in wavs(tmp_path)] == [60_000, 60_000, 9_000]
    assert [at for path in wavs(tmp_path) for at in read(path)] == [at % 65536 for at in range(1000, 130_000)]


class TestFolder:
    """What is given as ``spill``."""

    def test_it_is_made_where_it_is_missing(self, tmp_path: Path) -> None:
        """And nothing is left in it by the look whether it can be written to."""
        Client("soniox/speech-ai:rt-v4", api_key="any", spill=tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []

    @pytest.mark.parametrize("kind", ["a file", "in a file", "no path", "a null"])
    def test_what_cannot_be_a_folder_is_refused(self, tmp_path: Path, kind: str) -> None:
        """When the client is made, by the name of the option."""
        file = tmp_path / "file"
        file.touch()
        given: Any = {"a file": file, "in a file": file / "x", "no path": 7, "a null": "a\0b"}[kind]
        with pytest.raises(ConfigurationError, match=r"^spill"):
            Client("soniox/speech-ai:rt-v4", api_key="any", spill=given)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
    def test_others_on_the_computer_cannot_listen(self, tmp_path: Path) -> None:
        """The session's folder is its user's own."""
        queue = spilling(tmp_path)
        speak(queue, 2 * SECOND)
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_two_sessions_have_two_folders(self, tmp_path: Path) -> None:
        """Neither touches what is the other's."""
        one, two = spilling(tmp_path), spilling(tmp_path)
        speak(one, 2 * SECOND)
        speak(two, 3 * SECOND)
        taken(one)
        one.settle(2.0)
        assert len(list(tmp_path.iterdir())) == 1
        assert heard(two) == list(range(3 * SECOND))


class LiveScript:
    """A microphone into which the script is spoken, faster than by people; holds when it is told to."""

    live = True

    def __init__(self, script: Script, seconds: float, pace: float = 0.002) -> None:
        self.audio_format = AudioFormat()
        self.done = threading.Event()
        self._script = script
        self._seconds = seconds
        self._pace = pace

    def __iter__(self) -> Iterator[bytes]:
        for index in range(round(self._seconds / 0.05)):
            yield self._script.audio(0.05, self.audio_format, start=index * 0.05)
            time.sleep(self._pace)
        self.done.set()


@pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
def test_a_long_time_without_a_gateway_loses_nothing(dialect: Any, tmp_path: Path) -> None:
    """A second of memory, half a minute offline: every word once, at its time, and nothing left on disk."""
    script = Script.numbered(60, utterance=5)
    source = LiveScript(script, 31.0)
    came: List[int] = []

    def fault(number: int) -> Faults:
        if number == 1:
            return Faults(trouble=Trouble.drop(2.0))
        if not source.done.is_set():
            came.append(len(wavs(tmp_path)))
            return Faults(upgrade_status=503, retry_after=0)
        return Faults()

    listener = Heard()
    with gateway(script, fault) as server:
        client = client_for(
            server.url, dialect, listener, buffer_seconds=1.0, spill=tmp_path, max_attempts=100_000
        )
        with client.listen(source) as session:
            session.wait(60)
        assert server.breaches == []
    words = [word for each in listener.items if getattr(each, "is_final", False) for word in each.words]
    assert [word.text for word in words] == [word.text for word in script.words]
    for word, meant in zip(words, script.words):
        # So little memory asks for a finalize every half second: one within a word makes it begin later.
        assert word.start == pytest.approx(meant.start, abs=0.2), word
    assert listener.of(AudioLost) == [] and listener.errors == []
    assert len(listener.of(Reconnecting)) > 2
    assert max(came) > 0
    assert listener.items[-1] == Closed(complete=True)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_gives_up_leaves_recordings(tmp_path: Path) -> None:
    """The gateway does not come back: what it did not answer for can be transcribed another day."""
    script = Script.numbered(20, utterance=5)
    source = LiveScript(script, 11.0)
    listener = Heard()
    faults = [Faults(trouble=Trouble.drop(2.0)), Faults(upgrade_status=503)]
    with gateway(script, faults) as server:
        session = client_for(server.url, Reson8(), listener, buffer_seconds=1.0, spill=tmp_path).listen(
            source
        )
        assert source.done.wait(30)
        assert session.close(timeout=0.5) is False
        session.wait(10)
    lengths = {}
    for path in wavs(tmp_path):
        with wave.open(str(path)) as file:
            lengths[path.name] = file.getnframes() / file.getframerate()
    assert sum(lengths.values()) >= 9.0, (lengths, session.stats)
    assert listener.of(AudioLost) == []
