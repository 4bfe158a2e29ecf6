"""The doctor's report: lines of text for people, a JSON document for programs."""

import json
import textwrap
from typing import List, Optional

from ..doctor import FAILED, WARNING, Check
from ..progress import plain
from .meter import bar

__all__ = ["document", "lines", "verdict"]

INDENT = 9


def lines(check: Check, width: Optional[int] = None) -> str:
    """Return the result of a check, with its cure indented below.

    ``width`` is the width of the terminal in columns, or None for a pipe, which gets lines of any length.
    """
    result = f"{check.name}: {plain(check.detail)}"
    if "peak_dbfs" in check.figures:
        result += f" {bar(check.figures['peak_dbfs'])}"
    found = [_wrapped(f"{check.status:<{INDENT}}", result, width)]
    found += [_wrapped(" " * INDENT, plain(cure), width) for cure in check.cure.splitlines()]
    return "".join(f"{line}\n" for line in found)


def _wrapped(begin: str, text: str, width: Optional[int]) -> str:
    """Return the text wrapped to ``width``, or in one line if ``width`` is None."""
    if width is None:
        return begin + text
    indent = " " * INDENT
    return textwrap.fill(
        text,
        max(width, 2 * INDENT),
        initial_indent=begin,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def verdict(checks: List[Check]) -> str:
    """Return a summary of all checks in one line."""
    wrong = [check.name for check in checks if check.status == FAILED]
    if wrong:
        return f"\nFailed: {', '.join(wrong)}. For a bug report: slng-sync doctor --json\n"
    doubtful = [check.name for check in checks if check.status == WARNING]
    return f"\nNo check failed. Warnings: {', '.join(doubtful)}.\n" if doubtful else "\nAll checks passed.\n"


def document(checks: List[Check]) -> str:
    """Return all checks as a JSON document."""
    well = not any(check.status == FAILED for check in checks)
    listed = [
        {
            "name": check.name,
            "status": check.status,
            "detail": check.detail,
            "cure": check.cure,
            **check.figures,
        }
        for check in checks
    ]
    return json.dumps({"ok": well, "checks": listed}, indent=1) + "\n"
