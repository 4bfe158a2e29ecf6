"""The known failures of live speech clients, one per test, each in both dialects, plain and with TLS.

Other tests cover more forms of some failures, but only plain or in one dialect:

- ``tests/transport/test_upgrade.py`` and ``test_tls.py``: servers, proxies and name servers without an answer
- ``tests/transport/test_stop.py``: servers that do not let a session end
- ``tests/transport/test_secrets.py``: all places where a key might appear

``-rP`` prints the figures in ``docs/reliability.md``.
"""

import contextlib
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest
import websocket
from heard import Heard
from test_reconnect import assert_all_heard, speak

from slng_sync import (
    AudioFormat,
    AudioLost,
    AuthenticationError,
    Closed,
    ConnectError,
    Dialect,
    Reconnected,
    Reconnecting,
    Transcript,
    WaitTimeout,
)
from slng_sync.gateway import Faults, Script, Trouble

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KEY = "key-that-must-stay-secret"
SLACK = 1.0
"""Seconds that a busy machine may add to a timeout."""


class TimeLimit:
    """A context manager that measures its block, and fails above a limit in seconds."""

    def __init__(self, what: str, limit: float) -> None:
        self._what, self._limit = what, limit

    def __enter__(self) -> "TimeLimit":
        self._begun = time.monotonic()
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        seconds = time.monotonic() - self._begun
        print(f"{self._what}: {seconds:.2f} s")
        assert kind is not None or seconds < self._limit


def test_a_callback_raises(way: Any, dialect: Dialect) -> None:
    """The error goes to on_error, the other callbacks run, and the session goes on."""
    heard = Heard()
    script = Script.numbered(8, utterance=2)

    def fail(transcript: Transcript) -> None:
        raise ValueError("a mistake")

    with way.gateway(script) as server:
        client = way.client(server.url, dialect)
        client.on_final(fail)
        client.on_final(heard)
        client.on_error(heard)
        client.on_event(heard)
        with client.listen() as session:
            speak(session, script, 5.0)
    assert_all_heard(heard, script, 8)
    assert {type(error.__cause__) for error in heard.errors} == {ValueError}
    assert heard.items[-1] == Closed(complete=True)


@pytest.mark.parametrize("stop", ["close", "abort"])
def test_stop_inside_a_callback(way: Any, dialect: Dialect, stop: str) -> None:
    """It does not wait and raises nothing, and the session ends."""
    heard = Heard()
    script = Script.numbered(8, utterance=2)
    with way.gateway(script) as server:
        client = way.client(server.url, dialect, heard)
        session = client.listen()
        client.on_final(lambda transcript: getattr(session, stop)())
        session.send(script.audio(2.0, session.audio_format))
        with TimeLimit(f"{stop}() inside a callback", 5.0):
            session.wait(10)
    assert heard.errors == []
    assert heard.items[-1] == Closed(complete=stop == "close")


def test_the_server_stops_reading(way: Any, dialect: Dialect) -> None:
    """The socket and the buffer are full, and ``send`` times out. Close returns within its timeout."""
    with way.gateway(Script.numbered(10), Faults(trouble=Trouble.freeze(0.1))) as server:
        client = way.client(server.url, dialect, Heard(), buffer_seconds=1.0, chunk_seconds=0.5)
        session = client.listen(sample_rate=48000)
        with pytest.raises(WaitTimeout):
            for _ in range(400):
                # Large messages, so that the socket and the buffer fill before the rate limit applies.
                session.send(bytes(96000), timeout=0.5)
        with TimeLimit("close(timeout=1.0) against a server that stopped reading", 1.0 + SLACK):
            assert session.close(timeout=1.0) is False


