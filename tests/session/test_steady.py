"""A line on which there is only to speak and to listen needs no I/O thread; everything else does."""

import errno
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Callable, List

import pytest
from heard import Heard
from test_session import BOTH, HELLO, SECOND, Stuck, client_for, gateway

from slng_sync import (
    Client,
    Closed,
    ConnectionLost,
    Dialect,
    Flushed,
    Reconnected,
    Reconnecting,
    Reson8,
    SessionClosed,
    Soniox,
)
from slng_sync.gateway import Faults, Script, Trouble

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slng_sync.session.io_thread.LINGER", 0.02)


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


def refuse_threads(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    reason: str = "can't create new thread at interpreter shutdown",
) -> None:
    """From now on the system gives none of this name."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError(reason)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def refuse_file() -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def wait_steady() -> None:
    """Until the timekeeper has taken over all there is."""
    wait_until(lambda: "slng-io" not in threads() and "slng-time" in threads())


@BOTH
def test_steady_sessions_have_one_thread_each_and_one_for_all(dialect: Dialect) -> None:
    heard = Heard()
    with gateway() as server:
        client = client_for(server.url, dialect, heard)
        sessions = [client.listen() for _ in range(5)]
        wait_steady()
        assert threads() == ["slng-callbacks"] * 5 + ["slng-time"]
        for session in sessions:
            session.send(SECOND * 3)
        assert all(session.close() for session in sessions)
        assert threads() == []
        assert server.breaches == []
    assert heard.finals == ["hello world."] * 5


@BOTH
def test_finalize_and_pause_need_none(dialect: Dialect) -> None:
    heard = Heard()
    with gateway() as server, client_for(server.url, dialect, heard).listen() as session:
        session.send(SECOND * 2)
        wait_steady()
        assert session.finalize() is True
        session.pause()
        session.resume()
        session.send(SECOND)
        assert session.finalize() is True
    assert len(heard.of(Flushed)) == 2


@BOTH
def test_a_finalize_without_an_answer_is_given_up_in_time(dialect: Dialect) -> None:
    """By the timekeeper: the next one is asked for, and the end is reached."""
    with gateway(faults=Faults(trouble=Trouble.mute(1.0))) as server:
        session = client_for(server.url, dialect, Heard()).listen()
        session.send(SECOND * 2)
        wait_steady()
        assert session.finalize(timeout=0.2) is False
        assert session.close(timeout=1.0) is False
    assert threads() == []


@BOTH
def test_while_a_callback_takes_its_time_there_is_an_io_thread(dialect: Dialect) -> None:
    """It reads, and leaves again once the callback has returned."""
    stuck = Stuck()
    with gateway(Script.numbered(40, utterance=4)) as server:
        session = Client(dialect, api_key="any", base_url=server.url, on_final=stuck).listen()
        wait_steady()
        session.send(SECOND * 3)
        assert stuck.inside.wait(PATIENCE)
        for second in range(3, 8):
            session.send(SECOND)
            assert session.finalize(timeout=10) is True, second
        assert "slng-io" in threads()
        stuck.may_return.set()
        wait_steady()
        assert session.close() is True


@pytest.mark.parametrize("dialect", [Soniox()], ids=["soniox"])
def test_keepalives_go_out_while_a_callback_runs_and_nobody_sends(dialect: Dialect) -> None:
    """The timekeeper finds out by itself that nobody reads."""
    stuck = Stuck()
    with gateway() as server:
        options = {"keepalive_interval": 1.0, "ping_interval": 0.5}
        client = Client(dialect, api_key="any", base_url=server.url, on_final=stuck, **options)
        session = client.listen()
        wait_steady()
        session.send(SECOND * 3)
        assert stuck.inside.wait(PATIENCE)
        frames = server.connections[0].frames

        def keepalives() -> int:
            return sum(kind == "text" and "keepalive" in said for kind, said in list(frames))

        wait_until(lambda: keepalives() >= 2)
        assert "slng-io" in threads()
        stuck.may_return.set()
        assert session.close() is True


@BOTH
def test_keepalives_and_pings_of_an_idle_session_are_the_timekeepers(dialect: Dialect) -> None:
    with gateway() as server:
        options = {"keepalive_interval": 1.0, "ping_interval": 0.5}
        with client_for(server.url, dialect, Heard(), **options).listen() as session:
            session.send(SECOND)
            wait_steady()
            frames = server.connections[0].frames

            def keepalives() -> int:
                said = [said for kind, said in list(frames) if kind == "text"]
                return sum(
                    json.loads(each).get("type") in ("keepalive", "ping", "KeepAlive") for each in said
                )

            before = keepalives()
            wait_until(lambda: keepalives() >= before + 2)
            assert "slng-io" not in threads()


@BOTH
def test_a_dead_link_is_noticed_and_replaced(dialect: Dialect) -> None:
    """Nothing comes any more, and nothing breaks: the pulse tells. Then the new line is left alone again."""
    heard = Heard()
    script = Script.numbered(20)
    faults: Any = lambda number: Faults(trouble=Trouble.freeze(3.0)) if number == 1 else Faults()  # noqa: E731
    with gateway(script, faults) as server:
        options = {"ping_interval": 0.5, "ping_timeout": 0.5}
        with client_for(server.url, dialect, heard, **options).listen() as session:
            wait_steady()
            for _ in range(8):
                session.send(SECOND[:16000])
            heard.wait_for_one(Reconnected)
            wait_steady()
            session.send(SECOND)
    assert len(heard.of(Reconnecting)) >= 1
    assert heard.items[-1] == Closed(complete=True)


@BOTH
def test_a_cut_is_told_where_nothing_is_restored(dialect: Dialect) -> None:
    heard = Heard()
    with gateway(faults=Faults(trouble=Trouble.drop(1.0))) as server:
        session = client_for(server.url, dialect, heard, reconnect=False).listen()
        wait_steady()
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
        wait_steady()
        session.abort()
        assert threads() == []
        with pytest.raises(SessionClosed):
            session.send(SECOND)

        client = client_for(server.url, dialect, Heard())
        closing = client.listen()
        client.on_final(lambda transcript: closing.close())
        wait_steady()
        closing.send(SECOND * 3)
        closing.wait(PATIENCE)

        session = client_for(server.url, dialect, Heard()).listen()
        wait_steady()
        results: List[bool] = []
        closers = [threading.Thread(target=lambda: results.append(session.close())) for _ in range(4)]
        for each in closers:
            each.start()
        for each in closers:
            each.join(PATIENCE)
        assert results == [True] * 4
        assert session.close() is True
    assert threads() == []


@BOTH
def test_where_the_system_gives_no_thread_the_one_for_callbacks_does_it(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of a process from Python 3.12 on: the last words come all the same."""
    heard = Heard()
    with gateway() as server:
        session = client_for(server.url, dialect, heard).listen()
        wait_steady()
        refuse_threads(monkeypatch, "slng-io")
        session.send(SECOND * 3)
        assert session.close() is True
        assert server.breaches == []
    assert heard.finals == ["hello world."]
    assert heard.items[-1] == Closed(complete=True)
    assert threads() == []


