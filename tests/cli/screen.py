"""A small terminal emulator: shows what a user sees of a program's output."""

import codecs
import fcntl
import os
import pty
import re
import struct
import termios
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Mapping, Optional

from command import started

FRAME = re.compile(r"(?=\r(?:\x1b\[\d*A)?\x1b\[J)")
PIECES = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """A screen that interprets ``slng-sync``: text, line ends, cursor up, erase below, colours."""

    def __init__(self, width: int) -> None:
        self.rows = [""]
        self.row = self.column = 0
        self.written = ""
        self._width = width

    def feed(self, text: str) -> None:
        self.written += text
        self.rows, self.row, self.column = [""], 0, 0
        for match in PIECES.finditer(self.written):
            count, command, line_end, plain = match.groups()
            if plain:
                self._print(plain)
            elif line_end:
                self._line_end(line_end)
            elif command == "A":
                self.row -= int(count or 1)
            elif command == "J":
                self.rows = self.rows[: self.row] + [self.rows[self.row][: self.column]]

    def _print(self, plain: str) -> None:
        for character in plain:
            if self.column == self._width:
                self._line_end("\n")
                self.column = 0
            row = self.rows[self.row]
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _line_end(self, which: str) -> None:
        if which == "\r":
            self.column = 0
            return
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows).rstrip()


class Terminal:
    """A process on a terminal. Its stdout may be redirected."""

    def __init__(self, process: Any, master: int, width: int) -> None:
        self.process = process
        self.screen = Screen(width)
        self._master = master
        self._frames: List[str] = []
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def read_until(self, seen: Callable[[Screen], object]) -> str:
        """Read until ``seen`` returns true. Return the text on the screen."""
        while not seen(self.screen):
            assert self._read(), f"The program ended; it had shown:\n{self.screen.text}"
        return self.screen.text

    def read_to_end(self) -> str:
        while self._read():
            pass
        self.process.wait()
        return self.screen.text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _read(self) -> bool:
        """Show the next state of the screen, also if several arrived at once. Return False at the end."""
        if not self._frames:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # Linux reports the end of a terminal this way.
                return False
            self._frames = FRAME.split(self._decode(data))
        self.screen.feed(self._frames.pop(0))
        return True


@contextmanager
def on_terminal(
    command: List[str], env: Mapping[str, str], *, width: int = 80, stdout: Optional[int] = None
) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    out = slave if stdout is None else stdout
    try:
        with started(
            command, env, stdin=slave, stdout=out, stderr=slave, preexec_fn=take_terminal
        ) as process:
            os.close(slave)
            yield Terminal(process, master, width)
    finally:
        os.close(master)
