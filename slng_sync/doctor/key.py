"""Check of the API key. No part of the key is ever shown, and neither is its length."""

import os
import re

from ..errors import AuthenticationError
from .case import Case
from .check import OK, WARNING, Check, failed
from .cures import set_key

__all__ = ["key", "oddity"]

WITHOUT_KEY = "Or use --local, which needs no key."
USABLE = re.compile(r"[\x21-\x7e]+")


def key(case: Case) -> Check:
    """Check that the key is set and looks valid."""
    if case.is_local:
        return Check("key", OK, "not needed with --local", "", {"set": bool(_key())})
    found = _key()
    if not found.strip():
        missing = AuthenticationError(
            f"SLNG_API_KEY is {'empty' if found else 'not set'}.", hint=f"{set_key()}\n{WITHOUT_KEY}"
        )
        return failed("key", missing, figures={"set": False})
    odd = oddity(found)
    if not USABLE.fullmatch(found):
        wrong = AuthenticationError(f"SLNG_API_KEY is set, but {odd}.", hint=f"Set it again: {set_key()}")
        return failed("key", wrong, figures={"set": True})
    if odd:
        detail = f"SLNG_API_KEY is set, but {odd}"
        return Check("key", WARNING, detail, f"Set it again: {set_key()}", {"set": True})
    return Check("key", OK, "SLNG_API_KEY is set", "", {"set": True})


def oddity(key: str) -> str:
    """Return what is wrong with a key, without quoting it, or "" if it looks valid."""
    if key.rstrip("\r\n") != key:
        return "it ends with a line break"
    if key.strip() != key:
        return "it begins or ends with blanks"
    if key.lower().startswith("bearer "):
        return 'it begins with "Bearer", which is not part of the key'
    if not USABLE.fullmatch(key):
        return "it contains blanks or non-ASCII characters, which no key contains"
    if key[0] in "'\"`" or key[-1] in "'\"`":
        return "it has quotation marks around it"
    if re.fullmatch(r"<.*>|\$\{?\w+\}?|%\w+%|\.{3}|(?i:your.*key|x+|changeme)", key):
        return "it looks like a placeholder from an example"
    return ""


def _key() -> str:
    return os.environ.get("SLNG_API_KEY", "")
