"""One session per channel of a source, from end to end, with a gateway on loopback.

The audio says in each sample where in the script it belongs, so the channels of one source say other words.
"""

import json
import pickle
import threading
import time
import types
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, List

import numpy
import pytest
from heard import Heard

from slng_sync import (
    AudioError,
    AudioFormat,
    AuthenticationError,
    Client,
    Closed,
    ConfigurationError,
    ConnectionLost,
    DeviceLost,
    Microphone,
    MicrophoneLost,
    Reson8,
    ServerError,
    Session,
    SessionClosed,
    Sessions,
    SlngError,
    Soniox,
    State,
    Transcript,
    TranscriptLog,
    WaitTimeout,
    Word,
)
from slng_sync.audio.source import as_source
from slng_sync.callbacks.delivery import ChannelDelivery
from slng_sync.dialects import Dialect
from slng_sync.dialects.words import Words
from slng_sync.gateway import Faults, LocalGateway, Script, ScriptWord, Trouble

BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
AT_ONCE = float("inf")
SECOND = bytes(32000)

AGENT = "how can i help"
CUSTOMER = "my line is dead"
SPEECH = [AGENT, CUSTOMER, "nobody asked"]
PART = 10.0
"""Seconds of the script that belong to each channel."""


def script() -> Script:
    """The channels contain speech in turn: the first from 0.5 s, the second from 2.5 s, the third from 4.5
    s."""
    words: List[ScriptWord] = []
    for at, text in enumerate(SPEECH):
        spoken = Script.from_text(text + ".", start=PART * at + 0.5 + 2.0 * at).words
        words.extend(spoken)
    return Script(words)


def talk(count: int = 2, seconds: float = 7.0) -> "numpy.ndarray[Any, Any]":
    """Return audio of the shape frames x channels, at 16 kHz."""
    channels = [numpy.frombuffer(Script.audio(seconds, start=PART * at), "<i2") for at in range(count)]
    return numpy.column_stack(channels)


def recording() -> Any:
    """Return a recording that is sent at full speed."""
    return as_source(talk(), sample_rate=16000, speed=AT_ONCE)


def gateway(**options: Any) -> LocalGateway:
    return LocalGateway(engine="script", script=script(), script_clock="content", **options)


def saved(path: Path, audio: "numpy.ndarray[Any, Any]") -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((audio.shape[1], 2, 16000, 0, "NONE", ""))
        file.writeframes(audio.tobytes())
    return path


def by_channel(heard: Heard) -> List[Any]:
    return sorted((item.channel, item.text) for item in heard.of(Transcript) if item.is_final)


def client_for(
    server: LocalGateway, heard: Callable[[Any], Any], dialect: Any = None, **options: Any
) -> Client:
    told = dict.fromkeys(("on_partial", "on_final", "on_error", "on_event"), heard)
    return Client(dialect or Soniox(), api_key="any", base_url=server.url, **{**told, **options})


class Live:
    """A source that delivers what the test puts in, as a microphone does."""

    live = True

    def __init__(self, count: int = 2) -> None:
        self.audio_format = AudioFormat(16000, count)
        self._items: List[Any] = []
        self._changed = threading.Condition()

    def give(self, item: Any) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def stop(self) -> None:
        self.give(None)

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items)
                item = self._items.pop(0)
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


# Transcripts


@BOTH
def test_each_channel_is_heard_by_a_session_of_its_own(dialect: Dialect) -> None:
    """Every transcript has its channel and times of the source."""
    heard = Heard()
    with gateway() as server:
        sessions = client_for(server, heard, dialect).listen(recording(), channels=["agent", "customer"])
        assert isinstance(sessions, Sessions)
        with sessions:
            sessions.wait(timeout=30)
        assert server.breaches == []
        assert sorted(bytes(each.audio) for each in server.connections) == sorted(
            talk()[:, at].tobytes() for at in range(2)
        )
    assert by_channel(heard) == [("agent", f"{AGENT}."), ("customer", f"{CUSTOMER}.")]
    assert {item.channel for item in heard.of(Transcript)} == {"agent", "customer"}
    assert [(each.channel, each.transcript.text) for each in sessions] == by_channel(heard)
    assert [each.transcript[0].start for each in sessions] == [pytest.approx(0.5), pytest.approx(2.5)]
    assert heard.of(Closed) == [Closed(True)] * 2


