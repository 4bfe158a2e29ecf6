"""The files of whole sessions: recording, trace and spill, with a real gateway on loopback."""

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
from heard import Heard
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
def test_a_disk_that_is_full_from_the_beginning_is_told_at_once() -> None:
    """Before anything is connected."""
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
def test_each_line_says_what_it_is(dialect: Dialect, tmp_path: Path) -> None:
    """Of two seconds of speech, a finalize and an end, in the order in which they went out."""
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
    """By default there is none of it, only its length; with ``trace_audio`` there is all of it."""
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
    # In base64 it may begin at any of three places.
    pieces = [b64encode(NOISE[begin : begin + 60]).decode()[:-4] for begin in range(3)]
    assert any(piece in with_audio.read_text() for piece in pieces)
    assert not any(piece in without.read_text() for piece in pieces)


def _pcm(data: str) -> bytes:
    encoded = data[5:-1] if data.startswith("@b64(") else json.loads(data)["data"]
    return b64decode(encoded, validate=True)


@BOTH
def test_a_lost_connection_is_told_with_its_reason(dialect: Dialect, tmp_path: Path) -> None:
    """And where the next one goes on."""
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
def test_the_key_is_never_in_it(dialect: Dialect, audio: bool, tmp_path: Path) -> None:
    """Not from the headers, and not where a server repeats it, however it is written there."""
    path = tmp_path / "talk.jsonl"
    trouble = Trouble.error(1.0, 401 if isinstance(dialect, Soniox) else "auth_error", f"{KEY} is refused")
    with gateway(faults=Faults(trouble=trouble)) as server:
        client = Client(dialect, api_key=KEY, base_url=server.url, on_error=lambda error: None)
        with client.listen(trace=path, trace_audio=audio) as session:
            session.send(SECOND * 2)
            session.wait(10)
    assert "*** is refused" in path.read_text()
    assert_no_key(path)


def test_a_flag_that_is_none_is_refused() -> None:
    flag: Any = "yes"
    with pytest.raises(ConfigurationError, match="trace_audio"):
        client_for("ws://127.0.0.1:9", Soniox(), Heard()).listen(trace="x", trace_audio=flag)


def test_a_disk_that_fails_when_the_file_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network's does, which only then says that there was no room. The session ends in order."""

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
    (told,) = heard.errors
    assert "Disk quota exceeded" in str(told)
    assert heard.items[-1] == Closed(complete=True)


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
def test_the_source_is_never_written_over(option: str, tmp_path: Path) -> None:
    """Not by its own path and not through a link; it is refused before anything is opened."""
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


def test_record_and_trace_are_two_files(tmp_path: Path) -> None:
    client = client_for("ws://127.0.0.1:9", Soniox(), Heard())
    with pytest.raises(ConfigurationError, match="same file"):
        client.listen(record=tmp_path / "x", trace=tmp_path / "x")


@pytest.mark.parametrize("option", ["record", "trace", "spill"])
def test_a_disk_that_hangs_holds_up_no_session(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word is heard, ``close`` comes back, and the file that is not complete is reported."""
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
