"""Sessions from end to end: a real gateway on loopback, which transcribes a script."""

import asyncio
import json
import queue
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path
from typing import Any, Callable, Iterator, List, Type

import numpy
import pytest
from heard import Heard

from slng_sync import (
    AudioLost,
    AuthenticationError,
    Client,
    Closed,
    ConfigurationError,
    ConnectionLost,
    Dialect,
    Endpoint,
    Event,
    Flushed,
    MicrophoneRestored,
    Ready,
    Reson8,
    ServerError,
    Session,
    SessionClosed,
    SlngError,
    Soniox,
    State,
    Transcript,
    WaitTimeout,
)
from slng_sync.audio.format import AudioFormat
from slng_sync.callbacks.registry import Callbacks
from slng_sync.gateway import Faults, LocalGateway, Script, ScriptWord, Trouble
from slng_sync.gateway.engine import StreamOptions, Update
from slng_sync.gateway.script import ScriptEngine
from slng_sync.session.assembly import Request
from slng_sync.session.io_loop import io_loop

SECOND = bytes(32000)
BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
HELLO = Script.from_text("hello world.")


def gateway(script: Script = HELLO, faults: Any = None) -> LocalGateway:
    return LocalGateway(engine="script", script=script, faults=faults)


def client_for(url: str, dialect: Dialect, heard: Heard, **options: Any) -> Client:
    return Client(
        dialect,
        api_key="any",
        base_url=url,
        on_partial=heard,
        on_final=heard,
        on_error=heard,
        on_event=heard,
        **options,
    )


@BOTH
def test_words_come_out_of_audio(dialect: Dialect) -> None:
    """Partials, the final and the end are delivered in order, on one thread, with times."""
    heard = Heard()
    with gateway() as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(SECOND * 3)
        assert server.breaches == []
    assert heard.finals == ["hello world."]
    final = next(item for item in heard.of(Transcript) if item.is_final)
    assert (final.start, final.end) == (0.0, pytest.approx(0.72))
    assert [word.text for word in final.words] == ["hello", "world."]
    partials = [item for item in heard.of(Transcript) if not item.is_final]
    assert all("hello world.".startswith(partial.text) for partial in partials)
    assert heard.items[-1] == Closed(complete=True)
    assert set(heard.threads) == {"slng-callbacks"}
    assert heard.errors == []


@BOTH
def test_two_hundred_words_arrive_once_in_order_at_their_times(dialect: Dialect) -> None:
    """A hundred seconds of speech are sent as fast as the gateway's rate limit allows."""
    script = Script.numbered(200)
    heard = Heard()
    with gateway(script) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            for _ in range(200):
                session.send(SECOND[:16000])
        assert server.breaches == []
    words = [word for final in heard.of(Transcript) if final.is_final for word in final.words]
    assert [word.text for word in words] == [word.text for word in script.words]
    assert [word.start for word in words] == [pytest.approx(word.start, abs=0.002) for word in script.words]
    assert [word.end for word in words] == [pytest.approx(word.end, abs=0.002) for word in script.words]


@BOTH
def test_finalize_makes_what_was_said_final(dialect: Dialect) -> None:
    """finalize() returns once the server has confirmed. The words have arrived by then."""
    heard = Heard()
    with gateway(Script.from_text("turn on the light")) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(SECOND * 2)
            assert session.finalize() is True
            assert session.transcript.text == "turn on the light"
            assert session.finalize() is True
        assert server.connections[0].frames.count(("text", '{"type":"finalize"}')) == 1
    assert len(heard.of(Flushed)) == 1


@BOTH
def test_finalize_gives_up_when_nothing_answers(dialect: Dialect) -> None:
    """finalize() returns False after its timeout."""
    faults = Faults(trouble=Trouble.mute(1.0))
    with gateway(faults=faults) as server:
        session = client_for(server.url, dialect, Heard()).listen()
        session.send(SECOND * 2)
        assert session.finalize(timeout=0.2) is False
        session.abort()


@BOTH
def test_a_last_partial_is_kept_when_the_server_never_answers(dialect: Dialect) -> None:
    """The partial becomes final, marked as incomplete, and close() returns False."""
    heard = Heard()
    faults = Faults(trouble=Trouble.mute(1.0))
    with gateway(Script.from_text("never answered"), faults) as server:
        session = client_for(server.url, dialect, heard).listen()
        session.send(SECOND[:28800])
        heard.wait_for(lambda: any(item.text == "never answered" for item in heard.of(Transcript)))
        session.send(SECOND)
        assert session.close(timeout=1.0) is False
    finals = [item for item in heard.of(Transcript) if item.is_final]
    assert finals[-1].complete is False
    assert "answered" in finals[-1].text
    assert heard.items[-1] == Closed(complete=False)


