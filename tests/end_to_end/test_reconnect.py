"""Sessions that outlive their connections: no word is lost or repeated, and each has the right time.

The audio carries its position, and the gateway recognises a word whenever the audio of that word arrives.
Lost audio is missing from the transcript, and audio that counts twice is in it twice.
"""

import random
import threading
from typing import Any, List

import pytest
from heard import Heard
from test_session import client_for

from slng_sync import (
    AudioLost,
    Closed,
    ConnectError,
    ConnectionLost,
    Dialect,
    Reconnected,
    Reconnecting,
    Reson8,
    Soniox,
)
from slng_sync.gateway import Faults, LocalGateway, Script, Trouble

BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
CUTS = {
    "reset": lambda at: Trouble.drop(at),
    "close 1001": lambda at: Trouble.close(at, 1001, "going away"),
    "close 1011": lambda at: Trouble.close(at, 1011, "upstream"),
    "close 1000": lambda at: Trouble.close(at, 1000),
    "close 1008": lambda at: Trouble.close(at, 1008, "policy"),
}


def gateway(script: Script, faults: Any) -> LocalGateway:
    return LocalGateway(engine="script", script=script, script_clock="content", faults=faults)


def speak(session: Any, script: Script, seconds: float, *, start: float = 0.0, piece: float = 0.25) -> None:
    """Send stamped audio."""
    at = start
    while at < start + seconds - 1e-9:
        session.send(script.audio(piece, session.audio_format, start=at))
        at += piece


def assert_all_heard(heard: Heard, script: Script, count: int) -> None:
    """Assert that the finals have the first ``count`` words once, in order, with the right times."""
    finals = [item for item in heard.items if getattr(item, "is_final", False)]
    words = [word for final in finals for word in final.words]
    assert [word.text for word in words] == [word.text for word in script.words[:count]]
    for word, meant in zip(words, script.words):
        assert word.start == pytest.approx(meant.start, abs=0.06), word
        assert word.end == pytest.approx(meant.end, abs=0.06), word


@BOTH
@pytest.mark.parametrize("cut", CUTS)
def test_a_broken_connection_is_replaced(dialect: Dialect, cut: str) -> None:
    """After any kind of break the client resends the unsettled audio, and events report the reconnect."""
    script = Script.numbered(40, utterance=5)
    heard = Heard()
    with gateway(script, [Faults(trouble=CUTS[cut](7.3)), Faults()]) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            speak(session, script, 21.0)
            session.finalize(timeout=10)
        assert server.breaches == []
    assert_all_heard(heard, script, 40)
    assert heard.errors == []
    assert [event.attempt for event in heard.of(Reconnecting)] == [1]
    assert len(heard.of(Reconnected)) == 1
    assert heard.of(AudioLost) == []
    assert heard.items[-1] == Closed(complete=True)
    assert session.stats.connections == 2


@pytest.mark.parametrize(
    ("dialect", "trouble"),
    [
        (Soniox(), Trouble.error(5.2, 503, "Cannot continue request (code 1). Please restart the request.")),
        (Soniox(), Trouble.error(5.2, 413, "max", error_type="max_duration_reached")),
        (Soniox(), Trouble.error(5.2, 408, "timeout", error_type="request_timeout")),
        (Soniox(), Trouble.error(5.2, 500, "oops")),
        (Reson8(), Trouble.error(5.2, "provider_error", "upstream")),
        (Reson8(), Trouble.error(5.2, "max_connection_duration_exceeded", "long enough")),
        (Reson8(), Trouble.error(5.2, "backpressure", "slow down")),
    ],
)
def test_temporary_errors_are_survived(dialect: Dialect, trouble: Trouble) -> None:
    """After a server error or a stream's time limit the session goes on, without a call of on_error."""
    script = Script.numbered(30, utterance=5)
    heard = Heard()
    with gateway(script, [Faults(trouble=trouble), Faults()]) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            speak(session, script, 16.0)
            session.finalize(timeout=10)
    assert_all_heard(heard, script, 30)
    assert heard.errors == []


@pytest.mark.parametrize(
    ("dialect", "trouble"),
    [
        (Soniox(), Trouble.error(2.0, 401, "expired")),
        (Soniox(), Trouble.error(2.0, 402, "no balance")),
        (Reson8(), Trouble.error(2.0, "auth_error", "expired")),
        (Reson8(), Trouble.error(2.0, "config_error", "no")),
    ],
)
def test_permanent_errors_are_not_retried(dialect: Dialect, trouble: Trouble) -> None:
    """A refused key, missing credit or a wrong config is reported once, without a retry."""
    script = Script.numbered(30)
    heard = Heard()
    with gateway(script, Faults(trouble=trouble)) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(script.audio(3.0, session.audio_format))
            heard.wait_for(lambda: heard.of(Closed))
        assert len(server.connections) == 1
    assert len(heard.errors) == 1
    assert heard.of(Reconnecting) == []


