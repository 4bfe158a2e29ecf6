"""``slng-sync listen``: microphone to text."""

import argparse
from pathlib import Path
from typing import Any, Union

from ..audio.microphone import Microphone
from .exits import EXIT_CODES
from .follow import Heard, follow
from .options import add_common, add_streaming, client_for
from .output import chosen_format, open_output
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EXAMPLES = """\
examples:
  slng-sync listen                             words as they are spoken; Ctrl-C ends
  slng-sync listen --local                     the same without a key
  slng-sync listen --device usb --language de  another microphone, another language
  slng-sync listen -o meeting.srt              subtitles
  slng-sync listen | tee notes.txt             a line for each final

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "listen",
        help="microphone to text",
        description="Transcribe what the microphone hears until Ctrl-C, which still brings the last words; "
        "a second Ctrl-C ends at once.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--device",
        type=_device,
        metavar="DEVICE",
        help="a part of a name, or an index: see slng-sync devices",
    )
    add_streaming(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def _device(text: str) -> Union[int, str]:
    return int(text) if text.isdigit() else text


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Listen; tell the exit code."""
    format_ = chosen_format(args.format, args.output)
    heard: Heard[Any] = Heard()
    microphone = Microphone(args.device)
    with client_for(
        args, screen, on_partial=heard.put, on_final=heard.put, on_error=heard.put, on_event=heard.put
    ) as client:
        output = open_output(format_, Path(args.output) if args.output else None, screen)
        if screen.watched:
            screen.note("Listening. Ctrl-C ends.")
        return follow(client, microphone, args.sample_rate, heard, output, screen, signals)
