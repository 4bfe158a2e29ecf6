"""Checks of arguments. Each error names the argument and says which values are valid."""

import os
from typing import Optional, Union

from .errors import ConfigurationError

__all__ = ["Path", "check_count", "check_flag", "check_folder", "check_seconds", "check_timeout"]

Path = Union[str, "os.PathLike[str]"]


def check_seconds(name: str, value: object, low: float, high: float) -> float:
    """Return ``value`` as a float. Raises ``ConfigurationError`` unless it is from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigurationError(
            f"{name} must be a number of seconds from {low:g} to {high:g}, not {value!r}."
        )
    return float(value)


def check_timeout(timeout: Optional[float]) -> None:
    """Raise ``ConfigurationError`` unless ``timeout`` is None or a number of seconds >= 0."""
    valid = timeout is None or (
        isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout >= 0
    )
    if not valid:
        raise ConfigurationError(f"timeout must be None or a number of seconds >= 0, not {timeout!r}.")


def check_flag(name: str, value: object) -> None:
    """Raise ``ConfigurationError`` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}.")


def check_count(name: str, value: object) -> None:
    """Raise ``ConfigurationError`` unless ``value`` is an integer >= 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{name} must be an integer >= 0, not {value!r}.")


def check_folder(name: str, folder: Optional[Path]) -> Optional[str]:
    """Return the absolute path of ``folder``, created if necessary, or None for None.

    Raises ``ConfigurationError`` if ``folder`` is not a path or is not writable.
    """
    if folder is None:
        return None
    if not isinstance(folder, (str, os.PathLike)):
        raise ConfigurationError(f"{name} must be the path of a folder, not {folder!r}.")
    import tempfile

    path = os.path.abspath(os.fspath(folder))
    try:
        os.makedirs(path, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{name}: the folder {path!r} is not writable ({reason}).") from error
    return path