def test_what_is_missing_at_the_end_is_logged_without_an_on_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with gateway(faults=Faults(trouble=Trouble.mute(0.4))) as server:
        client = Client(Reson8(), api_key="any", base_url=server.url)
        client.transcribe(numpy.zeros(16000, numpy.int16), sample_rate=16000)
    assert "the transcript is not complete: the server did not acknowledge the last audio" in caplog.messages


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (
            AudioLost(1.25, "the computer was too slow"),
            ["1.2 s of audio will not be transcribed: the computer was too slow"],
        ),
        (
            MicrophoneRestored(outage=3.0, lost=2.5, device="USB"),
            ["2.5 s of audio were not captured: the microphone was unavailable."],
        ),
        (MicrophoneRestored(outage=3.0, lost=0.0, device="USB"), []),
    ],
    ids=["too slow", "away", "only late"],
)
@pytest.mark.parametrize("follows", [False, True], ids=["finals only", "events too"])
def test_lost_audio_is_logged_without_an_on_event(
    follows: bool, lost: Event, told: List[str], caplog: pytest.LogCaptureFixture
) -> None:
    callbacks, heard = Callbacks(), Heard()
    if follows:
        callbacks.add("on_event", heard)
    callbacks.deliver(lost)
    assert heard.items == ([lost] if follows else [])
    assert caplog.messages == ([] if follows else told)


@BOTH
def test_a_source_ends_its_session(dialect: Dialect) -> None:
    """An array is streamed to its end. Then the session closes by itself and wait() returns."""
    heard = Heard()
    with gateway() as server:
        client = client_for(server.url, dialect, heard)
        session = client.listen(numpy.zeros(16000), sample_rate=16000)
        session.wait(timeout=30)
        assert session.state is State.CLOSED
        assert session.stats.captured == 1.0
        assert session.close() is True
    assert heard.finals == ["hello world."]


@BOTH
def test_a_source_at_another_rate_is_converted(dialect: Dialect) -> None:
    """Two channels at 48 kHz are sent as one at 16 kHz, the same second of audio."""
    with gateway() as server:
        client = client_for(server.url, dialect, Heard())
        tone = numpy.sin(numpy.arange(48000) * 0.05).astype("float32") * 0.5
        log = client.transcribe(numpy.column_stack([tone, tone]), sample_rate=48000, speed=50, channels=None)
        assert log.text == "hello world."
        sent = numpy.frombuffer(server.connections[0].audio, dtype="<i2")
        assert abs(len(sent) - 16000) <= 1
        assert 14000 < sent.max() < 18000


@BOTH
def test_stream_yields_what_is_said(dialect: Dialect) -> None:
    """stream() yields finals. Leaving the loop early closes the session."""
    with gateway(Script.numbered(8, utterance=2)) as server:
        client = Client(dialect, api_key="any", base_url=server.url)
        finals = [final.text for final in client.stream(SECOND * 5, speed=20, sample_rate=16000)]
        assert finals == ["one two", "three four", "five six", "seven eight"]
        for final in client.stream(SECOND * 5, speed=20, sample_rate=16000):
            assert final.text == "one two"
            break


@BOTH
def test_manual_dispatch_runs_callbacks_when_polled(dialect: Dialect) -> None:
    """Callbacks run only on the thread that polls, and the last ones when it closes the session."""
    heard = Heard()
    with gateway() as server:
        with client_for(server.url, dialect, heard, dispatch="manual").listen() as session:
            session.send(SECOND * 3)
            session.finalize()
            assert heard.items == []
            while not heard.finals:
                session.poll(timeout=5)
    assert heard.finals == ["hello world."]
    assert heard.items[-1] == Closed(complete=True)
    assert set(heard.threads) == {threading.current_thread().name}


@BOTH
def test_dispatch_hands_each_delivery_to_the_program(dialect: Dialect) -> None:
    """As in a GUI: the program's thread takes the deliveries from a queue."""
    heard = Heard()
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    with gateway() as server, client_for(server.url, dialect, heard, dispatch=window.put).listen() as session:
        session.send(SECOND * 3)
    while not window.empty():
        window.get()()
    assert heard.finals == ["hello world."]
    assert set(heard.threads) == {threading.current_thread().name}