@BOTH
def test_an_unavailable_gateway_is_retried(dialect: Dialect) -> None:
    """The first attempt is immediate, the next ones wait. A 503 and a dropped upgrade are survived."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    faults = [
        Faults(trouble=Trouble.drop(4.1)),
        Faults(upgrade_status=503),
        Faults(upgrade_drop=True),
        Faults(),
    ]
    with gateway(script, faults) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            speak(session, script, 11.0)
            session.finalize(timeout=20)
    assert_all_heard(heard, script, 20)
    attempts = heard.of(Reconnecting)
    assert [event.attempt for event in attempts] == [1, 2, 3]
    assert attempts[0].delay == 0.0
    assert 0.5 <= attempts[1].delay <= 1.0
    assert 1.0 <= attempts[2].delay <= 2.0
    assert isinstance(attempts[1].cause, ConnectError)


@BOTH
def test_an_unavailable_gateway_ends_the_session_after_max_attempts(dialect: Dialect) -> None:
    """After max_attempts the session ends, and the error says how much audio was not acknowledged."""
    script = Script.numbered(20)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.drop(2.0)), Faults(upgrade_status=503)]) as server:
        with client_for(server.url, dialect, heard, max_attempts=2).listen() as session:
            session.send(script.audio(3.0, session.audio_format))
            heard.wait_for(lambda: heard.of(Closed))
        assert len(server.connections) == 3
    (error,) = heard.errors
    assert isinstance(error, ConnectionLost)
    assert "2 attempts" in str(error)
    assert error.unsettled > 0.5
    assert isinstance(error.__cause__, ConnectError)


@BOTH
def test_a_key_that_is_refused_while_reconnecting_ends_the_session(dialect: Dialect) -> None:
    """A fatal response ends the session, even if attempts are left."""
    script = Script.numbered(20)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.drop(2.0)), Faults(upgrade_status=401)]) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(script.audio(3.0, session.audio_format))
            heard.wait_for(lambda: heard.of(Closed))
        assert len(server.connections) == 2
    assert [error.status for error in heard.errors] == [401]  # type: ignore[attr-defined]


@BOTH
def test_a_half_open_connection_is_detected_and_replaced(dialect: Dialect) -> None:
    """Without even a pong, the connection is replaced within ping_interval and ping_timeout."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.mute(4.1)), Faults()]) as server:
        client = client_for(server.url, dialect, heard, ping_interval=0.5, ping_timeout=0.5)
        with client.listen() as session:
            speak(session, script, 11.0)
            heard.wait_for(lambda: heard.of(Reconnected))
            session.finalize(timeout=10)
    assert_all_heard(heard, script, 20)
    assert "no sign of life" in str(heard.of(Reconnecting)[0].cause)


@BOTH
def test_an_unanswered_finalize_is_sent_again(dialect: Dialect) -> None:
    """The connection breaks before a finalize is confirmed. The next connection confirms it."""
    script = Script.numbered(4)
    heard = Heard()
    faults = [Faults(trouble=Trouble.drop(2.0), flush="missing", markers="own_frame"), Faults()]
    with gateway(script, faults) as server:
        with client_for(server.url, dialect, heard).listen() as session:
            session.send(script.audio(1.75, session.audio_format))
            session.send(script.audio(0.75, session.audio_format, start=1.75))
            assert session.finalize(timeout=10) is True
    assert_all_heard(heard, script, 4)


