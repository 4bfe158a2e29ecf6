"""``slng-sync listen`` and ``devices``, with a virtual microphone and without a microphone."""

import json
import wave
from pathlib import Path
from typing import Any, Dict

import pytest
from command import SPEECH, environment, interrupt, run, shadow, slng_sync, started
from screen import on_terminal
from virtual_microphone import VirtualMicrophone

NO_SOUND = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"


@pytest.fixture
def deaf(tmp_path: Path) -> Dict[str, str]:
    """Return the environment of a machine without sound devices."""
    (tmp_path / "asound.conf").write_text(NO_SOUND)
    return {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf"), "PULSE_SERVER": f"unix:{tmp_path}/nowhere"}


def test_words_come_from_the_microphone_until_ctrl_c(
    microphone: VirtualMicrophone, env: Dict[str, str], tmp_path: Path
) -> None:
    command = slng_sync("listen", "--device", "default")
    with started(command, {**environment(), **env}) as process:
        assert process.stdout.readline() == b"Hello there.\n"
        interrupt(process)
        _, err = process.communicate(timeout=15)
    assert (process.returncode, err) == (130, b"")


def test_subtitles_are_in_the_file_while_one_still_speaks(
    microphone: VirtualMicrophone, env: Dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "talk.srt"
    with on_terminal(slng_sync("listen", "-o", path), {**environment(), **env}) as terminal:
        terminal.read_until(lambda screen: "This is" in screen.text)
        assert "Hello there." in path.read_text()
        terminal.type("\x03")
        terminal.read_to_end()
    assert "This is" in path.read_text()
    assert terminal.process.returncode == 130


def test_real_words_through_a_real_microphone_without_a_key(microphone: VirtualMicrophone) -> None:
    with on_terminal(slng_sync("listen", "--local"), environment()) as terminal:
        terminal.read_until(lambda screen: "Listening" in screen.text)
        player = microphone.play(SPEECH / "goforward.wav")
        terminal.read_until(lambda screen: "ten meters" in screen.text)
        player.wait()
        terminal.type("\x03")
        shown = terminal.read_to_end()
    assert "go forward ten meters" in shown
    assert "offline recogniser" in shown.splitlines()[0]


def test_a_device_that_is_not_there_is_4(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    done = run("listen", "--device", "studio", env={**environment(), **env})
    assert done.returncode == 4
    what, hint = done.stderr.splitlines()
    assert "'studio'" in what
    assert "default" in hint


def test_without_pyaudio_it_says_what_to_install(env: Dict[str, str], tmp_path: Path) -> None:
    missing = shadow(tmp_path, "pyaudio")
    for arguments in (["listen"], ["devices"], ["devices", "--json"]):
        done = run(*arguments, env={**env, **missing})
        assert done.returncode == 4
        assert "PyAudio" in done.stderr
        assert "slng-sync[mic]" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_machine_without_sound_is_4(env: Dict[str, str], deaf: Dict[str, str]) -> None:
    for arguments in (["listen"], ["devices"]):
        done = run(*arguments, env={**env, **deaf})
        assert (done.returncode, done.stdout) == (4, "")
        assert "No microphone found." in done.stderr
    assert json.loads(run("devices", "--json", env={**env, **deaf}).stdout) == []


def test_the_devices_are_a_table(microphone: VirtualMicrophone) -> None:
    done = run("devices")
    head, *rows = done.stdout.splitlines()
    assert done.returncode == 0
    assert head.split() == ["INDEX", "NAME", "RATE", "CHANNELS", "HOST", "API"]
    assert any(row.startswith("*") and "default" in row and "Hz" in row for row in rows)


def test_the_devices_as_json(microphone: VirtualMicrophone) -> None:
    devices: Any = json.loads(run("devices", "--json").stdout)
    keys = {"index", "name", "sample_rate", "channels", "host_api", "is_default"}
    assert all(set(device) == keys for device in devices)
    assert [device["is_default"] for device in devices].count(True) == 1


def test_it_shows_how_loud_it_is_and_keeps_what_was_sent_and_said(
    microphone: VirtualMicrophone, env: Dict[str, str], tmp_path: Path
) -> None:
    files = ["--record", tmp_path / "talk.wav", "--trace", tmp_path / "talk.jsonl"]
    with on_terminal(
        slng_sync("listen", "-o", tmp_path / "talk.txt", *files), {**environment(), **env}
    ) as one:
        one.read_until(lambda screen: "[--------------------]" in screen.text)
        player = microphone.play_pcm(b"\x00\x40" * 32000)
        one.read_until(lambda screen: "[##################--]" in screen.text)
        one.read_until(lambda screen: "This is" in screen.text)
        one.type("\x03")
        one.read_to_end()
    player.wait()
    said = (tmp_path / "talk.txt").read_text()
    replayed = run("replay", tmp_path / "talk.jsonl", env=environment())
    assert said
    assert (replayed.returncode, replayed.stdout) == (0, said)
    with wave.open(str(tmp_path / "talk.wav")) as file:
        assert b"\x00\x40" * 640 in file.readframes(file.getnframes())


def test_an_unplugged_microphone_is_waited_for(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    with on_terminal(slng_sync("listen"), {**environment(), **env}) as terminal:
        terminal.read_until(lambda screen: "[---" in screen.text)
        microphone.unplug()
        terminal.read_until(lambda screen: "was disconnected" in screen.text)
        microphone.plug()
        terminal.read_until(lambda screen: "is back after" in screen.text)
        terminal.type("\x03")
        shown = terminal.read_to_end()
    assert "Expression" not in shown
    assert terminal.process.returncode == 130


def test_silence_may_stay_here(microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
    refused = run("listen", "--finalize-after", "soon", env={**environment(), **env})
    assert refused.returncode == 2
    assert "is not a number of seconds from 0.2 to 10" in refused.stderr
