"""``slng-sync replay``: lines, documents and damaged traces, without a network."""

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from command import KEY, environment, interrupt, run, slng_sync, started

from slng_sync import Client
from slng_sync.gateway import Faults, LocalGateway, Trouble

LINES = ["Hello there.", "This is a test.", "And so it ends."]


def traced(gateway: LocalGateway, recording: Path, path: Path, **options: Any) -> Path:
    """Return the trace of a session that transcribed a recording at full speed."""
    client = Client("soniox", api_key=KEY, base_url=gateway.url, **options)
    with client.listen(trace=path) as session:
        session.send(recording.read_bytes()[44:])
    return path


@pytest.fixture
def trace(gateway: LocalGateway, recording: Path, tmp_path: Path) -> Path:
    return traced(gateway, recording, tmp_path / "talk.jsonl")


def test_the_words_are_lines_as_they_were_without_key_and_network(trace: Path) -> None:
    done = run("replay", trace, env=environment(SLNG_BASE_URL="ws://127.0.0.1:9"))
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, LINES, "")


def test_documents_and_files_are_those_of_transcribe(
    trace: Path, env: Dict[str, str], recording: Path, tmp_path: Path
) -> None:
    """With the same words and times."""
    for format_ in ("srt", "vtt", "json", "html"):
        ours = run("replay", trace, "--format", format_)
        theirs = run("transcribe", recording, "--format", format_, "--speed", "50", env=env)
        assert (ours.returncode, ours.stdout) == (0, theirs.stdout)
    done = run("replay", trace, "-o", tmp_path / "new" / "talk.srt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "new" / "talk.srt").read_text("utf-8").startswith("1\n00:00:00,")


def test_it_takes_its_time_where_asked(trace: Path) -> None:
    """Replay a session of three seconds at six times its pace."""
    stretched(trace, 3000)
    begun = time.monotonic()
    done = run("replay", trace, "--speed", "6")
    assert (done.returncode, done.stdout.splitlines()) == (0, LINES)
    assert time.monotonic() - begun >= 0.5


def stretched(trace: Path, t_ms: int) -> None:
    """Delay the end of the session in the trace."""
    *lines, last = trace.read_text("utf-8").splitlines(keepends=True)
    trace.write_text("".join([*lines, json.dumps({**json.loads(last), "t_ms": t_ms})]), "utf-8")


def test_ctrl_c_leaves_the_words_so_far(trace: Path) -> None:
    stretched(trace, 10**7)
    with started(slng_sync("replay", trace, "--speed", "1"), environment()) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr.read() == b""


def test_a_reader_that_leaves_ends_it_quietly(trace: Path) -> None:
    with started(slng_sync("replay", trace, "--speed", "1"), environment()) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_a_session_that_was_not_complete_is_3(gateway: LocalGateway, recording: Path, tmp_path: Path) -> None:
    gateway.faults = Faults(trouble=Trouble.mute(2.5))
    path = tmp_path / "talk.jsonl"
    client = Client("reson8", api_key=KEY, base_url=gateway.url, reconnect=False)
    session = client.listen(trace=path)
    session.send(recording.read_bytes()[44:])
    session.close(2.0)
    done = run("replay", path)
    assert done.returncode == 3
    assert done.stdout.startswith("Hello there.\n")
    assert "incomplete" in done.stderr


def test_a_damaged_trace_is_4_with_the_number_of_the_line_and_what_came_before(
    trace: Path, tmp_path: Path
) -> None:
    lines = trace.read_text("utf-8").splitlines()
    trace.write_text("\n".join([*lines, "nonsense", ""]).replace('"kind": "end"', '"kind": "x"'), "utf-8")
    done = run("replay", trace, "-o", tmp_path / "talk.txt")
    assert (done.returncode, done.stdout) == (4, "")
    assert f"line {len(lines) + 1} is not JSON" in done.stderr
    assert (tmp_path / "talk.txt").read_text("utf-8").splitlines() == LINES


NO_TRACES: List[List[str]] = [["missing.jsonl"], ["{recording}"], ["{recording}", "-o", "{folder}/x.srt"]]


@pytest.mark.parametrize("arguments", NO_TRACES, ids=" ".join)
def test_what_is_no_trace_is_4_and_writes_nothing(
    arguments: List[str], recording: Path, tmp_path: Path
) -> None:
    done = run("replay", *(each.format(recording=recording, folder=tmp_path) for each in arguments))
    assert (done.returncode, done.stdout) == (4, "")
    assert 1 <= len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr
    assert not os.path.exists(tmp_path / "x.srt")


def test_wrong_usage_is_2(trace: Path) -> None:
    """For example the trace itself as the output. The trace stays unchanged."""
    before = trace.read_bytes()
    for arguments in ([], ["--speed", "0", trace], ["--model", "soniox", trace], ["-o", trace, trace]):
        assert run("replay", *arguments).returncode == 2
    assert trace.read_bytes() == before


def test_help_has_an_example() -> None:
    told = run("replay", "--help")
    assert told.returncode == 0
    assert "talk.jsonl" in told.stdout and "exit codes" in told.stdout
