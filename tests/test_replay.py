"""Replay of a session's trace: the same words at the same times, without a server."""

import json
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from heard import Heard
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reconnect import CUTS, speak
from test_reconnect import gateway as place_gateway
from test_session import HELLO, SECOND, client_for, gateway

from slng_sync import (
    AudioError,
    AudioFormat,
    Client,
    Closed,
    ConfigurationError,
    Dialect,
    Endpoint,
    Flushed,
    Ready,
    Reson8,
    ServerError,
    SlngError,
    Soniox,
    Transcript,
)
from slng_sync.gateway import Faults, Script, ScriptWord, Trouble

BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
OF_THE_SERVER = (Ready, Flushed, Endpoint, Closed)


def replayed(path: Path, **options: Any) -> Heard:
    """Replay a trace with other callbacks, another model and no gateway. Return what they received."""
    heard = Heard()
    client = client_for("ws://127.0.0.1:9", Soniox(), heard)
    log = client.replay(path, **options)
    assert list(log) == finals(heard)
    return heard


def finals(heard: Heard) -> List[Transcript]:
    return [item for item in heard.of(Transcript) if item.is_final]


def assert_same(again: Heard, heard: Heard) -> None:
    """Compare finals with text, times, words and speakers, events of the server, and partials."""
    assert finals(again) == finals(heard)
    assert [final.words for final in finals(again)] == [final.words for final in finals(heard)]

    def from_server(items: Heard) -> List[Any]:
        return [item for item in items.items if isinstance(item, OF_THE_SERVER) or _is_final(item)]

    assert from_server(again) == from_server(heard)
    rest = iter(again.of(Transcript))
    assert all(transcript in rest for transcript in heard.of(Transcript))


def _is_final(item: object) -> bool:
    return isinstance(item, Transcript) and item.is_final


# Transcripts are the same


@BOTH
@pytest.mark.parametrize("audio", [False, True])
def test_a_session_is_replayed_unchanged(dialect: Dialect, audio: bool, tmp_path: Path) -> None:
    """Words, times and events, whether or not the audio is in the trace."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    script = Script.numbered(30, utterance=4)
    with gateway(script) as server:
        with client_for(server.url, dialect, heard).listen(trace=path, trace_audio=audio) as session:
            for _ in range(9):
                session.send(SECOND[:27000])
            session.finalize()
            for _ in range(9):
                session.send(SECOND)
    assert len(finals(heard)) >= 7
    assert_same(replayed(path), heard)


@BOTH
@pytest.mark.parametrize("cut", CUTS)
def test_a_session_with_a_lost_connection_is_replayed(dialect: Dialect, cut: str, tmp_path: Path) -> None:
    """Audio that was sent twice is transcribed once, and the session's clock goes on."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    script = Script.numbered(40, utterance=5)
    faults = [Faults(trouble=CUTS[cut](7.3)), Faults(trouble=CUTS[cut](4.1)), Faults()]
    with place_gateway(script, faults) as server:
        with client_for(server.url, dialect, heard).listen(trace=path) as session:
            speak(session, script, 21.0)
            session.finalize(timeout=10)
        assert len(server.connections) == 3
    assert [word.text for final in finals(heard) for word in final.words] == [
        word.text for word in script.words
    ]
    assert_same(replayed(path), heard)


def test_speakers_languages_and_translations_are_replayed(tmp_path: Path) -> None:
    """The trace has the options of the original session. The replaying client has others."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    words = [
        ScriptWord("hello", 0.0, 0.4, "1", "en", "bonjour", endpoint=True),
        ScriptWord("gut", 1.5, 1.9, "2", "de", "bien", endpoint=True),
        ScriptWord("goodbye", 3.0, 3.4, "1", "en", "adieu"),
    ]
    dialect = Soniox(
        enable_speaker_diarization=True,
        enable_language_identification=True,
        translation={"type": "one_way", "target_language": "fr"},
    )
    with gateway(Script(words)) as server:
        with client_for(server.url, dialect, heard).listen(trace=path) as session:
            session.send(SECOND * 6)
    again = replayed(path)
    assert_same(again, heard)
    assert [final.speaker for final in finals(again)] == ["1", "2", "1"]
    assert all(final.translation for final in finals(again))


class Speaker:
    """A microphone that is paused after each of five seconds, while the clock goes on."""

    live = True

    def __init__(self) -> None:
        self.audio_format = AudioFormat()
        self.session: Any = None
        self.may_begin = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        assert self.may_begin.wait(10)
        for second in range(10):
            self.session.pause() if second % 5 == 4 else self.session.resume()
            for _ in range(20):
                yield SECOND[:1600]


@BOTH
def test_withheld_audio_advances_the_clock(dialect: Dialect, tmp_path: Path) -> None:
    """A word after a pause has a time after the pause."""
    path, heard, speaker = tmp_path / "talk.jsonl", Heard(), Speaker()
    with gateway(Script.numbered(16, utterance=2)) as server:
        speaker.session = client_for(server.url, dialect, heard).listen(speaker, trace=path)
        speaker.may_begin.set()
        speaker.session.wait(20)
        speaker.session.close()
    last = finals(heard)[-1].words[-1]
    assert last.start is not None and last.start > 8.4, "there is a second's pause before it"
    assert_same(replayed(path), heard)


@BOTH
def test_a_server_that_stops_answering_is_replayed(dialect: Dialect, tmp_path: Path) -> None:
    """The last partial becomes final, and the transcript is incomplete."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    faults = Faults(trouble=Trouble.mute(2.5))
    with gateway(Script.numbered(20, utterance=20), faults) as server:
        session = client_for(server.url, dialect, heard, reconnect=False).listen(trace=path)
        session.send(SECOND * 4)
        assert session.close(timeout=2.0) is False
    assert finals(heard)[-1].complete is False
    again = replayed(path)
    assert_same(again, heard)
    assert again.items[-1] == Closed(complete=False)


