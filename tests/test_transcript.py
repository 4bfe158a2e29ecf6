import functools
import json
import pickle
import re
import sys
import threading
from pathlib import Path
from typing import Any, Callable, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slng_sync import subtitles
from slng_sync.errors import ConfigurationError
from slng_sync.events import Transcript, Translation, Word
from slng_sync.transcript import TranscriptLog


def final(text: str, start: Any = None, end: Any = None, **more: Any) -> Transcript:
    return Transcript(text, True, start, end, **more)


def partial(text: str) -> Transcript:
    return Transcript(text, False)


def spoken(text: str, start: float = 0.0, pace: float = 0.4, **more: Any) -> Transcript:
    """Make a final with words that follow each other without a pause."""
    words = [
        Word(word, start + number * pace, start + (number + 1) * pace)
        for number, word in enumerate(text.split())
    ]
    return final(text, start, start + len(words) * pace, words=tuple(words), **more)


def srt_cues(text: str) -> List[Tuple[float, float, str]]:
    """Read SRT as a player does: blocks between blank lines, a number, times, lines."""
    cues = []
    for number, block in enumerate(text.strip("\n").split("\n\n") if text else [], 1):
        head, times, *lines = block.split("\n")
        assert head == str(number)
        match = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", times)
        assert match, times
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        cues.append(
            (h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000, "\n".join(lines))
        )
    return cues


# ---- the log


def test_a_final_replaces_the_partial_and_a_partial_the_partial() -> None:
    log = TranscriptLog()
    log.add(partial("one"))
    log.add(partial("one two"))
    assert log.partial == partial("one two")
    assert (len(log), log.text) == (0, "")
    log.add(final("one two three"))
    assert log.partial is None
    assert [each.text for each in log] == ["one two three"]


def test_a_partial_without_text_closes_the_partial() -> None:
    log = TranscriptLog([partial("one"), partial("")])
    assert log.partial is None


def test_finals_are_joined_by_blanks_and_a_change_of_speaker_begins_a_line() -> None:
    log = TranscriptLog(
        [final("One.", speaker="1"), final("Two.", speaker="1"), final(""), final("Three.", speaker="2")]
    )
    assert str(log) == "One. Two.\nThree."


def test_words_and_duration_are_those_of_all_finals() -> None:
    log = TranscriptLog([spoken("one two", start=1.0), final("no times"), spoken("three", start=5.0)])
    assert [word.text for word in log.words] == ["one", "two", "three"]
    assert log.duration == pytest.approx(5.4)


def test_repr_tells_counts_and_never_what_was_said() -> None:
    log = TranscriptLog([final("secret", 0, 2.5), partial("secret too")])
    assert repr(log) == "<TranscriptLog: 1 finals, 2.5 s, a partial is open>"


def test_it_comes_back_from_another_process() -> None:
    log = TranscriptLog([spoken("one two", speaker="1"), partial("three")])
    copy = pickle.loads(pickle.dumps(log))
    assert (copy.finals, copy.partial, copy.duration) == (log.finals, log.partial, log.duration)


def test_a_reader_never_sees_a_final_beside_the_partial_it_replaced() -> None:
    log = TranscriptLog()
    seen_both: List[bool] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            page = log._repr_html_()
            newest = len(re.findall("<p dir", page)) - page.count("italic")
            seen_both.append(f"number {newest - 1}<" in page and f'italic">number {newest - 1}<' in page)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        log.add(partial(f"number {number}"))
        log.add(final(f"number {number}"))
    done.set()
    reader.join()
    assert not any(seen_both)


# ---- subtitles


def test_an_empty_log_makes_empty_files() -> None:
    log = TranscriptLog()
    assert (log.text, log.to_srt(), log.to_vtt()) == ("", "", "WEBVTT\n")
    assert json.loads(log.to_json()) == {"version": 1, "duration": 0.0, "finals": []}
    assert "<p" not in log._repr_html_()


def test_srt_of_a_short_conversation() -> None:
    log = TranscriptLog(
        [spoken("How are you today?", 0.5, speaker="1"), spoken("Fine, thank you.", 2.5, speaker="2")]
    )
    assert log.to_srt() == (
        "1\n00:00:00,500 --> 00:00:02,100\nSpeaker 1: How are you today?\n\n"
        "2\n00:00:02,500 --> 00:00:03,700\nSpeaker 2: Fine, thank you.\n"
    )


def test_vtt_escapes_and_names_voices() -> None:
    log = TranscriptLog([final("a <b> & --> c", 1, 3, speaker="Tom & <Jo>")])
    assert log.to_vtt() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n<v Tom &amp; &lt;Jo&gt;>a &lt;b&gt; &amp; --&gt; c\n"
    )


def test_srt_text_can_not_look_like_times_or_end_a_cue() -> None:
    log = TranscriptLog([final("one\n\n00:00:01,000 --> 00:00:02,000\ntwo", 0, 5)])
    assert [" ".join(text.split()) for _, _, text in srt_cues(log.to_srt())] == [
        "one 00:00:01,000 -> 00:00:02,000 two"
    ]


