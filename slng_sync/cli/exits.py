"""The exit codes, and which of them an error means."""

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
SIGNALLED = 128  # and the number of the signal: 130 is Ctrl-C
NO_READER = 141

EXIT_CODES = """\
exit codes:
  0    everything was transcribed
  1    an error; stderr says which and what to do (-v shows more)
  2    wrong usage
  3    transcribed, but not complete
  4    no microphone, or a file that cannot be read
  5    the API key is missing or was refused
  130  ended by Ctrl-C, after the last words
  141  whoever read the output has gone, as head does
  143  ended by SIGTERM, in the same way as by Ctrl-C
"""


class Stopped(Exception):
    """The command ends here, with this exit code; what there is to say was said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def code_for(error: BaseException) -> int:
    """The exit code that an error means."""
    if isinstance(error, AuthenticationError):
        return KEY
    if isinstance(error, AudioError):
        return AUDIO
    return USAGE if isinstance(error, ConfigurationError) else FAILED


def worst(codes: Iterable[int]) -> int:
    """One exit code for several files: a signal, else the first error, else whether something is missing."""
    known = list(codes)
    ended = [code for code in known if code > SIGNALLED]
    errors = [code for code in known if code not in (COMPLETE, INCOMPLETE)]
    return (ended or errors or [max(known, default=COMPLETE)])[0]
