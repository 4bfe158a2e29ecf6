"""What the doctor has found, as lines for a person or as a document for a program."""

import json
import textwrap
from typing import List, Optional

from ..doctor import FAILED, WARNING, Check
from ..progress import plain
from .meter import bar

__all__ = ["document", "lines", "verdict"]

INDENT = 9


def lines(check: Check, width: Optional[int] = None) -> str:
    """What a check has found; and below it, further in, what to do about it. ``width`` is the terminal's."""
    said = f"{check.name}: {plain(check.detail)}"
    if "peak_dbfs" in check.figures:
        said += f" {bar(check.figures['peak_dbfs'])}"
    found = [_wrapped(f"{check.status:<{INDENT}}", said, width)]
    found += [_wrapped(" " * INDENT, plain(cure), width) for cure in check.cure.splitlines()]
    return "".join(f"{line}\n" for line in found)


def _wrapped(begin: str, text: str, width: Optional[int]) -> str:
    """As lines of a terminal; what reads a pipe gets one."""
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
    """All of it in a line."""
    wrong = [check.name for check in checks if check.status == FAILED]
    if wrong:
        return f"\nFailed: {', '.join(wrong)}. For a bug report: slng-sync doctor --json\n"
    doubtful = [check.name for check in checks if check.status == WARNING]
    return f"\nIt works; look at: {', '.join(doubtful)}.\n" if doubtful else "\nAll is well.\n"


def document(checks: List[Check]) -> str:
    """All of it as JSON."""
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
