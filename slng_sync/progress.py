"""Live lines at the bottom of a terminal, redrawn in place, and a progress bar."""

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
    """Wait for the end of the session and show a progress bar if stderr is a terminal.

    ``duration`` is the length of the audio in seconds. Raises what ``session.wait()`` raises.
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
    """Return whether ``stream`` is a terminal that can move its cursor, so that lines can be redrawn."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):
        # The stream is None or closed.
        return False


class LiveLines:
    """The last lines of a terminal. ``show`` replaces them, ``clear`` removes them before other output."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._count = 0
        self._shown: List[str] = []
        _enable_escapes()

    def show(self, lines: List[str]) -> None:
        """Replace the lines. None may be wider than ``columns(stream)``. Unchanged lines are not redrawn."""
        if lines == self._shown:
            return
        self._stream.write(_upwards(self._count) + "\n".join(lines))
        self._stream.flush()
        self._count, self._shown = len(lines), list(lines)

    def clear(self) -> None:
        """Erase the lines and leave the cursor at the beginning of an empty line."""
        self.show([])


def _upwards(count: int) -> str:
    """Return the escape sequence that moves the cursor up by ``count`` lines and erases everything below."""
    above = f"\x1b[{count - 1}A" if count > 1 else ""
    return f"\r{above}\x1b[J" if count else ""


def columns(stream: Any) -> int:
    """Return the usable width of the terminal in columns.

    It is three less than the real width. Otherwise the ^C that Ctrl-C prints would wrap the line.
    """
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        width = 0
    return (width or 80) - 3


def plain(text: str) -> str:
    """Return the text in one line, without control characters that a terminal would interpret."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def tail(text: str, width: int) -> str:
    """Return the end of the text that fits into ``width`` columns, after "…" if it was cut.

    The end, because the newest words of a partial matter most.
    """
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
    """Return a progress bar for ``sent`` of ``duration`` seconds. A narrow terminal gets only the figures."""
    done = min(sent, duration)
    figures = f" {_clock(done)} of {_clock(duration)}"
    if sent >= duration:
        # Everything is sent. From now on the server's acknowledgements show the progress.
        figures += f", acknowledged {_clock(min(settled, duration))}"
    share = done / duration if duration > 0 else 1.0
    figures = f"{int(100 * share):3d}%{figures}"
    room = columns(stream)
    if room < BAR_COLUMNS + 1 + len(figures):
        return tail(figures, room)
    return f"{_bar(share, stream)} {figures}"


def _bar(share: float, stream: IO[str]) -> str:
    """Draw the bar with rich if it is installed. It respects the terminal's colours and ``NO_COLOR``."""
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


def _enable_escapes() -> None:
    """Enable escape sequences in the console of older Windows versions."""
    if os.name == "nt":
        # cmd.exe enables them for the console that it shares with this process, even for an empty command.
        os.system("")
