"""Live words and a bar on a terminal, and neither without a terminal."""

import os
import time
from pathlib import Path
from typing import Any, Dict

from command import SPEECH, environment, shadow, slng_sync
from screen import on_terminal

from slng_sync.gateway import Faults, LocalGateway, Script, Trouble

DIM = "\x1b[2m"
LINES = "Hello there.\nThis is a test.\nAnd so it ends."


def test_partials_are_written_in_place_and_finals_stand(env: Dict[str, str], recording: Path) -> None:
    with on_terminal(slng_sync("transcribe", recording, "--speed", "3"), env) as terminal:
        early = terminal.read_until(lambda screen: "Hello" in screen.text and "%" in screen.text)
        assert early.splitlines()[0].startswith("Hello")
        assert DIM + "Hello" in terminal.screen.written
        later = terminal.read_until(lambda screen: "\nThis is" in screen.text)
        assert later.splitlines()[:2] == ["Hello there.", later.splitlines()[1]]
        assert later.splitlines()[1].startswith("This is")
        assert "of 0:0" in later.splitlines()[2]
        assert terminal.read_to_end() == LINES
        assert terminal.process.returncode == 0


def test_no_color_leaves_no_colours(env: Dict[str, str], recording: Path) -> None:
    env["NO_COLOR"] = "1"
    with on_terminal(slng_sync("transcribe", recording, "--speed", "6"), env) as terminal:
        assert terminal.read_to_end() == LINES
    assert DIM not in terminal.screen.written
    assert "\x1b[3" not in terminal.screen.written
    assert "%" in terminal.screen.written


def test_a_narrow_terminal_shows_the_newest_words(listening: Any, recording: Path) -> None:
    """Wrapped lines cannot be redrawn, and the screen would fill with old words."""
    gateway, _ = listening(Script.numbered(14, utterance=100))
    env = environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY="any")
    with on_terminal(slng_sync("transcribe", recording, "--speed", "4"), env, width=30) as terminal:
        live = terminal.read_until(lambda screen: "… eight" in screen.text or "eight nine" in screen.text)
        assert len(live.splitlines()) == 2
        assert live.startswith("…")
        terminal.read_to_end()


def test_without_rich_the_bar_is_plain(env: Dict[str, str], recording: Path, tmp_path: Path) -> None:
    env.update(shadow(tmp_path, "rich"))
    with on_terminal(slng_sync("transcribe", recording, "--speed", "6"), env) as terminal:
        assert terminal.read_to_end() == LINES
    assert "[####" in terminal.screen.written


def test_quiet_and_dumb_terminals_show_finals_only(env: Dict[str, str], recording: Path) -> None:
    command = slng_sync("transcribe", recording, "--speed", "9")
    for arguments, term in ((["--quiet"], "xterm"), ([], "dumb")):
        with on_terminal([*command, *arguments], {**env, "TERM": term}) as terminal:
            terminal.read_to_end()
        assert terminal.screen.written.replace("\r\n", "\n") == LINES + "\n"


def test_into_a_pipe_goes_nothing_live_and_none_of_it_reaches_the_terminal(
    env: Dict[str, str], recording: Path
) -> None:
    """The reader of the pipe may write to the same terminal, as tee does."""
    end, pipe = os.pipe()
    try:
        with on_terminal(slng_sync("transcribe", recording, "--speed", "9"), env, stdout=pipe) as terminal:
            terminal.read_to_end()
        os.close(pipe)
        assert os.read(end, 65536).decode() == LINES + "\n"
    finally:
        os.close(end)
    assert terminal.screen.written == ""


def test_the_words_can_be_followed_while_they_go_into_a_file(
    env: Dict[str, str], recording: Path, tmp_path: Path
) -> None:
    command = slng_sync("transcribe", recording, "-o", tmp_path / "talk.srt", "--speed", "4")
    with on_terminal(command, env) as terminal:
        terminal.read_until(lambda screen: "a test." in screen.text and "%" in screen.text)
        assert terminal.read_to_end() == ""


def test_ctrl_c_on_the_keyboard(env: Dict[str, str], recording: Path) -> None:
    with on_terminal(slng_sync("transcribe", recording), env) as terminal:
        terminal.read_until(lambda screen: "Hello there.\n" in screen.text and "This is" in screen.text)
        terminal.type("\x03")
        shown = terminal.read_to_end().splitlines()
    assert terminal.process.returncode == 130
    assert shown[0] == "Hello there."
    assert "Press Ctrl-C again to stop at once." in "".join(shown)
    assert shown[-1].startswith("This is")


def test_a_second_ctrl_c_ends_at_once(gateway: LocalGateway, env: Dict[str, str], recording: Path) -> None:
    """The server does not answer any more. Waiting for its last words would take ten seconds."""
    gateway.faults = Faults(trouble=Trouble.mute(2.5))
    with on_terminal(slng_sync("transcribe", recording, "--speed", "2"), env) as terminal:
        terminal.read_until(lambda screen: "Hello there.\n" in screen.text)
        terminal.type("\x03")
        terminal.read_until(lambda screen: "Ctrl-C again" in screen.text)
        began = time.monotonic()
        terminal.type("\x03")
        terminal.read_to_end()
    assert terminal.process.returncode == 130
    assert time.monotonic() - began < 4


def test_ctrl_c_of_the_local_gateway_too(recording: Path) -> None:
    """Ctrl-C interrupts every process of the group. The recogniser must not end before the client."""
    command = slng_sync("transcribe", "--local", SPEECH / "eight_of_spades.wav")
    with on_terminal(command, environment()) as terminal:
        terminal.read_until(lambda screen: "eight of spades four" in screen.text)
        terminal.type("\x03")
        shown = terminal.read_to_end()
    assert terminal.process.returncode == 130
    assert shown.splitlines()[-1].startswith("eight of spades")
