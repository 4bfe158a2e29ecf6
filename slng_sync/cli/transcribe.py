"""``slng-sync transcribe``: transcribe recordings."""

import argparse
import io
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Optional

from ..audio.source import AudioSource, as_source
from ..client import Client
from ..errors import AudioError, AuthenticationError, ConfigurationError, SlngError
from .exits import EXIT_CODES, FAILED, SIGNALLED, code_for, worst
from .follow import Inbox, follow
from .options import add_common, add_speed, add_streaming, client_for
from .output import STDIN, chosen_format, open_output, targets
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EXAMPLES = """\
examples:
  slng-sync transcribe talk.wav                      print one line for each final
  slng-sync transcribe talk.wav -o talk.srt          write subtitles
  slng-sync transcribe --local talk.wav              use the local gateway, without an API key
  slng-sync transcribe *.wav --format vtt -o subs/   write one document per file: subs/talk.vtt, ...
  slng-sync transcribe --follow talk.wav             follow a recording that is still being written
  slng-sync transcribe --separate-channels call.wav  transcribe left and right separately
  arecord -f S16_LE -r 16000 | slng-sync transcribe --sample-rate 16000 -

With several files, text on stdout has a header before each file. With --output, which is then a folder and
is created if necessary, each result is named like its file. A file that fails does not stop the others. The
exit code is that of the first error.

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "transcribe",
        help="transcribe recordings",
        description="Transcribe recordings: WAV, and with soundfile FLAC, OGG, MP3 and others. Ctrl-C stops "
        "early and keeps the words so far.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording, or - for standard input")
    add_speed(
        parser, 1.0, "pace of sending: 1.0 is real time, inf as fast as the gateway allows (default: 1.0)"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="follow a WAV or raw file that is still being written, until it is finished or Ctrl-C",
    )
    parser.add_argument(
        "--separate-channels",
        action="store_true",
        help="transcribe each channel separately, each over its own connection",
    )
    add_streaming(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Transcribe each file. Return the exit code."""
    format_ = chosen_format(args.format, args.output)
    if args.follow and STDIN in args.files:
        raise ConfigurationError(
            "--follow does not apply to standard input, which is read as it arrives: leave out --follow."
        )
    paths = targets(args.files, args.output, format_)
    inbox: Inbox[Any] = Inbox()
    codes: List[int] = []
    with client_for(args, screen, inbox.put) as client:
        for file, path in zip(args.files, paths):
            if path is None and len(args.files) > 1:
                screen.document(f"{'' if file is args.files[0] else chr(10)}==> {file} <==\n")
            codes.append(_transcribe(args, client, file, path, format_, inbox, screen, signals))
            if codes[-1] > SIGNALLED:
                break
    return worst(codes)


def _transcribe(
    args: argparse.Namespace,
    client: Client,
    file: str,
    path: Optional[Path],
    format_: str,
    inbox: "Inbox[Any]",
    screen: Screen,
    signals: Signals,
) -> int:
    """Transcribe one file. Return its exit code.

    Prints errors that concern this file, and raises those that concern all files.
    """
    try:
        with _opened(file, args.speed, args.sample_rate, args.follow) as source:
            output = open_output(format_, path, screen)
            options = {"channels": "separate"} if args.separate_channels else {}
            return follow(
                client, source, inbox, output, screen, signals, sample_rate=args.sample_rate, **options
            )
    except AuthenticationError:
        raise
    except SlngError as error:
        screen.failure(error)
        return code_for(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        screen.failure(
            error,
            f"{path or 'stdout'} cannot be written: {error.strerror or error}.",
            "Choose another --output.",
        )
        return FAILED


@contextmanager
def _opened(file: str, speed: float, sample_rate: Optional[int], is_growing: bool) -> Iterator[AudioSource]:
    if file != STDIN:
        yield as_source(file, speed=speed, sample_rate=sample_rate, follow=is_growing)
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise AudioError(
            "Standard input is a terminal, not a recording.",
            hint="Redirect a file (< talk.wav) or pipe the output of a program into it.",
        )
    # Not through the buffer of sys.stdin. If a thread still holds its lock while it reads, the interpreter
    # aborts at exit.
    with io.FileIO(sys.stdin.fileno(), closefd=False) as stdin:
        yield as_source(stdin, speed=speed, sample_rate=sample_rate)
