"""Live lines, the progress bar, and removal of control characters."""

import io
import os
import pty
from pathlib import Path
from typing import Dict, Iterator

import pytest
from command import python
from hypothesis import given
from hypothesis import strategies as st
from screen import Screen, on_terminal

from slng_sync import Client, Soniox
from slng_sync.gateway import Faults, LocalGateway, Trouble
from slng_sync.progress import LiveLines, bar_line, columns, is_terminal, plain, tail


@given(st.lists(st.lists(st.text("ab ", max_size=9).map(str.strip), max_size=3), max_size=8))
def test_each_time_only_the_newest_lines_are_there(frames: "list[list[str]]") -> None:
    stream, screen = io.StringIO(), Screen(20)
    live = LiveLines(stream)
    for lines in frames:
        live.show(lines)
    screen.feed("above\r\n" + stream.getvalue().replace("\n", "\r\n"))
    assert screen.text == "\n".join(["above", *(frames[-1] if frames else [])]).rstrip()


@given(st.text(max_size=40), st.integers(1, 30))
def test_the_tail_is_the_end_of_the_text_and_fits(text: str, width: int) -> None:
    shown = tail(text, width)
    assert shown == text or (shown[0] == "…" and text.endswith(shown[1:]))
    assert tail(shown, width) == shown


def test_chinese_takes_two_columns_and_accents_none() -> None:
    assert tail("会议开始", 8) == "会议开始"
    assert tail("会议开始", 7) == "…议开始"
    assert tail("e\u0301" * 4, 4) == "e\u0301" * 4


@given(st.text())
def test_nothing_that_commands_a_terminal_is_left(text: str) -> None:
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in plain(text))


def test_a_bar_says_how_far_it_is() -> None:
    stream = io.StringIO()
    assert bar_line(30, 20, 120, stream).endswith(" 25% 0:30 of 2:00")
    assert bar_line(7200, 3600, 7200, stream).endswith("100% 2:00:00 of 2:00:00, acknowledged 1:00:00")
    assert bar_line(0, 0, 0, stream).endswith("100% 0:00 of 0:00, acknowledged 0:00")
    assert bar_line(5, 9, 4, stream).endswith("100% 0:04 of 0:04, acknowledged 0:04")


def test_a_stream_without_a_terminal_has_a_width_all_the_same() -> None:
    assert columns(io.StringIO()) == 77


@pytest.fixture
def terminal() -> Iterator[object]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


def test_a_terminal_is_one_that_can_move_its_cursor(
    terminal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(terminal)
    assert not is_terminal(None)
    assert not is_terminal(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(terminal)


PROGRAM = """
import sys
from slng_sync import Client, SlngError, Soniox
try:
    print(Client(Soniox()).transcribe(sys.argv[1], progress=True, speed=4))
except SlngError as error:
    print(type(error).__name__)
"""


def test_transcribe_shows_a_bar_and_takes_it_away(env: Dict[str, str], recording: Path) -> None:
    with on_terminal(python("-c", PROGRAM, str(recording)), env) as terminal:
        terminal.read_until(lambda screen: "% 0:0" in screen.text)
        assert terminal.read_to_end() == "Hello there. This is a test. And so it ends."


def test_what_ends_the_session_is_raised_through_the_bar(
    env: Dict[str, str], recording: Path, gateway: LocalGateway
) -> None:
    gateway.faults = Faults(trouble=Trouble.error(2.5, 402, "Budget used up"))
    with on_terminal(python("-c", PROGRAM, str(recording)), env) as terminal:
        assert terminal.read_to_end() == "QuotaRefusedInStream"


def test_without_a_terminal_there_is_no_bar(
    gateway: LocalGateway, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Client(Soniox(), api_key="any", base_url=gateway.url)
    assert client.transcribe(recording, progress=True, speed=50).text.startswith("Hello there.")
    assert capsys.readouterr() == ("", "")
