"""The decoder of Soniox's tokens, for any distribution of tokens to messages."""

import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import END, FIN, Frame, Tape, checked, frame, guessed, original, spoken, translated

from slng_sync import Endpoint, Flushed, Soniox, Transcript, TranscriptLog
from slng_sync.dialects.base import Decoded, Failure, Finished, Settled
from slng_sync.dialects.packed import PackedMessage

Segment = Tuple[str, Optional[str], Optional[str], Optional[float], Optional[float]]

pieces = st.sampled_from([" the", " cat", "s", ",", " ", ".", " is", "ing", " Ünd", " мир", "你好", "  two"])


class Listener:
    """A decoder and the transcripts and events that it returns."""

    def __init__(self) -> None:
        self.decoder = Soniox().decoder(Tape())
        self.heard: List[Decoded] = []
        self.shown = ""

    def hear(self, *frames: Frame) -> "Listener":
        for each in frames:
            self._note(self.decoder(each))
        return self

    def end(self, *, promote: bool = False) -> "Listener":
        self._note(list(self.decoder.end(promote=promote)))
        return self

    def _note(self, heard: List[Decoded]) -> None:
        for each in heard:
            if isinstance(each, Transcript):
                assert each.text.startswith(each.stable)
                self.shown = "" if each.is_final else each.text
        self.heard += heard

    @property
    def finals(self) -> List[Transcript]:
        return [each for each in self.heard if isinstance(each, Transcript) and each.is_final]

    @property
    def partials(self) -> List[Transcript]:
        return [each for each in self.heard if isinstance(each, Transcript) and not each.is_final]

    @property
    def texts(self) -> List[str]:
        return [final.text for final in self.finals]

    @property
    def segments(self) -> List[Segment]:
        return [(each.text, each.speaker, each.language, each.start, each.end) for each in self.finals]

    @property
    def translations(self) -> List[Tuple[str, Optional[str]]]:
        return [(each.text, each.translation and each.translation.text) for each in self.finals]

    @property
    def markers(self) -> List[Any]:
        return [type(each) for each in self.heard if isinstance(each, (Endpoint, Flushed))]


# A speech, and its division into messages.


class Cut(NamedTuple):
    """A message with this many final tokens, followed by this many non-final ones."""

    finals: int
    guesses: int
    mistaken: bool
    glued: bool


cuts = st.lists(
    st.builds(Cut, st.integers(0, 4), st.integers(0, 4), st.booleans(), st.booleans()), max_size=12
)


@st.composite
def speeches(draw: Any) -> List[Frame]:
    """Draw spoken tokens and markers. Times may be missing or go backwards, labels are optional."""
    speakers = draw(st.sampled_from([[None], ["1"], ["1", "2"]]))
    languages = draw(st.sampled_from([[None], ["en"], ["en", "fr"]]))
    speech: List[Frame] = []
    for text in draw(st.lists(st.one_of(pieces, st.sampled_from(["<end>", "<fin>"])), max_size=20)):
        token: Dict[str, Any] = spoken(text)
        if not text.startswith("<"):
            token.update(label("speaker", draw(st.sampled_from(speakers))))
            token.update(label("language", draw(st.sampled_from(languages))))
            if text.strip() and draw(st.booleans()):
                token.update(start_ms=draw(st.integers(0, 9000)), end_ms=draw(st.integers(0, 9000)))
        speech.append(token)
    return speech


def label(name: str, value: Optional[str]) -> Dict[str, str]:
    return {} if value is None else {name: value}


def is_marker(token: Frame) -> bool:
    return token["text"] in ("<end>", "<fin>")


def frames_of(speech: List[Frame], plan: List[Cut]) -> List[Tuple[Frame, int]]:
    """Divide a speech into messages, each with the number of tokens that are final by then."""
    frames = []
    at = 0
    for cut in [*plan, Cut(len(speech), 0, False, False)]:
        finals = [dict(token) for token in speech[at : at + cut.finals]]
        at += len(finals)
        guesses = [dict(token, is_final=False) for token in speech[at : at + cut.guesses]]
        guesses = [token for token in guesses if not is_marker(token)]
        if cut.mistaken and guesses:
            guesses[-1].update(text=" mistaken", speaker="7")
        if cut.glued:
            finals = glued(finals)
        frames.append((frame(*finals, *guesses), at))
    return frames