@BOTH
def test_an_error_of_the_server_is_replayed(dialect: Dialect, tmp_path: Path) -> None:
    """on_error receives it with its code, but not the error of a connection that was replaced."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    fatal: Any = 402 if isinstance(dialect, Soniox) else "auth_error"
    passing: Any = 503 if isinstance(dialect, Soniox) else "provider_error"
    faults = [
        Faults(trouble=Trouble.error(2.0, passing, "try again")),
        Faults(trouble=Trouble.error(3.0, fatal, "never try again")),
    ]
    with gateway(Script.numbered(20), faults) as server:
        session = client_for(server.url, dialect, heard).listen(trace=path)
        session.send(SECOND * 8)
        heard.wait_for(lambda: heard.of(Closed))
        session.close()
    again = replayed(path)
    assert_same(again, heard)
    (error,), (replayed_error,) = heard.errors, again.errors
    assert isinstance(replayed_error, ServerError) and isinstance(error, ServerError)
    assert (type(replayed_error), replayed_error.code, replayed_error.message) == (
        type(error),
        error.code,
        error.message,
    )


# Callbacks and pace


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """Return a trace of a session with one word."""
    path = tmp_path / "hello.jsonl"
    with gateway(HELLO) as server, client_for(server.url, Reson8(), Heard()).listen(trace=path) as session:
        session.send(SECOND * 2)
    return path


def test_callbacks_run_in_the_calling_thread(hello: Path) -> None:
    """For every ``dispatch``. Messages go to on_message, exceptions of a callback to on_error."""
    frames: List[Any] = []
    heard = Heard()
    client = client_for("ws://127.0.0.1:9", Soniox(), heard, dispatch="manual", on_message=frames.append)

    @client.on_final
    def fail(transcript: Transcript) -> None:
        raise KeyError("mine")

    log = client.replay(hello)
    assert log.text == "hello world."
    assert set(heard.threads) == {threading.current_thread().name}
    assert frames[0]["type"] == "ready"
    assert [type(error.__cause__) for error in heard.errors] == [KeyError]


def test_it_replays_at_the_original_pace(hello: Path) -> None:
    """With speed=1.0."""
    lines = [json.loads(line) for line in hello.read_text("utf-8").splitlines()]
    for line in lines:
        line["t_ms"] = 200 if line["dir"] == "session" else 100
    hello.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    begun = time.monotonic()
    replayed(hello, speed=1.0)
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), "fast", True, None])
def test_an_invalid_speed_is_refused(hello: Path, speed: Any) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        replayed(hello, speed=speed)


# Truncated and damaged traces


@BOTH
def test_a_trace_that_a_crash_has_cut_off_is_replayed_up_to_there(dialect: Dialect, tmp_path: Path) -> None:
    """Wherever the trace is cut, the part before is replayed, and the session is incomplete."""
    path, heard = tmp_path / "talk.jsonl", Heard()
    script = Script.numbered(12, utterance=3)
    with place_gateway(script, [Faults(trouble=Trouble.drop(3.3)), Faults()]) as server:
        with client_for(server.url, dialect, heard).listen(trace=path) as session:
            speak(session, script, 7.0)
    whole = path.read_bytes()
    beginning = whole.index(b"\n") + 1
    for end in [*range(beginning, len(whole) - 2, 97), len(whole) - 2]:
        path.write_bytes(whole[:end])
        again = replayed(path)
        said = " ".join(final.text for final in finals(again))
        assert " ".join(final.text for final in finals(heard)).startswith(said)
        assert again.items[-1] == Closed(complete=False)
        assert again.errors == []


def lines_of(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


Break = Callable[[List[Any]], Any]
DAMAGED: Dict[str, Break] = {
    "not JSON": lambda lines: lines.__setitem__(2, "{"),
    "not a JSON object": lambda lines: lines.__setitem__(2, []),
    "t_ms": lambda lines: lines[2].pop("t_ms"),
    "dir": lambda lines: lines[2].update(dir="left"),
    "or data is missing": lambda lines: lines[2].pop("data"),
    "'at' must be a number of seconds": lambda lines: lines[2].update(at="soon"),
    "'seconds' must be": lambda lines: lines[2].update(seconds=-1),
    "without a length": lambda lines: lines.__setitem__(
        2, {"t_ms": 1, "dir": "client", "kind": "text", "is": "audio", "data": ""}
    ),
    "invalid audio format": lambda lines: lines.__setitem__(2, _opening(lines, sample_rate=0)),
    "back in time": lambda lines: lines.__setitem__(slice(1, 3), [_audio(3.0), _audio(1.0)]),
    "an unknown model: 'x/y'": lambda lines: lines.__setitem__(2, _opening(lines, model="x/y")),
    "cannot read": lambda lines: lines.__setitem__(2, _opening(lines, version=2)),
}


def _opening(lines: List[Any], **data: Any) -> Dict[str, Any]:
    return {**lines[0], "data": {**lines[0]["data"], **data}}


def _audio(at: float) -> Dict[str, Any]:
    line = {"t_ms": 1, "dir": "client", "kind": "binary", "is": "audio", "at": at, "seconds": 0.05}
    return {**line, "data": "@audio(1600 bytes)"}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_trace_is_refused_with_the_number_of_the_line(damage: str, hello: Path) -> None:
    lines = lines_of(hello)
    DAMAGED[damage](lines)
    hello.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8"
    )
    with pytest.raises(AudioError, match=damage) as raised:
        replayed(hello)
    assert "hello.jsonl, line 3" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b'{"t_ms":', "empty"),
        (b"RIFF\x00\x00\n", "line 1 is not JSON"),
        (b'{"name": "talk"}\n', "line 1 is not a line of a trace"),
        (b'{"t_ms": 0, "dir": "server", "kind": "text", "data": "{}"}\n', "line 1 .* older version"),
    ],
)
def test_a_file_that_is_not_a_trace_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        replayed(path)


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "nul\0"])
def test_a_missing_file_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        replayed(tmp_path / name)


def test_an_invalid_path_is_refused() -> None:
    path: Any = 7
    with pytest.raises(ConfigurationError, match="path"):
        replayed(path)


# Arbitrary bytes


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=5)
FRAMES = st.sampled_from(
    [
        '{"type":"ready","session_id":"s"}',
        '{"type":"final_transcript","transcript":"one two"}',
        '{"type":"flush_confirmation"}',
        '{"type":"error","code":"auth_error"}',
        '{"tokens":[{"text":"one","is_final":true,"start_ms":0,"end_ms":90},{"text":"<fin>","is_final":true}]}',
        '{"tokens":[{"text":" tw","start_ms":100}],"final_audio_proc_ms":90}',
        '{"tokens":[],"finished":true}',
        '{"tokens":[],"error_code":400}',
        "",
        "{",
    ]
)
OPENING = st.fixed_dictionaries(
    {
        "version": st.just(1) | ANYTHING,
        "model": st.sampled_from(["soniox/speech-ai:rt-v4", "reson8/reson8stt:v1"]),
        "sample_rate": st.just(16000) | ANYTHING,
        "channels": st.just(1) | ANYTHING,
    }
)
LINES = st.fixed_dictionaries(
    {
        "t_ms": st.integers(0, 10**9) | ANYTHING,
        "dir": st.sampled_from(["client", "server", "session"]),
        "kind": st.sampled_from(["text", "binary", "close", "open", "lost", "end", "other"]),
        "data": FRAMES | OPENING | ANYTHING,
    },
    optional={
        "is": st.sampled_from(["start", "audio", "finalize", "keepalive", "end", "other"]),
        "at": st.floats(0, 100) | ANYTHING,
        "seconds": st.floats(0, 1) | ANYTHING,
    },
)
BEGINNING = {
    "t_ms": 0,
    "dir": "session",
    "kind": "open",
    "at": 0.0,
    "data": {"version": 1, "model": "soniox/speech-ai:rt-v4", "sample_rate": 16000, "channels": 1},
}


def replay_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refusal = None
    try:
        Client("soniox", api_key="any").replay(path)
    except SlngError as error:
        refusal = error
    assert refusal is None or str(path) in refusal.message


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_trace_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    replay_or_refuse(tmp_path_factory.getbasetemp() / "fuzz.jsonl", content)


@given(st.lists(LINES, max_size=12), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_any_lines_are_a_trace_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: List[Any], cut: int
) -> None:
    """Generate lines similar to those of a trace, in any order and cut anywhere."""
    content = "".join(json.dumps(line) + "\n" for line in [BEGINNING, *lines]).encode()
    replay_or_refuse(tmp_path_factory.getbasetemp() / "fuzz.jsonl", content[: max(1, len(content) - cut)])
