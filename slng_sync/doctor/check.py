"""One thing that was looked at, and what was found; and how to look without waiting for ever."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, List, Mapping, Optional, TypeVar

from ..errors import ConfigurationError, SlngError, WaitTimeout
from ..waiting import SLICE

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Check", "failed", "milliseconds", "within"]

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

CORRECT_IT = "Correct the option, or the variable in the environment: slng-sync doctor --help."
UNEXPECTED = "This should not happen. Run it again with -v, and report what it says."

Result = TypeVar("Result")


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


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call a function that may hang; WaitTimeout after so many seconds. Ctrl-C gets through at any time."""
    results: List[Result] = []
    errors: List[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    # A daemon: what hangs must not keep the program from its end.
    thread = threading.Thread(target=run, name="slng-doctor", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(max(0.0, min(SLICE, until - time.monotonic())))
    if errors:
        raise errors[0]
    if not results:
        raise WaitTimeout(f"There was no answer within {seconds:g} s.")
    return results[0]
