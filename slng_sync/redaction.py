"""Removal of API keys from what a server sends.

A server may echo a key in a response body, a header, a message or a close reason.
"""

import json
from typing import Any, Iterable, List, Mapping
from urllib.parse import quote

__all__ = ["Redaction"]

SHORTEST = 6
"""Minimum length of a secret in characters. Shorter strings would match inside ordinary words."""
HIDDEN = "***"


class Redaction:
    """A filter that replaces secrets by ``***``: verbatim, JSON-escaped and URL-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: List[str] = []
        for secret in secrets:
            if len(secret) >= SHORTEST:
                escaped = json.dumps(secret)[1:-1]
                forms += [secret, escaped, escaped.replace("/", "\\/"), quote(secret), quote(secret, safe="")]
        self._forms = sorted(set(forms), key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return ``text`` without the secrets."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def frame(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a decoded message without the secrets, however they were escaped in it."""
        hidden = {self.text(name): self._value(value) for name, value in frame.items()}
        assert isinstance(hidden, dict)
        return hidden

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.frame(value)
        return [self._value(each) for each in value] if isinstance(value, list) else value