def glued(tokens: List[Frame]) -> List[Frame]:
    """Attach the markers to the tokens before them."""
    result: List[Frame] = []
    for token in tokens:
        if is_marker(token) and result and not result[-1]["text"].endswith(">"):
            result[-1]["text"] += token["text"]
        else:
            result.append(token)
    return result


def folded(speech: List[Frame]) -> List[Segment]:
    """Return the segments of a speech by the rules of the wire, directly from the tokens."""
    segments: List[Segment] = []
    together: List[Frame] = []
    for token in [*speech, END]:
        labels = [(each.get("speaker"), each.get("language")) for each in (*together[-1:], token)]
        if together and (is_marker(token) or labels[0] != labels[1]):
            segments += segment(together)
            together = []
        if not is_marker(token):
            together.append(token)
    return segments


def segment(tokens: List[Frame]) -> List[Segment]:
    text = "".join(token["text"] for token in tokens).strip()
    starts = [token["start_ms"] / 1000 for token in tokens if "start_ms" in token]
    ends = [token["end_ms"] / 1000 for token in tokens if "end_ms" in token]
    times = (min(starts) if starts else None, max(ends) if ends else None)
    return [(text, tokens[0].get("speaker"), tokens[0].get("language"), *times)] if text else []


def letters(*texts: str) -> str:
    """Return the text without blanks, which are added and removed between tokens."""
    return "".join("".join(texts).split())


@checked
@given(speeches(), cuts)
def test_a_speech_is_the_same_however_it_is_cut(speech: List[Frame], plan: List[Cut]) -> None:
    """Texts, speakers, languages and times of the segments do not depend on the messages."""
    frames = [each for each, _ in frames_of(speech, plan)]
    assert Listener().hear(*frames).end().segments == folded(speech)


@checked
@given(speeches(), cuts)
def test_every_final_token_is_heard_once(speech: List[Frame], plan: List[Cut]) -> None:
    """All final words together are the speech, and each marker is an event."""
    listener = Listener().hear(*(each for each, _ in frames_of(speech, plan))).end()
    said = [token["text"] for token in speech if not is_marker(token)]
    assert letters(*listener.texts) == letters(*said)
    assert letters(*(word.text for final in listener.finals for word in final.words)) == letters(*said)
    kinds = {"<end>": Endpoint, "<fin>": Flushed}
    assert listener.markers == [kinds[token["text"]] for token in speech if is_marker(token)]


@checked
@given(speeches(), cuts)
def test_what_is_shown_is_all_finals_and_the_latest_guess(speech: List[Frame], plan: List[Cut]) -> None:
    """After each message, the finals and the open partial contain all tokens so far, and no more."""
    listener = Listener()
    for each, finals in frames_of(speech, plan):
        listener.hear(each)
        said = [token["text"] for token in speech[:finals] if not is_marker(token)]
        guess = [token["text"] for token in each["tokens"] if not token["is_final"]]
        assert letters(*listener.texts, listener.shown) == letters(*said, *guess)
        assert letters(listener.decoder.pending) == letters(*guess)


@checked
@given(speeches(), cuts, st.integers(0, 12))
def test_what_was_open_at_the_end_is_promoted_once(speech: List[Frame], plan: List[Cut], heard: int) -> None:
    """If the stream breaks, final tokens are in complete finals, and non-final ones in one incomplete
    final."""
    frames = [each for each, _ in frames_of(speech, plan)[: heard + 1]]
    guess = [token["text"] for token in frames[-1]["tokens"] if not token["is_final"]]
    listener = Listener().hear(*frames).end(promote=True)
    promoted = [final.text for final in listener.finals if not final.complete]
    assert letters(*promoted) == letters(*guess) and len(promoted) <= 1
    assert listener.decoder.pending == "" and listener.end(promote=True).finals == listener.finals


