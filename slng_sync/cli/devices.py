"""``slng-sync devices``: which microphones there are."""

import argparse
import json
from dataclasses import asdict
from typing import Any, List, Sequence

from ..microphone.microphone import Device, Microphone
from .exits import AUDIO, COMPLETE
from .options import add_common
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser", "table"]

HEADINGS = ("", "INDEX", "NAME", "RATE", "CHANNELS", "HOST API")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "devices",
        help="the microphones there are",
        description="List the input devices; * marks the default one. listen --device takes the index, or "
        "a part of the name.",
        epilog="exit codes: 0, or 4 where there is no microphone",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Print the devices; tell the exit code."""
    devices = Microphone.devices()
    if args.json:
        screen.document(json.dumps([asdict(device) for device in devices], indent=1) + "\n")
    elif devices:
        screen.document("".join(line + "\n" for line in table(devices)))
    if devices:
        return COMPLETE
    screen.error(
        "No microphone found.",
        "Connect one and see whether the system's sound settings list it. A container has none, and neither "
        "has a machine reached by SSH: slng-sync transcribe takes recordings.",
    )
    return AUDIO


def table(devices: Sequence[Device]) -> List[str]:
    """The lines of a table."""
    rows = [HEADINGS]
    for device in devices:
        mark, rate = "*" if device.is_default else "", f"{device.sample_rate} Hz"
        name = " ".join(device.name.split())
        rows.append((mark, str(device.index), name, rate, str(device.channels), device.host_api))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    widths[0] = 1
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