@pytest.mark.parametrize(("count", "names"), [(2, ["left", "right"]), (3, ["1", "2", "3"])])
def test_channels_have_names_of_their_own(count: int, names: List[str], tmp_path: Path) -> None:
    path = saved(tmp_path / "talk.wav", talk(count, 0.5))
    with gateway() as server, client_for(server, Heard()).listen(path, channels="separate") as sessions:
        assert [session.channel for session in sessions] == names
        assert len(sessions) == count and isinstance(sessions[-1], Session)
        assert [each.channel for each in sessions[1:]] == names[1:]
        assert repr(sessions).startswith(f"<Sessions {names[0]}: ")
    assert sessions[0].source_seconds == sessions.source_seconds == 0.5


def test_raw_samples_have_as_many_channels_as_there_are_names() -> None:
    heard = Heard()
    with gateway() as server, client_for(server, heard).listen(
        iter([talk().tobytes()]), channels=["agent", "customer"]
    ) as sessions:
        sessions.wait(timeout=30)
    assert by_channel(heard) == [("agent", f"{AGENT}."), ("customer", f"{CUSTOMER}.")]


def test_one_session_names_no_channel() -> None:
    heard = Heard()
    with gateway() as server, client_for(server, heard).listen(
        iter([talk()[:, 0]]), sample_rate=16000, channels=1
    ) as session:
        session.wait(timeout=30)
    assert session.channel is None
    assert by_channel(heard) == [(None, f"{AGENT}.")]


@BOTH
def test_transcribe_puts_the_channels_together_in_order_of_time(dialect: Dialect, tmp_path: Path) -> None:
    path = saved(tmp_path / "talk.wav", talk(3))
    with gateway() as server:
        client = client_for(server, Heard(), dialect)
        log = client.transcribe(path, channels="separate", speed=AT_ONCE, progress=True)
    assert log.text == f"{AGENT}.\n{CUSTOMER}.\nnobody asked."
    assert [final.channel for final in log] == ["1", "2", "3"]
    starts = [final.start or 0.0 for final in log]
    assert starts == sorted(starts)


def test_stream_yields_what_is_said_on_all_of_them() -> None:
    with gateway() as server:
        said = list(
            client_for(server, Heard()).stream(
                talk(), sample_rate=16000, channels=["agent", "customer"], speed=AT_ONCE
            )
        )
    assert sorted((each.channel, each.text) for each in said) == [
        ("agent", f"{AGENT}."),
        ("customer", f"{CUSTOMER}."),
    ]


def test_a_loop_that_is_left_early_closes_all_of_them() -> None:
    with gateway() as server:
        for said in client_for(server, Heard()).stream(
            talk(), sample_rate=16000, channels="separate", speed=20, partials=True
        ):
            assert said.channel in ("left", "right")
            break
        assert server.wait_idle()


# Saving


def final(text: str, start: float, **more: Any) -> Transcript:
    return Transcript(text, True, start, start + 0.9, **more)


def test_channels_stand_where_speakers_stand() -> None:
    log = TranscriptLog(
        [
            final("Hello.", 0, channel="agent"),
            final("Hi.", 1, channel="agent", speaker="2"),
            final("Yes?", 2, channel="3"),
        ]
    )
    assert log.text == "Hello.\nHi.\nYes?"
    shown = [line for line in log.to_srt().splitlines() if line.endswith((".", "?"))]
    assert shown == ["agent: Hello.", "agent, Speaker 2: Hi.", "Channel 3: Yes?"]
    assert "<v agent, Speaker 2>Hi." in log.to_vtt()
    assert "<b>agent, Speaker 2:</b>" in log.to_html()
    told = [(each["text"], each["channel"]) for each in json.loads(log.to_json())["finals"]]
    assert told == [("Hello.", "agent"), ("Hi.", "agent"), ("Yes?", "3")]


