"""``slng-sync replay``: replay a recorded session trace offline."""

import argparse
import itertools
from typing import Any

from ..replay import Replay
from .exits import EXIT_CODES, SIGNALLED
from .follow import Follower
from .options import add_common, add_result, add_speed
from .output import chosen_format, open_output, targets
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EXAMPLES = """\
examples:
  slng-sync replay talk.jsonl                print the transcript at once
  slng-sync replay talk.jsonl --speed 1      replay at the original pace
  slng-sync replay talk.jsonl -o talk.srt    write subtitles

Record a trace with slng-sync listen --trace talk.jsonl, or in a program with
client.listen(..., trace="talk.jsonl").

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="replay a recorded session trace offline",
        description="Replay a recorded session trace offline; needs no key, network or audio.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("trace", metavar="TRACE", help="the trace file")
    add_speed(parser, float("inf"), "pace: 1.0 is the original one, inf without delays (default: inf)")
    add_result(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Replay the trace. Return the exit code."""
    format_ = chosen_format(args.format, args.output)
    (path,) = targets([args.trace], args.output, format_)
    replay = Replay(args.trace, speed=args.speed)
    items = iter(replay)
    # Read the first item before opening the output, so that an invalid trace creates no empty document.
    first = next(items)
    output = open_output(format_, path, screen)
    follower = Follower(replay.log, output, screen)
    try:
        for item in itertools.chain([first], items):
            follower.handle(item)
    except KeyboardInterrupt:
        return SIGNALLED + signals.first
    finally:
        screen.clear()
        output.end(replay.log)
    return follower.code
