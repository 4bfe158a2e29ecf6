"""A mask changes each byte by one of four in turn, in C and in Python."""

import importlib.util
from typing import Any, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync.transport.mask import best_mask, mask

KEYS = st.binary(min_size=4, max_size=4)


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    best_mask.cache_clear()
    yield
    best_mask.cache_clear()


@given(st.binary(max_size=600), KEYS)
def test_it_is_what_the_standard_says_and_undoes_itself(payload: bytes, key: bytes) -> None:
    assert mask(payload, key) == bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert mask(mask(payload, key), key) == payload


@given(st.binary(max_size=600), KEYS)
def test_the_one_in_c_does_the_same(payload: bytes, key: bytes) -> None:
    assert best_mask() is not mask
    assert best_mask()(payload, key) == mask(payload, key)


@pytest.mark.usefixtures("_asked_anew")
def test_without_websockets_it_is_the_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert best_mask() is mask


@pytest.mark.usefixtures("_asked_anew")
def test_one_that_does_something_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Changed:
        @staticmethod
        def apply_mask(payload: bytes, key: bytes) -> bytes:
            return payload

    def changed(*name: str) -> Any:
        return Changed

    monkeypatch.setattr("slng_sync.transport.mask._extension", changed)
    assert best_mask() is mask
