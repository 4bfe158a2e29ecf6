"""The options that ``listen`` and ``transcribe`` share, and the client that they describe."""

import argparse
import math
import os
from contextlib import contextmanager
from typing import Any, Iterator, Union

from ..client import Client
from ..dialects import Dialect, Reson8, Soniox, as_dialect
from ..errors import AuthenticationError, ConfigurationError, SlngError
from .exits import FAILED, Stopped, code_for
from .output import FORMATS
from .terminal import Screen

__all__ = ["add_common", "add_device", "add_result", "add_speed", "add_streaming", "client_for"]

LOCAL_NOTE = "Local gateway: the words come from a small offline recogniser for English, not from SLNG."


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every subcommand has."""
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="log to stderr, and show tracebacks")
    loudness.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Which microphone."""
    parser.add_argument(
        "--device",
        type=_device,
        metavar="DEVICE",
        help="a part of a name, or an index: see slng-sync devices",
    )


def add_speed(parser: argparse.ArgumentParser, default: float, help_: str) -> None:
    """How fast."""
    parser.add_argument("--speed", type=_factor, default=default, metavar="FACTOR", help=help_)


def add_streaming(parser: argparse.ArgumentParser) -> None:
    """What describes a stream and its result."""
    parser.add_argument(
        "--model",
        type=_model,
        default="soniox",
        metavar="MODEL",
        help=f"soniox (the default), reson8, or a full id: {', '.join(sorted(Dialect.models))}",
    )
    parser.add_argument(
        "--language",
        action="append",
        metavar="CODE",
        help="a language to expect, such as en; may be repeated (hints for Soniox)",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="use a gateway inside this program: no key, no network, small model",
    )
    where = parser.add_argument_group("where the model runs")
    where.add_argument(
        "--world-part", metavar="PART", help="a part of the world: eu, and for soniox ap and na"
    )
    where.add_argument("--region", metavar="NAME", help="an exact region; wins over the world part")
    where.add_argument(
        "--base-url", metavar="URL", help="another gateway; else SLNG_BASE_URL, else SLNG's own"
    )
    add_result(parser)
    parser.add_argument(
        "--sample-rate",
        type=_rate,
        metavar="HZ",
        help="the rate that is sent; 16000 or the recording's unless said",
    )


def add_result(parser: argparse.ArgumentParser) -> None:
    """What describes a result alone."""
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--format",
        choices=FORMATS,
        help="text unless said, or unless --output ends in .srt, .vtt, .json or .html",
    )
    result.add_argument("-o", "--output", metavar="FILE", help="write there instead of to stdout")


def _factor(text: str) -> float:
    """The value of ``--speed``."""
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return speed


def _device(text: str) -> Union[int, str]:
    return int(text) if text.isdigit() else text


def _model(name: str) -> str:
    try:
        as_dialect(name)
    except ConfigurationError:
        known = ", ".join(sorted(Dialect.models))
        raise argparse.ArgumentTypeError(f"{name!r} is none of soniox, reson8, {known}") from None
    return name


def _rate(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate in Hz, such as 16000")
    return int(text)


@contextmanager
def client_for(args: argparse.Namespace, screen: Screen, **callbacks: Any) -> Iterator[Client]:
    """The client that the options describe, with the gateway that ``--local`` starts."""
    dialect = _dialect(args)
    if not args.local:
        if not os.environ.get("SLNG_API_KEY"):
            raise AuthenticationError(
                "There is no API key.",
                hint="Set SLNG_API_KEY in the environment; --local tries everything without one.",
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
        raise ConfigurationError("--local runs on this machine: leave out --base-url and --region.")


@contextmanager
def _local_gateway(screen: Screen) -> Iterator[str]:
    from ..gateway import LocalGateway

    try:
        gateway = LocalGateway().start()
    except SlngError as error:
        # Such as a package that is missing: no matter of wrong usage.
        screen.failure(error)
        raise Stopped(FAILED if isinstance(error, ConfigurationError) else code_for(error)) from error
    screen.note(LOCAL_NOTE)
    try:
        yield gateway.url
    finally:
        gateway.stop()
