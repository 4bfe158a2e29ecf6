"""What is shown to nobody: the key, passwords of proxies, the user's name in paths."""

import os
import re
from typing import Any, List, Mapping
from urllib.parse import unquote, urlsplit

from ..redaction import Redaction
from .check import Check

__all__ = ["Privacy"]

HOMES = re.compile(r"""(?:/home|/Users|[A-Za-z]:[/\\]Users)[/\\][^/\\\s:;,'")]+""")


class Privacy:
    """Takes out of what was found what is nobody's business. None of it should be there to begin with."""

    def __init__(self) -> None:
        self._redaction = Redaction(_secrets())
        home = os.path.expanduser("~")
        # The longer one first: one may be the beginning of the other. "/" is no home.
        homes = {home, os.path.realpath(home)}
        self._homes = sorted((each for each in homes if len(each) > 1), key=len, reverse=True)

    def check(self, check: Check) -> Check:
        """The same, fit to be shown."""
        figures = {name: self._value(value) for name, value in check.figures.items()}
        return Check(
            check.name, check.status, self.text(check.detail), self.text(check.cure), figures, check.cause
        )

    def text(self, said: str) -> str:
        """A text without secrets, and with ``~`` for the home."""
        said = self._redaction.text(said)
        for home in self._homes:
            said = re.sub(r"(?<![\w.-])" + re.escape(home) + r"(?![^/\\\s:;,'\")])", "~", said)
        return HOMES.sub("~", said)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self._value(each) for name, each in value.items()}
        return [self._value(each) for each in value] if isinstance(value, (list, tuple)) else value


def _secrets() -> List[str]:
    # Here, because it brings all of http.client with it.
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
