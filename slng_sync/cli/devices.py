"""``slng-sync devices``: list the microphones."""

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
        help="list the microphones",
        description="List the input devices. * marks the default device. Give the index or a part of the "
        "name to listen --device.",
        epilog="exit codes: 0, or 4 if there is no microphone",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Print the devices. Return the exit code."""
    devices = Microphone.devices()
    if args.json:
        screen.document(json.dumps([asdict(device) for device in devices], indent=1) + "\n")
    elif devices:
        screen.document("".join(line + "\n" for line in table(devices)))
    if devices:
        return COMPLETE
    screen.error(
        "No microphone found.",
        "Connect one and check that the system's sound settings list it. Containers and machines reached by "
        "SSH have none: use slng-sync transcribe with a recording.",
    )
    return AUDIO


def table(devices: Sequence[Device]) -> List[str]:
    """Return the devices as lines of a table."""
    rows = [HEADINGS]
    for device in devices:
        mark, rate = "*" if device.is_default else "", f"{device.sample_rate} Hz"
        name = " ".join(device.name.split())
        rows.append((mark, str(device.index), name, rate, str(device.channels), device.host_api))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    widths[0] = 1
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
