"""``slng-sync listen``: microphone to text."""

import argparse
from pathlib import Path
from typing import Any

from ..microphone.microphone import Microphone
from .exits import EXIT_CODES
from .follow import Heard, follow
from .options import add_common, add_device, add_streaming, client_for
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
  slng-sync listen --gate --record day.wav     all day long, and only what is said
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
    add_device(parser)
    parser.add_argument("--gate", action="store_true", help="withhold silence instead of sending it")
    parser.add_argument(
        "--finalize-after",
        type=_seconds,
        metavar="SECONDS",
        help="make final what was said after so much silence, such as 0.6, instead of when the server would",
    )
    parser.add_argument("--record", metavar="FILE", help="keep what is sent, as WAV")
    parser.add_argument(
        "--trace", metavar="FILE", help="keep the messages of both sides, for slng-sync replay"
    )
    add_streaming(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 10")
    return seconds


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
        return follow(
            client,
            microphone,
            heard,
            output,
            screen,
            signals,
            sample_rate=args.sample_rate,
            gate=args.gate,
            finalize_after=args.finalize_after,
            levels=screen.bar_stream is not None,
            record=args.record,
            trace=args.trace,
        )
