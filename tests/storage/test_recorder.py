"""A session's audio on disk: readable at any moment, and never the end of the session."""

import os
import signal
import subprocess
import sys
import threading
import wave
from pathlib import Path
from typing import Any, List

import pytest
from heard import Heard
from test_session import BOTH, client_for, gateway

from slng_sync import AudioFormat, Dialect, SlngError, Soniox
from slng_sync.audio.wav import read_wav
from slng_sync.gateway import Script
from slng_sync.storage import recorder as recording_module
from slng_sync.storage.recorder import Recorder

FORMAT = AudioFormat(1000, 1)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="uses what Linux has")


def read(path: Path) -> bytes:
    """The audio in a file, which both readers must find."""
    with path.open("rb") as file:
        ours = b"".join(read_wav(file, str(path)).chunks(file))
    with wave.open(str(path)) as standard:
        assert standard.readframes(standard.getnframes()) == ours
    return ours


def numbered(start: int, count: int) -> bytes:
    return b"".join((at % 65536).to_bytes(2, "little") for at in range(start, start + count))


KILLED = """
import sys, time
from slng_sync import Client
session = Client("soniox", api_key="any", base_url=sys.argv[1]).listen(record=sys.argv[2], trace=sys.argv[3])
for at in range(0, 80_000, 800):
    session.send(b"".join((value % 65536).to_bytes(2, "little") for value in range(at, at + 800)))
session.finalize(10)
print("sent", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills otherwise")
def test_what_a_killed_process_leaves_can_be_played_and_replayed(tmp_path: Path) -> None:
    """Of five seconds of audio the header counts four at least; every word that was heard is in the trace."""
    record, trace, heard = tmp_path / "talk.wav", tmp_path / "talk.jsonl", Heard()
    with gateway(Script.numbered(8, utterance=4)) as server:
        command = [sys.executable, "-c", KILLED, server.url, str(record), str(trace)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "sent\n"
            process.kill()
        assert process.returncode == -signal.SIGKILL
    with wave.open(str(record)) as file:
        frames = file.getnframes()
        assert 64_000 <= frames <= 80_000
        assert file.readframes(frames) == numbered(0, frames)
    assert record.stat().st_size == 44 + 160_000, "what is not counted yet is there all the same"
    log = client_for(server.url, Soniox(), heard).replay(trace)
    assert log.text == "one two three four five six seven eight"


FULL = """
import resource, sys
from slng_sync import Client
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
client = Client(sys.argv[1], api_key="any", base_url=sys.argv[2])
client.on_error(lambda error: print("error", type(error).__name__, error, flush=True))
with client.listen(**{sys.argv[3]: sys.argv[4]}, trace_audio=True) as session:
    for _ in range(100):
        session.send(bytes(1600))
