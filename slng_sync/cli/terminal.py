"""The screen: results on stdout, everything else on stderr, and live lines below both on a terminal."""

import logging
import os
import stat
import threading
import traceback
from typing import IO, Any, List, Optional

from ..errors import SlngError
from ..progress import LiveLines, columns, is_terminal, plain, tail

__all__ = ["LogLines", "Screen"]

DIM, NORMAL = "\x1b[2m", "\x1b[0m"
NAME = "slng-sync"


class Screen:
    """Where the command writes. Every method may be called from any thread.

    ``streams_out`` says that lines go to ``out`` while there are live ones: then there are none where ``out``
    is a pipe, because whatever reads it may write on the same terminal.
    """

    def __init__(
        self,
        out: IO[str],
        err: IO[str],
        *,
        quiet: bool = False,
        verbose: bool = False,
        streams_out: bool = True,
    ) -> None:
        self._out = out
        self._err = err
        self._quiet = quiet
        self._verbose = verbose
        self._lock = threading.RLock()
        self._on = None if quiet or verbose else _live_stream(out, err, streams_out)
        self._live = LiveLines(self._on) if self._on is not None else None
        self._shown: List[str] = []

    @property
    def watched(self) -> bool:
        """Whether somebody sees live lines."""
        return self._live is not None

    @property
    def prints_on_terminal(self) -> bool:
        """Whether a printed line is seen by a person."""
        return is_terminal(self._out)

    @property
    def bar_stream(self) -> Optional[IO[str]]:
        """Where a progress bar goes: stderr, where it is the terminal; None for no bar."""
        return self._err if self._on is self._err else None

    def line(self, text: str) -> None:
        """A line of the result, on stdout, at once."""
        self._print(self._out, plain(text) + "\n")

    def document(self, text: str) -> None:
        """A whole result, on stdout, as it is."""
        self._print(self._out, text)

    def note(self, text: str) -> None:
        """What a person may want to know, on stderr; not with ``--quiet``."""
        if not self._quiet:
            self._print(self._err, f"{plain(text)}\n")

    def error(self, message: str, hint: str = "") -> None:
        """What went wrong, one line, and what to do about it, one line; on stderr."""
        self._print(self._err, f"{NAME}: {plain(message)}\n" + (f"{plain(hint)}\n" if hint else ""))

    def failure(self, error: Exception, message: str = "", hint: str = "") -> None:
        """An exception, in its own words where it is the library's; with ``--verbose`` its traceback too."""
        if self._verbose:
            for part in traceback.format_exception(type(error), error, error.__traceback__):
                self._print(self._err, part)
        if isinstance(error, SlngError):
            self.error(error.message, error.hint)
        else:
            self.error(message, hint)

    def show(self, partial: str = "", bar: str = "") -> None:
        """Replace the live lines: what is being said, and a progress bar."""
        if self._live is None:
            return
        lines = [_dim(tail(plain(partial), columns(self._on)))] if partial else []
        with self._lock:
            self._shown = lines + ([bar] if bar else [])
            self._live.show(self._shown)

    def clear(self) -> None:
        """Take the live lines away."""
        self.show()

    def _print(self, stream: IO[str], text: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.clear()
            stream.write(text)
            stream.flush()
            if self._live is not None:
                self._live.show(self._shown)


class LogLines(logging.Handler):
    """Log records as lines on the screen: the first line of each, or with ``whole`` all, stacks included."""

    def __init__(self, screen: Screen, *, whole: bool) -> None:
        super().__init__(logging.DEBUG if whole else logging.WARNING)
        self._screen = screen
        self._whole = whole
        self.setFormatter(logging.Formatter("%(asctime)s %(threadName)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Must not raise: it is called from the library's threads."""
        try:
            if self._whole:
                for line in self.format(record).splitlines():
                    self._screen.note(line)
            else:
                self._screen.note(f"{NAME}: {record.getMessage().splitlines()[0]}")
        except Exception:
            self.handleError(record)


def _live_stream(out: IO[str], err: IO[str], streams_out: bool) -> Optional[IO[str]]:
    """The terminal for live lines: stderr, else stdout; None where they would be in somebody's way."""
    if streams_out and _is_pipe(out):
        return None
    return next((stream for stream in (err, out) if is_terminal(stream)), None)


def _is_pipe(stream: Any) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _dim(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else f"{DIM}{text}{NORMAL}"