def test_a_mistake_of_ours_is_told_and_not_lost_with_the_timekeeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, though nobody would meet it again."""
    heard = Heard()
    mistakes = [ZeroDivisionError()]

    def release(exchange: Any, now: float) -> List[Any]:
        if mistakes and threading.current_thread().name == "slng-time":
            raise mistakes.pop()
        return []

    monkeypatch.setattr("slng_sync.protocol.stream_protocol.StreamProtocol.release", release)
    with gateway() as server:
        session = client_for(server.url, Soniox(), heard, reconnect=False).listen()
        session.send(SECOND)
        heard.wait_for(lambda: heard.of(Closed))
        session.close()
    assert not mistakes
    assert [type(error.__cause__) for error in heard.errors] == [ZeroDivisionError]


@pytest.mark.parametrize("missing", ["thread", "file"])
def test_where_there_is_no_timekeeper_the_io_thread_stays(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    if missing == "thread":
        refuse_threads(monkeypatch, "slng-time")
    else:
        monkeypatch.setattr("slng_sync.session.timekeeper.WakeUp", refuse_file)
    with gateway() as server, client_for(server.url, Reson8(), heard).listen() as session:
        session.send(SECOND * 3)
        heard.wait_for(lambda: heard.finals)
        assert threads() == ["slng-callbacks", "slng-io"]
    assert heard.finals == ["hello world."]


def run(url: str, program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of its own that has ``client`` and ``wait_steady``."""
    head = f"""
        import os, sys, threading, time
        import slng_sync.session.io_thread
        from slng_sync import Client, SessionClosed

        def wait_steady():
            while "slng-io" in [each.name for each in threading.enumerate()]:
                time.sleep(0.005)

        slng_sync.io_thread.LINGER = 0.02
        client = Client("soniox", api_key="any", base_url={url!r})
        client.on_final(lambda transcript: print(transcript.text, flush=True))
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=40,
    )


@pytest.mark.parametrize("sent", ["before", "after"])
def test_a_program_that_ends_without_close_loses_nothing(sent: str) -> None:
    """The end comes to a session that has no thread, in a process that from Python 3.12 on gives none."""
    pieces = ["wait_steady()", "session.send(bytes(96000))"]
    lines = pieces if sent == "after" else pieces[::-1]
    with gateway() as server:
        done = run(server.url, "\n".join(["session = client.listen()", *lines]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world.\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_the_child_of_a_fork_has_a_timekeeper_of_its_own() -> None:
    program = """
        session = client.listen()
        wait_steady()
        child = os.fork()
        if child == 0:
            for _ in range(2):
                try:
                    session.send(bytes(3200))
                except SessionClosed as error:
                    print(error.hint, flush=True)
            own = client.listen()
            wait_steady()
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


@pytest.mark.parametrize("option", ["trace", "spill"])
def test_what_may_wait_for_a_disk_keeps_its_thread(option: str, tmp_path: Any) -> None:
    """The timekeeper would wait with it, and all others with the timekeeper."""
    heard = Heard()
    options = {"spill": str(tmp_path)} if option == "spill" else {}
    with gateway() as server:
        client = client_for(server.url, Soniox(), heard, **options)
        trace = tmp_path / "t.jsonl" if option == "trace" else None
        with client.listen(trace=trace) as session:
            session.send(SECOND * 3)
            heard.wait_for(lambda: heard.finals)
            assert threads() == ["slng-callbacks", "slng-io"]


def test_a_program_that_polls_keeps_its_thread() -> None:
    heard = Heard()
    with gateway(HELLO) as server:
        with client_for(server.url, Soniox(), heard, dispatch="manual").listen() as session:
            session.send(SECOND * 3)
            while not heard.finals:
                session.poll(0.1)
            assert threads() == ["slng-io"]


def test_ten_come_and_go_while_ten_stay() -> None:
    """Nobody's time is lost when others are taken over and left."""
    with gateway() as server:
        heard = Heard()
        staying = [client_for(server.url, Soniox(), heard).listen() for _ in range(10)]
        for _ in range(10):
            with client_for(server.url, Reson8(), Heard()).listen() as session:
                session.send(SECOND)
        wait_steady()
        assert threads() == ["slng-callbacks"] * 10 + ["slng-time"]
        for session in staying:
            session.send(SECOND * 3)
        assert all(session.close() for session in staying)
    assert heard.finals == ["hello world."] * 10
