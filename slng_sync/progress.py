"""Lines at the bottom of a terminal that are written anew in place, and the progress bar made of one.

Everything but ``LiveLines`` is pure. Nothing here is needed where no terminal is.
"""

import os
import re
import sys
import unicodedata
from typing import IO, Any, List, Union

from .errors import WaitTimeout
from .session.session import Session
from .session.sessions import Sessions

__all__ = ["LiveLines", "bar_line", "columns", "is_terminal", "plain", "show_progress", "tail"]

REFRESH_SECONDS = 0.2
BAR_COLUMNS = 24

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WIDTHLESS = ("Mn", "Me", "Cf")


def show_progress(session: Union[Session, Sessions], duration: float) -> None:
    """Wait until the session is over, like ``session.wait()``, with a bar on stderr where that is a terminal.

    ``duration`` is how many seconds of audio there are in all.
    """
    if not is_terminal(sys.stderr):
        session.wait()
        return
    live = LiveLines(sys.stderr)
    try:
        while not _is_over(session):
            stats = session.stats
            live.show([bar_line(stats.sent, stats.settled, duration, sys.stderr)])
    finally:
        live.clear()


def _is_over(session: Union[Session, Sessions]) -> bool:
    try:
        session.wait(timeout=REFRESH_SECONDS)
    except WaitTimeout:
        return False
    return True


def is_terminal(stream: Any) -> bool:
    """Whether lines on it can be written anew: a terminal that knows how to move its cursor."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # There is no stream at all, or it is closed.
        return False


class LiveLines:
    """The last lines of a terminal. ``show`` replaces them, ``clear`` takes them away for other output."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._count = 0
        self._shown: List[str] = []
        _understand_escapes()

    def show(self, lines: List[str]) -> None:
        """Show these lines, none of them wider than ``columns(stream)``; the same ones again cost nothing."""
        if lines == self._shown:
            return
        self._stream.write(_upwards(self._count) + "\n".join(lines))
        self._stream.flush()
        self._count, self._shown = len(lines), list(lines)

    def clear(self) -> None:
        """Leave an empty line where they were, with the cursor at its beginning."""
        self.show([])


def _upwards(count: int) -> str:
    """To the beginning of so many lines, with everything below erased."""
    above = f"\x1b[{count - 1}A" if count > 1 else ""
    return f"\r{above}\x1b[J" if count else ""


def columns(stream: Any) -> int:
    """How wide a line on this terminal may be: some less than there is, or the ^C of Ctrl-C would wrap it."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        width = 0
    return (width or 80) - 3


def plain(text: str) -> str:
    """The text in one line, without anything that a terminal would take for a command."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def tail(text: str, width: int) -> str:
    """The end of a text, as much as fits: of what is being said, the newest words matter."""
    if sum(map(_width, text)) <= width:
        return text
    kept, room = len(text), width - 1
    while kept and _width(text[kept - 1]) <= room:
        kept -= 1
        room -= _width(text[kept])
    return "…" + text[kept:] if width > 0 else ""


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in _WIDTHLESS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def bar_line(sent: float, settled: float, duration: float, stream: IO[str]) -> str:
    """A bar for what was sent of ``duration`` seconds, with figures as far as there is room for them."""
    done = min(sent, duration)
    figures = f" {_clock(done)} of {_clock(duration)}"
    if sent >= duration:
        # Everything went out; what counts now is what was answered for.
        figures += f", answered for {_clock(min(settled, duration))}"
    share = done / duration if duration > 0 else 1.0
    figures = f"{int(100 * share):3d}%{figures}"
    room = columns(stream)
    if room < BAR_COLUMNS + 1 + len(figures):
        return tail(figures, room)
    return f"{_bar(share, stream)} {figures}"


def _bar(share: float, stream: IO[str]) -> str:
    """Drawn by rich where it is installed; it knows the colours of the terminal, and ``NO_COLOR``."""
    try:
        from rich.console import Console
        from rich.progress_bar import ProgressBar
    except ImportError:
        full = int(share * (BAR_COLUMNS - 2))
        return "[" + "#" * full + "-" * (BAR_COLUMNS - 2 - full) + "]"
    console = Console(file=stream, width=BAR_COLUMNS)
    with console.capture() as drawn:
        console.print(ProgressBar(total=1.0, completed=share, width=BAR_COLUMNS), end="")
    return drawn.get()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _understand_escapes() -> None:
    """Switch the consoles of older Windows to escape sequences."""
    if os.name == "nt":
        # An empty command is how cmd.exe is made to do that for the console it shares with us.
        os.system("")
