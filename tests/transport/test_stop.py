"""The end: whoever asks for it, whenever, and whatever the server does."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from loopback import (
    BINARY,
    CLOSE,
    KEY,
    LONG,
    PING,
    SECOND,
    Gateway,
    Peer,
    Proxy,
    RawServer,
    Told,
    Took,
    after_upgrade,
    client,
    final,
    frame,
    polite,
)

from slng_sync import Closed, ConnectError, Reson8, Session, SessionClosed, SlngError, State
from slng_sync.session.assembly import Request

ROOT = Path(__file__).resolve().parents[2]


def read_everything(peer: Peer) -> None:
    """Read, and never say anything."""
    peer.wait_gone()


UNHELPFUL: Dict[str, Callable[[Peer], Any]] = {
    "it reads and never answers": read_everything,
    "it has stopped reading": Peer.idle,
    "it floods with words": lambda peer: peer.flood(frame(final("and so on")) * 200),
    "it floods with pings": lambda peer: peer.flood(frame(b"?" * 100, PING) * 200),
    "it sends half a frame": lambda peer: (peer.say(frame(final("half"))[:9]), peer.idle()),
    "it floods with half a message": lambda peer: (
        peer.say(frame(b"{", 1, fin=False)),
        [peer.say(frame(b"", 0, fin=False)) for _ in range(1000)],
        peer.idle(),
    ),
}


class TestUnhelpful:
    @pytest.mark.parametrize("talk", UNHELPFUL.values(), ids=UNHELPFUL)
    def test_close_returns_within_its_timeout(self, talk: Callable[[Peer], Any]) -> None:
        """``close(timeout)`` keeps to its timeout whatever the server does, and does not claim success."""
        with RawServer(after_upgrade(talk)) as server:
            session = client(server.url).listen()
            session.send(SECOND)
            with Took(less_than=10):
                assert session.close(timeout=1.0) is False
            session.wait(LONG)
            assert session.state is State.CLOSED

    def test_close_while_a_thread_keeps_sending(self) -> None:
        """A server that reads nothing, a full buffer, a sender that waits: ``close`` ends them all."""
        ended: List[BaseException] = []

        def speak(session: Session) -> None:
            try:
                while True:
                    session.send(SECOND * 10)
            except SessionClosed as error:
                ended.append(error)

        with RawServer(after_upgrade(Peer.idle)) as server:
            session = client(server.url, buffer_seconds=20).listen()
            speaker = threading.Thread(target=speak, args=(session,))
            speaker.start()
            # Up to one half of the buffer is left to what was sent and not answered.
            while session.stats.buffered < 9:
                threading.Event().wait(0.01)
            with Took(less_than=10):
                session.close(timeout=1.0)
            speaker.join(LONG)
        assert len(ended) == 1

    @pytest.mark.parametrize("talk", UNHELPFUL.values(), ids=UNHELPFUL)
    def test_abort_does_not_wait(self, talk: Callable[[Peer], Any]) -> None:
        """``abort`` ends at once; nothing is reported, since the program wanted it."""
        told = Told()
        with RawServer(after_upgrade(talk)) as server:
            session = client(server.url, **told.callbacks).listen()
            session.send(SECOND)
            with Took(less_than=5):
                session.abort()
            session.wait(LONG)
        assert session.state is State.CLOSED
        assert told.errors == []

    def test_a_callback_that_never_returns(self) -> None:
        """``close`` waits no longer than its timeout for a callback, and tells that one still runs."""
        release = threading.Event()

        def talk(peer: Peer) -> None:
            peer.say(frame(final("wait for it")))
            polite(peer)

        with RawServer(after_upgrade(talk)) as server:
            session = client(server.url, on_final=lambda transcript: release.wait(LONG)).listen()
            while session.stats.finals == 0:
                threading.Event().wait(0.01)
            with Took(less_than=10):
                assert session.close(timeout=0.5) is False
            release.set()

    def test_a_timeout_of_nothing(self) -> None:
        """``close(0)`` does not wait at all, and the session ends by itself."""
        with RawServer(after_upgrade(read_everything)) as server:
            session = client(server.url).listen()
            session.send(SECOND)
            with Took(less_than=5):
                assert session.close(timeout=0) is False
            session.wait(LONG)

    def test_a_timeout_without_end(self) -> None:
        """``close(inf)`` waits for as long as it takes."""
        with Gateway() as gateway:
            session = client(gateway.url).listen()
            session.send(SECOND)
            assert session.close(timeout=float("inf")) is True


class TestConnecting:
    """``close`` and ``abort`` while ``listen`` is still connecting, from another thread."""

    @pytest.mark.parametrize("end", [Session.close, Session.abort])
    @pytest.mark.parametrize("where", ["upgrade", "tls", "proxy", "ready"])
    def test_it_is_given_up_at_once(self, end: Callable[[Session], Any], where: str) -> None:
        """Wherever the server falls silent, the end comes at once, and ``listen`` says what happened."""
        arrived = threading.Event()

        def talk(peer: Peer) -> None:
            if where == "ready":
                peer.upgrade()
                peer.read_frame()
            else:
                peer.read(1)
            arrived.set()
            peer.wait_gone()

        with RawServer(talk) as server:
            options: Dict[str, Any] = {"connect_timeout": 60, "ready_timeout": 60}
            url = server.url
            if where == "tls":
                url = url.replace("ws://", "wss://")
            elif where == "proxy":
                url, options["proxy"] = "ws://gateway.invalid", url.replace("ws://", "http://")
            elif where == "ready":
                options["model"] = Reson8()
            # Before ``listen`` has returned, only another session's callback or a signal could hold it.
            session = client(url, **options)._session(Request(None))
            raised: List[BaseException] = []
            opening = threading.Thread(target=keep_error, args=(session.open, raised))
            opening.start()
            assert arrived.wait(LONG)
            with Took(less_than=5):
                end(session)
            opening.join(LONG)
        assert not opening.is_alive()
        assert [type(error) for error in raised] == [SessionClosed]
        assert session.state is State.CLOSED

    @pytest.mark.parametrize("end", [Session.close, Session.abort])
    def test_a_name_server_that_never_answers(
        self, end: Callable[[Session], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system's look-up of a name has no limit, and cannot be interrupted."""
        asked, answer = threading.Event(), threading.Event()

        def look_up(*_: object, **__: object) -> Any:
            asked.set()
            answer.wait(LONG)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with Took(less_than=5), pytest.raises(ConnectError, match=r"did not answer within 0\.3 s"):
            client("wss://gateway.invalid", connect_timeout=0.3).listen()
        asked.clear()
        session = client("wss://gateway.invalid", connect_timeout=60)._session(Request(None))
        raised: List[BaseException] = []
        opening = threading.Thread(target=keep_error, args=(session.open, raised))
        opening.start()
        assert asked.wait(LONG)
        with Took(less_than=5):
            end(session)
        opening.join(LONG)
        answer.set()
        assert [type(error) for error in raised] == [SessionClosed]

    def test_it_is_closed_before_it_has_begun(self) -> None:
        """A session that was closed while its host's name is looked up does not connect after all."""
        with RawServer(polite) as server:
            session = client(server.url)._session(Request(None))
            session.begin_close()
            with pytest.raises(SessionClosed):
                session.open()
        assert server.connections == 0


