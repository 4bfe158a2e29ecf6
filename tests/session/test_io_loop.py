"""The I/O loop: number of threads, and isolation of sessions from each other."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from heard import PATIENCE, Heard
from test_session import BOTH, HELLO, SECOND, Stuck, client_for, gateway

from slng_sync import (
    Client,
    Closed,
    ConnectError,
    ConnectionLost,
    Dialect,
    Flushed,
    Ready,
    Reconnected,
    Reconnecting,
    Reson8,
    SessionClosed,
    SlngError,
    Soniox,
    State,
)
from slng_sync.callbacks.delivery import Delivery
from slng_sync.dialects.tokens import SonioxDecoder
from slng_sync.gateway import Faults, Script, Trouble
from slng_sync.protocol.heartbeat import Heartbeat
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol
from slng_sync.session.audio_input import AudioInput
from slng_sync.session.connection import Connection
from slng_sync.session.io_loop import IoLoop, Task
from slng_sync.session.lifecycle import Lifecycle
from slng_sync.session.shared_state import SharedState
from slng_sync.transport.connecting import ConnectAttempt
from slng_sync.transport.connection import WebSocketConnection

ROOT = Path(__file__).resolve().parents[2]


def threads() -> List[str]:
    return sorted(
        each.name
        for each in threading.enumerate()
        if each.name.startswith("slng-") and each.name != "slng-gateway"
    )


def wait_until(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, threads()
        time.sleep(0.005)


@pytest.mark.parametrize("count", [1, 20, 100])
def test_sessions_share_one_thread(count: int) -> None:
    """One thread for all sessions, and one for the callbacks of each."""
    heard = Heard()
    with gateway() as server:
        sessions = [client_for(server.url, Soniox(), heard).listen() for _ in range(count)]
        wait_until(lambda: "slng-connect" not in threads())
        assert threads() == ["slng-callbacks"] * count + ["slng-io"]
        for session in sessions:
            session.send(SECOND * 3)
        for session in sessions:
            session.close(60, wait=False)
        assert all(session.close(60) for session in sessions)
    assert threads() == []
    assert heard.finals == ["hello world."] * count


def test_twenty_sessions_on_an_executor_have_six_threads() -> None:
    """Including the main thread. Callbacks run on the executor's four threads."""
    heard = Heard()
    with gateway() as server, ThreadPoolExecutor(4) as pool:
        client = client_for(server.url, Soniox(), heard, dispatch=pool)
        sessions = [client.listen() for _ in range(20)]
        wait_until(lambda: "slng-connect" not in threads())
        assert threads() == ["slng-io"]
        for session in sessions:
            session.send(SECOND * 3)
        assert all(session.close() for session in sessions)
    assert heard.finals == ["hello world."] * 20
    assert all(name.startswith("ThreadPoolExecutor") for name in heard.threads)


class Raising(Soniox):
    """Soniox with failures where a program's own dialect may fail."""

    def audio(self, pcm: bytes) -> Any:
        if pcm[:2] == b"\x01\x00":
            raise SystemExit("a mistake in the program's own dialect")
        return super().audio(pcm)


def test_what_goes_wrong_in_one_session_stays_in_it(tmp_path: Path) -> None:
    """One callback blocks, one dialect raises, one recording is on a hung disk. Seventeen sessions go on."""
    fifo = tmp_path / "hung.wav"
    os.mkfifo(fifo)
    # Hold the pipe open, so that opening it for writing succeeds. It is never read.
    end = os.open(fifo, os.O_RDWR)
    stuck, heard, others = Stuck(), Heard(), Heard()
    try:
        with gateway(Script.numbered(12)) as server:
            blocked = Client(Soniox(), api_key="any", base_url=server.url, on_partial=stuck).listen()
            raising = client_for(server.url, Raising(), others).listen()
            hung = client_for(server.url, Soniox(), others).listen(record=fifo)
            healthy = [client_for(server.url, Soniox(), heard).listen() for _ in range(17)]
            blocked.send(SECOND * 2)
            assert stuck.inside.wait(PATIENCE)
            raising.send(b"\x01\x00" * 16000)
            hung.send(SECOND * 6)
            for session in healthy:
                session.send(SECOND * 6)
            assert all(session.finalize(PATIENCE) for session in healthy)
            assert all(session.close(PATIENCE) for session in healthy)
            assert hung.close(PATIENCE) is True
            assert raising.close() is False
            with pytest.raises(SessionClosed):
                raising.send(SECOND)
            stuck.may_return.set()
            assert blocked.close(PATIENCE) is True
    finally:
        os.close(end)
    assert Counter(" ".join(heard.finals).split()) == dict.fromkeys(map(str, _words(12)), 17)
    assert any("SystemExit" in error.message for error in others.errors)


