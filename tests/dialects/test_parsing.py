"""Both parsers return a JSON object or None."""

import importlib
import json
from typing import Any, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slng_sync.dialects.parsing import Parse, best_parse, parse

SCALARS = (
    st.none()
    | st.booleans()
    # Two of them become one of 64 bits at the most where a comma between them is spoilt.
    | st.integers(-(10**8), 10**8)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)
OBJECTS = st.dictionaries(st.text(), VALUES)

some = settings(max_examples=50)
both = pytest.mark.parametrize("parse", [parse, best_parse()], ids=["python", "quick"])


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    best_parse.cache_clear()
    yield
    best_parse.cache_clear()


def test_the_quick_one_is_there() -> None:
    assert best_parse() is not parse


@both
@some
@given(OBJECTS, st.booleans())
def test_an_object_comes_out_as_it_went_in(parse: Parse, value: Any, ascii_only: bool) -> None:
    said = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8")
    assert parse(said) == parse(memoryview(said)) == parse(b" \r\n" + said + b"\t") == value


@both
@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"[1]", b"null", b"3", b'"text"', b"{", b"nonsense", b"\xff\xfe", b"\xef\xbb\xbf{}", b"NaN"]
    + [b'{"a":1}{}', b'{"a":NaN', b'{"a":"\n"}', b"[" * 100_000, b'{"a":' * 100_000],
    ids=lambda payload: repr(payload[:9]),
)
def test_what_is_no_object_is_none(parse: Parse, payload: bytes) -> None:
    """Invalid JSON, arrays, scalars and incomplete objects."""
    assert parse(payload) is None


@both
@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (rb'{"a":"\ud83d"}', {"a": "\ud83d"}),
        (b'{"a":Infinity}', {"a": float("inf")}),
        (b'{"a":1e999}', {"a": float("inf")}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":-9223372036854775808}', {"a": -(2**63)}),
    ],
    ids=["half a surrogate pair", "infinity", "too large", "a key twice", "64 bits", "-64 bits"],
)
def test_what_only_some_parsers_take_is_taken(parse: Parse, payload: bytes, value: Any) -> None:
    assert parse(payload) == value


@given(st.binary(max_size=80))
def test_any_bytes_are_the_same_object_or_none(payload: bytes) -> None:
    assert best_parse()(payload) == parse(payload)


@some
@given(OBJECTS, st.data())
def test_an_object_with_a_wrong_byte_is_the_same_object_or_none(value: Any, data: Any) -> None:
    payload = bytearray(json.dumps(value).encode())
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    # As text, because NaN is not equal to itself.
    assert repr(best_parse()(payload)) == repr(parse(payload))


@pytest.mark.usefixtures("_asked_anew")
@pytest.mark.parametrize("failure", [ImportError, OSError])
def test_without_orjson_it_is_the_one_of_python(monkeypatch: pytest.MonkeyPatch, failure: Any) -> None:
    def fail(name: str) -> Any:
        raise failure(f"no {name}")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert best_parse() is parse