class TestTwice:
    def test_closed_twice(self) -> None:
        """The second ``close`` returns what the first did."""
        with Gateway() as gateway:
            session = client(gateway.url).listen()
            session.send(SECOND)
            assert session.close() is True
            with Took(less_than=5):
                assert session.close() is True
                session.abort()
                session.wait()
        assert session.state is State.CLOSED

    def test_closed_by_two_threads(self) -> None:
        """Two threads that close at once wait for the same end."""
        with Gateway() as gateway:
            session = client(gateway.url).listen()
            session.send(SECOND)
            results: List[bool] = []
            threads = [threading.Thread(target=lambda: results.append(session.close())) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LONG)
        assert results == [True] * 8

    def test_closed_by_a_thread_that_began_later(self) -> None:
        """A thread that begins after the session's own have ended is not taken for one of them."""
        with Gateway() as gateway:
            session = client(gateway.url).listen()
            session.send(SECOND)
            assert session.close() is True
            results: List[bool] = []
            # The system gives the number of an ended thread to a new one.
            for _ in range(5):
                thread = threading.Thread(target=lambda: results.append(session.close()))
                thread.start()
                thread.join(LONG)
        assert results == [True] * 5

    def test_closed_inside_a_callback(self) -> None:
        """``close`` inside a callback does not wait, and the session ends in order."""
        told = Told()
        results: List[bool] = []

        def talk(peer: Peer) -> None:
            peer.read_until(BINARY)
            peer.say(frame(final("stop")))
            polite(peer)

        with RawServer(after_upgrade(talk)) as server:
            one = client(server.url, **told.callbacks)
            session = one.listen()
            one.on_final(lambda transcript: results.append(session.close()))
            session.send(SECOND)
            session.wait(LONG)
        assert results == [False]
        assert told.finals == ["stop"]
        assert told.events[-1] == Closed(complete=True)

    @pytest.mark.parametrize(
        "call", [Session.close, Session.abort, Session.wait, lambda session: session.finalize()]
    )
    def test_everything_may_be_called_when_it_is_over(self, call: Callable[[Session], Any]) -> None:
        """In the last callback of all, every method may still be called."""
        done = threading.Event()
        raised: List[BaseException] = []

        def last(event: Any) -> None:
            if isinstance(event, Closed):
                keep_error(lambda: call(session), raised)
                done.set()

        with Gateway() as gateway:
            session = client(gateway.url, on_event=last).listen()
            session.close()
            assert done.wait(LONG)
        assert all(isinstance(error, SessionClosed) for error in raised)

    def test_closed_after_the_server_is_gone(self) -> None:
        """When the server is gone already, ``close`` says that it was not complete."""
        told = Told()
        with RawServer(after_upgrade(lambda peer: None)) as server:
            session = client(server.url, **told.callbacks).listen()
            told.wait_for(lambda: bool(told.errors))
            with Took(less_than=5):
                assert session.close() is False
        assert len(told.errors) == 1

    @pytest.mark.parametrize("end", [Session.close, Session.abort])
    def test_used_after_the_end(self, end: Callable[[Session], Any]) -> None:
        """After the end there is nothing to send and nothing to finalize: SessionClosed."""
        with Gateway() as gateway:
            session = client(gateway.url).listen()
            end(session)
            for use in (lambda: session.send(SECOND), session.finalize):
                with pytest.raises(SessionClosed) as caught:
                    use()
                assert caught.value.hint
            session.pause()
            session.resume()
            assert session.stats.connections == 1
            assert "closed" in repr(session)