def _words(count: int) -> Iterator[str]:
    return (word.text for word in Script.numbered(count).words)


# Fault injection: each call of the loop into a session raises once, in either session.

HOOKS: List[Tuple[type, str]] = [
    *((Connection, name) for name in ("due", "flush", "receive", "check_alive", "check_age", "check_closed")),
    *((Connection, name) for name in ("send_close", "failure")),
    *((WebSocketConnection, name) for name in ("send", "flush", "receive", "send_close", "ping", "close")),
    *((StreamProtocol, name) for name in ("next_message", "handle_message", "release", "over", "due")),
    *((Soniox, name) for name in ("start", "audio", "finalize", "end", "decoder")),
    *((SonioxDecoder, name) for name in ("__call__", "end")),
    *((SendQueue, name) for name in ("take", "settle", "answer", "give_up")),
    *((Heartbeat, name) for name in ("received", "is_lost")),
    *((Delivery, name) for name in ("deliver", "put")),
    *((AudioInput, name) for name in ("report_losses", "end")),
    *((SharedState, name) for name in ("enter",)),
    *((Task, name) for name in ("watch", "unwatch", "watch_writing")),
    *((Lifecycle, name) for name in ("_advance", "_receive", "_end", "report_end", "_close_connection")),
    *((ConnectAttempt, name) for name in ("start", "take", "cancel")),
]


