"""Scripts, which release words by the amount of audio, and stamped audio, which carries its position."""

import random
from typing import Any, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import chunks, silence, soniox, tokens

from slng_sync.audio.format import AudioFormat
from slng_sync.errors import ConfigurationError
from slng_sync.gateway import LocalGateway, Script, ScriptWord, StreamOptions, stamps
from slng_sync.gateway.script import ScriptEngine

FORMAT = AudioFormat()


def play(engine: ScriptEngine, pieces: List[bytes]) -> List[Tuple[str, float, float]]:
    """Return the final words that an engine recognises in chunks of audio."""
    updates = [update for piece in pieces if piece for update in engine.audio(piece)] + engine.end()
    return [
        (word.text, round(word.start, 3), round(word.end, 3)) for update in updates for word in update.final
    ]


def engine(script: Script, clock: str, audio_format: AudioFormat = FORMAT) -> ScriptEngine:
    return ScriptEngine(script, audio_format, StreamOptions("model"), clock)


def test_numbered_words_are_unique() -> None:
    words = [word.text for word in Script.numbered(2000).words]
    assert (
        words[:3] == ["one", "two", "three"] and words[20] == "twentyone" and words[110] == "onehundredeleven"
    )
    assert len(set(words)) == 2000 and all(word.isalpha() for word in words)


def test_a_script_must_be_in_order() -> None:
    with pytest.raises(ConfigurationError):
        Script([ScriptWord("b", 1, 2), ScriptWord("a", 0, 1)])
    with pytest.raises(ConfigurationError):
        Script([ScriptWord("a", 1, 1)])


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.integers(0, 10**9))
@settings(deadline=None, max_examples=50)
def test_the_position_can_be_read_from_any_chunk(sizes: List[int], first: int) -> None:
    whole = stamps.stamped(first, sum(sizes))
    at = 0
    for size in sizes:
        piece = whole[2 * at : 2 * (at + size)]
        if size >= 7:
            assert stamps.position_of(piece) == first + at
            assert stamps.runs(piece) == [stamps.Run(0, size, first + at)]
        at += size


@given(st.integers(7, 3000), st.integers(0, 2000), st.integers(7, 3000), st.integers(0, 40))
@settings(deadline=None, max_examples=100)
def test_a_gap_inside_a_chunk_is_seen(before: int, gap: int, after: int, zeros: int) -> None:
    pcm = stamps.stamped(100, before) + bytes(2 * zeros) + stamps.stamped(100 + before + gap, after)
    found = stamps.runs(pcm)
    assert sum(run.frames for run in found) == before + zeros + after
    assert [run.offset for run in found] == sorted(run.offset for run in found)
    covered = sum(run.frames for run in found if run.position is not None)
    # If as many frames are missing as there are zeros, all frames keep their positions.
    assert gap == zeros or len(found) > 1
    assert abs(covered - before - after) <= 8


def test_stereo_and_other_rates_carry_the_position_too() -> None:
    stereo = AudioFormat(48000, 2)
    pcm = Script.audio(1.0, stereo, start=5.0)
    assert len(pcm) == 48000 * 4 and Script.position_of(pcm, stereo) == 5.0
    assert Script.position_of(pcm[400:], stereo) == 5.0 + 100 / 48000
    assert Script.position_of(silence(1)) is None


def test_on_the_content_clock_words_follow_their_audio() -> None:
    script = Script.numbered(10)
    whole = Script.audio(6.0)
    everything = play(engine(script, "content"), chunks(whole))
    assert [text for text, _, _ in everything] == script.text.split()
    assert everything[0] == ("one", 0.05, 0.4) and everything == play(engine(script, "connection"), [whole])
    # A second connection that begins at 2.5 s gets the rest, with times on its own clock.
    rest = play(engine(script, "content"), chunks(Script.audio(3.5, start=2.5), 1998))
    assert rest[0] == ("six", 0.05, 0.4) and [text for text, _, _ in rest] == script.text.split()[5:]


def test_missing_and_repeated_audio_shows_in_the_words() -> None:
    script = Script.numbered(10)
    first, second = Script.audio(1.0), Script.audio(1.0, start=2.0)
    assert play(engine(script, "content"), [first, second]) == [
        ("one", 0.05, 0.4),
        ("two", 0.55, 0.9),
        ("five", 1.05, 1.4),
        ("six", 1.55, 1.9),
    ]
    twice = [text for text, _, _ in play(engine(script, "content"), [first + second + first])]
    assert twice == ["one", "two", "five", "six", "one", "two"]
    silent = play(engine(script, "content"), [silence(1), first, silence(1)])
    assert silent == [("one", 1.05, 1.4), ("two", 1.55, 1.9)]


@pytest.mark.parametrize("seed", range(20))
def test_resending_from_the_last_final_word_gives_each_word_once(seed: int) -> None:
    """Connections are cut at random, and resume at the end of the last final: no word is lost or repeated."""
    chance = random.Random(seed)
    script = Script.numbered(40)
    recognized: List[Tuple[str, float]] = []
    settled = 0.0
    while settled < script.words[-1].end - 0.01:
        base, one = settled, engine(script, "content")
        for piece in chunks(
            Script.audio(chance.uniform(0.6, 6.0), start=base), 2 * chance.randint(400, 4000)
        ):
            for word in (word for update in one.audio(piece) for word in update.final):
                recognized.append((word.text, round(base + word.start, 2)))
                settled = base + word.end
    assert recognized == [(word.text, round(word.start, 2)) for word in script.words]


def test_the_gateway_follows_stamped_audio() -> None:
    script = Script.numbered(20)
    with LocalGateway("script", script=script, script_clock="content") as server, soniox(server) as client:
        recognized = tokens(client.send(*chunks(Script.audio(3.0, start=4.0)), "").receive_all())
    assert "".join(token["text"] for token in recognized).split() == script.text.split()[8:14]
    assert recognized[0]["start_ms"] == 50


def test_a_wrong_clock_or_engine_is_a_configuration_error() -> None:
    wrong: List[Any] = [
        {"script_clock": "wall"},
        {"engine": "whisper"},
        {"engine": "recognizer", "script": Script([])},
    ]
    for arguments in wrong:
        with pytest.raises(ConfigurationError):
            LocalGateway(**{"engine": "script", **arguments})
