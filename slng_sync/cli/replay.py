"""``slng-sync replay``: a traced session once more, without a network."""

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
  slng-sync replay talk.jsonl                what was heard, at once
  slng-sync replay talk.jsonl --speed 1      as it was
  slng-sync replay talk.jsonl -o talk.srt    subtitles

The file is one that a program has had written: client.listen(trace="talk.jsonl").

"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="a traced session once more",
        description="Tell once more what a session was told, from its trace: no key, no network, no audio.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("trace", metavar="TRACE", help="the trace of a session")
    add_speed(parser, float("inf"), "how fast: 1.0 as it was, inf at once (the default)")
    add_result(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Replay; tell the exit code."""
    format_ = chosen_format(args.format, args.output)
    (path,) = targets([args.trace], args.output, format_)
    replay = Replay(args.trace, speed=args.speed)
    news = iter(replay)
    # The first of it before the output is opened: what is no trace leaves no empty document.
    first = next(news)
    output = open_output(format_, path, screen)
    follower = Follower(replay.log, output, screen)
    try:
        for item in itertools.chain([first], news):
            follower.take(item)
    except KeyboardInterrupt:
        return SIGNALLED + signals.first
    finally:
        screen.clear()
        output.end(replay.log)
    return follower.code
