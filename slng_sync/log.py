"""The library's logger: ``slng_sync``. It never sees a key or a spoken word."""

import logging
import traceback

__all__ = ["logger", "stack_of"]

logger = logging.getLogger("slng_sync")


def stack_of(error: BaseException) -> str:
    """Where it was raised, without its own text: that may quote what was said."""
    return "".join(traceback.format_tb(error.__traceback__))
