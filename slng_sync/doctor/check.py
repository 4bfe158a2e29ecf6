"""The result of one check."""

import time
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from ..errors import ConfigurationError, SlngError

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Check", "failed", "milliseconds"]

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

CORRECT_IT = "Correct the option or the environment variable; see slng-sync doctor --help."
UNEXPECTED = "This should not happen. Run the command again with -v and report its output."


@dataclass(frozen=True)
class Check:
    """The result of a check.

    ``detail`` describes the result in words. ``cure`` says what to do about it. ``figures`` are values for
    programs. ``cause`` is the error of a failed check, which determines the exit code.
    """

    name: str
    status: str
    detail: str
    cure: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    cause: Optional[Exception] = field(default=None, repr=False, compare=False)


def failed(
    name: str, error: Exception, *, cure: str = "", figures: Optional[Mapping[str, Any]] = None
) -> Check:
    """Return a failed check for an error. A ``SlngError`` supplies the message, and the hint as the cure."""
    known = {"error": type(error).__name__, **(figures or {})}
    if not isinstance(error, SlngError):
        detail = f"Unexpected {type(error).__name__}: {error}"
        return Check(name, FAILED, detail, cure or UNEXPECTED, known, error)
    if not cure:
        cure = error.hint or (CORRECT_IT if isinstance(error, ConfigurationError) else UNEXPECTED)
    return Check(name, FAILED, error.message, cure, known, error)


def milliseconds(begun: float) -> int:
    """Return the milliseconds since ``begun``, a time of the monotonic clock."""
    return round((time.monotonic() - begun) * 1000)
