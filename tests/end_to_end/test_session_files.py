"""The files of whole sessions: recording, trace and spill, with the local gateway."""

import errno
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
import wave
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from heard import PATIENCE, Heard
from test_reconnect import gateway as place_gateway
from test_reconnect import speak
from test_session import BOTH, SECOND, client_for, gateway

from slng_sync import (
    AudioFormat,
    AudioLost,
    Client,
    Closed,
    ConfigurationError,
    Dialect,
    Reconnecting,
    Reson8,
    SlngError,
    Soniox,
    State,
)
from slng_sync.audio.wav import read_wav
from slng_sync.gateway import Faults, Script, Trouble
from slng_sync.storage import trace_writer
from slng_sync.storage import writer as writer_module

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def read(path: Path) -> bytes:
    """Return the audio in a WAV file, on which our reader and the standard library must agree."""
    with path.open("rb") as file:
        ours = b"".join(read_wav(file, str(path)).chunks(file))
    with wave.open(str(path)) as standard:
        assert standard.readframes(standard.getnframes()) == ours
    return ours


def numbered(start: int, count: int) -> bytes:
    return b"".join((at % 65536).to_bytes(2, "little") for at in range(start, start + count))


def wavs(folder: Path) -> List[Path]:
    return sorted(folder.glob("*/*.wav"))


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


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_the_files_of_a_killed_process_can_be_played_and_replayed(tmp_path: Path) -> None:
    """The header counts at least four of five seconds of audio, and the trace has all words."""
    record, trace, heard = tmp_path / "talk.wav", tmp_path / "talk.jsonl", Heard()
    with gateway(Script.numbered(8, utterance=4)) as server:
        command = [sys.executable, "-c", KILLED, server.url, str(record), str(trace)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "sent\n"
            # slng-writer writes a moment later than slng-io hands over.
            until = time.monotonic() + PATIENCE
            while b"eight" not in trace.read_bytes() or record.stat().st_size < 44 + 160_000:
                assert time.monotonic() < until
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    with wave.open(str(record)) as file:
        frames = file.getnframes()
        assert 64_000 <= frames <= 80_000
        assert file.readframes(frames) == numbered(0, frames)
    assert record.stat().st_size == 44 + 160_000, "audio that the header does not count yet is in the file"
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
    """It is reported once to on_error and once in the log. The file so far can be read."""
    path = tmp_path / "talk"
    with gateway(Script.numbered(6, utterance=3)) as server:
        command = [sys.executable, "-c", FULL, dialect.model, server.url, option, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    error, said = done.stdout.splitlines()
    assert said == "said one two three four five six"
    assert (
        error.startswith(f"error SlngError {option}: writing to {str(path)!r} stopped")
        and "No space left on device" in error
    )
    assert done.stderr.count(" stopped (") == 1
    if option == "record":
        assert 45_000 < len(read(path)) < 50_000
    else:
        assert client_for(server.url, dialect, Heard()).replay(path).text in said
        assert path.stat().st_size == 50_000


@LINUX
def test_a_disk_that_is_full_from_the_beginning_is_an_error() -> None:
    """Listen raises before it connects."""
    client = client_for("ws://127.0.0.1:9", Soniox(), Heard())
    with pytest.raises(SlngError, match="record: '/dev/full' cannot be written"):
        client.listen(record="/dev/full")


KEY = "sk/never-to-be-seen-1234"
NOISE = bytes(range(256)) * 250


def lines_of(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def of(lines: List[Dict[str, Any]], what: str) -> List[Dict[str, Any]]:
    return [line for line in lines if line.get("is") == what]


def assert_no_key(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "never-to-be-seen" not in text
    assert "never-to-be-seen" not in json.dumps([_decoded(line["data"]) for line in lines_of(path)])


def _decoded(data: Any) -> Any:
    if isinstance(data, str) and data.startswith("@b64("):
        return b64decode(data[5:-1]).decode("latin-1")
    try:
        return json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):
        return data


@BOTH
def test_each_line_of_a_trace_has_its_kind(dialect: Dialect, tmp_path: Path) -> None:
    """The lines are in the order of sending: the start, audio, finalize, more audio and the end."""
    path = tmp_path / "talk.jsonl"
    with gateway() as server, client_for(server.url, dialect, Heard()).listen(trace=path) as session:
        session.send(SECOND[:16000])
        session.send(SECOND)
        session.finalize()
        session.send(SECOND)
    lines = lines_of(path)
    opening, start = lines[:2]
    assert (opening["dir"], opening["kind"], opening["at"]) == ("session", "open", 0.0)
    assert opening["data"].pop("time").endswith("Z")
    assert opening["data"] == {
        "version": 1,
        "model": dialect.model,
        "sample_rate": 16000,
        "channels": 1,
    }
    assert start["is"] == "start" and "16000" in start["data"]
    assert [line["at"] for line in of(lines, "finalize")] == [1.5, 2.5]
    (end,) = of(lines, "end")
    assert end["at"] == 2.5
    audio = of(lines, "audio")
    at = 0.0
    for line in audio:
        assert line["at"] == pytest.approx(at)
        at += line["seconds"]
    assert at == pytest.approx(2.5)
    times = [line["t_ms"] for line in lines]
    assert times == sorted(times)
    assert lines[-1]["data"] == {"complete": True, "drained": True}


@BOTH
def test_audio_is_left_out_unless_asked_for(dialect: Dialect, tmp_path: Path) -> None:
    """By default the trace has only the length of the audio; with ``trace_audio`` it has all samples."""
    without, with_audio = tmp_path / "without.jsonl", tmp_path / "with.jsonl"
    for path in (without, with_audio):
        with gateway() as server:
            client = client_for(server.url, dialect, Heard())
            with client.listen(trace=path, trace_audio=path is with_audio) as session:
                session.send(NOISE)
    heard = b"".join(_pcm(line["data"]) for line in of(lines_of(with_audio), "audio"))
    assert heard == NOISE
    audio = of(lines_of(without), "audio")
    assert sum(line["seconds"] for line in audio) == pytest.approx(2.0)
    sizes = [re.fullmatch(r"@audio\((\d+) bytes\)", line["data"]) for line in audio]
    assert sum(int(size[1]) for size in sizes if size) == len(NOISE)
    # The base64 of the same bytes depends on their offset, modulo three.
    pieces = [b64encode(NOISE[begin : begin + 60]).decode()[:-4] for begin in range(3)]
    assert any(piece in with_audio.read_text() for piece in pieces)
    assert not any(piece in without.read_text() for piece in pieces)


def _pcm(data: str) -> bytes:
    encoded = data[5:-1] if data.startswith("@b64(") else json.loads(data)["data"]
    return b64decode(encoded, validate=True)


@BOTH
def test_a_lost_connection_is_traced_with_its_reason(dialect: Dialect, tmp_path: Path) -> None:
    """The trace also has the position at which the next connection continues."""
    path, script = tmp_path / "talk.jsonl", Script.numbered(12, utterance=3)
    with place_gateway(script, [Faults(trouble=Trouble.close(3.3, 1011, "upstream")), Faults()]) as server:
        with client_for(server.url, dialect, Heard()).listen(trace=path) as session:
            speak(session, script, 7.0)
    lines = lines_of(path)
    kinds = [line["kind"] for line in lines if line["dir"] == "session"]
    assert kinds == ["open", "lost", "open", "end"]
    (lost,) = (line for line in lines if line["kind"] == "lost")
    assert "1011: upstream" in lost["data"]["reason"]
    again = lines[lines.index(lost) + 1 :]
    assert again[0]["at"] == lost["at"] == of(again, "audio")[0]["at"] <= 3.3


@pytest.mark.parametrize("audio", [False, True])
@BOTH
def test_the_key_is_never_in_a_trace(dialect: Dialect, audio: bool, tmp_path: Path) -> None:
    """Neither the headers nor a server's message that repeats it bring the key into the trace."""
    path = tmp_path / "talk.jsonl"
    trouble = Trouble.error(1.0, 401 if isinstance(dialect, Soniox) else "auth_error", f"{KEY} is refused")
    with gateway(faults=Faults(trouble=trouble)) as server:
        client = Client(dialect, api_key=KEY, base_url=server.url, on_error=lambda error: None)
        with client.listen(trace=path, trace_audio=audio) as session:
            session.send(SECOND * 2)
            session.wait(10)
    assert "*** is refused" in path.read_text()
    assert_no_key(path)


def test_an_invalid_flag_is_refused() -> None:
    flag: Any = "yes"
    with pytest.raises(ConfigurationError, match="trace_audio"):
        client_for("ws://127.0.0.1:9", Soniox(), Heard()).listen(trace="x", trace_audio=flag)


def test_a_disk_that_fails_on_close_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system may report a full disk only then. The session still ends completely."""

    class Late(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(trace_writer, "open_to_replace", lambda path: Late(path, "w"))
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, Soniox(), heard).listen(trace=tmp_path / "talk.jsonl")
        session.send(SECOND * 3)
        assert session.close() is True
    assert session.state is State.CLOSED
    (error,) = heard.errors
    assert "Disk quota exceeded" in str(error)
    assert heard.items[-1] == Closed(complete=True)


class LiveScript:
    """A live source of stamped audio, faster than speech. ``done`` is set at its end."""

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
def test_a_long_outage_loses_nothing(dialect: Any, tmp_path: Path) -> None:
    """With a buffer of a second and half a minute offline, every word comes once, with the right time.

    The spill file is deleted afterwards.
    """
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
    with place_gateway(script, fault) as server:
        client = client_for(
            server.url, dialect, listener, buffer_seconds=1.0, spill=tmp_path, max_attempts=100_000
        )
        with client.listen(source) as session:
            session.wait(60)
        assert server.breaches == []
    words = [word for each in listener.items if getattr(each, "is_final", False) for word in each.words]
    assert [word.text for word in words] == [word.text for word in script.words]
    for word, meant in zip(words, script.words):
        # With this small buffer the client finalizes every half second. Within a word, this delays its start.
        assert word.start == pytest.approx(meant.start, abs=0.2), word
    assert listener.of(AudioLost) == [] and listener.errors == []
    assert len(listener.of(Reconnecting)) > 2
    assert max(came) > 0
    assert listener.items[-1] == Closed(complete=True)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_gives_up_leaves_recordings(tmp_path: Path) -> None:
    """If the gateway does not come back, the unacknowledged audio stays on disk as WAV files."""
    script = Script.numbered(20, utterance=5)
    source = LiveScript(script, 11.0)
    listener = Heard()
    faults = [Faults(trouble=Trouble.drop(2.0)), Faults(upgrade_status=503)]
    with place_gateway(script, faults) as server:
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


@pytest.mark.parametrize("option", ["record", "trace"])
def test_the_source_is_never_overwritten(option: str, tmp_path: Path) -> None:
    """Listen refuses the source's own path, and a link to it, before it opens a file."""
    path, link = tmp_path / "talk.wav", tmp_path / "link.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(SECOND)
    link.symlink_to(path)
    client = client_for("ws://127.0.0.1:9", Soniox(), Heard())
    for target in (path, link):
        with pytest.raises(ConfigurationError, match=option):
            client.listen(path, **{option: target})
    assert path.stat().st_size == 44 + len(SECOND)


def test_record_and_trace_cannot_be_the_same_file(tmp_path: Path) -> None:
    client = client_for("ws://127.0.0.1:9", Soniox(), Heard())
    with pytest.raises(ConfigurationError, match="same file"):
        client.listen(record=tmp_path / "x", trace=tmp_path / "x")


@pytest.mark.parametrize("option", ["record", "trace", "spill"])
def test_a_hung_disk_does_not_block_a_session(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word arrives, ``close`` returns, and the incomplete file is reported."""
    answers, hangs, write = threading.Event(), threading.Event(), writer_module.write_whole

    def hang(file: Any, data: bytes) -> None:
        if hangs.is_set():
            assert answers.wait(30)
        write(file, data)

    monkeypatch.setattr(writer_module, "write_whole", hang)
    heard = Heard()
    listening = {} if option == "spill" else {option: tmp_path / "file"}
    client_options: Any = {"spill": tmp_path} if option == "spill" else {}
    try:
        with gateway(Script.numbered(6, utterance=3)) as server:
            session = client_for(server.url, Soniox(), heard, **client_options).listen(**listening)
            hangs.set()
            for _ in range(100):
                session.send(bytes(1600))
            begun = time.monotonic()
            assert session.stats.captured == 5.0
            assert session.close(timeout=10) is True
            assert time.monotonic() - begun < 8
        assert session.transcript.text == "one two three four five six"
        assert [option in str(error) for error in heard.errors] == ([] if option == "spill" else [True])
    finally:
        answers.set()