def test_where_no_channel_is_set_nothing_has_changed() -> None:
    assert "channel" not in TranscriptLog([final("Hello.", 0)]).to_json()
    assert final("Hello.", 0) == Transcript("Hello.", True, 0, 0.9)


def test_the_words_of_a_transcript_on_a_channel_are_made_late_as_well() -> None:
    """Naming the channel does not ask for them, and the transcript without it stays as it was."""
    asked: List[str] = []

    def make() -> Any:
        asked.append("words")
        return (Word("Hi."),)

    plain = Transcript("Hi.", True, 1.0, 2.0, words=Words.made_by(make), stable="Hi.")
    told: List[Any] = []
    dispatch: Any = types.SimpleNamespace(queue=told.append)
    delivery = ChannelDelivery("agent", dispatch)
    delivery.deliver([plain])
    [named] = told
    assert (plain.channel, named.channel, asked) == (None, "agent", [])
    assert named != plain and named == replace(plain, channel="agent")
    assert pickle.loads(pickle.dumps(named)) == named
    assert "channel='agent'" in repr(named)


# Invalid arguments


@pytest.mark.parametrize("channels", ["stereo", [], ["one", "one"], ["one", ""], [1, 2], 2.0, b"ab"])
def test_what_channels_can_be(channels: Any) -> None:
    client = Client(Soniox(), api_key="any")
    with pytest.raises(ConfigurationError, match='channels must be a number, "separate"'):
        client.listen(talk(), sample_rate=16000, channels=channels)


def test_one_channel_cannot_be_separated() -> None:
    client = Client(Soniox(), api_key="any")
    for source in (talk()[:, :1], Microphone()):
        with pytest.raises(ConfigurationError, match=r"only 1 channel.*Microphone\(channels=2\)"):
            client.listen(source, sample_rate=16000, channels="separate")


def test_names_have_to_fit_the_channels(tmp_path: Path) -> None:
    client = Client(Soniox(), api_key="any")
    with pytest.raises(ConfigurationError, match="channels has 3 names, but the source has 2 channels"):
        client.listen(saved(tmp_path / "talk.wav", talk(2, 0.1)), channels=["a", "b", "c"])


def test_a_microphone_is_asked_for_as_many_channels_as_there_are_names() -> None:
    microphone = Microphone()
    with pytest.raises(SlngError):
        Client(Soniox(), api_key="any", base_url="ws://127.0.0.1:1").listen(microphone, channels=["a", "b"])
    assert microphone.audio_format.channels == 2


def test_without_a_source_there_is_nothing_to_separate() -> None:
    with pytest.raises(ConfigurationError, match="only if there is a source"):
        Client(Soniox(), api_key="any").listen(None, channels="separate")


def test_records_and_traces_are_for_one_session(tmp_path: Path) -> None:
    untyped: Any = Client(Soniox(), api_key="any").listen
    with pytest.raises(ConfigurationError, match="record and trace cannot be combined"):
        untyped(talk(), sample_rate=16000, channels="separate", record=tmp_path / "talk.wav")


# Control of all sessions


@BOTH
def test_finalize_makes_all_channels_final(dialect: Dialect) -> None:
    live = Live()
    with gateway() as server:
        with client_for(server, Heard(), dialect).listen(live, channels="separate") as sessions:
            live.give(talk(seconds=5.0))
            wait_for_audio(sessions, 5.0)
            assert sessions.finalize(timeout=10) is True
            assert sessions.transcript.text == f"{AGENT}.\n{CUSTOMER}."
            assert sessions.finalize(wait=False) in (True, False)
        with pytest.raises(SessionClosed):
            sessions.finalize()


def wait_for_audio(sessions: Any, seconds: float) -> None:
    """Wait until this much was captured on every channel."""
    deadline = time.monotonic() + 10
    while sessions.stats.captured < seconds and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sessions.stats.captured >= seconds


def wait_for_the_end(session: Session) -> None:
    """Wait for the end without taking the error."""
    assert session._shared.wait_for(lambda: session.state is State.CLOSED, 10)


