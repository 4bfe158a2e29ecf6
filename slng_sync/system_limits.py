"""What to tell where the system gives a program no more files, or no more threads."""

import errno

from .errors import SlngError

__all__ = ["hint_at_limit", "refused"]

FILES = "Close sessions that are over, or raise the limit of open files (ulimit -n)."
THREADS = (
    "Close sessions that are over, or raise the limit of threads (ulimit -u; in a container, of processes)."
)


def hint_at_limit(error: Exception) -> str:
    """What to do about it; empty where it is no such limit that was met."""
    if isinstance(error, OSError):
        return FILES if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    # At the end of a program Python 3.12 and later start none at all.
    return "" if "shutdown" in str(error) else THREADS


def refused(error: Exception) -> SlngError:
    """The error for a session that cannot begin, by what a file or a thread that was not to be had raises."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SlngError(f"The session could not begin: {reason}.", hint=hint_at_limit(error), retryable=True)
