"""Keys out of what a server says: it may repeat them in a body, a header, a frame or a close reason."""

import json
from typing import Any, Iterable, List, Mapping
from urllib.parse import quote

__all__ = ["Redaction"]

SHORTEST = 6
"""Characters of a secret; anything shorter is none, and would be found inside ordinary words."""
HIDDEN = "***"


class Redaction:
    """Hides secrets, as they are and as JSON or a URL would write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: List[str] = []
        for secret in secrets:
            if len(secret) >= SHORTEST:
                escaped = json.dumps(secret)[1:-1]
                forms += [secret, escaped, escaped.replace("/", "\\/"), quote(secret), quote(secret, safe="")]
        self._forms = sorted(set(forms), key=len, reverse=True)

    def text(self, said: str) -> str:
        """A text without the secrets."""
        for form in self._forms:
            said = said.replace(form, HIDDEN)
        return said

    def frame(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """A decoded frame without the secrets, however they were escaped in it."""
        hidden = {self.text(name): self._value(value) for name, value in frame.items()}
        assert isinstance(hidden, dict)
        return hidden

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.frame(value)
        return [self._value(each) for each in value] if isinstance(value, list) else value
