"""``slng-sync doctor``: diagnose problems and say how to fix them."""

import argparse
import logging
import sys
from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, List

from ..dialects import Dialect
from ..doctor import FAILED, Case, Check, examine
from ..errors import SlngError
from ..events import Level
from ..log import logger
from ..progress import columns
from .exits import COMPLETE, code_for
from .exits import FAILED as FAILED_CODE
from .findings import document, lines, verdict
from .meter import bar
from .options import add_common, add_device
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser", "exit_code"]

EPILOG = """\
examples:
  slng-sync doctor                       check Python, microphone, key, network and a complete session
  slng-sync doctor --device usb          check another microphone
  slng-sync doctor --no-microphone       skip the microphone, if you only transcribe recordings
  slng-sync doctor --local               use a gateway inside this program: no key, no network
  slng-sync doctor --json > report.json  for a bug report: omits the key, passwords and your user name

exit codes: 0 if no check failed (warnings are allowed), otherwise the code of the first failed check:
  1    the installation, the network, the certificate or the gateway
  2    wrong usage: an option or an environment variable
  4    there is no microphone, or it delivers no audio
  5    the API key is missing or was refused
  130  stopped by Ctrl-C
"""

SPEAK = "Listening to the microphone for two seconds: say something."


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="diagnose problems",
        description="Check everything that a session needs, step by step, and say how to fix what is wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    add_device(parser)
    parser.add_argument("--no-microphone", action="store_true", help="skip the microphone")
    parser.add_argument(
        "--model",
        default="soniox",
        metavar="MODEL",
        help=f"soniox, reson8 or a full id: {', '.join(sorted(Dialect.models))} (default: soniox)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--local", action="store_true", help="use a gateway inside this program: no key, no network"
    )
    which.add_argument(
        "--base-url", metavar="URL", help="the gateway (default: SLNG_BASE_URL, or SLNG's own gateway)"
    )
    parser.add_argument(
        "--world-part", metavar="PART", help="a part of the world: eu; for soniox also ap and na"
    )
    parser.add_argument(
        "--region", metavar="NAME", help="an exact region; takes precedence over --world-part"
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Run the checks and print the result of each. Return the exit code."""
    checks: List[Check] = []
    width = columns(sys.stdout) if screen.prints_on_terminal else None
    with ExitStack() as stack:
        if not args.verbose:
            stack.enter_context(_quiet_log())
        for check in examine(_case(args, screen, stack), begin=lambda name: _begin(name, screen)):
            checks.append(check)
            screen.clear()
            if not args.json:
                screen.document(lines(check, width))
    screen.document(document(checks) if args.json else verdict(checks))
    return exit_code(checks)


def exit_code(checks: List[Check]) -> int:
    """Return the exit code of the first failed check, or ``COMPLETE`` if none failed."""
    first = next((check for check in checks if check.status == FAILED), None)
    if first is None:
        return COMPLETE
    return FAILED_CODE if first.cause is None else code_for(first.cause)


def _case(args: argparse.Namespace, screen: Screen, stack: ExitStack) -> Case:
    def show_level(level: Level) -> None:
        screen.show(SPEAK, f"{bar(level.peak_dbfs)} {level.peak_dbfs:.0f} dBFS")

    def start_local() -> str:
        return stack.enter_context(_local_gateway())

    return Case(
        model=args.model,
        device=args.device,
        microphone=not args.no_microphone,
        base_url=args.base_url,
        world_part=args.world_part,
        region=args.region,
        start_local=start_local if args.local else None,
        on_level=show_level,
    )


@contextmanager
def _local_gateway() -> Iterator[str]:
    from ..gateway import LocalGateway

    try:
        gateway = LocalGateway().start()
    except SlngError as error:
        # For example a missing package. The base class, because a ConfigurationError would exit with the
        # code for wrong usage.
        raise SlngError(error.message, hint=error.hint) from error
    try:
        yield gateway.url
    finally:
        gateway.stop()


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Suppress log messages while the checks run. The checks report the same problems."""
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _begin(name: str, screen: Screen) -> None:
    if name != "recording":
        screen.show(f"{name} ...")
    elif screen.is_live:
        screen.show(SPEAK)
    else:
        screen.note(SPEAK)
