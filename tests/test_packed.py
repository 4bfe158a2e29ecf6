"""A packed value comes back unchanged and takes little memory until then."""

import tracemalloc
from typing import Any, List

from hypothesis import given
from hypothesis import strategies as st

from slng_sync import Soniox, Transcript, TranscriptLog
from slng_sync.audio.format import AudioFormat
from slng_sync.packed import Packed
from slng_sync.protocol.send_queue import SendQueue

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)


@given(VALUES)
def test_a_value_comes_back_new_each_time_once_it_is_packed(value: Any) -> None:
    packed = Packed(value)
    assert packed() is value
    assert packed.pack() is packed.pack() is packed
    assert packed() == packed() == value
    assert not isinstance(value, (list, dict)) or packed() is not packed()


def test_half_a_surrogate_pair_comes_back_as_well() -> None:
    assert Packed(["\ud83d"]).pack()() == ["\ud83d"]


def test_what_is_nested_too_deeply_stays_as_it_is() -> None:
    value: List[Any] = []
    for _ in range(100_000):
        value = [value]
    try:
        assert Packed(value).pack()() is value
    finally:
        # Free one level at a time. Freeing all at once recurses, and some Python versions crash.
        while value:
            value = value.pop()


def utterance(at: float) -> Any:
    """Return a message with fifty tokens and an endpoint, as Soniox sends after five seconds of speech."""
    tokens = [
        {
            "text": f" word{each}",
            "start_ms": at * 1000 + each * 100,
            "end_ms": at * 1000 + each * 100 + 90,
            "confidence": 0.9 + each / 1000,
            "is_final": True,
        }
        for each in range(50)
    ]
    return {"tokens": [*tokens, {"text": "<end>", "is_final": True}], "final_audio_proc_ms": at * 1000}


def heard(count: int) -> TranscriptLog:
    """Return the transcript of ``count`` utterances, each of which a program has read."""
    decode = Soniox().decoder(SendQueue(AudioFormat(16000, 1)).timeline())
    log = TranscriptLog()
    for number in range(count):
        for each in decode(utterance(number * 5.0)):
            if isinstance(each, Transcript):
                log.add(each)
                assert len(each.words) == 50 and each.confidence and len(each.raw["tokens"]) == 51
    return log


def test_what_was_said_takes_a_few_kilobytes_for_each_final() -> None:
    """Including its fifty words and its message, of which nothing is lost."""
    heard(2)
    tracemalloc.start()
    try:
        log = heard(200)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # As objects the words alone take twelve thousand.
    assert size / 200 < 9000
    assert [word.text for word in log[-1].words[:2]] == ["word0", "word1"]
    assert log[-1].words[0].start == log[-1].start == 995.0
    assert log[-1].raw == utterance(995.0)
    assert log.duration == log[-1].end == 999.99
