"""``slng-sync gateway``: run the local gateway, to try programs without an API key."""

import argparse
import errno
import ssl
from pathlib import Path
from typing import Any, Optional, Tuple

from ..errors import ConfigurationError, SlngError
from .exits import COMPLETE, FAILED, Stopped
from .follow import Inbox, next_item
from .options import add_common
from .signals import Signals
from .terminal import Screen

__all__ = ["add_parser"]

EPILOG = """\
examples:
  slng-sync gateway                             recognise speech with a small offline recogniser for English
  slng-sync gateway --script words.txt          always send the words of this file, whatever the audio
  slng-sync gateway --port 0 --tls-cert cert.pem --tls-key key.pem

It prints the environment variables that programs need:
  SLNG_BASE_URL=ws://127.0.0.1:8765
  SLNG_API_KEY=anything

exit codes: 0 after Ctrl-C, 1 if the gateway cannot start, 2 for wrong usage
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "gateway",
        help="run a local gateway, to try programs without an API key",
        description="Serve the protocols of both models on this machine until Ctrl-C. Protocol violations of "
        "a client are reported on stderr.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8765, help="the port; 0 chooses a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--engine",
        choices=("recognizer", "script"),
        help="recognise speech, or send the words of --script (default: recognizer, or script with --script)",
    )
    parser.add_argument("--script", metavar="FILE", help="a plain text file with the words to send")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="the private key of --tls-cert (PEM)")
    add_common(parser)
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number from 0 to 65535")
    return int(text)


def run(args: argparse.Namespace, screen: Screen, signals: Signals) -> int:
    """Serve until Ctrl-C or another signal. Return the exit code."""
    interruptions: Inbox[Any] = Inbox()
    gateway = _gateway(args, screen)
    try:
        with signals.sent_to(interruptions.put):
            screen.document(f"SLNG_BASE_URL={gateway.url}\nSLNG_API_KEY=anything\n")
            screen.note("Stop the gateway with Ctrl-C.")
            while next_item(interruptions) is None:
                pass
    finally:
        gateway.stop()
    return COMPLETE


def _gateway(args: argparse.Namespace, screen: Screen) -> Any:
    from ..gateway import LocalGateway, Script

    engine = args.engine or ("script" if args.script else "recognizer")
    if args.script and engine != "script":
        raise ConfigurationError(f"--script cannot be used with --engine {engine}: use --engine script.")
    if bool(args.tls_cert) != bool(args.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key must be given together.")
    text = _read(args.script, screen)
    try:
        return LocalGateway(
            engine,
            script=None if text is None else Script.from_text(text),
            host=args.host,
            port=args.port,
            tls=(args.tls_cert, args.tls_key) if args.tls_cert else None,
        ).start()
    except SlngError as error:
        screen.failure(error)
    except OSError as error:
        screen.failure(error, *_not_started(args, error))
    raise Stopped(FAILED)


def _read(path: Optional[str], screen: Screen) -> Optional[str]:
    try:
        return None if path is None else Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        screen.failure(error, f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.")
        raise Stopped(FAILED) from error


def _not_started(args: argparse.Namespace, error: OSError) -> Tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return f"Port {args.port} is already in use.", "Choose another port; --port 0 chooses a free one."
    if args.tls_cert and (
        isinstance(error, ssl.SSLError) or error.errno in (None, errno.ENOENT, errno.EACCES)
    ):
        return (
            f"The TLS certificate or its key cannot be used: {error.strerror or error}.",
            "Both must be PEM files.",
        )
    return f"Cannot listen on {args.host}: {error.strerror or error}.", "Choose another --host."
