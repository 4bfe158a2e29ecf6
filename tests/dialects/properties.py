"""Settings and strategies of the property-based tests. ``HYPOTHESIS_PROFILE=thorough`` needs ``--timeout=0``.

The profile ``ci`` always uses the same examples.
"""

import os
from typing import Any, Dict, Optional

from hypothesis import settings
from hypothesis import strategies as st

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60)
settings.register_profile("thorough", deadline=None, max_examples=1000)
checked = settings(settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci")))

Frame = Dict[str, Any]


class Tape:
    """A timeline without gaps: the server's seconds are the session's."""

    reached = 0.0

    @property
    def heard(self) -> float:
        return self.reached

    def start(self, stream_seconds: float) -> float:
        return stream_seconds

    def end(self, stream_seconds: float) -> float:
        return stream_seconds


def spoken(text: str, *, is_final: bool = True, **fields: Any) -> Frame:
    """Make a final token."""
    return {"text": text, "is_final": is_final, **fields}


def guessed(text: str, **fields: Any) -> Frame:
    """Make a non-final token."""
    return spoken(text, is_final=False, **fields)


def original(text: str, language: str = "en", *, is_final: bool = True) -> Frame:
    """Make a spoken token that will be translated."""
    return spoken(text, is_final=is_final, translation_status="original", language=language)


def translated(
    text: str, language: str = "fr", source: Optional[str] = "en", *, is_final: bool = True
) -> Frame:
    """Make a token of a translation."""
    return spoken(
        text,
        is_final=is_final,
        translation_status="translation",
        language=language,
        source_language=source,
    )


END = {"text": "<end>", "is_final": True}
FIN = {"text": "<fin>", "is_final": True}


def frame(*tokens: Frame, **fields: Any) -> Frame:
    """Make a message with tokens."""
    return {"tokens": list(tokens), **fields}


# Any JSON that a server might send in place of the right value.


def one_of(values: Any) -> Any:
    """Like ``sampled_from``, with a short name at any nesting depth."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


NUMBERS = [1e308, -1e308, 1e305, 2**63, -0.0, 401, 400, 503]
TEXTS = ["", " ", "<end>", "a<end><fin>b", "error", "Ready", "translation", "original", "400", "\x00"]
KEYS = (
    "tokens text is_final start_ms end_ms confidence speaker language translation_status source_language "
    "error_code error_type error_message finished final_audio_proc_ms audio_final_proc_ms "
    "type transcript words word start end duration duration_ms id session_id code message data description "
    "error status_code last_word_end"
).split()

numbers = st.one_of(st.integers(-3, 6000), st.integers(-(10**400), 10**400), st.floats(), one_of(NUMBERS))
texts = st.one_of(one_of(TEXTS), st.text(max_size=8))
keys = st.one_of(one_of(KEYS), st.text(max_size=4))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=25,
)
json_objects = st.dictionaries(keys, json_values, max_size=8)
