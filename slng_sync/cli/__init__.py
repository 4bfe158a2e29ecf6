"""The command ``slng-sync``.

Modules: ``listen``, ``transcribe``, ``replay``, ``devices``, ``gateway``, ``doctor`` (the subcommands),
``options`` (shared options), ``follow`` (runs one session to its end), ``output`` (formats and files),
``terminal`` (the screen), ``meter`` (the level meter), ``findings`` (the doctor's report), ``signals``
(Ctrl-C), ``exits`` (the exit codes).
"""

import argparse
import logging
import os
import sys
from typing import List, Optional

from .._version import __version__
from ..log import logger
from . import devices, doctor, gateway, listen, replay, transcribe
from .exits import EXIT_CODES, NO_READER, SIGNALLED, Stopped, code_for
from .output import replace_unprintable
from .signals import Signals
from .terminal import LogLines, Screen

__all__ = ["main"]

EPILOG = """\
examples:
  slng-sync listen                       transcribe the microphone live; stop with Ctrl-C
  slng-sync transcribe talk.wav          transcribe a recording
  slng-sync transcribe --local talk.wav  the same without an API key
  slng-sync doctor                       diagnose problems
  slng-sync COMMAND --help               all options of a command

environment variables:
  SLNG_API_KEY   the API key
  SLNG_BASE_URL  another gateway
  NO_COLOR       disables colors

"""


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command and return its exit code."""
    replace_unprintable()
    args = _parser().parse_args(argv)
    streams_out = getattr(args, "output", None) is None and getattr(args, "format", None) in (None, "text")
    screen = Screen(sys.stdout, sys.stderr, quiet=args.quiet, verbose=args.verbose, streams_out=streams_out)
    log_lines = LogLines(screen, whole=args.verbose)
    _start_logging(log_lines)
    try:
        with Signals() as signals:
            return _run(args, screen, signals)
    finally:
        logger.removeHandler(log_lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slng-sync",
        description="Live speech-to-text with the models behind the SLNG gateway.",
        epilog=EPILOG + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"slng-sync {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (listen, transcribe, replay, devices, gateway, doctor):
        command.add_parser(subparsers)
    return parser


def _run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    try:
        code: int = args.run(args, screen, signals)
        return code
    except Stopped as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return SIGNALLED + signals.first
    except BrokenPipeError:
        _discard_stdout()
        return NO_READER
    except Exception as error:
        return _failed(error, screen)
    finally:
        screen.clear()


def _failed(error: Exception, screen: Screen) -> int:
    if isinstance(error, OSError) and error.filename is not None:
        screen.failure(error, f"{error.filename}: {error.strerror}.", "Choose another file.")
    else:
        unexpected = f"Unexpected {type(error).__name__}: {error}."
        screen.failure(error, unexpected, "Run the command again with -v for details.")
    return code_for(error)


def _discard_stdout() -> None:
    """Redirect stdout to the null device.

    The reader of the pipe has closed it. Flushing the buffered output would fail when the process exits.
    """
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _start_logging(log_lines: LogLines) -> None:
    """Send all log messages to the screen only."""
    logger.addHandler(log_lines)
    logger.propagate = False
    if log_lines.level == logging.DEBUG:
        logger.setLevel(logging.DEBUG)