@pytest.mark.parametrize("cut", ["reset", "close 1011"])
def test_the_connection_breaks_in_mid_stream(way: Any, dialect: Dialect, cut: str) -> None:
    """After a TCP reset or a close with an error nothing is lost or repeated, and no error is reported."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    trouble = Trouble.drop(4.3) if cut == "reset" else Trouble.close(4.3, 1011, "upstream")
    with way.gateway(script, [Faults(trouble=trouble), Faults()]) as server:
        with way.client(server.url, dialect, heard).listen() as session:
            speak(session, script, 11.0)
        assert server.breaches == []
        assert len(server.connections) == 2
    assert_all_heard(heard, script, 20)
    assert heard.errors == [] and heard.of(AudioLost) == []
    print(f"outage: {heard.of(Reconnected)[0].outage * 1000:.0f} ms")


def test_a_dead_link_is_detected(way: Any, dialect: Dialect) -> None:
    """Without even a pong, the connection is replaced within ping_interval and ping_timeout."""
    script = Script.numbered(20, utterance=5)
    heard = Heard()
    with way.gateway(script, [Faults(trouble=Trouble.mute(4.1)), Faults()]) as server:
        client = way.client(server.url, dialect, heard, ping_interval=0.5, ping_timeout=0.5)
        with client.listen() as session:
            speak(session, script, 11.0)
            with TimeLimit("dead link noticed, with ping_interval=0.5 and ping_timeout=0.5", 1.0 + SLACK):
                heard.wait_for(lambda: heard.of(Reconnecting))
            heard.wait_for(lambda: heard.of(Reconnected))
    assert_all_heard(heard, script, 20)


def test_a_late_final(way: Any, dialect: Dialect) -> None:
    """Words that come two seconds after the call of close are delivered, and close returns True."""
    script = Script.numbered(4)
    heard = Heard()
    with way.gateway(script, Faults(trouble=Trouble.stall(1.9, 2.0))) as server:
        session = way.client(server.url, dialect, heard).listen()
        speak(session, script, 2.0)
        with TimeLimit("close() with words that come 2 s late", 4.0):
            assert session.close() is True
    assert_all_heard(heard, script, 4)


def test_nothing_answers_the_handshake(way: Any, dialect: Dialect) -> None:
    """Listen raises after connect_timeout."""
    with way.gateway(Script.numbered(1), Faults(upgrade_delay=60)) as server:
        client = way.client(server.url, dialect, connect_timeout=0.5)
        with TimeLimit("listen() with connect_timeout=0.5", 0.5 + SLACK), pytest.raises(
            ConnectError
        ) as caught:
            client.listen()
    assert caught.value.retryable


def test_a_refused_key(way: Any, dialect: Dialect) -> None:
    """Listen raises an AuthenticationError with the server's message, at once and without a retry."""
    faults = Faults(upgrade_status=401, upgrade_body='{"error": "key expired on Monday"}')
    with way.gateway(Script.numbered(1), faults) as server:
        with TimeLimit("401", SLACK), pytest.raises(AuthenticationError) as caught:
            way.client(server.url, dialect).listen()
        assert len(server.connections) == 1
    assert (caught.value.status, caught.value.retryable) == (401, False)
    assert "key expired on Monday" in str(caught.value)


@pytest.mark.parametrize("server_is", ["well", "mute"])
def test_the_program_ends_without_close(way: Any, dialect: Dialect, server_is: str) -> None:
    """The session drains for at most two seconds, and delivers the words that the server sends."""
    script = Script.from_text("last words")
    faults = Faults(trouble=Trouble.mute(0.1)) if server_is == "mute" else Faults()
    with way.gateway(script, faults, script_clock="connection") as server:
        options = {"api_key": KEY, "base_url": server.url, **way.options}
        program = f"""
            import time
            from slng_sync import Client, {type(dialect).__name__}
            client = Client({type(dialect).__name__}(), **{options!r})
            client.on_final(lambda final: print(final.text, flush=True))
            session = client.listen()
            session.send(bytes(64000))
            print(time.time(), flush=True)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        ended = time.time()
    ends_at, *finals = sorted(done.stdout.splitlines())
    print(f"a program that ends without close, server {server_is}: {ended - float(ends_at):.2f} s")
    assert ended - float(ends_at) < 2.0 + SLACK
    assert (done.returncode, done.stderr) == (0, "")
    if server_is == "well":
        assert finals == ["last words"]


def test_twenty_sessions_leave_nothing_behind(way: Any, dialect: Dialect) -> None:
    """No thread and no file descriptor is left."""
    script = Script.numbered(2)
    with way.gateway(script) as server:
        client = way.client(server.url, dialect)
        with client.listen() as session:
            session.send(script.audio(1.5, session.audio_format))
        server.wait_idle()
        before = left()
        for _ in range(20):
            with client.listen() as session:
                session.send(script.audio(0.5, session.audio_format))
        server.wait_idle()
        until = time.monotonic() + 5
        while left() > before and time.monotonic() < until:
            time.sleep(0.01)
        print(f"threads and descriptors before and after 20 sessions: {before}, {left()}")
        assert left() <= before


def left() -> List[int]:
    """Return the number of threads, and of file descriptors (0 without /proc)."""
    proc = Path("/proc/self/fd")
    return [threading.active_count(), len(list(proc.iterdir())) if proc.exists() else 0]


def test_the_key_is_in_no_debug_log(
    way: Any, dialect: Dialect, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A session, a reconnect and a refusal, with all logging and the library's trace, never show the key."""
    caplog.set_level(logging.DEBUG)
    script = Script.numbered(8, utterance=2)
    heard = Heard()
    faults = [Faults(trouble=Trouble.drop(2.2)), Faults(), Faults(upgrade_status=401, upgrade_body=KEY)]
    library = logging.getLogger("websocket")
    before = library.level, list(library.handlers)
    websocket.enableTrace(True)
    try:
        with way.gateway(script, faults) as server:
            client = way.client(server.url, dialect, heard, api_key=KEY)
            with client.listen() as session:
                speak(session, script, 4.5)
            with pytest.raises(AuthenticationError) as refused:
                client.listen()
            assert server.connections[0].headers["authorization"] == f"Bearer {KEY}"
    finally:
        websocket.enableTrace(False)
        library.level, library.handlers = before
    printed = capfd.readouterr()
    # The test's server may log what it receives. The promise is about the client.
    records = [each for each in caplog.records if not each.name.startswith("websockets")]
    logged = "".join(f"{each.getMessage()} {each.exc_text}" for each in records)
    for text in (logged, printed.out, printed.err, repr(heard.items), repr(client), str(refused.value)):
        assert KEY not in text
    assert_all_heard(heard, script, 8)


