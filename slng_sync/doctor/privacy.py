"""Removal of private data from results: the key, passwords of proxies, user names in paths."""

import os
import re
from typing import Any, List, Mapping
from urllib.parse import unquote, urlsplit

from ..redaction import Redaction
from .check import Check

__all__ = ["Privacy"]

HOMES = re.compile(r"""(?:/home|/Users|[A-Za-z]:[/\\]Users)[/\\][^/\\\s:;,'")]+""")


class Privacy:
    """A filter for results that removes private data. A safety net: the checks should not include any."""

    def __init__(self) -> None:
        self._redaction = Redaction(_secrets())
        home = os.path.expanduser("~")
        # Replace the longer path first, because one may be a prefix of the other. "/" is not replaced.
        homes = {home, os.path.realpath(home)}
        self._homes = sorted((each for each in homes if len(each) > 1), key=len, reverse=True)

    def check(self, check: Check) -> Check:
        """Return a copy of ``check`` without private data."""
        figures = {name: self._value(value) for name, value in check.figures.items()}
        return Check(
            check.name, check.status, self.text(check.detail), self.text(check.cure), figures, check.cause
        )

    def text(self, text: str) -> str:
        """Return ``text`` without secrets, and with ``~`` for home directories."""
        text = self._redaction.text(text)
        for home in self._homes:
            text = re.sub(r"(?<![\w.-])" + re.escape(home) + r"(?![^/\\\s:;,'\")])", "~", text)
        return HOMES.sub("~", text)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self._value(each) for name, each in value.items()}
        return [self._value(each) for each in value] if isinstance(value, (list, tuple)) else value


def _secrets() -> List[str]:
    # Imported here, because urllib.request imports the whole http.client package.
    from urllib.request import getproxies

    key = os.environ.get("SLNG_API_KEY", "")
    secrets = [key, key.strip(), key.strip("'\"` \r\n\t")]
    for proxy in getproxies().values():
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        except ValueError:
            continue
        for secret in (parts.password, parts.username):
            secrets += [secret, unquote(secret)] if secret else []
    return secrets
