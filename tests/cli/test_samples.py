"""The sample programs work, each in a process of its own."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator

from command import LIMIT, ROOT, SPEECH, environment, interrupt, python, started
from virtual_microphone import VirtualMicrophone

from slng_sync.gateway import LocalGateway

SAMPLES = ROOT / "samples"


def sample(name: str, *arguments: object) -> Any:
    return python(str(SAMPLES / name), *map(str, arguments))


def output(name: str, env: Dict[str, str], *arguments: object) -> str:
    done = subprocess.run(sample(name, *arguments), env=env, capture_output=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_transcribe_file(env: Dict[str, str], short_recording: Path) -> None:
    lines = output("transcribe_file.py", env, short_recording).splitlines()
    assert lines[0] == "Hello there."
    assert [line.split()[-1] for line in lines[1:]] == ["Hello", "there."]
    assert "Hello there." in short_recording.with_suffix(".srt").read_text()


def test_numpy_array(env: Dict[str, str], short_recording: Path) -> None:
    lines = output("numpy_array.py", env, short_recording).splitlines()
    assert lines == ["Transcribed: Hello there.", "Sent in chunks: Hello there."]


def test_microphone(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    with started(sample("microphone.py"), {**environment(), **env, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout.readline() == b"Speak. Enter stops.\n"
        while not process.stdout.readline().endswith(b"Hello there.\n"):
            assert process.poll() is None
        _, err = process.communicate(b"\n", timeout=15)
    assert (process.returncode, err) == (0, b"")


def test_all_day(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    """Real speech is transcribed, an unplugged microphone is reported, and Ctrl-C stops the program."""
    with started(sample("all_day.py"), {**environment(), **env, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout.readline() == b"Listening. Stop with Ctrl-C.\n"
        player = microphone.play(SPEECH / "goforward.wav")
        assert process.stdout.readline().split(b" ", 1)[1] == b"Hello there.\n"
        player.wait()
        microphone.unplug()
        while b"was disconnected" not in process.stdout.readline():
            assert process.poll() is None
        microphone.plug()
        while not process.stdout.readline().startswith(b"! default is back; "):
            assert process.poll() is None
        interrupt(process)
        _, err = process.communicate(timeout=15)
    assert (process.returncode, err) == (0, b"")


def test_push_to_talk(microphone: VirtualMicrophone, env: Dict[str, str], gateway: LocalGateway) -> None:
    """One turn, long enough for the first words; the second turn is empty."""
    with started(sample("push_to_talk.py"), {**environment(), **env, "PYTHONUNBUFFERED": "1"}) as process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        seen = b""
        while b"> Hello there.\n" not in seen:
            piece = os.read(process.stdout.fileno(), 4096)
            assert piece, seen
            seen += piece
        _, err = process.communicate(b"\nq\n", timeout=15)
    assert (process.returncode, err) == (0, b"")
    assert gateway.breaches == []


@contextmanager
def display() -> Iterator[str]:
    """Start a virtual X display and yield its name."""
    assert shutil.which("Xvfb"), "Xvfb not found; the window's test needs: apt-get install xvfb"
    reader, writer = os.pipe()
    try:
        options = ["-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
        with started(["Xvfb", *options], pass_fds=[writer], stderr=subprocess.DEVNULL):
            os.close(writer)
            number = os.read(reader, 16).decode().strip()
            assert number, "Xvfb did not start."
            yield f":{number}"
    finally:
        os.close(reader)


def test_tk_window(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    """Start, words, Stop, the last words. Then Start again, and close the window during the session."""
    # Without Tk this test fails and says what is missing. Skipping it would hide that.
    asked = subprocess.run([sys.executable, "-c", "import tkinter"], stderr=subprocess.PIPE)
    assert asked.returncode == 0, f"{sys.executable} has no tkinter: install python3-tk, or another Python."
    user = python(str(Path(__file__).with_name("tk_user.py")), str(SAMPLES / "tk_window.py"))
    with display() as name:
        settings = {**environment(), **env, "DISPLAY": name}
        done = subprocess.run(user, env=settings, capture_output=True, timeout=LIMIT)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout.decode().splitlines() == [
        "Start: the button says Stop",
        "words: Hello there.",
        "Stop: the button says Start",
        "Start: the button says Stop",
        "a partial in gray",
        "closed, and no session is left",
    ]
