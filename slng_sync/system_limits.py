"""Hints for errors raised at the system's limits of open files and threads."""

import errno

from .errors import SlngError

__all__ = ["hint_at_limit", "refused"]

FILES = "Close sessions that are no longer used, or raise the limit of open files (ulimit -n)."
THREADS = (
    "Close sessions that are no longer used, or raise the limit of threads (ulimit -u; in a container, the "
    "limit of processes)."
)


def hint_at_limit(error: Exception) -> str:
    """Return what to do about ``error``, or "" if it was not raised at a limit of files or threads."""
    if isinstance(error, OSError):
        return FILES if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    # Python 3.12 and later refuse to start threads while the interpreter shuts down. That is no limit.
    return "" if "shutdown" in str(error) else THREADS


def refused(error: Exception) -> SlngError:
    """Return the error for a session that cannot start because a file or a thread could not be created."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SlngError(f"The session could not start: {reason}.", hint=hint_at_limit(error), retryable=True)