def test_pause_withholds_all_channels() -> None:
    live = Live()
    with gateway() as server:
        with client_for(server, Heard()).listen(live, channels="separate") as sessions:
            sessions.pause()
            live.give(talk(seconds=1.0))
            wait_for_audio(sessions, 1.0)
            assert sessions.stats.sent <= 1.0 and sessions.stats.buffered == 0.0
            sessions.resume()
            live.give(talk(seconds=0.5))
            wait_for_audio(sessions, 1.5)
        server.wait_idle()
        # A little silence may have been sent to keep the connections open.
        assert all(0.5 <= each.audio_seconds < 1.0 for each in server.connections)


def test_a_poll_delivers_for_all_of_them() -> None:
    heard = Heard()
    with gateway() as server:
        client = client_for(server, heard, dispatch="manual")
        sessions = client.listen(recording(), channels="separate")
        while len(heard.of(Closed)) < 2:
            assert sessions.poll(timeout=10) > 0
        assert sessions.poll(timeout=10) == 0
        assert sessions.close() is True
    assert by_channel(heard) == [("left", f"{AGENT}."), ("right", f"{CUSTOMER}.")]


def test_poll_without_manual_dispatch_says_what_is_needed() -> None:
    with gateway() as server, client_for(server, Heard()).listen(Live(), channels="separate") as sessions:
        with pytest.raises(ConfigurationError, match="dispatch"):
            sessions.poll()


# The end


@BOTH
def test_close_brings_the_last_words_of_all_and_may_be_called_twice(dialect: Dialect) -> None:
    """Including the words in what the source still delivers when it is stopped."""
    heard = Heard()

    class WithRest(Live):
        def stop(self) -> None:
            self.give(talk(seconds=7.0))
            super().stop()

    with gateway() as server:
        sessions = client_for(server, heard, dialect).listen(WithRest(), channels="separate")
        assert sessions.close() is True
        assert sessions.close() is True
        sessions.wait()
        sessions.abort()
    assert by_channel(heard) == [("left", f"{AGENT}."), ("right", f"{CUSTOMER}.")]


def test_close_takes_no_longer_than_its_timeout_for_all_together() -> None:
    """No server answers. Closing two sessions does not take twice the timeout."""
    live = Live(3)
    with gateway(faults=Faults(trouble=Trouble.mute(0.5))) as server:
        sessions = client_for(server, Heard()).listen(live, channels="separate")
        live.give(talk(3))
        begun = time.monotonic()
        assert sessions.close(timeout=1.0) is False
        assert time.monotonic() - begun < 1.9


def test_close_from_another_thread_while_this_one_waits() -> None:
    with gateway() as server:
        sessions = client_for(server, Heard()).listen(Live(), channels="separate")
        closed: List[bool] = []
        threads = [threading.Thread(target=lambda: closed.append(sessions.close())) for _ in range(3)]
        for thread in threads:
            thread.start()
        sessions.wait(timeout=10)
        for thread in threads:
            thread.join()
    assert closed == [True] * 3


def test_close_from_a_callback_does_not_wait() -> None:
    """Not even for the other channels' sessions, whose callbacks may also call close()."""
    closed: List[bool] = []
    sessions: Sessions
    live = Live()
    with gateway() as server:
        client = client_for(server, Heard())
        client.on_final(lambda transcript: closed.append(sessions.close()))
        sessions = client.listen(live, channels="separate")
        live.give(talk())
        sessions.wait(timeout=10)
        assert sessions.close() is True
    assert closed == [False, False]


def test_wait_says_when_time_is_up() -> None:
    with gateway() as server, client_for(server, Heard()).listen(Live(), channels="separate") as sessions:
        with pytest.raises(WaitTimeout):
            sessions.wait(timeout=0.05)


def test_abort_ends_all_at_once() -> None:
    heard = Heard()
    with gateway() as server:
        sessions = client_for(server, heard).listen(Live(), channels="separate")
        sessions.abort()
        assert [session.state for session in sessions] == [State.CLOSED] * 2
        assert sessions.close() is False


