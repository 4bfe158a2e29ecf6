"""A token store returns its tokens unchanged, however they were packed."""

from typing import Any, List

from hypothesis import given
from hypothesis import strategies as st

from slng_sync.dialects.words import BATCH, TokenStore

TIMES = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6) | st.text(max_size=2)
ROWS = st.tuples(st.sampled_from([" a", "b", " ", ""]), TIMES, TIMES, st.floats(0, 1))
PIECES = st.lists(st.lists(ROWS, max_size=BATCH + 3), max_size=8)


def store_of(pieces: List[Any]) -> TokenStore:
    store = TokenStore()
    for piece in pieces:
        store.extend(piece)
    return store


@given(PIECES, st.data())
def test_any_part_comes_back_before_and_after_the_end(pieces: List[Any], data: Any) -> None:
    rows = [row for piece in pieces for row in piece]
    store = store_of(pieces)
    assert store.count == len(rows)
    end = data.draw(st.integers(0, len(rows)))
    begin = data.draw(st.integers(0, end))
    assert store.between(begin, end) == rows[begin:end]
    store.pack()
    assert store.between(begin, end) == rows[begin:end]
    assert store.between(0, store.count) == rows


def test_what_was_there_stays_there_while_more_comes() -> None:
    store = store_of([[(f" {number}", 0, 1, 0.5) for number in range(BATCH - 1)]])
    count = store.count
    shown = store.between(0, count)
    more = [(" more", 0, 1, 0.5)] * (3 * BATCH)
    store.extend(more)
    store.extend(more)
    assert store.between(0, count) == shown
    assert store.between(count, store.count) == more * 2


def test_a_time_that_is_nested_too_deeply_to_be_packed_is_no_time() -> None:
    value: List[Any] = []
    for _ in range(100_000):
        value = [value]
    store = store_of([[(" a", value, 5, 0.5, "1", "en")]])
    store.pack()
    assert store.between(0, 1) == [(" a", None, 5.0, 0.5, "1", "en")]
    # One level after the other: Python would free it in one go, and some versions not survive that.
    while value:
        value = value.pop()