def test_poll_without_manual_dispatch_says_what_is_needed() -> None:
    """poll() raises an error that names the option."""
    with gateway() as server, client_for(server.url, Soniox(), Heard()).listen() as session:
        with pytest.raises(ConfigurationError, match="manual"):
            session.poll()


@BOTH
def test_a_callback_that_raises_stops_nothing(dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    """The exception is logged without spoken words and reported to on_error. Later callbacks run."""
    heard = Heard()
    with gateway(Script.numbered(4, utterance=2)) as server:
        client = Client(dialect, api_key="any", base_url=server.url)

        @client.on_final
        def fail(transcript: Transcript) -> None:
            raise KeyError(transcript.text)

        client.on_final(heard)
        client.on_error(heard)
        with client.listen() as session:
            session.send(SECOND * 5)
    assert heard.finals == ["one two", "three four"]
    assert [type(error.__cause__) for error in heard.errors] == [KeyError, KeyError]
    assert "on_final callback raised KeyError" in str(heard.errors[0])
    assert "one two" not in caplog.text
    assert "test_session.py" in caplog.text


@BOTH
def test_a_callback_that_ends_the_program_ends_only_itself(dialect: Dialect) -> None:
    """sys.exit() on the callback thread must not end that thread, or later words would be lost silently."""
    heard = Heard()
    with gateway(Script.numbered(4, utterance=2)) as server:
        client = Client(dialect, api_key="any", base_url=server.url, on_error=heard)
        client.on_final(lambda transcript: sys.exit("enough"))
        client.on_final(heard)
        with client.listen() as session:
            session.send(SECOND * 5)
    assert heard.finals == ["one two", "three four"]
    assert [type(error.__cause__) for error in heard.errors] == [SystemExit, SystemExit]


def test_a_program_may_end_itself_in_a_callback_that_it_polls() -> None:
    with gateway() as server:
        client = Client(Soniox(), api_key="any", base_url=server.url, dispatch="manual")
        client.on_final(lambda transcript: sys.exit("enough"))
        session = client.listen()
        session.send(SECOND * 3)
        session.finalize()
        with pytest.raises(SystemExit, match="enough"):
            session.poll(timeout=20)
        session.abort()


def test_two_threads_that_poll_run_one_callback_at_a_time() -> None:
    """The second thread waits while the first runs a callback."""
    inside, go_on = threading.Event(), threading.Event()
    seen: List[str] = []

    def slow(transcript: Transcript) -> None:
        seen.append(transcript.text)
        inside.set()
        assert go_on.wait(20)

    with gateway(Script.numbered(4, utterance=2)) as server:
        client = Client(Soniox(), api_key="any", base_url=server.url, dispatch="manual", on_final=slow)
        with client.listen() as session:
            session.send(SECOND * 5)
            session.finalize()
            first = threading.Thread(target=session.poll)
            first.start()
            assert inside.wait(20)
            assert session.poll() == 0
            assert seen == ["one two"]
            go_on.set()
            first.join(20)
    assert seen == ["one two", "three four"]


def test_what_was_understood_before_an_error_comes_with_it() -> None:
    """An error at the end does not lose the transcript of an hour."""
    faults = [Faults(trouble=Trouble.drop(3.5)), Faults(upgrade_status=401)]
    with gateway(Script.numbered(8, utterance=2), faults) as server:
        client = Client(Soniox(), api_key="any", base_url=server.url)
        with pytest.raises(AuthenticationError) as caught:
            client.transcribe(numpy.zeros(16000 * 10, numpy.int16), sample_rate=16000, speed=20)
    assert caught.value.transcript is not None
    assert caught.value.transcript.text.startswith("one two")
    assert "one two" not in str(caught.value)


@BOTH
def test_an_on_error_that_raises_is_logged(dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    """The exception is only logged, not reported again."""
    heard = Heard()

    def fail(item: Any) -> None:
        raise ValueError

    with gateway() as server:
        client = Client(
            dialect, api_key="any", base_url=server.url, on_final=fail, on_error=fail, on_event=heard
        )
        with client.listen() as session:
            session.send(SECOND * 3)
    assert caplog.text.count("an on_error callback raised ValueError") == 1
    assert heard.items[-1] == Closed(complete=True)


@BOTH
def test_close_may_be_called_from_a_callback(dialect: Dialect) -> None:
    """close() does not wait inside a callback. The session still ends cleanly."""
    ended: List[bool] = []
    with gateway(Script.numbered(4, utterance=2)) as server:
        client = Client(dialect, api_key="any", base_url=server.url)
        session = client.listen()
        client.on_final(lambda transcript: ended.append(session.close()))
        session.send(SECOND * 3)
        session.wait(timeout=20)
        assert ended
        assert session.close() is True


class SlowEngine(ScriptEngine):
    """An engine that needs three and a half seconds for each second of audio."""

    def __init__(self, audio_format: AudioFormat, options: StreamOptions) -> None:
        super().__init__(Script.numbered(12), audio_format, options)

    async def audio(self, pcm: bytes) -> List[Update]:  # type: ignore[override]
        await asyncio.sleep(3.5 * len(pcm) / len(SECOND))
        return super().audio(pcm)


def test_a_server_that_is_slower_than_speech_is_waited_for() -> None:
    """The last word arrives seven seconds after the audio. Without other messages the limit is five."""
    with LocalGateway(engine=SlowEngine) as server:
        with client_for(server.url, Reson8(), Heard()).listen() as session:
            session.send(SECOND * 2)
            assert session.close(timeout=30) is True
    assert session.transcript.text == "one two three four"


@BOTH
def test_a_slow_callback_holds_up_only_callbacks(dialect: Dialect) -> None:
    """Audio is still sent. Newer partials replace waiting ones, finals are never replaced."""
    release = threading.Event()
    heard = Heard()
    with gateway(Script.numbered(12, utterance=3)) as server:
        client = Client(dialect, api_key="any", base_url=server.url)

        @client.on_partial
        def block(transcript: Transcript) -> None:
            release.wait(20)

        client.on_partial(heard)
        client.on_final(heard)
        with client.listen() as session:
            session.send(SECOND * 7)
            assert session.finalize(timeout=10) is True
            assert heard.finals == []
            release.set()
    assert heard.finals == ["one two three", "four five six", "seven eight nine", "ten eleven twelve"]
    assert len(heard.of(Transcript)) < session.stats.partials


@BOTH
def test_a_full_buffer_makes_send_wait(dialect: Dialect) -> None:
    """send() raises after its timeout. It neither loses audio nor hangs if the gateway does not read."""
    with gateway(faults=Faults(trouble=Trouble.freeze(0.1))) as server:
        session = client_for(server.url, dialect, Heard(), buffer_seconds=1.0).listen(sample_rate=48000)
        with pytest.raises(WaitTimeout, match="buffer was full") as caught:
            for _ in range(200):
                before = session.stats.captured
                session.send(bytes(96000), timeout=0.3)
        assert session.stats.lost == 0
        assert caught.value.taken == pytest.approx(session.stats.captured - before)
        session.abort()


@BOTH
def test_a_live_source_loses_its_oldest_audio_and_tells(dialect: Dialect) -> None:
    """A microphone cannot wait. The clock goes on, and AudioLost counts the seconds."""

    class Live:
        live = True

        def __init__(self) -> None:
            from slng_sync import AudioFormat

            self.audio_format = AudioFormat(48000, 1)

        def __iter__(self) -> Iterator[bytes]:
            for _ in range(150):
                yield bytes(96000)

    heard = Heard()
    with gateway(faults=Faults(trouble=Trouble.freeze(0.1))) as server:
        client = client_for(server.url, dialect, heard, buffer_seconds=1.0)
        session = client.listen(Live(), sample_rate=48000)
        heard.wait_for(lambda: heard.of(AudioLost))
        session.abort()
    lost = heard.of(AudioLost)
    assert sum(event.seconds for event in lost) == pytest.approx(session.stats.lost)
    assert session.stats.lost > 0


@BOTH
def test_pause_withholds_audio_and_the_clock_goes_on(dialect: Dialect) -> None:
    """Audio of a live source is skipped while paused. Later words have correct times."""

    class Live:
        live = True

        def __init__(self) -> None:
            from slng_sync import AudioFormat

            self.audio_format = AudioFormat(16000, 1)
            self.chunks: queue.Queue[bytes] = queue.Queue()

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.chunks.get, b"")

    def captured(seconds: float) -> None:
        deadline = time.monotonic() + 10
        while session.stats.captured < seconds and time.monotonic() < deadline:
            time.sleep(0.005)

    heard = Heard()
    source = Live()
    words = [ScriptWord("before", 0.1, 0.5, endpoint=True), ScriptWord("after", 1.2, 1.6, endpoint=True)]
    with gateway(Script(words)) as server, client_for(server.url, dialect, heard).listen(source) as session:
        source.chunks.put(SECOND)
        captured(1.0)
        session.pause()
        source.chunks.put(SECOND * 3)
        captured(4.0)
        session.resume()
        source.chunks.put(SECOND)
        source.chunks.put(b"")
        session.wait(timeout=20)
    after = [word for final in session.transcript for word in final.words][-1]
    assert (after.text, after.start, after.end) == ("after", pytest.approx(4.2), pytest.approx(4.6))


@BOTH
@pytest.mark.parametrize("ear", [{}, {"levels": True}], ids=["plain", "with levels"])
def test_hold_is_push_to_talk(dialect: Dialect, ear: Any) -> None:
    """Words inside are final at the end of hold(). Audio outside is skipped, while the clock goes on."""
    with gateway(Script.from_text("over and out")) as server:
        with client_for(server.url, dialect, Heard()).listen(**ear) as session:
            session.pause()
            session.send(SECOND * 3)
            with session.hold():
                session.send(SECOND * 2)
            session.send(SECOND)
            assert session.transcript.text == "over and out"
            assert session.transcript[0].words[0].start == pytest.approx(3.0, abs=0.2)
        assert session.stats.captured == 6.0
        assert server.connections[-1].audio_seconds < 3.0


def test_a_recording_that_was_paused_brings_no_more_when_it_is_closed() -> None:
    asked_for_more = threading.Event()

    def source() -> Iterator[bytes]:
        yield SECOND
        asked_for_more.wait(20)
        yield SECOND

    with gateway() as server:
        with client_for(server.url, Soniox(), Heard()).listen(source()) as session:
            session.pause()
            asked_for_more.set()
        assert session.stats.captured == 1.0


def test_a_source_that_never_comes_back_is_not_waited_for() -> None:
    """Such as a program's own queue that is not filled any more."""
    pieces: queue.Queue[bytes] = queue.Queue()
    pieces.put(SECOND * 3)
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, Soniox(), heard).listen(iter(pieces.get, b""))
        begun = time.monotonic()
        assert session.close(timeout=120) is True
        assert time.monotonic() - begun < 60
    assert heard.finals == ["hello world."]
    pieces.put(b"")