def test_a_redirect_is_not_followed(way: Any, dialect: Dialect) -> None:
    """The key is sent only to the configured server."""
    with redirecting(way.tls) as (url, asked), way.gateway(Script.numbered(1)) as elsewhere:
        asked.append(elsewhere.url)
        with pytest.raises(ConnectError, match="Redirects are not followed") as caught:
            way.client(url, dialect).listen()
        assert elsewhere.connections == []
    assert (caught.value.status, caught.value.retryable) == (307, False)
    assert len(asked) == 2


@contextlib.contextmanager
def redirecting(tls: Optional[ssl.SSLContext]) -> Iterator[Any]:
    """Run a server that redirects one request to the first address in the list that it yields.

    It appends the request to the list.
    """
    asked: List[str] = []

    def serve() -> None:
        try:
            sock = listening.accept()[0]
        except OSError:
            return
        with tls.wrap_socket(sock, server_side=True) if tls else sock as peer:
            request = b""
            while b"\r\n\r\n" not in request:
                request += peer.recv(4096)
            location = f"{asked[0]}/v1/stt/soniox/speech-ai:rt-v4"
            peer.sendall(f"HTTP/1.1 307 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
            asked.append(request.decode())

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{listening.getsockname()[1]}", asked
        thread.join(10)


class Live:
    """A live source, faster than any gateway reads."""

    live = True
    audio_format = AudioFormat(48000, 1)

    def __init__(self) -> None:
        self.most_buffered = 0.0
        self.session: Any = None

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(150):
            yield bytes(96000)
            if self.session is not None:
                self.most_buffered = max(self.most_buffered, self.session.stats.buffered)


def test_the_send_buffer_is_bounded_and_its_loss_reported(way: Any, dialect: Dialect) -> None:
    """The server does not read, and the source goes on. A second is kept, all other audio reported lost."""
    heard = Heard()
    source = Live()
    with way.gateway(Script.numbered(10), Faults(trouble=Trouble.freeze(0.1))) as server:
        client = way.client(server.url, dialect, heard, buffer_seconds=1.0)
        source.session = session = client.listen(source, sample_rate=48000)
        heard.wait_for(lambda: heard.of(AudioLost))
        until = time.monotonic() + 10
        while session.stats.captured < 150 and time.monotonic() < until:
            time.sleep(0.01)
        session.abort()
    stats = session.stats
    reported = sum(event.seconds for event in heard.of(AudioLost))
    print(
        json.dumps({"captured": stats.captured, "sent": stats.sent, "lost": stats.lost, "reported": reported})
    )
    assert stats.captured == 150
    assert stats.lost > 0
    assert reported == pytest.approx(stats.lost)
    assert source.most_buffered <= 1.5