class TestNothingIsLeft:
    def test_twenty_times(self) -> None:
        """Twenty sessions leave no thread and no descriptor."""
        with Gateway() as gateway:
            one = client(gateway.url)
            with one.listen() as session:
                session.send(SECOND)
            before = left()
            for _ in range(20):
                with one.listen() as session:
                    session.send(SECOND)
            assert settles(before)

    @pytest.mark.parametrize(
        "answer", ["HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno", "", "junk\r\n\r\n", None]
    )
    def test_twenty_failures(self, answer: Optional[str]) -> None:
        """Twenty attempts that fail leave nothing either."""

        def talk(peer: Peer) -> None:
            peer.read_request()
            peer.wait_gone() if answer is None else peer.say(answer.encode())

        with RawServer(talk) as server:
            one = client(server.url, connect_timeout=0.1 if answer is None else 10)
            before = left()
            for _ in range(20):
                with pytest.raises(SlngError):
                    one.listen()
            assert settles(before)

    def test_twenty_refusals(self) -> None:
        """Connections that are refused, and proxies that refuse, leave nothing."""
        with Proxy(refuse="HTTP/1.1 403 No\r\n\r\n") as proxy:
            before = left()
            for one in (client("ws://127.0.0.1:1"), client("ws://127.0.0.1:9", proxy=proxy.url)):
                for _ in range(10):
                    with pytest.raises(SlngError):
                        one.listen()
            assert settles(before)

    def test_what_was_never_opened(self) -> None:
        """A client that never listens, and wrong options, cost nothing."""
        before = left()
        one = client("ws://127.0.0.1:1")
        for _ in range(20):
            with pytest.raises(SlngError):
                one.listen(sample_rate=-1)
            with pytest.raises(SlngError):
                one.listen(object())
        assert settles(before)


