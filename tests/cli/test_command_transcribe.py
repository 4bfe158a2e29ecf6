"""``slng-sync transcribe``: output to pipes, documents and files, and every exit code."""

import json
import re
import wave
from pathlib import Path
from typing import Any, Dict, List

import pytest
from command import KEY, ROOT, SPEECH, environment, interrupt, run, shadow, slng_sync, started

from slng_sync.gateway import Faults, LocalGateway, Script, Trouble

LINES = ["Hello there.", "This is a test.", "And so it ends."]
CUE = re.compile(r"(\d+)\n(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})\n(.+)", re.S)


def test_finals_are_lines_and_nothing_else_is_said(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", recording, "--speed", "20", env=env)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, LINES, "")


@pytest.mark.parametrize("model", ["soniox", "reson8", "soniox/speech-ai:rt-v4", "reson8/reson8stt:v1"])
def test_models_go_by_their_short_names_and_their_ids(
    model: str, gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    done = run("transcribe", "--model", model, "--language", "en", recording, "--speed", "20", env=env)
    assert (done.returncode, done.stdout.splitlines()) == (0, LINES)
    assert gateway.connections[0].model.startswith(model)
    assert gateway.breaches == []
    config = gateway.connections[0].config
    assert config.get("language_hints") == ["en"] or config.get("language") == "en"


@pytest.mark.parametrize("model", ["soniox", "reson8"])
def test_local_hears_real_speech_without_a_key(model: str) -> None:
    done = run("transcribe", "--local", "--model", model, SPEECH / "goforward.wav", "--speed", "4")
    assert (done.returncode, done.stdout) == (0, "go forward ten meters\n")
    assert len(done.stderr.splitlines()) == 1
    assert "offline recogniser" in done.stderr


def test_srt_is_a_whole_document(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", recording, "--format", "srt", "--speed", "20", env=env)
    cues = [CUE.fullmatch(block.strip()) for block in done.stdout.strip().split("\n\n")]
    assert done.returncode == 0
    assert [cue and cue.group(10) for cue in cues] == LINES


def test_vtt_is_a_whole_document(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", recording, "--format", "vtt", "--speed", "20", env=env)
    head, *cues = done.stdout.strip().split("\n\n")
    assert head == "WEBVTT"
    assert [cue.splitlines()[1] for cue in cues] == LINES


def test_json_is_a_whole_document(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", recording, "--format", "json", "--speed", "20", env=env)
    assert [final["text"] for final in json.loads(done.stdout)["finals"]] == LINES


@pytest.mark.parametrize("name", ["out", "out.json", "new/out.srt", "out.html"])
def test_the_suffix_of_the_output_says_its_format(
    name: str, env: Dict[str, str], recording: Path, tmp_path: Path
) -> None:
    done = run("transcribe", recording, "-o", tmp_path / name, "--speed", "20", env=env)
    text = (tmp_path / name).read_text("utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    beginnings = {".srt": "1\n00:", ".json": "{", ".html": "<!DOCTYPE html>"}
    beginning = beginnings.get(Path(name).suffix, LINES[0] + "\n")
    assert text.startswith(beginning)
    assert all(line in text for line in LINES)


def test_each_of_several_files_has_a_header(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    other = recording.rename(tmp_path / "other.wav")
    done = run("transcribe", other, other, "--speed", "50", env=env)
    both = [f"==> {other} <==", *LINES]
    assert done.stdout.splitlines() == [*both, "", *both]


def test_several_files_go_into_a_folder(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(recording.read_bytes())
    folder = tmp_path / "subtitles"
    done = run(
        "transcribe", recording, other, "--format", "vtt", "-o", f"{folder}/", "--speed", "50", env=env
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["other.vtt", "talk.vtt"]


def test_a_file_that_fails_does_not_stop_the_others(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", "missing.wav", recording, "--speed", "50", env=env)
    assert done.returncode == 4
    assert done.stdout.splitlines()[-3:] == LINES
    assert "File not found: missing.wav" in done.stderr


def test_standard_input_as_wav(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", "-", "--speed", "50", env=env, stdin=recording.read_bytes())
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, LINES, "")


def test_standard_input_as_raw_samples(env: Dict[str, str], recording: Path) -> None:
    with wave.open(str(recording)) as file:
        pcm = file.readframes(file.getnframes())
    done = run("transcribe", "--sample-rate", "16000", "-", "--speed", "50", env=env, stdin=pcm)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, LINES, "")


def test_ctrl_c_ends_also_while_standard_input_stays_silent(
    env: Dict[str, str], gateway: LocalGateway
) -> None:
    with started(slng_sync("transcribe", "--sample-rate", "16000", "-", "--speed", "50"), env) as process:
        process.stdin.write(bytes(32000 * 3))
        process.stdin.flush()
        assert process.stdout.readline() == b"Hello there.\n"
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr.read() == b""


# Ctrl-C and pipes


def test_ctrl_c_still_brings_the_last_words(listening: Any, recording: Path) -> None:
    gateway, probe = listening(Script.numbered(20, utterance=100))
    talked = probe.received(4.0)
    env = environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)
    with started(slng_sync("transcribe", recording, "--speed", "4"), env) as process:
        assert talked.wait(20)
        interrupt(process)
        out, err = process.communicate(timeout=12)
    assert process.returncode == 130
    assert " ".join(out.decode().split()).startswith("one two three four five six seven eight")
    assert err == b""


def test_ctrl_c_completes_the_document(listening: Any, recording: Path) -> None:
    gateway, probe = listening(Script.numbered(20, utterance=100))
    talked = probe.received(2.0)
    env = environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)
    with started(slng_sync("transcribe", recording, "--format", "json", "--speed", "2"), env) as process:
        assert talked.wait(20)
        interrupt(process)
        out, _ = process.communicate(timeout=12)
    assert process.returncode == 130
    assert json.loads(out)["finals"][0]["text"].startswith("one two three four")


def test_a_polite_kill_ends_like_ctrl_c(listening: Any, recording: Path) -> None:
    gateway, probe = listening(Script.numbered(20, utterance=100))
    talked = probe.received(2.0)
    env = environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)
    with started(slng_sync("transcribe", recording, "--speed", "2"), env) as process:
        assert talked.wait(20)
        process.terminate()
        out, _ = process.communicate(timeout=12)
    assert process.returncode == 128 + 15
    assert out.startswith(b"one two three four")


def test_ctrl_c_while_connecting(gateway: LocalGateway, env: Dict[str, str], recording: Path) -> None:
    gateway.faults = Faults(ready="never")
    with started(slng_sync("transcribe", "--model", "reson8", recording), env) as process:
        while not gateway.connections:
            assert process.poll() is None
        interrupt(process)
        out, err = process.communicate(timeout=6)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_lines_are_flushed_and_a_reader_that_leaves_ends_it_quietly(
    env: Dict[str, str], recording: Path
) -> None:
    with started(slng_sync("transcribe", recording, "--speed", "2"), env) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_letters_that_the_locale_lacks_are_replaced(
    gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    gateway.script = Script.from_text("Žluťoučký kůň.")
    env.update(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    done = run("transcribe", recording, "--speed", "50", env=env)
    assert (done.returncode, done.stdout) == (0, "?lu?ou?k? k??.\n")


def test_no_command_to_the_terminal_comes_through(
    gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    gateway.script = Script.from_text("red\x1b[31m alert\x07.")
    done = run("transcribe", recording, "--speed", "50", env=env)
    assert done.stdout == "red [31m alert .\n"


# Exit codes


def test_no_key_is_5_and_says_what_to_do(recording: Path) -> None:
    done = run("transcribe", recording)
    assert done.returncode == 5
    what, hint = done.stderr.splitlines()
    assert what == "slng-sync: No API key: SLNG_API_KEY is not set."
    assert "SLNG_API_KEY" in hint
    assert "--local" in hint


@pytest.mark.parametrize("when", ["at_upgrade", "in_band"])
def test_a_refused_key_is_5_and_is_not_shown(
    when: str, gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    gateway.faults = Faults(key_refused=when)
    done = run("transcribe", recording, recording, "-v", env=env)
    assert done.returncode == 5
    assert KEY not in done.stdout + done.stderr


def test_a_file_that_is_missing_or_no_recording_is_4(env: Dict[str, str], tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no audio at all, only text")
    for path in (tmp_path / "missing.wav", notes, tmp_path):
        done = run("transcribe", path, env=env)
        assert (done.returncode, done.stdout) == (4, ""), path
        assert 1 <= len(done.stderr.splitlines()) <= 2


def test_a_server_error_is_1_and_what_was_said_stays(
    gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    gateway.faults = Faults(trouble=Trouble.error(2.5, 402, "Budget used up"))
    done = run("transcribe", recording, "--speed", "4", env=env)
    assert (done.returncode, done.stdout) == (1, "Hello there.\n")
    assert "402" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_that_is_not_there_is_1_with_a_traceback_only_on_request(recording: Path) -> None:
    nowhere = environment(SLNG_BASE_URL="ws://127.0.0.1:9", SLNG_API_KEY=KEY)
    brief, verbose = (
        run("transcribe", recording, env=nowhere),
        run("transcribe", "-v", recording, env=nowhere),
    )
    assert (brief.returncode, verbose.returncode) == (1, 1)
    assert len(brief.stderr.splitlines()) <= 2
    assert "Traceback" in verbose.stderr
    assert KEY not in verbose.stderr


def test_what_the_server_did_not_answer_for_is_3(
    gateway: LocalGateway, env: Dict[str, str], recording: Path
) -> None:
    gateway.faults = Faults(trouble=Trouble.mute(2.5))
    done = run("transcribe", "--model", "reson8", recording, "--speed", "20", env=env)
    assert done.returncode == 3
    assert "incomplete" in done.stderr
    assert done.stdout.startswith("Hello there.\n")


def test_an_output_that_cannot_be_written_is_1(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", recording, "-o", "/proc/nothing/talk.srt", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be written" in done.stderr


WRONG: List[List[str]] = [
    [],
    ["nonsense"],
    ["transcribe"],
    ["transcribe", "--model", "whisper", "x.wav"],
    ["transcribe", "--speed", "0", "x.wav"],
    ["transcribe", "--speed", "fast", "x.wav"],
    ["transcribe", "--sample-rate", "-1", "x.wav"],
    ["transcribe", "--frobnicate", "x.wav"],
    ["transcribe", "--form", "srt", "x.wav"],
    ["transcribe", "-v", "-q", "x.wav"],
    ["transcribe", "--world-part", "mars", "x.wav"],
    ["transcribe", "--base-url", "http://example.com", "x.wav"],
    ["transcribe", "--local", "--base-url", "ws://127.0.0.1:1", "x.wav"],
    ["transcribe", "--format", "srt", "a.wav", "b.wav"],
    ["transcribe", "--format", "srt", "-o", "x.json", "x.wav"],
    ["transcribe", "-o", "x.wav", "x.wav"],
    ["transcribe", "-o", "folder/", "a/x.wav", "b/x.wav"],
    ["transcribe", "https://example.com/x.wav"],
    ["listen", "--device", ""],
    ["gateway", "--port", "99999"],
    ["gateway", "--engine", "recognizer", "--script", "words.txt"],
    ["gateway", "--tls-cert", "cert.pem"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_2(
    arguments: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, because only arguments are parsed."""
    from slng_sync.cli import main

    monkeypatch.setenv("SLNG_API_KEY", KEY)
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert capsys.readouterr().err


def test_version_and_help() -> None:
    assert re.fullmatch(r"slng-sync \d+\.\d+.*\n", run("--version").stdout)
    for command in ([], ["listen"], ["transcribe"], ["devices"], ["gateway"]):
        told = run(*command, "--help")
        assert told.returncode == 0
        assert "exit codes" in told.stdout
        assert str(ROOT) not in told.stdout


def test_local_without_its_packages_says_what_to_install(recording: Path, tmp_path: Path) -> None:
    """A module that cannot be imported represents a package that is not installed."""
    env = shadow(tmp_path, "sitecustomize", "import sys\nsys.modules['pocketsphinx'] = None\n")
    done = run("transcribe", "--local", recording, env=env)
    assert done.returncode == 1
    assert "slng-sync[gateway]" in done.stderr
    assert "Traceback" not in done.stderr


# Recordings that are still being made, and channels by themselves


def test_follow_goes_on_with_what_is_written_and_ends_with_it(
    env: Dict[str, str], recording: Path, tmp_path: Path
) -> None:
    whole = recording.read_bytes()
    path = tmp_path / "growing.wav"
    path.write_bytes(whole[:40] + bytes(4) + whole[44:64001])
    with started(slng_sync("transcribe", "--follow", path), env) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        with path.open("ab") as file:
            file.write(whole[64001:])
        with path.open("r+b") as file:
            file.write(whole[:44])
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out.decode().splitlines(), err) == (0, LINES[1:], b"")


def test_follow_ends_with_ctrl_c(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "growing.raw"
    path.write_bytes(recording.read_bytes()[44:])
    command = slng_sync("transcribe", "--follow", "--sample-rate", "16000", path)
    with started(command, env) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        interrupt(process)
        out, err = process.communicate(timeout=12)
    assert (process.returncode, out.decode().splitlines(), err) == (130, LINES[1:], b"")


def test_standard_input_needs_no_follow(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", "--follow", "-", env=env, stdin=recording.read_bytes())
    assert done.returncode == 2
    assert "leave out --follow" in done.stderr


def stereo(path: Path, recording: Path) -> Path:
    with wave.open(str(recording)) as mono, wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        pcm = mono.readframes(mono.getnframes())
        file.writeframes(b"".join(2 * pcm[at : at + 2] for at in range(0, len(pcm), 2)))
    return path


def test_separate_channels_are_named(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    """Both channels contain the same audio."""
    call = stereo(tmp_path / "call.wav", recording)
    done = run("transcribe", "--separate-channels", call, "--speed", "20", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    for channel in ("left", "right"):
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{channel}: ")]
        assert lines == [f"{channel}: {line}" for line in LINES]


def test_separate_channels_in_a_document(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    call, out = stereo(tmp_path / "call.wav", recording), tmp_path / "call.json"
    done = run("transcribe", "--separate-channels", call, "--speed", "20", "-o", out, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    finals = json.loads(out.read_text("utf-8"))["finals"]
    assert sorted((each["channel"], each["text"]) for each in finals) == sorted(
        (channel, line) for channel in ("left", "right") for line in LINES
    )
    assert [each["start"] for each in finals] == sorted(each["start"] for each in finals)


def test_one_channel_cannot_be_separated(env: Dict[str, str], recording: Path) -> None:
    done = run("transcribe", "--separate-channels", recording, env=env)
    assert done.returncode == 2
    assert "only 1 channel" in done.stderr