def test_after_the_end_there_is_no_sending() -> None:
    """send() and finalize() raise SessionClosed. close(), abort() and wait() do nothing."""
    with gateway() as server:
        session = client_for(server.url, Soniox(), Heard()).listen()
        assert session.close() is True
        for call in (lambda: session.send(SECOND), session.finalize):
            with pytest.raises(SessionClosed, match="over"):
                call()
        assert session.close() is True
        session.abort()
        session.wait()


@pytest.mark.parametrize(
    ("dialect", "trouble", "kind", "code"),
    [
        (Reson8(), Trouble.error(1.0, "provider_error", "upstream"), ServerError, "provider_error"),
        (Soniox(), Trouble.error(1.0, 503, "restart"), ServerError, 503),
        (Reson8(), Trouble.error(1.0, "auth_error", "expired"), AuthenticationError, "auth_error"),
        (Soniox(), Trouble.error(1.0, 401, "expired"), AuthenticationError, 401),
    ],
)
def test_an_error_frame_is_told_once(dialect: Dialect, trouble: Trouble, kind: Type[Any], code: Any) -> None:
    """The message and the close frame after it are one error, reported only to on_error."""
    heard = Heard()
    with gateway(faults=Faults(trouble=trouble)) as server:
        with client_for(server.url, dialect, heard, reconnect=False).listen() as session:
            session.send(SECOND * 2)
            heard.wait_for(lambda: heard.of(Closed))
            with pytest.raises(SessionClosed):
                session.send(SECOND)
    assert [type(error) is kind or isinstance(error, kind) for error in heard.errors] == [True]
    assert heard.errors[0].code == code  # type: ignore[attr-defined]
    assert heard.items[-1] == Closed(complete=False)