class TestInterrupted:
    """Ctrl-C, in a program of its own."""

    def test_while_it_connects(self) -> None:
        """Ctrl-C during ``listen`` is a KeyboardInterrupt at once."""
        arrived = threading.Event()

        def talk(peer: Peer) -> None:
            peer.read_request()
            arrived.set()
            peer.wait_gone()

        program = """
            try:
                client.listen()
            except KeyboardInterrupt:
                print("interrupted", [t.name for t in threading.enumerate()])
        """
        with RawServer(talk) as server, started(program, server.url) as process:
            assert arrived.wait(LONG)
            with Took(less_than=LONG):
                process.send_signal(signal.SIGINT)
                output = process.communicate(timeout=LONG)[0]
        assert output == "interrupted ['MainThread']\n"
        assert process.returncode == 0

    @pytest.mark.parametrize("call", ["session.wait()", "session.send(bytes(32000 * 60))"])
    def test_while_it_waits(self, call: str) -> None:
        """Ctrl-C during ``wait``, or a ``send`` that waits for room, is a KeyboardInterrupt at once."""
        program = f"""
            with client.listen() as session:
                print("ready", flush=True)
                try:
                    {call}
                except KeyboardInterrupt:
                    print("interrupted")
                    session.abort()
        """
        with RawServer(after_upgrade(Peer.idle)) as server:
            with started(program, server.url, buffer_seconds=5) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                time.sleep(0.3)
                with Took(less_than=LONG):
                    process.send_signal(signal.SIGINT)
                    output = process.communicate(timeout=LONG)[0]
        assert output == "interrupted\n"
        assert process.returncode == 0

    def test_the_words_so_far_are_kept(self) -> None:
        """Ctrl-C that leaves the ``with`` still closes in order: what was said is delivered."""
        program = """
            client.on_final(lambda transcript: print(transcript.text, flush=True))
            with client.listen() as session:
                session.send(bytes(32000))
                print("ready", flush=True)
                session.wait()
        """
        with Gateway() as gateway, started(program, gateway.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=LONG)
        assert output == "32000 bytes\n"
        assert "KeyboardInterrupt" in errors


class TestExit:
    """A program that ends without ``close``."""

    @pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "raise RuntimeError('a mistake')"])
    def test_what_was_captured_is_delivered(self, ending: str) -> None:
        """However a program ends, what it has captured is sent, and the last words are delivered."""
        program = f"""
            client.on_final(lambda transcript: print(transcript.text, flush=True))
            session = client.listen()
            session.send(bytes(64000))
            {ending}
        """
        with Gateway() as gateway, Took(less_than=LONG), started(program, gateway.url) as process:
            output, errors = process.communicate(timeout=LONG)
        assert gateway.audio == bytes(64000)
        assert output == "64000 bytes\n"
        assert process.returncode == {"pass": 0, "sys.exit(3)": 3}.get(ending, 1)
        assert "slng" not in errors

    @pytest.mark.parametrize("talk", UNHELPFUL.values(), ids=UNHELPFUL)
    def test_it_ends_within_its_bound(self, talk: Callable[[Peer], Any]) -> None:
        """The exit waits for two seconds at most, whatever the server does."""
        program = """
            session = client.listen()
            session.send(bytes(64000))
            print(time.time(), flush=True)
        """
        with RawServer(after_upgrade(talk)) as server, started(program, server.url) as process:
            output, errors = process.communicate(timeout=LONG * 2)
            took = time.time() - float(output)
        assert took < 10
        assert process.returncode == 0
        assert "Traceback" not in errors

    def test_a_callback_that_never_returns(self) -> None:
        """A callback that hangs does not keep the process."""
        program = """
            client.on_final(lambda transcript: time.sleep(1000))
            session = client.listen()
            session.send(bytes(64000))
        """
        with Gateway() as gateway, Took(less_than=LONG), started(program, gateway.url) as process:
            process.communicate(timeout=LONG)
        assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
