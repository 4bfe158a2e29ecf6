"""A packed message is what it was made from, and takes little room."""

import copy
import json
import pickle
import tracemalloc
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync import Dialect, Reson8, Soniox, Transcript, TranscriptLog
from slng_sync.audio.format import AudioFormat
from slng_sync.dialects.packed import PackedMessage
from slng_sync.protocol.send_queue import SendQueue

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)
MESSAGES = st.dictionaries(st.text(), VALUES)


@given(MESSAGES)
def test_it_is_read_like_the_dict_that_it_was_made_from(message: Dict[str, Any]) -> None:
    packed = PackedMessage(message)
    assert packed == message and message == packed and packed == PackedMessage(message)
    assert dict(packed) == message and {**packed} == message
    assert [*packed] == [*message] and len(packed) == len(message) and repr(packed) == repr(message)
    assert [*packed.items()] == [*message.items()]
    assert [*packed.keys()] == [*message] and [*packed.values()] == [*message.values()]
    assert all(key in packed and packed[key] == packed.get(key) == value for key, value in message.items())
    assert json.dumps(dict(packed)) == json.dumps(message)


def test_what_it_does_not_have_is_a_key_error() -> None:
    packed = PackedMessage({"a": 1})
    with pytest.raises(KeyError):
        packed["b"]
    assert packed != {"a": 2} and packed.get("b") is None and "b" not in packed


@given(MESSAGES)
def test_pickling_and_deepcopy_give_the_dict(message: Dict[str, Any]) -> None:
    packed = PackedMessage(message)
    for twin in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed)):
        assert type(twin) is dict and twin == message
    assert copy.copy(packed) is packed


def test_half_a_surrogate_pair_comes_back_as_well() -> None:
    assert PackedMessage({"a": "\ud83d"}) == {"a": "\ud83d"}


def test_what_is_nested_too_deeply_stays_as_it_is() -> None:
    value: List[Any] = []
    for _ in range(100_000):
        value = [value]
    try:
        assert PackedMessage({"a": value})["a"] is value
    finally:
        # Free one level at a time. Freeing all at once recurses, and some Python versions crash.
        while value:
            value = value.pop()


@pytest.mark.parametrize("dialect", [Soniox(), Reson8()])
def test_a_final_holds_no_large_message_unpacked(dialect: Dialect) -> None:
    """As objects such a message takes twenty times what it takes on the wire."""
    payload = b'{"type":"final_transcript","transcript":"a","tokens":[%b],"x":[%b]}'
    payload %= b'{"text":"a","is_final":true},{"text":"<end>","is_final":true}', b",".join([b"[]"] * 100_000)
    tracemalloc.start()
    try:
        decode = dialect.decoder(SendQueue(AudioFormat(16000, 1)).timeline())
        finals = [each for each in decode(json.loads(payload)) if isinstance(each, Transcript)]
        decode({"tokens": []})
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert finals[0].is_final and size < len(payload) * 3
    assert len(finals[0].raw["x"]) == 100_000


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
