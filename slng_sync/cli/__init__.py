"""The command ``slng-sync``.

Modules: ``listen``, ``transcribe``, ``replay``, ``devices``, ``gateway``, ``doctor`` (the subcommands),
``options`` (what they share), ``follow`` (one stream to its end), ``output`` (where the words go),
``terminal`` (the screen), ``meter`` (how loud it is), ``signals`` (Ctrl-C), ``exits`` (the exit codes).
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
from .output import survive_odd_streams
from .signals import Signals
from .terminal import LogLines, Screen

__all__ = ["main"]

EPILOG = """\
examples:
  slng-sync listen                       words as they are spoken; Ctrl-C ends
  slng-sync transcribe talk.wav          a recording
  slng-sync transcribe --local talk.wav  the same without a key
  slng-sync doctor                       what is wrong, where nothing works
  slng-sync COMMAND --help               everything about a command

environment: SLNG_API_KEY is the key, SLNG_BASE_URL another gateway; NO_COLOR keeps the output plain.

"""


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command; return its exit code."""
    survive_odd_streams()
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
        _forget_stdout()
        return NO_READER
    except Exception as error:
        return _failed(error, screen)
    finally:
        screen.clear()


def _failed(error: Exception, screen: Screen) -> int:
    if isinstance(error, OSError) and error.filename is not None:
        screen.failure(error, f"{error.filename}: {error.strerror}.", "Choose another file.")
    else:
        unexpected = f"An unexpected {type(error).__name__}: {error}."
        screen.failure(error, unexpected, "Run it again with -v for the details.")
    return code_for(error)


def _forget_stdout() -> None:
    """Nobody reads any more: what is still buffered must not fail at the very end of the process."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _start_logging(log_lines: LogLines) -> None:
    """Everything to the screen, and to nowhere else."""
    logger.addHandler(log_lines)
    logger.propagate = False
    if log_lines.level == logging.DEBUG:
        logger.setLevel(logging.DEBUG)
