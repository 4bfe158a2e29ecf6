"""``slng-sync transcribe``: recordings to text."""

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
from .follow import Heard, follow
from .options import add_common, add_speed, add_streaming, client_for
from .output import STDIN, chosen_format, open_output, targets
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EXAMPLES = """\
examples:
  slng-sync transcribe talk.wav                    text, a line for each final
  slng-sync transcribe talk.wav -o talk.srt        subtitles
  slng-sync transcribe --local talk.wav            without a key
  slng-sync transcribe *.wav --format vtt -o subs/ one document for each: subs/talk.vtt, ...
  slng-sync transcribe --follow talk.wav           a recording that is still being made
  slng-sync transcribe --separate-channels call.wav    who speaks on the left, and who on the right
  arecord -f S16_LE -r 16000 | slng-sync transcribe --sample-rate 16000 -

Several files: text on stdout has a header before each file; else --output is a folder, made if need be,
and each result is named like its file. One that fails does not stop the others; the exit code is then
that of the first error.

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "transcribe",
        help="recordings to text",
        description="Transcribe recordings: WAV, and with soundfile FLAC, OGG, MP3 and others. Ctrl-C ends "
        "early, with the words so far.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording; - is standard input")
    add_speed(parser, 1.0, "how fast to send: 1.0 as it is heard (the default), inf at once")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="the file is still being written, WAV or raw: what is there goes at once, the rest as it comes, "
        "until it is finished, or Ctrl-C",
    )
    parser.add_argument(
        "--separate-channels",
        action="store_true",
        help="hear each channel by itself, over a connection of its own",
    )
    add_streaming(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Transcribe each file; tell the exit code."""
    format_ = chosen_format(args.format, args.output)
    if args.follow and STDIN in args.files:
        raise ConfigurationError("Standard input is heard as it comes: leave out --follow.")
    paths = targets(args.files, args.output, format_)
    heard: Heard[Any] = Heard()
    codes: List[int] = []
    with client_for(
        args, screen, on_partial=heard.put, on_final=heard.put, on_error=heard.put, on_event=heard.put
    ) as client:
        for file, path in zip(args.files, paths):
            if path is None and len(args.files) > 1:
                screen.document(f"{'' if file is args.files[0] else chr(10)}==> {file} <==\n")
            codes.append(_transcribe(args, client, file, path, format_, heard, screen, signals))
            if codes[-1] > SIGNALLED:
                break
    return worst(codes)


def _transcribe(
    args: argparse.Namespace,
    client: Client,
    file: str,
    path: Optional[Path],
    format_: str,
    heard: "Heard[Any]",
    screen: Screen,
    signals: Signals,
) -> int:
    """One file; tell its exit code. What is wrong with it is told here, what is wrong with all is raised."""
    try:
        with _opened(file, args.speed, args.sample_rate, args.follow) as source:
            output = open_output(format_, path, screen)
            options = {"channels": "separate"} if args.separate_channels else {}
            return follow(
                client, source, heard, output, screen, signals, sample_rate=args.sample_rate, **options
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
            "Standard input is the terminal: there is no recording in it.",
            hint="Lead a file into it, <talk.wav, or a program's output.",
        )
    # Without sys.stdin's buffer: its lock, held by a thread that reads, would abort the end of the process.
    with io.FileIO(sys.stdin.fileno(), closefd=False) as stdin:
        yield as_source(stdin, speed=speed, sample_rate=sample_rate)
