"""Opening of files that contain spoken words.

They are private. Symbolic links are not followed, and the source is never overwritten.
"""

import errno
import itertools
import os
import stat
from typing import Any, BinaryIO, Literal, Optional, Tuple

from ..errors import ConfigurationError, SlngError
from ..validation import Path

__all__ = [
    "check_distinct",
    "check_not_source",
    "check_path",
    "create_beside",
    "open_to_append",
    "open_to_read",
    "open_to_replace",
    "reason_of",
    "stopped",
    "unwritable",
]

PRIVATE = 0o600
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)


def check_path(option: str, path: Path) -> str:
    """Return ``path`` as text. Raises ``ConfigurationError`` unless it is a path."""
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigurationError(f"{option} must be the path of a file to write, not {path!r}.")
    return os.fsdecode(path)


def check_not_source(option: str, path: Optional[Path], source: Any) -> None:
    """Raise ``ConfigurationError`` if ``path`` is the file that ``source`` reads.

    ``source`` is anything that ``listen`` accepts: a path, an open file, or any other object.
    """
    if path is not None and _is_same(check_path(option, path), source):
        raise ConfigurationError(
            f"{option}: {os.fspath(path)!r} is the source itself, which would be overwritten.",
            hint="Use another path.",
        )


def check_distinct(option: str, path: Optional[Path], other_option: str, other: Optional[Path]) -> None:
    """Raise ``ConfigurationError`` if two options name the same file."""
    if path is None or other is None:
        return
    if _is_same(check_path(option, path), check_path(other_option, other)):
        raise ConfigurationError(
            f"{option} and {other_option} are the same file, {os.fspath(path)!r}.",
            hint="Use a different path for each.",
        )


def open_to_replace(path: str) -> BinaryIO:
    """Open a file to write, unbuffered, and empty an existing one. Raises ``OSError``."""
    return _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb")


def create_beside(path: str, numbers: "itertools.count[int]") -> Tuple[BinaryIO, str]:
    """Create a new file at ``path`` with a number before its suffix, and return it and its path.

    Uses the first number without an existing file. The number 1 is left out of the name.
    Raises ``OSError``.
    """
    root, suffix = os.path.splitext(path)
    for number in numbers:
        name = path if number == 1 else f"{root}-{number}{suffix}"
        try:
            return _open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb"), name
        except FileExistsError:
            continue
    raise AssertionError("unreachable: itertools.count does not end")


def open_to_append(path: str) -> BinaryIO:
    """Open an existing file to write into it, unbuffered. Raises ``OSError``."""
    return _open(path, os.O_WRONLY, "wb")


def open_to_read(path: str) -> BinaryIO:
    """Open an existing file to read, unbuffered. Raises ``OSError``."""
    return _open(path, os.O_RDONLY, "rb")


def reason_of(error: BaseException) -> str:
    """Return the reason for a system error as text."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def unwritable(option: str, path: str, error: Exception) -> ConfigurationError:
    """Return the error for a file that cannot be opened or created."""
    hint = "It is a symbolic link. Use the path of the file itself." if _is_link(path, error) else ""
    return ConfigurationError(f"{option}: {path!r} cannot be written ({reason_of(error)}).", hint=hint)


def stopped(option: str, name: str, reason: str, hint: str) -> SlngError:
    """Return the error for a file that can no longer be written. Its session continues."""
    return SlngError(f"{option}: writing to {name!r} stopped ({reason}). The session continues.", hint=hint)


def _open(path: str, flags: int, mode: Literal["rb", "wb"]) -> BinaryIO:
    if not _NO_LINK and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    descriptor = os.open(path, flags | _NO_LINK | _PLAIN, PRIVATE)
    # Use the descriptor, so that the name is not opened twice. The mode only selects reading or writing.
    return os.fdopen(descriptor, mode, buffering=0)


def _is_link(path: str, error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EMLINK) and os.path.islink(path)


def _is_same(path: str, other: Any) -> bool:
    """Return whether ``other``, a path or an open file, is the file at ``path``."""
    try:
        if isinstance(other, (str, os.PathLike)) and _real(path) == _real(other):
            return True
        own, others = os.stat(path), _status(other)
    except (OSError, ValueError):
        return False
    # A terminal or /dev/null may be read and written at the same time.
    return others is not None and stat.S_ISREG(own.st_mode) and os.path.samestat(own, others)


def _real(path: Path) -> str:
    return os.path.realpath(os.fsdecode(path))


def _status(source: Any) -> Optional[os.stat_result]:
    """Return the status of a path or of an open file, or None for anything else."""
    if isinstance(source, (str, os.PathLike)):
        return os.stat(source)
    fileno = getattr(source, "fileno", None)
    try:
        return os.fstat(fileno()) if callable(fileno) else None
    except Exception:
        # An object of the program may raise anything. It is not an open file then.
        return None