def test_a_cue_ends_with_a_sentence_a_pause_and_a_speaker() -> None:
    words = [
        *spoken("This is one sentence.", 0).words,
        *spoken("This another", 1.6).words,
        *spoken("after a pause", 4).words,
        Word("mine", 5.2, 5.6, speaker="2"),
    ]
    said = final(" ".join(word.text for word in words), words=tuple(words), speaker="1")
    cues = subtitles.cut([said])
    assert [" ".join(cue.lines) for cue in cues] == [
        "This is one sentence.",
        "This another",
        "after a pause",
        "mine",
    ]
    assert [cue.speaker for cue in cues] == ["1", "1", "1", "2"]


def test_a_short_sentence_does_not_get_a_cue_of_its_own() -> None:
    cues = subtitles.cut([spoken("Yes. No. I do not know.", pace=0.3)])
    assert [cue.lines for cue in cues] == [("Yes. No. I do not know.",)]


def test_a_word_is_shown_at_least_a_second_unless_the_next_is_due() -> None:
    cues = subtitles.cut([final("Hm.", 1, 1.1), final("What?", 5, 5.2, speaker="2"), final("So.", 5.4, 5.5)])
    assert [(cue.start, cue.end) for cue in cues] == [(1000, 2000), (5000, 5400), (5400, 6400)]


def test_punctuation_that_only_the_text_has_is_kept_with_its_word() -> None:
    words = (Word("hola", 0, 1), Word("qué", 3, 3.5), Word("tal", 3.5, 4))
    cues = subtitles.cut([final("Hola. ¿Qué tal?", words=words)])
    assert [cue.lines for cue in cues] == [("Hola.",), ("¿Qué tal?",)]
    assert [cue.start for cue in cues] == [0, 3000]


def test_words_that_do_not_fit_the_text_give_way_to_it() -> None:
    cues = subtitles.cut([final("At 20 o'clock", 2, 4, words=(Word("twenty", 2, 3), Word("o'clock", 3, 4)))])
    assert cues == [(2000, 4000, ("At 20 o'clock",), None, "")]


def test_chinese_is_cut_without_blanks() -> None:
    text = "今天天气很好" * 20
    cues = subtitles.cut([final(text, 0, 40)])
    assert "".join("".join(cue.lines) for cue in cues) == text
    assert max(len(line) for cue in cues for line in cue.lines) <= 21


def test_finals_without_times_follow_the_one_before_and_keep_out_of_the_next() -> None:
    cues = subtitles.cut([final("a" * 30), final("b" * 30), final("c" * 30, 3, 5), final("d" * 30)])
    assert [(cue.start, cue.end) for cue in cues] == [(0, 2000), (2000, 3000), (3000, 5000), (5000, 7000)]


def test_translations_are_shown_on_request_and_the_text_where_there_is_none() -> None:
    log = TranscriptLog(
        [spoken("Hello there.", 0, translation=Translation("Hallo.", "de")), final("Ja.", 3, 4)]
    )
    assert [text for _, _, text in srt_cues(log.to_srt(translation=True))] == ["Hallo.", "Ja."]
    assert "Hallo" in log.to_vtt(translation=True)
    assert "Hallo" not in log.to_srt()


finite = st.floats(-10, 10_000, allow_nan=False)
times = st.none() | finite
plain_words = st.text(st.sampled_from("abcdefgh.,?é今"), min_size=1, max_size=15)


@st.composite
def well_timed(draw: Any) -> List[Transcript]:
    """Finals as a server should send them: their words in order, some without times."""
    clock = 0.0
    finals = []
    for texts in draw(st.lists(st.lists(plain_words, min_size=1, max_size=20), max_size=8)):
        words = []
        for text in texts:
            start = clock + draw(st.floats(0, 3))
            clock = start + draw(st.floats(0.01, 2))
            words.append(Word(text, start, clock))
        with_words = draw(st.booleans())
        finals.append(
            final(
                " ".join(texts),
                words[0].start,
                clock,
                words=tuple(words) if with_words else (),
                speaker=draw(st.sampled_from([None, "1", "2"])),
            )
        )
    return finals


@st.composite
def ill_timed(draw: Any) -> List[Transcript]:
    """Finals with any times at all, or none."""
    finals = []
    for texts in draw(st.lists(st.lists(plain_words, max_size=12), max_size=8)):
        words = tuple(Word(text, draw(times), draw(times)) for text in texts)
        finals.append(final(" ".join(texts), draw(times), draw(times), words=words))
    return finals


@given(well_timed() | ill_timed())
def test_cues_are_in_order_apart_and_hold_every_word_once(finals: List[Transcript]) -> None:
    cues = subtitles.cut(finals)
    shown = "".join("".join(cue.lines) for cue in cues).replace(" ", "")
    assert shown == "".join(each.text for each in finals).replace(" ", "")
    for cue, following in zip(cues, cues[1:]):
        assert cue.start < cue.end <= following.start
    for cue in cues:
        assert 0 <= cue.start < cue.end <= cue.start + 6000
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < subtitles._columns(line) <= 42 for line in cue.lines)


