"""The screen: results on stdout, everything else on stderr, live lines below both on a terminal."""

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
    """All output of the command. Every method may be called from any thread.

    ``streams_out`` says that results go to ``out`` while live lines are shown. In that case there are no live
    lines if ``out`` is a pipe, because its reader may write to the same terminal.
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
        self._live_stream = None if quiet or verbose else _live_stream(out, err, streams_out)
        self._live = LiveLines(self._live_stream) if self._live_stream is not None else None
        self._shown: List[str] = []

    @property
    def is_live(self) -> bool:
        """Whether live lines are shown."""
        return self._live is not None

    @property
    def prints_on_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return is_terminal(self._out)

    @property
    def bar_stream(self) -> Optional[IO[str]]:
        """The stream for a progress bar: stderr if live lines are shown on it, otherwise None."""
        return self._err if self._live_stream is self._err else None

    def line(self, text: str) -> None:
        """Print a line of the result to stdout, at once."""
        self._print(self._out, plain(text) + "\n")

    def document(self, text: str) -> None:
        """Print a whole result to stdout, unchanged."""
        self._print(self._out, text)

    def note(self, text: str) -> None:
        """Print a note to stderr, unless ``--quiet`` was given."""
        if not self._quiet:
            self._print(self._err, f"{plain(text)}\n")

    def error(self, message: str, hint: str = "") -> None:
        """Print an error to stderr: one line for the message, one for the hint if there is one."""
        self._print(self._err, f"{NAME}: {plain(message)}\n" + (f"{plain(hint)}\n" if hint else ""))

    def failure(self, error: Exception, message: str = "", hint: str = "") -> None:
        """Print an exception to stderr, with ``--verbose`` its traceback too.

        A ``SlngError`` is printed with its own message and hint, other exceptions with the given ones.
        """
        if self._verbose:
            for part in traceback.format_exception(type(error), error, error.__traceback__):
                self._print(self._err, part)
        if isinstance(error, SlngError):
            self.error(error.message, error.hint)
        else:
            self.error(message, hint)

    def show(self, partial: str = "", bar: str = "") -> None:
        """Replace the live lines: the current partial and a progress bar."""
        if self._live is None:
            return
        lines = [_dim(tail(plain(partial), columns(self._live_stream)))] if partial else []
        with self._lock:
            self._shown = lines + ([bar] if bar else [])
            self._live.show(self._shown)

    def clear(self) -> None:
        """Remove the live lines."""
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
    """A log handler that prints to the screen: the first line of each record, or with ``whole`` all lines."""

    def __init__(self, screen: Screen, *, whole: bool) -> None:
        super().__init__(logging.DEBUG if whole else logging.WARNING)
        self._screen = screen
        self._whole = whole
        self.setFormatter(logging.Formatter("%(asctime)s %(threadName)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record. Never raises, because the library's threads call it."""
        try:
            if self._whole:
                for line in self.format(record).splitlines():
                    self._screen.note(line)
            else:
                self._screen.note(f"{NAME}: {record.getMessage().splitlines()[0]}")
        except Exception:
            self.handleError(record)


def _live_stream(out: IO[str], err: IO[str], streams_out: bool) -> Optional[IO[str]]:
    """Return the terminal for live lines: stderr or stdout, or None if there is none or stdout is a pipe."""
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