def test_one_session_may_be_closed_by_itself() -> None:
    """The other session continues and receives its audio."""
    heard = Heard()
    live = Live()
    with gateway() as server:
        with client_for(server, heard).listen(live, channels="separate") as sessions:
            assert sessions[0].close() is True
            live.give(talk())
            heard.wait_for(lambda: by_channel(heard))
    assert by_channel(heard) == [("right", f"{CUSTOMER}.")]


# Errors


def second(faults: Faults) -> Callable[[int], Faults]:
    """Return faults for the second connection only."""
    return lambda number: faults if number == 2 else Faults()


def test_one_that_fails_does_not_stop_the_others() -> None:
    """Its error is reported once. The other session transcribes the recording to its end."""
    heard = Heard()
    faults = second(Faults(trouble=Trouble.error(0.5, 500)))
    with gateway(faults=faults) as server:
        sessions = client_for(server, heard, reconnect=False).listen(recording(), channels="separate")
        sessions.wait(timeout=30)
        assert len(heard.of(SlngError)) == 1
        survivor = next(each for each in sessions if each.stats.captured == 7.0)
        assert survivor.transcript.text in (f"{AGENT}.", f"{CUSTOMER}.")
        assert sessions.close() is False
    assert sorted(heard.of(Closed), key=lambda each: each.complete) == [Closed(False), Closed(True)]


def test_without_on_error_wait_raises_what_ended_one_of_them() -> None:
    faults = second(Faults(trouble=Trouble.error(0.5, 500)))
    with gateway(faults=faults) as server:
        client = Client(Soniox(), api_key="any", base_url=server.url, reconnect=False)
        sessions = client.listen(recording(), channels="separate")
        with pytest.raises((ServerError, ConnectionLost)):
            sessions.wait(timeout=30)
        sessions.wait()
        with sessions:
            pass


def test_on_leaving_the_first_error_is_raised_and_the_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with gateway(faults=Faults(trouble=Trouble.error(0.2, 500))) as server:
        client = Client(Soniox(), api_key="any", base_url=server.url, reconnect=False)
        live = Live()
        with pytest.raises((ServerError, ConnectionLost)):
            with client.listen(live, channels="separate") as sessions:
                live.give(talk(seconds=1.0))
                for each in sessions:
                    wait_for_the_end(each)
    assert caplog.text.count("a session ended with an error") == 1


def test_what_goes_wrong_at_the_beginning_is_raised_once() -> None:
    heard = Heard()
    with gateway(api_key="another") as server:
        with pytest.raises(AuthenticationError):
            client_for(server, heard).listen(talk(), sample_rate=16000, channels="separate")
        assert server.wait_idle()
    assert heard.items == []


def test_one_that_cannot_begin_ends_them_all() -> None:
    heard = Heard()
    with gateway(faults=second(Faults(upgrade_status=403))) as server:
        with pytest.raises(SlngError):
            client_for(server, heard).listen(Live(), channels="separate")
        assert server.wait_idle()
    assert heard.of(SlngError) == []


def test_a_source_that_fails_is_told_once_and_ends_all() -> None:
    heard = Heard()
    live = Live()
    with gateway() as server:
        sessions = client_for(server, heard).listen(live, channels="separate")
        live.give(talk())
        live.give(DeviceLost("The cable is out."))
        sessions.wait(timeout=30)
        assert sessions.close() is False
    assert [str(error) for error in heard.of(AudioError)] == ["The cable is out."]
    assert by_channel(heard) == [("left", f"{AGENT}."), ("right", f"{CUSTOMER}.")]


def test_what_a_source_has_to_tell_is_told_once() -> None:
    class Talking(Live):
        def with_events(self) -> Iterator[Any]:
            return iter(self)

    heard = Heard()
    live = Talking()
    with gateway() as server, client_for(server, heard).listen(live, channels="separate"):
        live.give(MicrophoneLost("The cable is out."))
        live.give(talk())
        heard.wait_for(lambda: len(by_channel(heard)) == 2)
    assert heard.of(MicrophoneLost) == [MicrophoneLost("The cable is out.")]
