"""The library's logger, ``slng_sync``. Log messages never contain a key or a spoken word."""

import logging
import traceback

__all__ = ["logger", "stack_of"]

logger = logging.getLogger("slng_sync")


def stack_of(error: BaseException) -> str:
    """Return the stack trace of ``error`` without its message, which may quote spoken words."""
    return "".join(traceback.format_tb(error.__traceback__))
