"""Diagnosis of problems: a series of checks, each with a cure for what is wrong.

``examine`` runs all checks and yields their results. Modules: ``check`` (a result), ``case`` (what to check),
``installation``, ``microphone``, ``key``, ``network``, ``tls``, ``session`` (the checks), ``certificate``
(reads certificates), ``cures`` (advice by operating system), ``privacy`` (removes private data),
``examination`` (the order of the checks and their dependencies).
"""

from .case import Case
from .check import FAILED, OK, SKIPPED, WARNING, Check
from .examination import examine

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Case", "Check", "examine"]
