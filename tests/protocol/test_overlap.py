"""Words on both sides of a reconnect."""

from typing import List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync import Transcript, Word
from slng_sync.protocol.overlap import OverlapTrimmer


def said(text: str, start: Optional[float] = None, end: Optional[float] = None) -> Transcript:
    return Transcript(text, is_final=True, stable=text, start=start, end=end)


def timed(text: str, start: float, each: float = 0.5) -> Transcript:
    """Return a final with words of equal length."""
    words = tuple(
        Word(word, start=start + index * each, end=start + (index + 1) * each)
        for index, word in enumerate(text.split())
    )
    return Transcript(text, is_final=True, stable=text, words=words, start=start, end=words[-1].end)


def trimmed(trimmer: OverlapTrimmer, transcript: Transcript) -> Optional[str]:
    rest = trimmer.trim(transcript)
    return None if rest is None else rest.text


def test_where_nothing_is_sent_twice_nothing_is_taken_out() -> None:
    """Without overlapping audio, repeated words are kept."""
    trimmer = OverlapTrimmer(["very", "very"], end=4.0, begin=4.0)
    assert trimmed(trimmer, said("very very good", 4.0, 5.0)) == "very very good"


def test_words_with_times_are_judged_by_them() -> None:
    """Words that end before the overlap's end are repeated. The same word said later is kept."""
    trimmer = OverlapTrimmer("one two three".split(), end=3.0, begin=2.0)
    assert trimmer.trim(timed("two three", 2.0)) is None
    assert trimmed(trimmer, timed("three three four", 2.5)) == "three four"


def test_words_without_times_are_laid_over_each_other() -> None:
    """Words at the start of the new final that match the end of the old one are removed."""
    before = "turn on the kitchen lights".split()
    lights = OverlapTrimmer(before, end=4.0, begin=2.0)
    assert trimmed(lights, said("Kitchen lights, and set them to fifty.")) == "and set them to fifty."
    assert OverlapTrimmer(before, end=4.0, begin=2.0).trim(said("the kitchen lights.")) is None
    assert trimmed(OverlapTrimmer(before, end=4.0, begin=2.0), said("something else")) == "something else"


def test_a_fragment_before_the_repetition_goes_with_it() -> None:
    """The replay begins inside a word, and its rest is transcribed as another word."""
    before = "turn on the kitchen lights".split()
    assert trimmed(OverlapTrimmer(before, end=4.0, begin=2.0), said("chen lights and more")) == "and more"
    assert (
        trimmed(OverlapTrimmer(before, end=4.0, begin=2.0), said("no lights and more"))
        == "no lights and more"
    )


def test_partials_are_trimmed_like_finals() -> None:
    """Otherwise the screen would show the words twice for a moment."""
    trimmer = OverlapTrimmer(["hello", "world"], end=2.0, begin=1.0)
    partial = Transcript("world again", is_final=False, start=1.0, end=3.0)
    assert trimmed(trimmer, partial) == "again"


def test_after_the_overlap_nothing_is_a_repetition() -> None:
    """Once a final ends later, the overlap is over, and equal words are new."""
    trimmer = OverlapTrimmer(["world"], end=2.0, begin=1.0)
    assert trimmer.trim(said("world", 1.0, 2.0)) is None
    assert trimmer.is_over
    assert trimmed(trimmer, said("world", 2.5, 3.0)) == "world"
    assert OverlapTrimmer([], end=2.0, begin=1.0).is_over


def test_a_repetition_may_come_in_several_finals() -> None:
    """The repeated finals end at other words than before. Each continues where the last one ended."""
    trimmer = OverlapTrimmer("one two three four five six".split(), end=6.0, begin=1.0)
    assert trimmer.trim(said("Two three.")) is None
    assert trimmed(trimmer, Transcript("four fi", is_final=False)) is None
    assert trimmer.trim(said("Four five.")) is None
    assert trimmed(trimmer, said("Six seven.")) == "seven."
    assert trimmed(trimmer, said("six again")) == "six again"


def test_what_differs_is_not_taken_out() -> None:
    """If the second transcription differs, it is kept. A word twice is better than a lost word."""
    trimmer = OverlapTrimmer("one two three".split(), end=3.0, begin=1.0)
    assert trimmer.trim(said("two")) is None
    assert trimmed(trimmer, said("free four")) == "free four"
    assert trimmer.is_over


WORDS = st.lists(st.sampled_from("alpha beta gamma delta".split()), max_size=12)


@given(WORDS, WORDS, st.integers(0, 12))
def test_the_whole_overlap_is_found(before: List[str], after: List[str], overlap: int) -> None:
    """For any number of repeated words, all of them are removed and the new words are kept."""
    again = before[len(before) - min(overlap, len(before)) :]
    trimmer = OverlapTrimmer(before, end=2.0, begin=1.0)
    rest = trimmed(trimmer, said(" ".join(again + after))) or ""
    if again:
        assert len(rest.split()) <= len(after)
    assert " ".join(again + after).endswith(rest)


@pytest.mark.parametrize("heard", ["", "  ", "..."])
def test_transcripts_without_words_do_no_harm(heard: str) -> None:
    """Without earlier words, nothing is removed."""
    assert trimmed(OverlapTrimmer(["hello"], end=2.0, begin=1.0), said(heard, 1.0, 2.0)) == heard
