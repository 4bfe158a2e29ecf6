"""Options shared by several subcommands, and the client that they configure."""

import argparse
import math
import os
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Union

from ..client import Client
from ..dialects import Dialect, Reson8, Soniox, as_dialect
from ..errors import AuthenticationError, ConfigurationError, SlngError
from .exits import FAILED, Stopped, code_for
from .output import FORMATS
from .terminal import Screen

__all__ = ["add_common", "add_device", "add_result", "add_speed", "add_streaming", "client_for"]

LOCAL_NOTE = "Using the local gateway: a small offline recogniser for English transcribes, not SLNG."


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every subcommand."""
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument("-v", "--verbose", action="store_true", help="log to stderr and show tracebacks")
    verbosity.add_argument("-q", "--quiet", action="store_true", help="print only errors to stderr")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        type=_device,
        metavar="DEVICE",
        help="the microphone: its index or a part of its name; see slng-sync devices (default: the system's "
        "default device)",
    )


def add_speed(parser: argparse.ArgumentParser, default: float, help_: str) -> None:
    """Add ``--speed``."""
    parser.add_argument("--speed", type=_factor, default=default, metavar="FACTOR", help=help_)


def add_streaming(parser: argparse.ArgumentParser) -> None:
    """Add the options of a session and its result."""
    parser.add_argument(
        "--model",
        type=_model,
        default="soniox",
        metavar="MODEL",
        help=f"soniox, reson8 or a full id: {', '.join(sorted(Dialect.models))} (default: soniox)",
    )
    parser.add_argument(
        "--language",
        action="append",
        metavar="CODE",
        help="an expected language, such as en; may be repeated (a hint for Soniox)",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="use a gateway inside this program with a small model: no key, no network",
    )
    where = parser.add_argument_group("where the model runs")
    where.add_argument(
        "--world-part", metavar="PART", help="a part of the world: eu; for soniox also ap and na"
    )
    where.add_argument("--region", metavar="NAME", help="an exact region; takes precedence over --world-part")
    where.add_argument(
        "--base-url", metavar="URL", help="the gateway (default: SLNG_BASE_URL, or SLNG's own gateway)"
    )
    add_result(parser)
    parser.add_argument(
        "--sample-rate",
        type=_rate,
        metavar="HZ",
        help="the sample rate that is sent (default: 16000 or the recording's rate)",
    )


def add_result(parser: argparse.ArgumentParser) -> None:
    """Add the options of the result."""
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--format",
        choices=FORMATS,
        help="the output format (default: by the suffix .srt, .vtt, .json or .html of --output, otherwise "
        "text)",
    )
    result.add_argument("-o", "--output", metavar="FILE", help="write the result to FILE instead of stdout")


def _factor(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")
    return speed


def _device(text: str) -> Union[int, str]:
    return int(text) if text.isdigit() else text


def _model(name: str) -> str:
    try:
        as_dialect(name)
    except ConfigurationError:
        known = ", ".join(sorted(Dialect.models))
        raise argparse.ArgumentTypeError(
            f"unknown model {name!r}: choose one of soniox, reson8, {known}"
        ) from None
    return name


def _rate(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate in Hz, such as 16000")
    return int(text)


@contextmanager
def client_for(args: argparse.Namespace, screen: Screen, put: Callable[[Any], object]) -> Iterator[Client]:
    """Yield a client for the options. With ``--local`` the local gateway runs inside the ``with`` block.

    ``put`` is called with each transcript, error and event, on the threads of the sessions.
    """
    dialect = _dialect(args)
    callbacks: Dict[str, Any] = dict.fromkeys(("on_partial", "on_final", "on_error", "on_event"), put)
    if not args.local:
        if not os.environ.get("SLNG_API_KEY"):
            raise AuthenticationError(
                "No API key: SLNG_API_KEY is not set.",
                hint="Set SLNG_API_KEY in the environment, or use --local, which needs no key.",
            )
        yield Client(
            dialect, world_part=args.world_part, region=args.region, base_url=args.base_url, **callbacks
        )
        return
    _check_local(args)
    with _local_gateway(screen) as url:
        yield Client(
            dialect, api_key="local", world_part=args.world_part, base_url=url, proxy="", **callbacks
        )


def _dialect(args: argparse.Namespace) -> Dialect:
    dialect = as_dialect(args.model)
    if args.language and isinstance(dialect, Soniox):
        return Soniox(language_hints=list(dict.fromkeys(args.language)))
    if args.language and isinstance(dialect, Reson8):
        return Reson8(language=args.language)
    return dialect


def _check_local(args: argparse.Namespace) -> None:
    if args.base_url is not None or args.region is not None:
        raise ConfigurationError("--local cannot be combined with --base-url or --region: leave them out.")


@contextmanager
def _local_gateway(screen: Screen) -> Iterator[str]:
    from ..gateway import LocalGateway

    try:
        gateway = LocalGateway().start()
    except SlngError as error:
        # For example a missing package. That is not wrong usage, although it is a ConfigurationError.
        screen.failure(error)
        raise Stopped(FAILED if isinstance(error, ConfigurationError) else code_for(error)) from error
    screen.note(LOCAL_NOTE)
    try:
        yield gateway.url
    finally:
        gateway.stop()
