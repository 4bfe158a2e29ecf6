"""The exit codes, and the exit code for each error."""

from typing import Iterable

from ..errors import AudioError, AuthenticationError, ConfigurationError

__all__ = [
    "AUDIO",
    "COMPLETE",
    "EXIT_CODES",
    "FAILED",
    "INCOMPLETE",
    "KEY",
    "NO_READER",
    "SIGNALLED",
    "USAGE",
    "Stopped",
    "code_for",
    "worst",
]

COMPLETE = 0
FAILED = 1
USAGE = 2
INCOMPLETE = 3
AUDIO = 4
KEY = 5
SIGNALLED = 128
"""Plus the number of the signal: Ctrl-C gives 130."""
NO_READER = 141

EXIT_CODES = """\
exit codes:
  0    everything was transcribed
  1    an error; stderr says which one and what to do (-v shows more)
  2    wrong usage
  3    the transcript is incomplete
  4    there is no microphone, or a file cannot be read
  5    the API key is missing or was refused
  130  stopped by Ctrl-C, after the last words
  141  the reader of a pipe closed it (e.g. head)
  143  stopped by SIGTERM, in the same way as by Ctrl-C
"""


class Stopped(Exception):
    """Raised to end the command with an exit code. The error was already reported."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def code_for(error: BaseException) -> int:
    """Return the exit code for an error."""
    if isinstance(error, AuthenticationError):
        return KEY
    if isinstance(error, AudioError):
        return AUDIO
    return USAGE if isinstance(error, ConfigurationError) else FAILED


def worst(codes: Iterable[int]) -> int:
    """Return one exit code for several files: a signal's, otherwise the first error's.

    Without signals and errors, returns ``INCOMPLETE`` if a transcript is incomplete, otherwise ``COMPLETE``.
    """
    known = list(codes)
    signalled = [code for code in known if code > SIGNALLED]
    errors = [code for code in known if code not in (COMPLETE, INCOMPLETE)]
    return (signalled or errors or [max(known, default=COMPLETE)])[0]