class Mine(Exception):
    """The injected exception."""


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: f"{hook[0].__name__}.{hook[1]}")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_loop_survives_a_mistake_anywhere_in_a_session(
    hook: Tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session with the exception ends in time. The other one receives every word."""
    owner, name = hook
    original = getattr(owner, name)
    raised: List[bool] = []
    armed = threading.Event()

    def raising(*args: Any, **options: Any) -> Any:
        if armed.is_set() and threading.current_thread().name == "slng-io" and not raised:
            raised.append(True)
            if name == "close":
                # The exception is raised after the real close, or the socket would stay open.
                original(*args, **options)
            raise Mine
        return original(*args, **options)

    monkeypatch.setattr(owner, name, raising)
    heard = Heard()
    with gateway() as server:
        healthy = client_for(server.url, Soniox(), heard).listen()
        healthy.send(SECOND * 3)
        assert healthy.finalize(PATIENCE) is True
        armed.set()
        meets_it = Client(Soniox(), api_key="any", base_url=server.url, reconnect=False)
        begun = time.monotonic()
        try:
            with meets_it.listen() as session:
                for _ in range(6):
                    session.send(SECOND[:16000])
                session.finalize(1.0)
                session.close(3.0)
        except SlngError:
            pass
        assert time.monotonic() - begun < PATIENCE
        armed.clear()
        # The exception may have hit the other session. Then that one is over and reports it.
        if healthy.state is State.STREAMING:
            assert healthy.close(PATIENCE) is True
        else:
            healthy.close()
        # The loop goes on and serves a new session.
        again = Heard()
        with client_for(server.url, Soniox(), again).listen() as session:
            session.send(SECOND * 3)
        assert again.finals == ["hello world."]
    assert threads() == []


class Counting:
    """A life that ends when told to, and counts the loop's calls."""

    def __init__(self) -> None:
        self.is_ending = False
        self.passes = self.ends = 0
        self.failures: List[BaseException] = []

    def run(self) -> Iterator[float]:
        while not self.is_ending:
            self.passes += 1
            yield float("inf")

    def end_pass(self) -> None:
        pass

    def report_end(self) -> None:
        self.ends += 1

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def forget_parent(self) -> None:
        pass


def test_a_session_that_is_woken_after_its_end_ends_once() -> None:
    """A source may still give audio while its session ends."""
    loop, ending, staying = IoLoop(), Counting(), Counting()
    stayer, task = loop.start(staying), loop.start(ending)
    ending.is_ending = True
    task.wake()
    wait_until(lambda: ending.ends)
    passes = staying.passes
    task.is_awake = False
    task.wake()
    stayer.wake()
    wait_until(lambda: staying.passes > passes)
    assert (ending.ends, ending.failures) == (1, [])
    staying.is_ending = True
    stayer.wake()
    wait_until(lambda: staying.ends)
    loop.join(PATIENCE)


def test_a_pass_that_fails_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, life = IoLoop(), Counting()
    task = loop.start(life)
    wait_until(lambda: life.passes)
    wait, failures = loop._wait, [OSError("the poll failed")]

    def failing(wakeup: Any) -> Any:
        if failures:
            raise failures.pop()
        return wait(wakeup)

    monkeypatch.setattr(loop, "_wait", failing)
    # This ends the wait that runs. The next one fails.
    task.wake()
    wait_until(lambda: not failures)
    life.is_ending = True
    task.wake()
    wait_until(lambda: life.ends)
    loop.join(PATIENCE)


def test_passes_are_limited() -> None:
    """Forty sessions that are woken all the time share at most 500 passes a second, after a few at once."""
    loop = IoLoop()
    lives = [Counting() for _ in range(40)]
    tasks = [loop.start(life) for life in lives]
    begun = time.monotonic()
    while time.monotonic() < begun + 0.5:
        for task in tasks:
            task.wake()
        time.sleep(0.0001)
    passes = max(life.passes for life in lives)
    assert passes <= 500 * (time.monotonic() - begun) + 20
    for life, task in zip(lives, tasks):
        life.is_ending = True
        task.wake()
    wait_until(lambda: all(life.ends == 1 for life in lives))
    loop.join(PATIENCE)


# Heartbeats and timeouts without calls of the program.


@BOTH
def test_a_finalize_without_an_answer_is_given_up_in_time(dialect: Dialect) -> None:
    heard = Heard()
    with gateway(faults=Faults(trouble=Trouble.mute(0.5))) as server:
        session = client_for(server.url, dialect, heard).listen()
        session.send(SECOND * 2)
        assert session.finalize(PATIENCE) is False
        assert not heard.of(Flushed)
        session.abort()


@BOTH
def test_keepalives_are_sent_while_a_callback_runs(dialect: Dialect) -> None:
    stuck = Stuck()
    with gateway() as server:
        options = {"keepalive_interval": 1.0, "ping_interval": 0.5}
        client = Client(dialect, api_key="any", base_url=server.url, on_final=stuck, **options)
        session = client.listen()
        session.send(SECOND * 3)
        assert stuck.inside.wait(PATIENCE)
        frames = server.connections[0].frames

        def keepalives() -> int:
            said = [json.loads(said or "{}") for kind, said in list(frames) if kind == "text"]
            return sum(each.get("type") == "keepalive" for each in said)

        wait_until(lambda: keepalives() >= 2)
        stuck.may_return.set()
        assert session.close() is True


@BOTH
def test_a_dead_link_is_noticed_and_replaced(dialect: Dialect) -> None:
    """Nothing is received and no error occurs. The heartbeat detects it."""
    heard = Heard()
    script = Script.numbered(20)
    faults: Any = lambda number: Faults(trouble=Trouble.freeze(3.0)) if number == 1 else Faults()  # noqa: E731
    with gateway(script, faults) as server:
        options = {"ping_interval": 0.5, "ping_timeout": 0.5}
        with client_for(server.url, dialect, heard, **options).listen() as session:
            for _ in range(8):
                session.send(SECOND[:16000])
            heard.wait_for_one(Reconnected)
            session.send(SECOND)
    assert len(heard.of(Reconnecting)) >= 1
    assert heard.items[-1] == Closed(complete=True)


@BOTH
def test_a_cut_is_told_where_nothing_is_restored(dialect: Dialect) -> None:
    heard = Heard()
    with gateway(faults=Faults(trouble=Trouble.drop(1.0))) as server:
        session = client_for(server.url, dialect, heard, reconnect=False).listen()
        session.send(SECOND * 3)
        heard.wait_for(lambda: heard.of(Closed))
        session.close()
    assert [type(error) for error in heard.errors] == [ConnectionLost]
    assert threads() == []


@BOTH
def test_it_may_be_ended_from_anywhere(dialect: Dialect) -> None:
    """At once, from a callback, from several threads, and twice."""
    with gateway() as server:
        session = client_for(server.url, dialect, Heard()).listen()
        session.abort()
        assert threads() == []
        with pytest.raises(SessionClosed):
            session.send(SECOND)

        client = client_for(server.url, dialect, Heard())
        closing = client.listen()
        client.on_final(lambda transcript: closing.close())
        closing.send(SECOND * 3)
        closing.wait(PATIENCE)

        session = client_for(server.url, dialect, Heard()).listen()
        results: List[bool] = []
        closers = [threading.Thread(target=lambda: results.append(session.close())) for _ in range(4)]
        for each in closers:
            each.start()
        for each in closers:
            each.join(PATIENCE)
        assert results == [True] * 4
        assert session.close() is True
    assert threads() == []


def test_ten_come_and_go_while_ten_stay() -> None:
    with gateway() as server:
        heard = Heard()
        staying = [client_for(server.url, Soniox(), heard).listen() for _ in range(10)]
        for _ in range(10):
            with client_for(server.url, Reson8(), Heard()).listen() as session:
                session.send(SECOND)
        assert threads() == ["slng-callbacks"] * 10 + ["slng-io"]
        for session in staying:
            session.send(SECOND * 3)
        assert all(session.close() for session in staying)
    assert heard.finals == ["hello world."] * 10


def test_many_begin_and_end_at_once() -> None:
    """The thread ends with the last session and starts with the next, even if they overlap."""
    failures: List[BaseException] = []

    def talk(url: str) -> None:
        try:
            for _ in range(8):
                heard = Heard()
                with client_for(url, Soniox(), heard).listen() as session:
                    session.send(SECOND * 3)
                assert heard.finals == ["hello world."]
        except BaseException as error:
            failures.append(error)

    with gateway() as server:
        talkers = [threading.Thread(target=talk, args=(server.url,)) for _ in range(4)]
        for each in talkers:
            each.start()
        for each in talkers:
            each.join(60)
    assert failures == []
    assert threads() == []


# wait=False.


@BOTH
def test_a_session_that_is_not_waited_for_captures_from_the_first_moment(dialect: Dialect) -> None:
    """The upgrade is slow. Audio captured before it is transcribed."""
    heard = Heard()
    with gateway(HELLO, Faults(upgrade_delay=0.5)) as server:
        session = client_for(server.url, dialect, heard).listen(wait=False)
        assert session.state is State.CONNECTING
        session.send(SECOND * 3)
        assert session.close(PATIENCE) is True
    assert heard.finals == ["hello world."]
    assert heard.items[-1] == Closed(complete=True)


def test_a_source_is_read_while_the_session_connects() -> None:
    heard = Heard()
    read = threading.Event()

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield SECOND
        read.set()

    with gateway(HELLO, Faults(upgrade_delay=0.5)) as server:
        session = client_for(server.url, Soniox(), heard).listen(chunks(), wait=False)
        assert read.wait(PATIENCE)
        session.wait(PATIENCE)
    assert heard.finals == ["hello world."]


def test_what_stands_against_it_is_told_to_on_error_then_closed() -> None:
    heard = Heard()
    with gateway(faults=Faults(upgrade_status=401)) as server:
        session = client_for(server.url, Soniox(), heard).listen(wait=False)
        heard.wait_for_one(Closed)
        session.close()
    assert [type(item) for item in heard.items if not isinstance(item, Ready)] == [
        type(heard.errors[0]),
        Closed,
    ]
    assert isinstance(heard.errors[0], ConnectError)
    assert heard.errors[0].status == 401


def test_close_does_not_wait_where_that_is_asked() -> None:
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, Soniox(), heard).listen()
        session.send(SECOND * 3)
        assert session.close(wait=False) is False
        heard.wait_for_one(Closed)
        assert heard.items[-1] == Closed(complete=True)
        assert session.close() is True
    assert heard.finals == ["hello world."]


