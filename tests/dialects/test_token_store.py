"""A run of tokens gives back what each tells of its word, wherever it was cut to be packed."""

from typing import Any, Dict, List

from hypothesis import given
from hypothesis import strategies as st
from slng_sync.dialects.token_run import BATCH, TokenRun

TOO_LARGE = 10**13
TIMES = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6) | st.text(max_size=2) | st.just(TOO_LARGE)
TOKENS = st.fixed_dictionaries(
    {"text": st.sampled_from([" a", "b", " ", ""])},
    optional={
        "start_ms": TIMES,
        "end_ms": TIMES,
        "confidence": st.floats(0, 1),
        "speaker": st.text(max_size=2),
    },
)
PIECES = st.lists(st.lists(TOKENS, max_size=BATCH + 3), max_size=8)


def run_of(pieces: List[List[Dict[str, Any]]]) -> TokenRun:
    run = TokenRun()
    for piece in pieces:
        if any("speaker" in token for token in piece):
            run.extend(piece)
        else:
            run.extend_plain(piece)
    return run


def told(tokens: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What tokens tell: null tells nothing."""
    return [{key: value for key, value in token.items() if value is not None} for token in tokens]


@given(PIECES, st.data())
def test_any_part_comes_back_before_and_after_the_end(pieces: List[Any], data: Any) -> None:
    tokens = [token for piece in pieces for token in piece]
    run = run_of(pieces)
    assert run.count == len(tokens)
    end = data.draw(st.integers(0, len(tokens)))
    begin = data.draw(st.integers(0, end))
    assert told(run.between(begin, end)) == told(tokens[begin:end])
    run.pack()
    assert told(run.between(begin, end)) == told(tokens[begin:end])
    assert told(run.between(0, run.count)) == told(tokens)


@given(PIECES)
def test_its_span_is_that_of_all_that_was_spoken(pieces: List[Any]) -> None:
    def numbers(name: str) -> List[float]:
        said = [token for piece in pieces for token in piece if token["text"].strip()]
        values = [token.get(name) for token in said]
        return [value for value in values if isinstance(value, (int, float)) and value < TOO_LARGE]

    run = run_of(pieces)
    span = min(numbers("start_ms"), default=None), max(numbers("end_ms"), default=None)
    assert run.span() == span
    run.pack()
    assert run.span() == span


def test_what_was_there_stays_there_while_more_comes() -> None:
    run = run_of([[{"text": f" {number}"} for number in range(BATCH - 1)]])
    count = run.count
    shown = run.between(0, count)
    run.extend([{"text": " more"}] * (3 * BATCH))
    assert run.between(0, count) == shown
    assert run.between(count, run.count) == [{"text": " more"}] * (3 * BATCH)


def test_other_things_that_a_server_says_of_a_token_are_left_out() -> None:
    token = {"text": " a", "start_ms": 0, "is_final": True, "more": [1]}
    run = run_of([[token] * BATCH])
    assert run.between(0, 1) == [{"text": " a", "start_ms": 0}]


def test_times_that_cannot_even_be_compared_tell_nothing() -> None:
    def nested() -> Any:
        value: List[Any] = []
        for _ in range(900):
            value = [value]
        return value

    run = TokenRun()
    run.extend_plain([{"text": "a", "start_ms": nested(), "end_ms": nested(), "confidence": 1}] * 2)
    run.extend_plain([{"text": "b", "start_ms": nested(), "end_ms": 5, "confidence": 1}])
    assert run.span() == (None, 5)
