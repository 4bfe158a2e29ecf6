"""What is wrong where nothing works: one check after the other, each with its cure.

``examine`` goes through all of them and yields what each has found. Modules: ``check`` (what was found),
``case`` (what is examined), ``installation``, ``microphone``, ``key``, ``network``, ``tls``, ``session`` (the
checks), ``certificate`` (who issued it), ``cures`` (what to do, by operating system), ``privacy`` (what is
shown to nobody), ``examination`` (their order, and which of them need which).
"""

from .case import Case
from .check import FAILED, OK, SKIPPED, WARNING, Check
from .examination import examine

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Case", "Check", "examine"]
