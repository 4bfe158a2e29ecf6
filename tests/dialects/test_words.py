"""Words that are made at the first access behave as a tuple of words."""

import copy
import dataclasses
import operator
import pickle
import threading
from typing import Callable, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import END, Tape, frame, guessed, spoken

from slng_sync import Reson8, Soniox, Transcript, Word
from slng_sync.dialects.words import Words

some_words = st.lists(st.builds(Word, st.sampled_from("abc"), st.none() | st.floats(0, 9)), max_size=4).map(
    tuple
)


def late(words: Tuple[Word, ...]) -> Words:
    return Words.made_by(lambda: words)


@given(some_words, some_words, st.integers(-5, 5), st.slices(4))
def test_they_are_a_tuple(words: Tuple[Word, ...], others: Tuple[Word, ...], at: int, part: slice) -> None:
    assert late(words) == words and words == late(words) and late(words) == late(words)
    for other in (others, late(others)):
        assert (late(words) == other) is (other == late(words)) is (words == others)
        assert (late(words) != other) is (words != others)
        assert type(late(words) + other) is tuple and late(words) + other == words + others
        assert other + late(words) == others + words
    assert hash(late(words)) == hash(words) and repr(late(words)) == repr(words)
    assert [*late(words)] == [*reversed(late(words))][::-1] == [*words] and len(late(words)) == len(words)
    assert type(late(words)[part]) is tuple and late(words)[part] == words[part]
    assert late(words) * 2 == 2 * late(words) == words * 2
    assert (
        bool(late(words)) is bool(words) and tuple(late(words)) == words and type(tuple(late(words))) is tuple
    )
    assert operator.concat(late(words), words) == words * 2
    for word in others:
        assert (word in late(words)) is (word in words) and late(words).count(word) == words.count(word)
    if -len(words) <= at < len(words):
        assert late(words)[at] == words[at] and late(words).index(words[at]) == words.index(words[at])
    else:
        with pytest.raises(IndexError):
            late(words)[at]


def test_they_are_compared_in_order() -> None:
    low, high = (Word("a"),), (Word("a"), Word("b"))
    assert late(low) < high and late(low) <= late(high) and high > late(low) and late(high) >= low


def test_they_are_made_once_and_only_when_somebody_looks() -> None:
    made: List[int] = []

    def make() -> Tuple[Word, ...]:
        made.append(1)
        return (Word("a"),)

    words = Words.made_by(make)
    assert made == []
    assert words[0] is words[0] and len(words) == 1 and made == [1]


def test_all_threads_find_the_same_words() -> None:
    """Even for threads that access them at the same moment."""
    barrier = threading.Barrier(4)

    def make() -> Tuple[Word, ...]:
        if not barrier.broken:
            barrier.wait(10)
        return (Word("a"),)

    words, found = Words.made_by(make), []
    threads = [threading.Thread(target=lambda: found.append(words[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(each is found[0] for each in found)


def test_what_makes_them_may_fail_and_be_asked_again() -> None:
    failures = [ValueError("no"), None]

    def make() -> Tuple[Word, ...]:
        failure = failures.pop(0)
        if failure:
            raise failure
        return (Word("a"),)

    words = Words.made_by(make)
    with pytest.raises(ValueError, match="no"):
        len(words)
    assert len(words) == 1


# Transcripts with such words.


def transcripts() -> List[Transcript]:
    token = {"start_ms": 100, "end_ms": 300, "confidence": 0.5, "speaker": "1", "language": "en"}
    [partial] = Soniox().decoder(Tape())(frame(guessed("Hello you", **token)))
    final, *_ = Soniox().decoder(Tape())(frame(spoken("Hello you", **token), END))
    said = {
        "transcript": "Hello",
        "confidence": 0.5,
        "words": [{"word": "Hello", "start": 0.1, "end": 0.3, "confidence": 0.5}],
    }
    [reson8_partial] = Reson8().decoder(Tape())({"type": "partial_transcript", **said})
    reson8_final, *_ = Reson8().decoder(Tape())({"type": "final_transcript", **said})
    return [partial, final, reson8_partial, reson8_final]


KINDS = ["partial", "final", "partial of Reson8", "final of Reson8"]
each_kind = pytest.mark.parametrize("kind", range(4), ids=KINDS)


def ordinary(transcript: Transcript) -> Transcript:
    """The same, as a user would write it."""
    values = {each.name: getattr(transcript, each.name) for each in dataclasses.fields(transcript)}
    return Transcript(**{**values, "words": tuple(transcript.words), "raw": dict(transcript.raw)})


@each_kind
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it)), dataclasses.replace],
    ids=["copy", "deepcopy", "pickle", "replace"],
)
def test_a_copy_is_the_same_transcript(kind: int, copied: Callable[[Transcript], Transcript]) -> None:
    transcript = transcripts()[kind]
    twin = copied(transcript)
    assert twin == transcript == ordinary(transcript) and twin.raw == transcript.raw
    assert twin.words[0].start == 0.1 and twin.start == 0.1 and twin.confidence == 0.5
    assert repr(twin) == repr(transcript) == repr(ordinary(transcript)) and hash(twin) == hash(transcript)


@each_kind
def test_a_pickled_transcript_holds_ordinary_values(kind: int) -> None:
    for twin in (pickle.loads(pickle.dumps(transcripts()[kind])), copy.deepcopy(transcripts()[kind])):
        assert type(twin.words) is tuple and type(twin.raw) is dict


@each_kind
def test_a_transcript_as_a_dict_holds_ordinary_values(kind: int) -> None:
    transcript = transcripts()[kind]
    values = dataclasses.asdict(transcript)
    assert values == dataclasses.asdict(ordinary(transcript))
    assert type(values["words"]) is tuple and values["words"][0]["text"] and type(values["raw"]) is dict
    assert dataclasses.astuple(transcript) == dataclasses.astuple(ordinary(transcript))


@each_kind
def test_a_transcript_is_a_plain_value(kind: int) -> None:
    transcript = transcripts()[kind]
    assert vars(transcript).keys() == {each.name for each in dataclasses.fields(Transcript)}
    assert [*vars(transcript)] == [each.name for each in dataclasses.fields(Transcript)]
    with pytest.raises(AttributeError, match="no attribute 'txt'"):
        assert transcript.txt  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        transcript.words = ()  # type: ignore[misc]
    assert dataclasses.replace(transcript, channel="a").words is transcript.words


def test_a_transcript_of_a_users_own() -> None:
    own = Transcript(text="x", is_final=True)
    assert own.words == () and own.raw == {} and own.start is None and own.channel is None
    assert Transcript.words == () and Transcript.start is None


def test_code_in_c_that_looks_past_the_methods_finds_no_word_lost() -> None:
    """C code finds one item that is not a word, so it fails. In an empty tuple it would find nothing."""
    words = late((Word("a"), Word("b")))
    assert tuple.__len__(words) == 1 and not isinstance(tuple.__getitem__(words, 0), Word)
