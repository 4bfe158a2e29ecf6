"""One thing that was looked at, and what was found."""

import time
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from ..errors import ConfigurationError, SlngError

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Check", "failed", "milliseconds"]

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

CORRECT_IT = "Correct the option, or the variable in the environment: slng-sync doctor --help."
UNEXPECTED = "This should not happen. Run it again with -v, and report what it says."


@dataclass(frozen=True)
class Check:
    """What was found: ``detail`` in words, ``cure`` what to do about it, ``figures`` for a program.

    ``cause`` is the error that a failure is to a program.
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
    """The check that an error has ended, in the error's own words where it is one of this package's."""
    known = {"error": type(error).__name__, **(figures or {})}
    if not isinstance(error, SlngError):
        said = f"An unexpected {type(error).__name__}: {error}"
        return Check(name, FAILED, said, cure or UNEXPECTED, known, error)
    if not cure:
        cure = error.hint or (CORRECT_IT if isinstance(error, ConfigurationError) else UNEXPECTED)
    return Check(name, FAILED, error.message, cure, known, error)


def milliseconds(begun: float) -> int:
    """The time since then, on the monotonic clock."""
    return round((time.monotonic() - begun) * 1000)