print("said", session.transcript.text, flush=True)
"""


@LINUX
@BOTH
@pytest.mark.parametrize("option", ["record", "trace"])
def test_a_full_disk_ends_the_file_and_not_the_session(dialect: Dialect, option: str, tmp_path: Path) -> None:
    """It is told once, to on_error and to the log; what was written can be read."""
    path = tmp_path / "talk"
    with gateway(Script.numbered(6, utterance=3)) as server:
        command = [sys.executable, "-c", FULL, dialect.model, server.url, option, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    error, said = done.stdout.splitlines()
    assert said == "said one two three four five six"
    assert (
        error.startswith(f"error SlngError {option}: {str(path)!r} ends here")
        and "No space left on device" in error
    )
    assert done.stderr.count("ends here") == 1
    if option == "record":
        assert 45_000 < len(read(path)) < 50_000
    else:
        assert client_for(server.url, dialect, Heard()).replay(path).text in said
        assert path.stat().st_size == 50_000


@LINUX
def test_a_disk_that_is_full_from_the_beginning_is_told_at_once() -> None:
    """Before anything is connected."""
    client = client_for("ws://127.0.0.1:9", Soniox(), Heard())
    with pytest.raises(SlngError, match="record: '/dev/full' cannot be written"):
        client.listen(record="/dev/full")


class TestAudioRecord:
    """The file itself."""

    def test_it_can_be_read_while_it_grows(self, tmp_path: Path) -> None:
        """It is never more than a second behind."""
        path = tmp_path / "talk.wav"
        record = Recorder(path, FORMAT, pytest.fail)
        for at in range(0, 5000, 50):
            record.write(numbered(at, 50))
            counted = read(path) if at else b""
            assert numbered(0, at + 50).startswith(counted)
            assert len(counted) >= 2 * (at + 50 - 1000)
            assert path.stat().st_size == 44 + 2 * (at + 50)
        record.close()
        assert read(path) == numbered(0, 5000)
        record.close()
        record.write(b"\0\0")
        assert read(path) == numbered(0, 5000)

    def test_what_is_said_now_and_then_is_counted_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a second without any."""
        monkeypatch.setattr(recording_module, "COUNT_SECONDS", 0.0)
        record = Recorder(tmp_path / "talk.wav", FORMAT, pytest.fail)
        record.write(numbered(0, 10))
        assert read(tmp_path / "talk.wav") == numbered(0, 10)
        record.close()

    def test_no_audio_is_an_empty_file(self, tmp_path: Path) -> None:
        """And a WAV file all the same."""
        Recorder(tmp_path / "talk.wav", FORMAT, pytest.fail).close()
        with wave.open(str(tmp_path / "talk.wav")) as file:
            assert (file.getnframes(), file.getframerate()) == (0, 1000)

    @pytest.mark.parametrize("piece", [50, 999, 7000])
    def test_what_wav_cannot_count_goes_on_in_another_file(
        self, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a gap, and without writing over a file that is there."""
        monkeypatch.setattr(recording_module, "LARGEST_DATA", 2501)
        (tmp_path / "talk-3.wav").write_bytes(b"mine")
        record = Recorder(tmp_path / "talk.wav", FORMAT, pytest.fail)
        for at in range(0, 7000, piece):
            record.write(numbered(at, min(piece, 7000 - at)))
        record.close()
        names = ["talk", "talk-2", *(f"talk-{number}" for number in range(4, 8))]
        parts = [read(tmp_path / f"{name}.wav") for name in names]
        assert b"".join(parts) == numbered(0, 7000)
        assert [len(part) for part in parts] == [2500] * 5 + [1500]
        assert (tmp_path / "talk-3.wav").read_bytes() == b"mine"

    def test_another_file_that_cannot_be_made_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Once; the first one is whole."""
        monkeypatch.setattr(recording_module, "LARGEST_DATA", 2000)
        told: List[SlngError] = []
        folder = tmp_path / "stick"
        folder.mkdir()
        record = Recorder(folder / "talk.wav", FORMAT, told.append)
        record.write(numbered(0, 900))
        folder.rename(tmp_path / "elsewhere")
        for _ in range(5):
            record.write(numbered(900, 200))
        record.close()
        assert [error.message for error in told] == [
            f"record: {str(folder / 'talk-2.wav')!r} ends here, it cannot be written any more "
            "(No such file or directory); the session goes on."
        ]
        assert read(tmp_path / "elsewhere" / "talk.wav") == numbered(0, 900) + numbered(900, 100)

    @LINUX
    def test_what_cannot_be_rewound_is_refused_or_told(self, tmp_path: Path) -> None:
        """A pipe takes audio, and no header that counts it: the record ends, and nothing is raised."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        told: List[SlngError] = []
        read_end: List[Any] = []
        reader = threading.Thread(target=lambda: read_end.append(path.open("rb")))
        reader.start()
        record = Recorder(path, FORMAT, told.append)
        reader.join()
        record.write(numbered(0, 100))
        record.write(numbered(0, 100))
        record.close()
        read_end[0].close()
        assert len(told) == 1
