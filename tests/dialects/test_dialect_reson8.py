"""Reson8's partials and finals."""

import math
from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import Frame, Tape, checked

from slng_sync import AudioFormat, Endpoint, Flushed, Ready, Reson8, Transcript
from slng_sync.dialects.base import Failure, Settled
from slng_sync.protocol.send_queue import SendQueue

words = st.sampled_from(["", " ", "Hel", "Hello", "Hello wor", "And", "Über uns"])
events = st.lists(
    st.one_of(
        st.tuples(st.just("partial"), words),
        st.tuples(st.just("final"), words),
        st.tuples(st.just("audio"), st.integers(1, 30)),
        st.tuples(st.just("flush"), st.text("abc", min_size=1, max_size=3)),
        st.tuples(st.just("unknown"), words),
    ),
    max_size=25,
)


def frame_of(kind: str, said: str) -> Frame:
    if kind == "flush":
        return {"type": "flush_confirmation", "id": said}
    return {"type": f"{kind}_transcript", "transcript": said}


def transcripts(heard: Any, *, final: bool) -> List[str]:
    return [each.text for each in heard if isinstance(each, Transcript) and each.is_final is final]


def decode(*frames: Frame, reached: float = 0.0) -> List[Any]:
    tape = Tape()
    tape.reached = reached
    decoder = Reson8().decoder(tape)
    return [each for frame in frames for each in decoder(frame)]


@checked
@given(events)
def test_finals_stand_and_partials_replace_each_other(script: List[Tuple[str, Any]]) -> None:
    """In any order of messages: finals with text, flushes, and one open partial since the last final."""
    decoder = Reson8().decoder(Tape())
    heard: List[Any] = []
    shown = pending = ""
    finals: List[str] = []
    for kind, said in script:
        if kind == "audio":
            continue
        now = decoder(frame_of(kind, said))
        heard += now
        if kind == "partial":
            pending = said.strip()
        if kind == "final":
            pending = ""
            finals += [said.strip()] if said.strip() else []
        for each in now:
            if isinstance(each, Transcript):
                shown = "" if each.is_final else each.text
                assert each.stable == (each.text if each.is_final else "")
        assert decoder.pending == pending == shown
    assert transcripts(heard, final=True) == finals
    assert [each.id for each in heard if isinstance(each, Flushed)] == [
        said for kind, said in script if kind == "flush"
    ]


@checked
@given(events)
def test_finals_follow_one_another_in_time(script: List[Tuple[str, Any]]) -> None:
    """Without server times, a final lies between the end of the last one and the end of the sent audio."""
    queue = SendQueue(AudioFormat(), chunk_seconds=0.1)
    decoder = Reson8().decoder(queue)
    last_end = 0.0
    for kind, said in script:
        if kind == "audio":
            queue.put(bytes(3200 * said))
            while queue.take(flush=True):
                pass
            continue
        for each in decoder(frame_of(kind, said)):
            if isinstance(each, Settled):
                assert -2.0 <= each.seconds <= queue.sent / 16000
                queue.settle(each.seconds)
            elif isinstance(each, Transcript) and each.is_final:
                assert each.start is not None and each.end is not None
                assert last_end <= each.start <= each.end <= queue.sent / 16000
                last_end = each.end


@checked
@given(words, st.booleans())
def test_an_open_partial_is_promoted_only_where_it_is_asked_for(said: str, promote: bool) -> None:
    """At the end it becomes an incomplete final, or remains pending."""
    decoder = Reson8().decoder(Tape())
    decoder(frame_of("partial", said))
    finals = decoder.end(promote=promote)
    if promote and said.strip():
        assert [(each.text, each.is_final, each.complete) for each in finals] == [(said.strip(), True, False)]
        assert decoder.pending == "" and decoder.end(promote=True) == []
    else:
        assert finals == [] and decoder.pending == said.strip()


