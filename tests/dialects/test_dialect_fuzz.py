"""Invalid messages: the decoder raises nothing and stays fast."""

import copy
import json
import sys
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import END, FIN, Frame, checked, frame, guessed, json_objects, json_values, spoken, translated

from slng_sync import AudioFormat, Dialect, Reson8, Soniox
from slng_sync.dialects.parsing import best_parse, parse
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts

dialects = st.sampled_from([Reson8(), Soniox()])

REAL: List[Frame] = [
    {"type": "ready", "session_id": "s"},
    {"type": "partial_transcript", "transcript": "Hello wor", "confidence": 0.85},
    {
        "type": "final_transcript",
        "transcript": "Hello",
        "confidence": 0.9,
        "language": "en",
        "duration": 2.5,
        "start": 0.1,
        "words": [
            {"word": "Hello", "start": 0.1, "end": 0.4},
            {"text": "you", "start_ms": 400, "duration_ms": 90},
        ],
    },
    {"type": "flush_confirmation", "id": "flush-1"},
    {"type": "utterance_end", "last_word_end": 2.48},
    {"type": "error", "data": {"code": "provider_error", "message": "x", "status_code": 502}},
    frame(spoken("How", start_ms=0, end_ms=90, confidence=0.9, speaker="1", language="en"), guessed(" are")),
    frame(translated("Comment"), END, FIN, guessed(" you"), final_audio_proc_ms=90, total_audio_proc_ms=120),
    frame(spoken(" ok<end>"), finished=True),
    frame(error_code=503, error_type="service_unavailable", error_message="Restart", request_id="r"),
]


def exchange_for(dialect: Dialect) -> StreamProtocol:
    """Return a protocol that has sent three seconds of audio and a finalize."""
    queue = SendQueue(AudioFormat())
    exchange = StreamProtocol(dialect, queue, Timeouts(), 0.0)
    exchange.next_message(0.0)
    exchange.ready = True
    queue.put(bytes(96000))
    queue.request("finalize")
    while exchange.next_message(0.0):
        pass
    return exchange


def hear_all(dialect: Dialect, frames: List[Any]) -> None:
    """Handle messages and their consequences. Only transcripts and events may result."""
    exchange = exchange_for(dialect)
    for at, each in enumerate(frames):
        exchange.handle_message(each, at / 10)
        exchange.release(at / 10 + 2)
        assert isinstance(exchange.decoder.pending, str)
    exchange.decoder.end(promote=True)
    assert exchange.queue.settled <= exchange.queue.sent
    assert exchange.queue.rewind() >= 0


@st.composite
def mutated(draw: Any) -> Frame:
    """Draw a real message with some values, at any depth, replaced, removed or added."""
    result: Frame = copy.deepcopy(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 4))):
        place: Any = result
        while True:
            inner = [each for each in (place.values() if isinstance(place, dict) else place) if each]
            inner = [each for each in inner if isinstance(each, (dict, list))]
            if not inner or draw(st.booleans()):
                break
            place = draw(st.sampled_from(inner))
        spoil(draw, place)
    return result


def spoil(draw: Any, place: Any) -> None:
    indexes = list(place) if isinstance(place, dict) else list(range(len(place)))
    if indexes:
        index = draw(st.sampled_from(indexes))
        if draw(st.booleans()):
            place[index] = draw(json_values)
        else:
            del place[index]
    elif isinstance(place, list):
        place.append(draw(json_values))


@checked
@given(dialects, st.lists(json_objects, max_size=4))
def test_any_json_object_is_heard_without_an_exception(
    dialect: Dialect, frames: List[Dict[str, Any]]
) -> None:
    """Objects with familiar keys and anything for values."""
    hear_all(dialect, frames)


@checked
@given(dialects, st.lists(st.one_of(mutated(), st.sampled_from(REAL)), max_size=8))
def test_spoilt_frames_among_real_ones_are_heard_without_an_exception(
    dialect: Dialect, frames: List[Frame]
) -> None:
    """Messages as they are sent, with something wrong in the middle."""
    hear_all(dialect, frames)


@pytest.mark.parametrize("huge", [1e308, -1e308, 1e305, 10**300, 10**400])
@pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
def test_a_time_beyond_all_bounds_is_only_a_wrong_time(dialect: Dialect, huge: Any) -> None:
    """A number that overflows when it is multiplied must not end the session."""
    hear_all(
        dialect, [frame(spoken("a", start_ms=huge, end_ms=huge, confidence=huge), final_audio_proc_ms=huge)]
    )
    words = [{"word": "a", "start": 0, "end": huge}]
    hear_all(dialect, [{"type": "final_transcript", "transcript": "a", "words": words, "duration": huge}])
    hear_all(dialect, [{"type": "final_transcript", "transcript": "a", "start": huge, "duration": huge}])


@pytest.mark.parametrize(
    "key", ["type", "code", "error_code", "id", "transcript", "tokens", "language", "data"]
)
@pytest.mark.parametrize("type_", ["error", "final_transcript", None], ids=str)
def test_depth_is_no_way_to_end_a_session(key: str, type_: Any) -> None:
    """A value nested as deeply as the parser accepts is decoded. Deeper messages are ignored."""
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 30):
        nested = b"[" * depth + b"]" * depth
        rest = json.dumps({} if key == "type" else {"type": type_}).encode()
        payload = b'{"%s":%s%s' % (key.encode(), nested, b"," + rest[1:] if len(rest) > 2 else b"}")
        for parsed in (parse(payload), best_parse()(payload)):
            if parsed is not None:
                hear_all(Soniox(), [parsed])
                hear_all(Reson8(), [parsed])


@pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
def test_a_frame_of_many_pieces_is_heard_in_bounded_time(dialect: Dialect) -> None:
    """Twenty thousand tokens with speakers, markers and translations, or as many words, in one message."""
    many = [
        spoken(f" w{at}<end>" if at % 9 == 0 else f" w{at}", speaker=str(at % 3), language="en", start_ms=at)
        for at in range(20_000)
    ]
    many[::50] = [translated(" mot", "fr", "xx") for _ in many[::50]]
    entries = [{"word": f"w{at}", "start": at, "end": at + 1} for at in range(20_000)]
    hear_all(dialect, [frame(*many), frame(*(guessed(" x") for _ in range(20_000)))])
    hear_all(dialect, [{"type": "final_transcript", "transcript": "w", "words": entries}])
    hear_all(dialect, [frame(spoken("<end>" * 50_000), spoken("<" * 50_000))])