@BOTH
def test_close_survives_a_break(dialect: Dialect) -> None:
    """The connection breaks while the session drains. The next one takes the rest, and close returns True."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.drop(9.9)), Faults()]) as server:
        session = client_for(server.url, dialect, heard).listen()
        speak(session, script, 10.25)
        assert session.close() is True
    assert_all_heard(heard, script, 20)


@BOTH
def test_close_keeps_its_timeout_while_the_gateway_is_unavailable(dialect: Dialect) -> None:
    """Close returns False after its timeout, and the session is not complete."""
    script = Script.numbered(20)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.drop(1.9)), Faults(upgrade_status=503)]) as server:
        session = client_for(server.url, dialect, heard).listen()
        session.send(script.audio(2.5, session.audio_format))
        heard.wait_for(lambda: len(heard.of(Reconnecting)) >= 2)
        assert session.close(timeout=1.0) is False
    assert heard.items[-1] == Closed(complete=False)


def test_without_reconnect_the_first_break_ends_the_session() -> None:
    """The session ends with a ConnectionLost for on_error."""
    script = Script.numbered(20)
    heard = Heard()
    with gateway(script, Faults(trouble=Trouble.drop(2.0))) as server:
        with client_for(server.url, Soniox(), heard, reconnect=False).listen() as session:
            session.send(script.audio(3.0, session.audio_format))
            heard.wait_for(lambda: heard.of(Closed))
        assert len(server.connections) == 1
    assert [type(error) for error in heard.errors] == [ConnectionLost]


def test_after_the_server_ends_an_idle_stream_audio_reconnects() -> None:
    """All audio is settled, so the session needs no connection until there is more audio."""
    script = Script.numbered(8, utterance=2)
    heard = Heard()
    with gateway(script, Faults()) as server:
        with client_for(server.url, Reson8(), heard).listen() as session:
            speak(session, script, 2.0)
            assert session.finalize() is True
            server.connections[0].close(1000)
            server.connections[0].wait_closed()
            speak(session, script, 2.25, start=2.0)
            assert session.finalize(timeout=10) is True
    assert_all_heard(heard, script, 8)
    assert len(server.connections) == 2


def faults_from(rng: random.Random, count: int) -> List[Faults]:
    """Return random faults for ``count`` connections, and none for the last one."""
    faults: List[Faults] = []
    for _ in range(count):
        at = rng.uniform(0.4, 6.0)
        trouble = rng.choice(
            [
                Trouble.drop(at),
                Trouble.close(at, rng.choice([1000, 1001, 1008, 1011, 1012, 4000])),
                Trouble.stall(at, 0.2),
                Trouble.mute(at),
            ]
        )
        then = Trouble.drop(at + 1.0)
        # A refusal of the first connection is an error and not retried.
        status = rng.choice([101] * 9 + [503]) if faults else 101
        faults.append(
            Faults(
                upgrade_status=status,
                retry_after=0 if status != 101 else None,
                trouble=[trouble, then],
                latency=rng.choice([0.0, 0.01]),
                jitter=rng.choice([0.0, 0.02]),
                framing=rng.choice(
                    [(), ("fragmented",), ("pings", "junk"), ("unknown_type", "array", "binary")]
                ),
                markers=rng.choice(["with_finals", "own_frame"]),
                seed=rng.randrange(1000),
            )
        )
    return [*faults, Faults()]


@BOTH
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_chaos(dialect: Dialect, seed: int) -> None:
    """A dozen random cuts of every kind: every word comes once, in order, with the right time."""
    rng = random.Random(seed)
    cuts = 12
    script = Script.numbered(140, utterance=7)
    heard = Heard()
    with gateway(script, faults_from(rng, cuts)) as server:
        client = client_for(server.url, dialect, heard, max_attempts=50, ping_interval=0.5, ping_timeout=0.5)
        with client.listen() as session:
            speak(session, script, 70.0 + 1.0, piece=rng.choice([0.05, 0.1, 0.25]))
            session.finalize(timeout=60)
        assert server.breaches == []
    assert_all_heard(heard, script, 140)
    assert heard.of(AudioLost) == [] and heard.errors == []


def test_a_server_that_answers_only_pings_is_replaced() -> None:
    """The server answers pings but sends no message. It is replaced within ping_interval and ping_timeout."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    with gateway(script, [Faults(trouble=Trouble.stall(4.1, 60)), Faults()]) as server:
        client = client_for(server.url, Soniox(), heard, ping_interval=0.5, ping_timeout=0.5)
        with client.listen() as session:
            speak(session, script, 4.0)
            at = 4.0
            while not heard.of(Reconnected) and at < 10.0:
                # A little faster than speech. Audio that is sent in a burst may be answered later.
                speak(session, script, 0.25, start=at)
                at += 0.25
                threading.Event().wait(0.1)
            speak(session, script, 11.0 - at, start=at)
            session.finalize(timeout=10)
    assert_all_heard(heard, script, 20)
    assert "nothing came back" in str(heard.of(Reconnecting)[0].cause)


@BOTH
def test_a_connection_is_replaced_before_it_is_too_old(dialect: Dialect) -> None:
    """It is replaced repeatedly, preferably at a pause. The transcript does not show it."""
    script = Script.numbered(60, utterance=5)
    heard = Heard()
    with gateway(script, Faults(max_duration=2.0)) as server:
        client = client_for(server.url, dialect, heard, max_connection_seconds=1.0)
        with client.listen() as session:
            for start in range(31):
                speak(session, script, 1.0, start=float(start))
                threading.Event().wait(0.1)
            session.finalize(timeout=10)
        assert server.breaches == []
        assert len(server.connections) >= 3
    assert_all_heard(heard, script, 60)
    assert heard.errors == []
    assert {event.delay for event in heard.of(Reconnecting)} == {0.0}