def test_a_partial_tells_what_was_so_when_it_came_whenever_somebody_asks() -> None:
    tape = Tape()
    decoder = Reson8().decoder(tape)
    entries = [{"word": "Hello", "start_ms": 100, "duration_ms": 300}]
    tape.reached = 1.0
    [bare] = decoder(frame_of("partial", "Hello"))
    [timed] = decoder({**frame_of("partial", "Hello!"), "words": entries, "confidence": 0.5})
    tape.reached = 9.0
    decoder(frame_of("final", "Hello."))

    assert isinstance(bare, Transcript) and isinstance(timed, Transcript)
    assert (bare.start, bare.end, bare.words, bare.confidence, bare.stable) == (0.0, 1.0, (), None, "")
    assert (timed.start, timed.end, timed.confidence) == (0.1, 0.4, 0.5)
    assert [word.text for word in timed.words] == ["Hello"]


def test_an_empty_final_takes_back_what_was_shown() -> None:
    """It answers a finalize during silence, is not a final, and clears the open partial."""
    heard = decode(frame_of("partial", "Hm"), frame_of("final", ""))
    assert transcripts(heard, final=False) == ["Hm", ""] and transcripts(heard, final=True) == []


@pytest.mark.parametrize("kind", ["FINAL_TRANSCRIPT", "Final_Transcript", "final_transcript"])
def test_types_are_read_in_any_case(kind: str) -> None:
    """The case of a type does not matter."""
    assert transcripts(decode({"type": kind, "transcript": "Yes"}), final=True) == ["Yes"]


def test_text_is_another_name_for_the_transcript() -> None:
    """Some endpoints name the field ``text``."""
    assert transcripts(decode({"type": "final_transcript", "text": "Yes"}), final=True) == ["Yes"]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (0.95, 0.95),
        (0, 0.0),
        (1, 1.0),
        (-0.1, math.exp(-0.1)),
        (1.5, None),
        ("0.9", None),
        (None, None),
        (True, None),
    ],
)
def test_confidence_is_a_probability_or_nothing(sent: Any, read: Optional[float]) -> None:
    """From 0 to 1 it is a probability, below 0 a natural logarithm. Anything else is unknown."""
    (final,) = decode({"type": "final_transcript", "transcript": "Yes", "confidence": sent})
    assert final.confidence == (None if read is None else pytest.approx(read))


@pytest.mark.parametrize(
    "entries",
    [
        [{"word": "Hello", "start": 0.5, "end": 0.8}, {"word": "you", "start": 0.9, "end": 1.25}],
        [{"text": "Hello", "start": 0.5, "end": 0.8}, {"text": "you", "start": 0.9, "end": 1.25}],
        [
            {"text": "Hello", "start_ms": 500, "duration_ms": 300},
            {"text": "you", "start_ms": 900, "duration_ms": 350},
        ],
    ],
)
def test_words_are_read_in_every_shape(entries: Any) -> None:
    """In seconds or milliseconds, with an end or a duration. The final spans them and settles audio."""
    final, settled = decode({"type": "final_transcript", "transcript": "Hello you", "words": entries})
    assert [(word.text, word.start, word.end) for word in final.words] == [
        ("Hello", 0.5, pytest.approx(0.8)),
        ("you", 0.9, pytest.approx(1.25)),
    ]
    assert (final.start, final.end) == (0.5, pytest.approx(1.25))
    assert settled == Settled(pytest.approx(1.25))


def test_ready_may_say_more_than_it_must() -> None:
    """Unknown fields are ignored, and a session may have no id."""
    assert decode({"type": "ready", "session_id": "s-1", "slng_request_id": "r"}) == [Ready("s-1")]
    assert decode({"type": "Ready"}) == [Ready(None)]


def test_the_end_of_an_utterance_is_an_endpoint() -> None:
    """The bridge sends it after a final."""
    assert decode({"type": "utterance_end", "last_word_end": 2.48}) == [Endpoint()]


@pytest.mark.parametrize(
    "frame", [{}, {"type": None}, {"type": "metadata"}, {"tokens": []}, {"type": ["ready"]}]
)
def test_frames_that_nobody_knows_are_ignored(frame: Frame) -> None:
    """Unknown types are ignored."""
    assert decode(frame) == []


def test_an_error_leaves_the_open_partial_as_it_is() -> None:
    """The open partial is still pending, for the replay."""
    decoder = Reson8().decoder(Tape())
    decoder(frame_of("partial", "The meeting"))
    (failure,) = decoder({"type": "error", "code": "provider_error", "message": "Upstream"})
    assert isinstance(failure, Failure) and decoder.pending == "The meeting"