@given(well_timed())
def test_cues_keep_the_times_of_their_words(finals: List[Transcript]) -> None:
    first_words = {round((each.start or 0) * 1000) for each in finals if each.words}
    starts = [cue.start for cue in subtitles.cut([each for each in finals if each.words])]
    assert not starts or starts[0] in first_words
    ends = [each.end or 0.0 for each in finals]
    assert all(start <= max(ends) * 1000 + len(starts) for start in starts)


@given(
    st.lists(st.builds(final, st.text(max_size=200), times, times, speaker=st.none() | st.text(max_size=5)))
)
def test_srt_of_any_text_parses_back(finals: List[Transcript]) -> None:
    cues = srt_cues(TranscriptLog(finals).to_srt())
    assert all(text.strip() for _, _, text in cues)
    assert [start for start, _, _ in cues] == sorted(start for start, _, _ in cues)


# ---- JSON, HTML, files


def test_json_holds_what_was_told_and_marks_what_is_incomplete() -> None:
    log = TranscriptLog(
        [
            final(
                "Grüß Gott",
                0.5,
                1.0,
                language="de",
                confidence=0.9,
                words=(Word("Grüß", 0.5, 0.7),),
                translation=Translation("Hello", "en"),
            ),
            final("cut", complete=False),
        ]
    )
    assert "Grüß" in log.to_json()
    assert json.loads(log.to_json()) == {
        "version": 1,
        "duration": 1.0,
        "finals": [
            {
                "text": "Grüß Gott",
                "complete": True,
                "start": 0.5,
                "end": 1.0,
                "confidence": 0.9,
                "language": "de",
                "translation": {"text": "Hello", "language": "en"},
                "words": [{"text": "Grüß", "start": 0.5, "end": 0.7}],
            },
            {"text": "cut", "complete": False},
        ],
    }


def test_html_escapes_and_shows_the_partial_in_grey() -> None:
    log = TranscriptLog([final("<script>", 3723, 3724, speaker="<i>"), partial("a & b")])
    page = log._repr_html_()
    assert "<small>1:02:03</small> <b>&lt;i&gt;:</b> &lt;script&gt;" in page
    assert re.search(r'<p dir="auto" style="color: gray; font-style: italic">a &amp; b</p>', page)
    assert "a &amp; b" not in log.to_html()


@pytest.mark.parametrize("suffix", [".txt", ".srt", ".vtt", ".json", ".html", ".SRT"])
def test_save_writes_the_format_of_the_suffix(tmp_path: Path, suffix: str) -> None:
    log = TranscriptLog([final("Grüße, 世界 \ud800", 0, 2)])
    path = tmp_path / f"talk{suffix}"
    path.write_text("old")
    path.chmod(0o600)
    log.save(str(path))
    expected = {
        ".txt": log.text + "\n",
        ".srt": log.to_srt(),
        ".vtt": log.to_vtt(),
        ".json": log.to_json(),
        ".html": log.to_html(),
    }
    assert path.read_text("utf-8") == expected[suffix.lower()].replace("\ud800", "?")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_save_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("real.txt")
    TranscriptLog([final("new")]).save(link)
    assert link.is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new\n"


def test_save_names_what_it_knows_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.srt.*not as \.docx"):
        TranscriptLog().save(tmp_path / "talk.docx")
    with pytest.raises(ConfigurationError, match="without a suffix"):
        TranscriptLog().save(tmp_path / "talk")
    (tmp_path / "folder.txt").mkdir()
    for name in ("folder.txt", "missing/talk.srt"):
        with pytest.raises(OSError, match=r"[^.]" + name) as caught:
            TranscriptLog().save(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.txt"]


# ---- cost


def exported(log: TranscriptLog, name: str) -> object:
    value = getattr(log, name)
    return value() if callable(value) else value


def calls(function: Callable[[], object]) -> int:
    """Count the calls, of Python and of C functions, that one call makes."""
    count = 0

    def see(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("export", ["to_srt", "to_vtt", "to_html", "to_json", "text", "words"])
def test_exports_cost_in_proportion(export: str) -> None:
    """A final of a long log costs no more than one of a short log: counted, not timed."""
    sentence = spoken("the quick brown fox jumps over the lazy dog today.", speaker="1")
    cost = {}
    for finals in (50, 2000):
        log = TranscriptLog([sentence] * finals)
        cost[finals] = calls(functools.partial(exported, log, export)) / finals
    assert cost[2000] <= cost[50] * 1.1


def test_a_hundred_thousand_words() -> None:
    log = TranscriptLog([spoken("one two three four five.", number * 2.0) for number in range(20_000)])
    assert len(log.words) == 100_000
    assert len(srt_cues(log.to_srt())) == 20_000
    assert len(json.loads(log.to_json())["finals"]) == 20_000


def test_adding_does_not_touch_what_is_there() -> None:
    class Untouchable(List[Transcript]):
        def __iter__(self) -> Any:
            raise AssertionError("add() walked over the log")

    log = TranscriptLog()
    log._finals = Untouchable()
    for _ in range(10):
        log.add(partial("open"))
        log.add(final("done", 0, 1))
    assert len(log) == 10
    assert log[-1].text == "done"
