"""The library's logger: ``slng_sync``. It never sees a key or a spoken word."""

import logging

__all__ = ["logger"]

logger = logging.getLogger("slng_sync")