@BOTH
def test_without_on_error_the_next_call_raises(dialect: Dialect) -> None:
    """The first of send(), wait() and leaving the with block raises, and only that one."""
    faults = Faults(trouble=Trouble.drop(1.0))
    with gateway(faults=faults) as server:
        client = Client(dialect, api_key="any", base_url=server.url, reconnect=False)
        session = client.listen()
        session.send(SECOND * 2)
        with pytest.raises(ConnectionLost, match="not been acknowledged"):
            session.wait(timeout=10)
        session.wait()
        with pytest.raises(SessionClosed):
            session.send(SECOND)
        with pytest.raises(ConnectionLost) as lost, client.listen() as session:
            session.send(SECOND * 2)
            while session.state is not State.CLOSED:
                time.sleep(0.005)
        assert lost.value.unsettled > 0


@BOTH
def test_an_error_that_no_call_raises_is_logged(dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    """close() returns False, and the error is logged."""
    with gateway(faults=Faults(trouble=Trouble.close(1.0, 1011, "upstream"))) as server:
        session = Client(dialect, api_key="any", base_url=server.url, reconnect=False).listen()
        session.send(SECOND * 2)
        while session.state is not State.CLOSED:
            time.sleep(0.005)
        assert session.close() is False
    assert "code 1011: upstream" in caplog.text


def test_transcribe_raises_what_ended_it() -> None:
    """transcribe() does not report the error to on_error as well."""
    heard = Heard()
    with gateway(faults=Faults(trouble=Trouble.error(1.0, 503, "restart"))) as server:
        client = client_for(server.url, Soniox(), heard, reconnect=False)
        with pytest.raises(ServerError, match="503"):
            client.transcribe(SECOND * 3, sample_rate=16000, speed=100)
    assert heard.errors == []


def test_a_config_with_type_that_is_refused_is_put_without() -> None:
    """The client retries once, loses nothing and remembers what worked."""
    heard = Heard()
    with gateway(faults=Faults(config_type="refuse")) as server:
        client = client_for(server.url, Soniox(), heard)
        for _ in range(2):
            with client.listen() as session:
                session.send(SECOND * 3)
        first_messages = [each.frames[0][1] for each in server.connections]
        assert ['"type":"config"' in str(each) for each in first_messages] == [True, False, False]
    assert heard.finals == ["hello world."] * 2
    assert heard.errors == []


def test_the_first_refusal_is_told_when_the_other_form_fails_too() -> None:
    """Exactly one error is reported, the first."""
    heard = Heard()
    faults = [Faults(config_type="refuse"), Faults(upgrade_status=503)]
    with gateway(faults=faults) as server, client_for(server.url, Soniox(), heard).listen() as session:
        session.send(SECOND)
        heard.wait_for(lambda: heard.of(Closed))
    assert [error.code for error in heard.errors] == [400]  # type: ignore[attr-defined]


def test_native_end_of_stream_is_tried_when_the_documented_one_is_ignored() -> None:
    """After two seconds. No word is lost."""
    heard = Heard()
    with gateway(faults=Faults(end_of_stream="ignore_type")) as server:
        session = client_for(server.url, Soniox(), heard).listen()
        session.send(SECOND * 3)
        assert session.close() is True
    assert heard.finals == ["hello world."]


def test_reson8_that_takes_only_binary_names_the_other_form() -> None:
    """The hint says what to try, and that works."""
    heard = Heard()
    with gateway(faults=Faults(audio_envelope="binary")) as server:
        with client_for(server.url, Reson8(), heard).listen() as session:
            session.send(SECOND)
            heard.wait_for(lambda: heard.of(Closed))
        assert 'Reson8(audio_envelope="binary")' in str(heard.errors[0])
        assert len(heard.errors) == 1
        with client_for(server.url, Reson8(audio_envelope="binary"), heard).listen() as session:
            session.send(SECOND * 3)
    assert heard.finals == ["hello world."]


def test_speakers_languages_and_translations_arrive() -> None:
    """Finals are split where the speaker changes, and each has its translation."""
    script = Script(
        [
            ScriptWord("hello", 0.1, 0.4, speaker="1", language="en", translation="bonjour"),
            ScriptWord("salut", 0.6, 0.9, speaker="2", language="fr", translation="hi", endpoint=True),
        ]
    )
    dialect = Soniox(
        enable_speaker_diarization=True,
        enable_language_identification=True,
        translation={"type": "two_way", "language_a": "en", "language_b": "fr"},
    )
    heard = Heard()
    with gateway(script) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(SECOND * 3)
        assert server.breaches == []
    finals = [item for item in heard.of(Transcript) if item.is_final]
    told = [(each.text, each.speaker, each.language, each.translation.text) for each in finals]
    assert told == [("hello", "1", "en", "bonjour"), ("salut", "2", "fr", "hi")]


def test_events_tell_what_happens() -> None:
    """Ready with the server's id, an Endpoint after a pause, Closed."""
    heard = Heard()
    with gateway() as server, client_for(server.url, Reson8(), heard).listen() as session:
        assert session.id
        assert session.id in repr(heard.of(Ready)) or heard.wait_for(lambda: heard.of(Ready)) is None
    with gateway() as server, client_for(server.url, Soniox(), heard).listen() as session:
        session.send(SECOND * 3)
        heard.wait_for(lambda: heard.of(Endpoint))


@BOTH
def test_one_client_serves_many_sessions_at_once(dialect: Dialect) -> None:
    """Each session has its own clock and transcript."""
    with gateway(Script.numbered(6)) as server:
        client = Client(dialect, api_key="any", base_url=server.url)
        sessions = [client.listen() for _ in range(8)]
        for session in sessions:
            session.send(SECOND * 4)
        assert [session.close() for session in sessions] == [True] * 8
        assert {session.transcript.text for session in sessions} == {"one two three four five six"}


def test_the_message_cap_is_never_met() -> None:
    """Sending 10 ms at a time, faster than real time, stays below 2000 messages a minute."""
    with gateway(faults=Faults(message_limit=230, message_window=6.0)) as server:
        with Client(Soniox(), api_key="any", base_url=server.url, chunk_seconds=0.01).listen() as session:
            for _ in range(3000):
                session.send(SECOND[:320])
        assert server.breaches == []
        assert server.connections[0].audio_seconds == pytest.approx(30.0)


@BOTH
def test_a_session_is_recorded_and_traced_where_asked(dialect: Dialect, tmp_path: Path) -> None:
    """The WAV holds the captured audio. The trace holds all messages of both sides, never the key."""
    audio = numpy.arange(-16000, 16000, dtype="<i2").tobytes()
    key = "key-that-must-stay-secret"
    with gateway() as server:
        client = Client(dialect, api_key=key, base_url=server.url)
        with client.listen(record=tmp_path / "audio.wav", trace=str(tmp_path / "wire.jsonl")) as session:
            session.send(audio)
        frames = server.connections[0].frames
    with wave.open(str(tmp_path / "audio.wav"), "rb") as recorded:
        assert (recorded.getframerate(), recorded.getnchannels()) == (16000, 1)
        assert recorded.readframes(32000) == audio
    lines = [json.loads(line) for line in (tmp_path / "wire.jsonl").read_text(encoding="utf-8").splitlines()]
    ours = [line for line in lines if line["dir"] == "client"]
    assert [line["kind"] for line in ours] == [kind for kind, _ in frames]
    assert any("hello" in str(line["data"]) for line in lines if line["dir"] == "server")
    assert [line["kind"] for line in lines if line["dir"] == "session"] == ["open", "end"]
    assert [line["kind"] for line in lines if line["dir"] == "server"][-1] == "close"
    assert key not in str(lines)


@pytest.mark.parametrize("option", ["record", "trace"])
def test_a_file_that_cannot_be_written_is_refused(option: str, tmp_path: Path) -> None:
    """The error is raised before connecting and names the option."""
    client = Client(Soniox(), api_key="any", base_url="ws://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=option):
        client.listen(**{option: tmp_path / "missing" / "file"})
    with pytest.raises(ConfigurationError, match=option):
        client.listen(**{option: 7})


CTRL_C = """
import sys
from slng_sync import Client
client = Client(sys.argv[1], api_key="any", base_url=sys.argv[2])
client.on_final(lambda transcript: print("heard", flush=True))
log = client.transcribe(bytes(32000 * 60), sample_rate=16000, speed=2)
print("returned", len(log.words), flush=True)
"""


@BOTH
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to a process")
def test_ctrl_c_in_transcribe_returns_what_there_is(dialect: Dialect) -> None:
    """The session closes cleanly: the words so far are final, and the program goes on after the call."""
    with gateway(Script.numbered(100, utterance=2)) as server:
        command = [sys.executable, "-c", CTRL_C, dialect.model, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "heard\n"
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read().splitlines()
        assert process.returncode == 0
        assert server.breaches == []
    assert rest[-1].startswith("returned ")
    assert int(rest[-1].split()[1]) >= 2


class Stuck:
    """An ``on_final`` that blocks until it is released."""

    def __init__(self) -> None:
        self.inside, self.may_return = threading.Event(), threading.Event()

    def __call__(self, transcript: Transcript) -> None:
        self.inside.set()
        assert self.may_return.wait(20)


@BOTH
def test_a_callback_that_takes_its_time_delays_nothing_but_callbacks(dialect: Dialect) -> None:
    """Messages are still received: finalize() is answered, the transcript grows, close() ends in time."""
    stuck = Stuck()
    with gateway(Script.numbered(40, utterance=4)) as server:
        client = Client(dialect, api_key="any", base_url=server.url, on_final=stuck)
        session = client.listen()
        session.send(SECOND * 3)
        assert stuck.inside.wait(10)
        for second in range(3, 8):
            session.send(SECOND)
            assert session.finalize(timeout=10) is True, second
        assert len(session.transcript.words) >= 10
        assert session.close(timeout=2.0) is False, "a callback is still running"
        stuck.may_return.set()
        session.wait(10)


@BOTH
def test_what_is_read_while_a_callback_runs_is_delivered_after_it(dialect: Dialect) -> None:
    """Every final is delivered once and in order."""
    script = Script.numbered(60, utterance=3)
    heard: List[str] = []

    def slowly(transcript: Transcript) -> None:
        heard.append(transcript.text)
        time.sleep(0.06)

    with gateway(script) as server:
        with Client(dialect, api_key="any", base_url=server.url, on_final=slowly).listen() as session:
            for _ in range(60):
                session.send(SECOND[:16000])
    assert " ".join(heard).split() == [word.text for word in script.words]


@BOTH
def test_an_idle_session_sleeps(dialect: Dialect) -> None:
    """Without audio and messages, threads wake up only for keepalives."""
    with gateway() as server:
        client = Client(dialect, api_key="any", base_url=server.url, keepalive_interval=10, ping_interval=30)
        with client.listen() as session:
            session.send(SECOND)
            assert session.finalize() is True
            time.sleep(0.5)
            before = wake_ups()
            time.sleep(3.0)
            assert wake_ups() - before <= 1


def wake_ups() -> int:
    """Return how often the threads of sessions have slept and woken."""
    threads = [each for each in threading.enumerate() if each.name.startswith("slng-")]
    status = [Path(f"/proc/self/task/{each.native_id}/status").read_text() for each in threads]
    return sum(
        int(line.split()[1]) for text in status for line in text.splitlines() if "voluntary" in line[:10]
    )


@BOTH
def test_a_paused_source_brings_nothing_after_the_end(dialect: Dialect) -> None:
    """A session that is aborted while paused captures nothing more."""
    paused = threading.Event()

    def source() -> Iterator[bytes]:
        yield SECOND
        assert paused.wait(20)
        yield SECOND

    with gateway() as server:
        session = Client(dialect, api_key="any", base_url=server.url).listen(source())
        session.pause()
        before = session.stats.captured
        paused.set()
        changes = session._shared.changes
        until = time.monotonic() + 20
        while not changes.has_waiters and time.monotonic() < until:
            time.sleep(0.001)
        session.abort()
        assert session.stats.captured == before


def test_a_source_that_begins_after_the_end_is_stopped() -> None:
    """A session may end before its source has started. No microphone stays open then."""
    from slng_sync import AudioFormat

    class Source:
        audio_format = AudioFormat(16000, 1)
        stopped = False

        def __iter__(self) -> Iterator[bytes]:
            self.stopped = False
            return iter([])

        def stop(self) -> None:
            self.stopped = True

    source = Source()
    with gateway() as server:
        session = client_for(server.url, Soniox(), Heard())._session(Request(source))
        session._begin_open()
        session._wait_open()
        session.abort()
        session._start_capture()
        session._capture.join(20)
    assert source.stopped


def test_a_mistake_in_a_dialect_does_not_hide_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if the dialect raises at the very end, waiting callers return and get the error."""
    from slng_sync.dialects.reson8 import Reson8Decoder

    def end(self: Any, *, promote: bool = False) -> Any:
        raise KeyError

    monkeypatch.setattr(Reson8Decoder, "end", end)
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, Reson8(), heard).listen()
        session.send(SECOND * 3)
        assert session.close() is False
        assert session.state is State.CLOSED
        with pytest.raises(SlngError, match="unexpected KeyError"):
            list(Client(Reson8(), api_key="any", base_url=server.url).stream(SECOND, speed=20))
    assert heard.items[-1] == Closed(complete=False)
    assert "a session failed on slng-io" in caplog.text


def test_ctrl_c_while_it_begins_to_connect_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Session._begin_open

    def interrupted(self: Session, *, wait: bool) -> None:
        begin(self, wait=wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "_begin_open", interrupted)
    with gateway() as server:
        before = set(threading.enumerate())
        with pytest.raises(KeyboardInterrupt):
            client_for(server.url, Soniox(), Heard()).listen()
        assert not set(threading.enumerate()) - before


def test_the_thread_of_all_streams_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may close a generator on that thread, which would block all sessions."""
    with gateway() as server, client_for(server.url, Soniox(), Heard()).listen() as session:
        session.send(SECOND)
        with monkeypatch.context() as patch:
            patch.setattr(io_loop, "_thread", threading.current_thread())
            assert session.close() is False
        assert session.close() is True
