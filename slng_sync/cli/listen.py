"""``slng-sync listen``: transcribe the microphone live."""

import argparse
from pathlib import Path
from typing import Any

from ..microphone.microphone import Microphone
from .exits import EXIT_CODES
from .follow import Inbox, follow
from .options import add_common, add_device, add_streaming, client_for
from .output import chosen_format, open_output
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EXAMPLES = """\
examples:
  slng-sync listen                             print words as they are spoken; stop with Ctrl-C
  slng-sync listen --local                     the same without an API key
  slng-sync listen --device usb --language de  use another microphone and another language
  slng-sync listen -o meeting.srt              write subtitles
  slng-sync listen --gate --record day.wav     listen all day, send and record only speech
  slng-sync listen | tee notes.txt             print one line for each final

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "listen",
        help="transcribe the microphone live",
        description="Transcribe the microphone until Ctrl-C. The first Ctrl-C waits for the last words, a "
        "second one stops at once.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_device(parser)
    parser.add_argument("--gate", action="store_true", help="send no audio during silence")
    parser.add_argument(
        "--finalize-after",
        type=_seconds,
        metavar="SECONDS",
        help="finalize after SECONDS of silence (e.g. 0.6) instead of waiting for the server",
    )
    parser.add_argument("--record", metavar="FILE", help="write the audio that is sent to a WAV file")
    parser.add_argument(
        "--trace", metavar="FILE", help="write all messages to a trace file for slng-sync replay"
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
    """Transcribe the microphone. Return the exit code."""
    format_ = chosen_format(args.format, args.output)
    inbox: Inbox[Any] = Inbox()
    microphone = Microphone(args.device)
    with client_for(args, screen, inbox.put) as client:
        output = open_output(format_, Path(args.output) if args.output else None, screen)
        if screen.is_live:
            screen.note("Listening. Stop with Ctrl-C.")
        return follow(
            client,
            microphone,
            inbox,
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