class TestFork:
    def test_the_child_has_no_session(self) -> None:
        """After a fork the child's session is dead and says so; the parent's goes on undisturbed."""
        program = """
            finals = []
            client.on_final(lambda transcript: finals.append(transcript.text))
            session = client.listen()
            session.send(bytes(32000))
            child = os.fork()
            if child == 0:
                for use in (lambda: session.send(bytes(32000)), session.finalize):
                    try:
                        use()
                        print("it worked")
                    except SessionClosed as error:
                        print(type(error).__name__, str(error))
                print(session.close(), session.state.name)
                sys.stdout.flush()
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            session.send(bytes(32000))
            print(session.close(), finals)
        """
        with Gateway() as gateway, Took(less_than=LONG), started(program, gateway.url) as process:
            output, errors = process.communicate(timeout=LONG)
        lines = output.splitlines()
        assert errors == ""
        assert len(lines) == 4
        assert lines[0].startswith("SessionClosed The session belongs to the process that opened it.")
        assert lines[1].startswith("SessionClosed The session")
        assert lines[2] == "False CLOSED"
        assert lines[3] == "True ['64000 bytes']"
        assert gateway.audio == bytes(64000)

    def test_the_child_may_open_its_own(self) -> None:
        """The same client works in the child."""
        program = """
            session = client.listen()
            child = os.fork()
            if child == 0:
                with client.listen() as own:
                    own.send(bytes(32000))
                os._exit(7)
            assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
            print(session.close())
        """
        with Gateway() as gateway, started(program, gateway.url) as process:
            output, errors = process.communicate(timeout=LONG)
        assert (output, errors) == ("True\n", "")
        assert gateway.connections == 2
        assert gateway.audio == bytes(32000)

    def test_a_child_that_ends_at_once(self, server_context: Any, ca_file: str) -> None:
        """A child that forks while audio flows over TLS, and ends, leaves the connection as it is."""
        program = """
            session = client.listen()
            for _ in range(20):
                session.send(bytes(6400))
                child = os.fork()
                if child == 0:
                    sys.exit(0)
                os.waitpid(child, 0)
            print(session.close())
        """
        with Gateway(ssl_context=server_context) as gateway:
            with started(program, gateway.url, ca_certs=ca_file) as process:
                output, errors = process.communicate(timeout=LONG)
        assert (output, errors) == ("True\n", "")
        assert gateway.audio == bytes(128000)


class started:  # noqa: N801  (reads as the participle that it is)
    """A program of its own that has ``client``; ended, if it has not ended, on leaving the ``with``."""

    def __init__(self, program: str, url: str, **options: Any) -> None:
        options.update(api_key=KEY, base_url=url, reconnect=False)
        self._program = (
            "import os, sys, threading, time\n"
            "from slng_sync import Client, SessionClosed, Soniox\n"
            f"client = Client(Soniox(), **{options!r})\n" + textwrap.dedent(program)
        )

    def __enter__(self) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PYTHONDEVMODE": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._program],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def keep_error(call: Callable[[], Any], raised: List[BaseException]) -> None:
    """Call, and keep what it raises."""
    try:
        call()
    except BaseException as error:
        raised.append(error)


def left() -> List[int]:
    """How many threads, and how many descriptors where that can be counted."""
    proc = Path("/proc/self/fd")
    return [threading.active_count(), len(list(proc.iterdir())) if proc.exists() else 0]


def settles(before: List[int]) -> bool:
    """Whether no more is left than before, once the server has noticed as well."""
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        if all(now <= then for now, then in zip(left(), before)):
            return True
        time.sleep(0.01)
    return False


def test_a_close_frame_is_sent() -> None:
    """A session that is closed says goodbye to the server, with 1000."""
    farewells: List[bytes] = []

    def talk(peer: Peer) -> None:
        farewells.append(peer.read_until(CLOSE))
        peer.say(frame(farewells[0], CLOSE))

    with RawServer(after_upgrade(talk)) as server, client(server.url).listen():
        pass
    assert farewells == [b"\x03\xe8"]


def test_a_server_that_does_not_say_goodbye() -> None:
    """A server that never answers the close frame is waited for only a moment."""
    with RawServer(after_upgrade(read_everything)) as server:
        session = client(server.url).listen()
        with Took(less_than=LONG):
            session.close(timeout=60)


def test_sockets_are_closed_at_once() -> None:
    """When ``close`` has returned, the connection is gone for the server too."""
    gone = threading.Event()

    def talk(peer: Peer) -> None:
        peer.sock.settimeout(LONG)
        try:
            polite(peer)
            peer.wait_gone()
        except (EOFError, socket.timeout):
            pass
        gone.set()

    with RawServer(after_upgrade(talk)) as server:
        client(server.url).listen().close()
        assert gone.wait(LONG)
