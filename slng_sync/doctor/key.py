"""The API key: whether there is one. It is shown nowhere, not even in part, and its length neither."""

import os
import re

from ..errors import AuthenticationError
from .case import Case
from .check import OK, WARNING, Check, failed
from .cures import set_key

__all__ = ["key", "oddity"]

WITHOUT_ONE = "--local tries everything without one."
USABLE = re.compile(r"[\x21-\x7e]+")


def key(case: Case) -> Check:
    """Whether there is a key, and whether it looks like one."""
    if case.is_local:
        return Check("key", OK, "none is needed with --local", "", {"set": bool(_key())})
    found = _key()
    if not found.strip():
        missing = AuthenticationError(
            f"SLNG_API_KEY is {'empty' if found else 'not set'}.", hint=f"{set_key()}\n{WITHOUT_ONE}"
        )
        return failed("key", missing, figures={"set": False})
    odd = oddity(found)
    if not USABLE.fullmatch(found):
        wrong = AuthenticationError(f"SLNG_API_KEY is set, but {odd}.", hint=f"Set it anew: {set_key()}")
        return failed("key", wrong, figures={"set": True})
    if odd:
        said = f"SLNG_API_KEY is set, but {odd}"
        return Check("key", WARNING, said, f"Set it anew: {set_key()}", {"set": True})
    return Check("key", OK, "SLNG_API_KEY is set", "", {"set": True})


def oddity(key: str) -> str:
    """What is odd about a key, in words that do not show it; empty where nothing is."""
    if key.rstrip("\r\n") != key:
        return "a line break follows it"
    if key.strip() != key:
        return "there are blanks around it"
    if key.lower().startswith("bearer "):
        return 'it begins with "Bearer", which is not a part of the key'
    if not USABLE.fullmatch(key):
        return "there are blanks or letters in it that no key has"
    if key[0] in "'\"`" or key[-1] in "'\"`":
        return "there are quotation marks around it"
    if re.fullmatch(r"<.*>|\$\{?\w+\}?|%\w+%|\.{3}|(?i:your.*key|x+|changeme)", key):
        return "it looks like what an example has in its place"
    return ""


def _key() -> str:
    return os.environ.get("SLNG_API_KEY", "")