utterances = st.lists(
    st.tuples(
        st.lists(st.sampled_from([" one", " two", "s"]), min_size=1, max_size=4),
        st.lists(st.sampled_from([" un", " deux", "x"]), min_size=1, max_size=4),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=5,
)


@checked
@given(utterances, cuts)
def test_a_translation_is_given_to_what_it_translates(spoken_and_translated: Any, plan: List[Cut]) -> None:
    """With the marker before, within or after the translation, in any messages."""
    speech: List[Frame] = []
    for words, translation, before_marker in spoken_and_translated:
        foreign = [translated(text) for text in translation]
        speech += [
            *(original(text) for text in words),
            *foreign[:before_marker],
            END,
            *foreign[before_marker:],
        ]
    listener = Listener().hear(*(each for each, _ in frames_of(speech, plan))).end()
    assert listener.translations == [
        ("".join(words).strip(), "".join(translation).strip())
        for words, translation, _ in spoken_and_translated
    ]


# Special cases.


def test_words_that_came_to_nothing_are_taken_back() -> None:
    """Non-final tokens, an empty list, then only a marker: the last partial is empty, and there is no
    final."""
    listener = Listener().hear(frame(guessed("Uh")), frame(), frame(END)).end()
    assert [partial.text for partial in listener.partials] == ["Uh", ""]
    assert listener.finals == [] and listener.markers == [Endpoint]


def test_a_marker_may_stand_between_finals_and_guesses() -> None:
    """Tokens after the marker belong to the next segment."""
    listener = Listener().hear(frame(spoken("Yes"), spoken("."), END, guessed(" And")))
    assert listener.texts == ["Yes."] and listener.shown == "And"
    assert [type(each) for each in listener.heard] == [Transcript, Endpoint, Transcript]


@pytest.mark.parametrize("said", ["Yes.<end>", "<end>Yes.", "Yes<end>."])
def test_a_marker_that_is_glued_to_text_is_no_text(said: str) -> None:
    """The marker is removed from the text and still counts."""
    listener = Listener().hear(frame(spoken(said)))
    assert listener.texts == ["Yes."] and listener.markers == [Endpoint]


def test_the_last_words_may_come_with_the_end() -> None:
    """Finals in the ``finished`` message are delivered before the end."""
    listener = Listener().hear(frame(guessed("Bye")), frame(spoken("Bye"), spoken("."), finished=True))
    assert listener.texts == ["Bye."] and isinstance(listener.heard[-1], Finished)


def test_an_error_frame_clears_nothing() -> None:
    """Its empty list of tokens does not count. Finals are delivered before the error."""
    listener = Listener().hear(
        frame(spoken("So"), guessed(" far")), frame(error_code=503, error_message="Restart the request.")
    )
    assert listener.texts == ["So"] and listener.decoder.pending == "far"
    assert isinstance(listener.heard[-1], Failure)


def test_a_token_that_does_not_say_that_it_is_final_is_a_guess() -> None:
    """A token without is_final is not final."""
    listener = Listener().hear({"tokens": [{"text": "Maybe"}]}, frame()).end()
    assert listener.finals == [] and listener.shown == ""


def test_a_guess_may_change_its_speaker() -> None:
    """Only the speaker of a final token ends a segment."""
    listener = Listener().hear(
        frame(spoken("How", speaker="1"), guessed(" are", speaker="2")),
        frame(spoken(" are", speaker="1"), spoken(" you?", speaker="1")),
        frame(finished=True),
    )
    assert [(final.text, final.speaker) for final in listener.finals] == [("How are you?", "1")]


def test_a_label_that_is_missing_does_not_cut() -> None:
    """Punctuation without a language belongs to the words around it."""
    listener = Listener().hear(
        frame(spoken("Oui", language="fr"), spoken(","), spoken(" oui", language="fr"))
    )
    assert listener.end().texts == ["Oui, oui"] and listener.finals[0].language == "fr"


def test_both_spellings_of_the_progress_settle_audio() -> None:
    """The concept pages use another name for the counter."""
    for name in ("final_audio_proc_ms", "audio_final_proc_ms"):
        assert Settled(0.76) in Soniox().decoder(Tape())(frame(**{name: 760}))


def test_two_markers_before_a_translation_do_not_lose_it() -> None:
    """An endpoint and a finalize in a row end one utterance. A later translation belongs to it."""
    listener = Listener().hear(
        frame(original("Hello."), END),
        frame(FIN),
        frame(translated("Bonjour.")),
        frame(original(" Bye."), translated(" Au revoir."), END),
    )
    assert listener.end().translations == [("Hello.", "Bonjour."), ("Bye.", "Au revoir.")]


def test_two_ways_of_translating_do_not_mix() -> None:
    """The translation of the first speaker may follow while the second one speaks."""
    listener = Listener().hear(
        frame(original("Hello.", "en")),
        frame(original(" Salut.", "fr")),
        frame(translated("Bonjour.", "fr", "en")),
        frame(translated("Hi.", "en", "fr"), END),
    )
    assert listener.end().translations == [("Hello.", "Bonjour."), ("Salut.", "Hi.")]


def test_a_language_outside_the_pair_waits_for_nothing() -> None:
    """Status none means that no translation follows. The final is returned at the marker."""
    listener = Listener().hear(frame(spoken("Hola.", language="es", translation_status="none"), END))
    assert listener.translations == [("Hola.", None)] and not listener.decoder.held


def test_a_promoted_guess_keeps_its_translation_apart() -> None:
    """Spoken and translated text are never mixed, even if the stream breaks."""
    guess = frame(original("Hello", is_final=False), translated("Bonjour", is_final=False))
    listener = Listener().hear(guess)
    assert listener.decoder.pending == "Hello"
    (final,) = listener.end(promote=True).finals
    assert (final.text, final.language, final.complete) == ("Hello", "en", False)
    assert final.translation is not None and final.translation.text == "Bonjour"


def test_a_long_session_without_endpoints_is_bounded() -> None:
    """Half an hour of words without a cut is divided into several finals of limited length."""
    listener = Listener()
    listener.hear(frame(*(spoken(f" w{at}", start_ms=at, end_ms=at + 1) for at in range(5000))))
    listener.hear(*(frame(guessed(f" g{at}")) for at in range(20)))
    finals = listener.end().finals
    assert [len(final.words) for final in finals] == [1000] * 5


def test_a_partial_has_each_word_of_its_translation_once() -> None:
    decode = Soniox().decoder(Tape())

    [partial] = decode(frame(original("Good morning"), translated("Bon", is_final=True)))
    assert partial.translation.text == "Bon"
    [partial] = decode(frame(original(" all", is_final=False), translated("jour", is_final=False)))
    assert partial.translation.text == "Bonjour"


def test_a_partial_costs_as_much_late_in_a_long_utterance_as_early() -> None:
    class Counting(Tape):
        asked = 0

        def start(self, stream_seconds: float) -> float:
            self.asked += 1
            return stream_seconds

    def words_placed_by_a_frame_after(count: int) -> int:
        tape = Counting()
        decode = Soniox().decoder(tape)
        [earlier] = decode(frame(*(spoken(f" word{each}", start_ms=each) for each in range(count))))
        assert len(earlier.words) == count
        tape.asked = 0
        [later] = decode(frame(spoken(" one", start_ms=count), guessed(" more", start_ms=count + 1)))
        assert len(later.words) == count + 2
        return tape.asked

    assert words_placed_by_a_frame_after(900) == words_placed_by_a_frame_after(9) > 0


def test_a_final_keeps_its_message_packed_and_shares_it_with_the_other_finals_of_the_message() -> None:
    ended = frame(spoken(" one", start_ms=0), END, spoken(" two", start_ms=3000), END)
    first, second = Listener().hear(ended).finals
    assert type(first.raw) is PackedMessage and first.raw is second.raw
    assert first.raw == ended and first.raw["tokens"] is not first.raw["tokens"]


def test_the_words_of_a_kept_final_are_not_made_by_a_look_at_the_callbacks_one() -> None:
    [final] = Listener().hear(frame(spoken(" one", start_ms=0), END)).finals
    log = TranscriptLog([final])
    assert final.words[0].text == "one" and "_made" in vars(final.words)
    assert "_made" not in vars(log[0].words) and log[0] == final


def test_words_are_made_when_somebody_asks_for_them() -> None:
    decode = Soniox().decoder(Tape())
    [earlier] = decode(frame(spoken("Good", start_ms=100), guessed(" mor", start_ms=300)))
    [later] = decode(frame(spoken(" morning", start_ms=300), guessed(" all", end_ms=900)))

    assert [word.text for word in later.words] == ["Good", "morning", "all"]
    assert [word.text for word in earlier.words] == ["Good", "mor"], "whatever came meanwhile"
    assert (earlier.start, earlier.end, later.end) == (0.1, None, 0.9)


odd_tokens = st.fixed_dictionaries(
    {"text": st.one_of(pieces, st.sampled_from(["<end>", " a<end>", "<", ""]), st.none())},
    optional={
        "is_final": st.sampled_from([True, False, 1, 0, "yes", None]),
        "speaker": st.sampled_from(["1", "2"]),
        "translation_status": st.sampled_from(["none", "original", "translation"]),
        "start_ms": st.integers(0, 5000),
    },
)
plain_tokens = st.fixed_dictionaries(
    {"text": pieces, "is_final": st.booleans(), "end_ms": st.integers(0, 99)},
    optional={"start_ms": st.integers(0, 99), "confidence": st.floats(0, 1)},
)
markers = st.fixed_dictionaries(
    {"text": st.sampled_from(["<end>", "<fin>"])}, optional={"is_final": st.booleans()}
)
ended = st.tuples(st.lists(plain_tokens, max_size=6), markers).map(lambda both: [*both[0], both[1]])


@given(st.lists(ended | st.lists(plain_tokens | odd_tokens | markers | st.none(), max_size=6), max_size=8))
def test_tokens_folded_all_at_once_say_what_they_say_one_by_one(frames: List[List[Any]]) -> None:
    at_once, one_by_one = Listener(), Listener()
    for tokens in frames:
        said = {"tokens": tokens, "final_audio_proc_ms": 100}
        decoded = at_once.decoder(said)
        with mock.patch("slng_sync.dialects.tokens.alike", return_value=None):
            assert one_by_one.decoder(said) == decoded
    assert at_once.decoder.end(promote=True) == one_by_one.decoder.end(promote=True)


labelled_tokens = st.fixed_dictionaries(
    {"text": pieces, "is_final": st.booleans(), "start_ms": st.integers(0, 99), "end_ms": st.integers(0, 99)},
    optional={
        "speaker": st.sampled_from(["1", "2"]),
        "language": st.sampled_from(["en", "", 3]),
        "translation_status": st.sampled_from(["none", "original", "translation"]),
        "confidence": st.floats(0, 1),
        "more": st.none(),
    },
)


@given(st.lists(st.tuples(labelled_tokens, st.integers(1, 5), st.integers(0, 5)), max_size=8))
def test_tokens_that_are_alike_say_what_they_say_one_by_one(frames: List[Any]) -> None:
    """Tokens with the same fields and labels, as in most messages, with the final tokens first."""
    said = []
    for token, finals, others in frames:
        said.append([{**token, "is_final": True}] * finals + [{**token, "is_final": False}] * others)
    test_tokens_folded_all_at_once_say_what_they_say_one_by_one.hypothesis.inner_test(said)


@checked
@given(speeches(), st.lists(st.tuples(pieces, st.integers(0, 9000), st.floats(0, 1)), max_size=6))
def test_a_partial_tells_its_times_confidence_and_words_as_its_tokens_do(
    speech: List[Frame], guess: List[Any]
) -> None:
    """A partial equals the result of a loop over all tokens."""
    speech = [dict(token, confidence=0.5) for token in speech if not is_marker(token)]
    speech = [{**token, "speaker": "1", "language": "en"} for token in speech]
    tail = [
        guessed(text, speaker="1", language="en", start_ms=at, end_ms=at + 9, confidence=sure)
        for text, at, sure in guess
    ]
    partials = Listener().hear(frame(*speech), frame(*tail)).partials
    if not partials or not tail or partials[-1].raw["tokens"] != tail:
        return
    partial = partials[-1]
    spoken_ones = [token for token in speech if token["text"].strip()]
    starts = [token["start_ms"] for token in spoken_ones if "start_ms" in token]
    ends = [token["end_ms"] for token in spoken_ones if "end_ms" in token]
    assert partial.start == (min(starts) if starts else tail[0]["start_ms"]) / 1000
    assert partial.end == max([*ends, tail[-1]["end_ms"]]) / 1000
    confidences = [token["confidence"] for token in speech + tail]
    assert partial.confidence == pytest.approx(sum(confidences) / len(confidences), abs=1e-4)
    assert (partial.speaker, partial.language) == ("1", "en")
    assert [word.text for word in partial.words] == words_of(speech + tail)


def words_of(tokens: List[Frame]) -> List[str]:
    return "".join(token["text"] for token in tokens).split()


@pytest.mark.parametrize("odd", [None, True, "3", 10**400, 1e300, float("nan"), [1], -1e13])
def test_a_number_that_is_none_tells_nothing_wherever_it_stands(odd: Any) -> None:
    """With and without others, in final and non-final tokens."""
    fine = {"start_ms": 100, "end_ms": 200, "confidence": 0.5}
    wrong = {"start_ms": odd, "end_ms": odd, "confidence": odd}
    for is_final in (True, False):
        for tokens in ([fine, wrong], [wrong, fine], [fine, wrong, wrong]):
            said = frame(*(spoken(" a", is_final=is_final, **each) for each in tokens))
            [partial] = Soniox().decoder(Tape())(said)
            assert (partial.start, partial.end) == (0.1, 0.2)
            if odd is not True:
                assert partial.confidence == 0.5
        [partial] = Soniox().decoder(Tape())(frame(spoken(" a", is_final=is_final, **wrong)))
        assert (partial.start, partial.end) == (None, None)


@pytest.mark.parametrize(
    "tokens",
    [
        [spoken("a ")],
        [spoken("a ", speaker="1"), spoken("b ")],
        [spoken("a ", speaker="1"), spoken("b ", speaker="2")],
        [spoken("a<end>")],
        [spoken("a"), END],
        [guessed("a ", speaker="1"), guessed("b ", speaker="2")],
        [translated("a "), translated("b ", "de")],
        [translated("a "), original("b ")],
        [original("a "), translated("b "), END],
    ],
    ids=["same", "unlabelled", "speakers", "glued", "ends", "guesses", "translations", "both", "translated"],
)
def test_a_message_takes_time_in_proportion_to_its_tokens(tokens: List[Frame]) -> None:
    """The time per token does not grow with the tokens of a message or the number of messages."""

    def seconds(count: int) -> float:
        listener, said = Listener(), frame(*tokens * (count // len(tokens)))
        begun = time.process_time()
        listener.decoder(said)
        listener.decoder.end(promote=True)
        return time.process_time() - begun

    short = min(seconds(4_000) for _ in range(5))
    assert seconds(64_000) < short * 16 * 3


def test_many_messages_cost_no_more_each_than_few() -> None:
    """A segment also ends without a blank, marker or change of speaker."""
    for make in (spoken, translated):
        decoder = Soniox().decoder(Tape())
        said = [frame(make("x" * 4000), guessed(f"{at}")) for at in range(400)]
        begun = time.process_time()
        decoded = [each for message in said for each in decoder(message)]
        assert time.process_time() - begun < 5
        assert max(len(each.text) for each in decoded if isinstance(each, Transcript)) < 25_000