def test_callbacks_of_one_session() -> None:
    """They run after the client's own and only for their session."""
    heard, mine = Heard(), Heard()
    with gateway() as server:
        client = client_for(server.url, Soniox(), heard)
        options: Dict[str, Any] = {"on_partial": mine, "on_final": mine, "on_error": mine, "on_event": mine}
        with client.listen(**options) as session, client.listen() as other:
            session.send(SECOND * 3)
            other.send(SECOND * 3)
    assert (len(heard.finals), mine.finals) == (2, ["hello world."])
    assert mine.items[-1] == Closed(complete=True)


# Exit and fork of the process.


def run(url: str, lines: str) -> "subprocess.CompletedProcess[str]":
    head = f"""
        import os, sys, threading
        from slng_sync import Client, SessionClosed, Soniox
        client = Client(Soniox(), api_key="any", base_url={url!r})
        client.on_final(lambda transcript: print(transcript.text, flush=True))
    """
    program = textwrap.dedent(head) + textwrap.dedent(lines)
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )


def test_a_program_that_ends_without_close_loses_nothing() -> None:
    with gateway() as server:
        done = run(server.url, "session = client.listen()\nsession.send(bytes(96000))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world.\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_the_child_of_a_fork_has_a_loop_of_its_own() -> None:
    program = """
        session = client.listen()
        child = os.fork()
        if child == 0:
            for _ in range(2):
                try:
                    session.send(bytes(3200))
                except SessionClosed as error:
                    print(error.hint, flush=True)
            own = client.listen()
            own.send(bytes(96000))
            print(own.close(), flush=True)
            os._exit(7)
        print(os.waitpid(child, 0)[1] >> 8, flush=True)
        session.send(bytes(96000))
        print(session.close())
    """
    with gateway() as server:
        done = run(server.url, program)
    said = "Open one in the child. Open one in the child. hello world. True 7 hello world. True"
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, said.split(), "")
