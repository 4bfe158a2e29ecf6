"""The order of the checks and their dependencies."""

from typing import Callable, Dict, Iterator, NamedTuple, Tuple

from ..log import logger
from .case import Case
from .check import FAILED, SKIPPED, Check, failed
from .installation import extras, packages, system
from .key import key
from .microphone import microphones, recording
from .network import dns, gateway, proxy, tcp
from .privacy import Privacy
from .session import session
from .tls import tls

__all__ = ["STEPS", "Step", "examine"]


class Step(NamedTuple):
    """A check, and the names of the checks that must succeed before it."""

    run: Callable[[Case], Check]
    needs: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the check, which is that of its function."""
        return self.run.__name__


STEPS = (
    Step(system),
    Step(packages),
    Step(extras),
    Step(microphones),
    Step(recording, ("packages", "microphones")),
    Step(key),
    Step(gateway),
    Step(proxy, ("gateway",)),
    Step(dns, ("proxy",)),
    Step(tcp, ("dns",)),
    Step(tls, ("tcp",)),
    Step(session, ("packages", "key", "tls")),
)
OF_A_MICROPHONE = (microphones, recording)


def examine(case: Case, begin: Callable[[str], None] = lambda name: None) -> Iterator[Check]:
    """Run the checks in order and yield their results. ``begin`` is called with the name of each before it.

    Raises no exceptions: an exception in a check becomes its result.
    """
    privacy = Privacy()
    why: Dict[str, str] = {}
    for step in STEPS:
        lacking = next((name for name in step.needs if name in why), None)
        if step.run in OF_A_MICROPHONE and not case.microphone:
            check = Check(step.name, SKIPPED, "--no-microphone")
        elif lacking is not None:
            check = Check(step.name, SKIPPED, why[lacking])
        else:
            begin(step.name)
            check = _run(step, case)
        if check.status == FAILED:
            why[step.name] = f"it needs {step.name}, which failed"
        elif check.status == SKIPPED:
            why[step.name] = check.detail
        yield privacy.check(check)


def _run(step: Step, case: Case) -> Check:
    try:
        return step.run(case)
    except Exception as error:
        logger.debug("the check %s failed", step.name, exc_info=error)
        return failed(step.name, error)
