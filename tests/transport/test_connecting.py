"""An attempt to connect: its thread, its deadline, its end, and several addresses of one host."""

import select
import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Optional

import pytest
from loopback import LONG, TEXT, Peer, Proxy, RawServer, Took, accepting, frame

from slng_sync import ConnectError, SessionClosed, Soniox
from slng_sync.dialects.base import Message
from slng_sync.transport import tcp
from slng_sync.transport.connecting import ConnectAttempt
from slng_sync.transport.connection import WebSocketConnection, WebSocketMessage
from slng_sync.transport.endpoint import make_endpoint


def attempt_at(
    url: str, timeout: float = LONG, *, ca_file: Optional[str] = None, proxy: str = ""
) -> ConnectAttempt:
    endpoint = make_endpoint(Soniox(), "a-key-of-ours", None, None, url, None, None, ca_file, proxy)
    return ConnectAttempt(endpoint, "/v1", timeout)


def connect(*args: Any, **options: Any) -> WebSocketConnection:
    """Connect on the attempt's thread. Raises what the attempt raises."""
    attempt = attempt_at(*args, **options)
    attempt.start().exception(LONG)
    return attempt.take()


def echo(peer: Peer) -> None:
    peer.upgrade()
    while True:
        kind, payload = peer.read_frame()
        peer.say(frame(payload, kind))


def converse(connection: WebSocketConnection) -> None:
    """Send a message to ``echo``, and receive it."""
    connection.send(Message(b"hello"))
    connection.flush()
    assert select.select([connection.sock], [], [], LONG)[0]
    assert connection.receive() == [WebSocketMessage(TEXT, b"hello")]
    connection.close()


def our_threads() -> List[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("slng")]


@contextmanager
def silent(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that swallows packets: the system answers no connection while the queue is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((host, port))
        listening.listen(0)
        waiting = [socket.socket(family) for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        try:
            yield listening.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """The addresses that the name server has for ``several.invalid``."""
    hosts: List[str] = []
    resolve = socket.getaddrinfo

    def answer(host: str, *args: Any, **options: Any) -> Any:
        if host != "several.invalid":
            return resolve(host, *args, **options)
        return [each for host in hosts for each in resolve(host, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return hosts


class TestThread:
    def test_it_ends_with_the_attempt(self) -> None:
        names: List[str] = []
        with RawServer(echo) as server:
            attempt = attempt_at(server.url)
            future = attempt.start()
            future.add_done_callback(lambda _: names.append(threading.current_thread().name))
            connection = future.result(LONG)
            assert attempt.take() is connection
            converse(connection)
        assert names in (["slng-connect"], ["MainThread"])
        while our_threads():
            time.sleep(0.01)

    def test_tls(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        with RawServer(echo, ssl_context=server_context) as server:
            converse(connect(server.url, ca_file=ca_file))

    def test_a_proxy(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        with RawServer(echo, ssl_context=server_context) as server, Proxy() as proxy:
            converse(connect(server.url, ca_file=ca_file, proxy=proxy.url))

    def test_frames_with_the_answer(self) -> None:
        def talk(peer: Peer) -> None:
            peer.upgrade(early=frame(b"one") + frame(b"two"))
            peer.wait_gone()

        with RawServer(talk) as server:
            connection = connect(server.url)
            assert connection.has_more
            assert connection.receive() == [WebSocketMessage(TEXT, b"one"), WebSocketMessage(TEXT, b"two")]
            assert not connection.has_more
            connection.close()

    def test_no_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error of the system is raised, and no file is left open."""

        def start(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            attempt_at("ws://127.0.0.1:9").start()

    def test_one_that_is_never_started(self) -> None:
        attempt_at("ws://127.0.0.1:9").cancel()

    def test_the_future_cannot_be_cancelled(self) -> None:
        with RawServer(echo) as server:
            attempt = attempt_at(server.url)
            assert not attempt.start().cancel()
            attempt.future.result(LONG)
            converse(attempt.take())


class TestDeadline:
    @pytest.mark.parametrize("secure", [False, True])
    def test_silence(self, secure: bool, ca_file: str) -> None:
        """A server that says nothing, in TLS or in the upgrade."""
        with RawServer(Peer.wait_gone) as server, Took(less_than=LONG / 2):
            url = server.url.replace("ws:", "wss:") if secure else server.url
            with pytest.raises(ConnectError, match=r"did not answer within 0\.3 s") as caught:
                connect(url, 0.3, ca_file=ca_file if secure else None)
        assert caught.value.retryable

    def test_an_answer_in_drops(self) -> None:
        def talk(peer: Peer) -> None:
            for byte in accepting(peer.read_request(), "X: y\r\n" * 1000):
                peer.say(bytes([byte]))
                peer.stopping.wait(0.01)

        with RawServer(talk) as server, Took(less_than=LONG / 2):
            with pytest.raises(ConnectError, match="did not answer within"):
                connect(server.url, 0.5)

    def test_a_look_up_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The engine stops waiting, with the error that the attempt itself would have."""
        released = threading.Event()

        def hang(*_: object, **__: object) -> Any:
            released.wait(LONG)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        attempt = attempt_at("ws://slow.invalid:80", 0.1)
        future = attempt.start()
        time.sleep(max(0.0, attempt.deadline - time.monotonic()))
        assert not future.done()
        assert "slow.invalid:80 did not answer within 0.1 s" in str(attempt.timeout_error())
        attempt.cancel()
        released.set()
        assert isinstance(future.exception(LONG), ConnectError)

    def test_after_a_look_up_that_was_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve = socket.getaddrinfo

        def slow(*args: Any, **options: Any) -> Any:
            time.sleep(0.3)
            return resolve(*args, **options)

        with RawServer(echo) as server:
            monkeypatch.setattr(socket, "getaddrinfo", slow)
            with pytest.raises(ConnectError, match="did not answer within"):
                connect(server.url, 0.1)
            assert server.connections == 0


STEPS = {
    "tcp": lambda: silent(),
    "tls": lambda: RawServer(Peer.wait_gone),
    "upgrade": lambda: RawServer(Peer.wait_gone),
    "proxy": lambda: RawServer(Peer.wait_gone),
}


class TestCancel:
    @pytest.mark.parametrize("step", STEPS)
    def test_it_ends_at_once(self, step: str) -> None:
        """Whatever the attempt waits for, it ends when it is cancelled, and closes its socket."""
        make: Callable[[], Any] = STEPS[step]
        with make() as server:
            port = server if isinstance(server, int) else server.port
            proxy = f"http://127.0.0.1:{port}" if step == "proxy" else ""
            attempt = attempt_at(f"{'wss' if step == 'tls' else 'ws'}://127.0.0.1:{port}", proxy=proxy)
            future = attempt.start()
            time.sleep(0.1)
            assert not future.done()
            with Took(less_than=LONG / 4):
                attempt.cancel()
                assert isinstance(future.exception(LONG), SessionClosed)
            with pytest.raises(SessionClosed):
                attempt.take()

    def test_by_a_signal_handler(self) -> None:
        with RawServer(Peer.wait_gone) as server:
            attempt = attempt_at(server.url)
            future = attempt.start()
            before = signal.signal(signal.SIGALRM, lambda number, stack: attempt.cancel())
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                assert isinstance(future.exception(LONG), SessionClosed)
            finally:
                signal.signal(signal.SIGALRM, before)

    def test_before_it_is_started(self) -> None:
        with RawServer(echo) as server:
            attempt = attempt_at(server.url)
            attempt.cancel()
            assert isinstance(attempt.start().exception(LONG), SessionClosed)
            assert server.connections == 0

    def test_a_connection_that_was_not_taken(self) -> None:
        """It is closed, and cannot be taken any more."""
        gone = threading.Event()

        def talk(peer: Peer) -> None:
            peer.upgrade()
            peer.wait_gone()
            gone.set()

        with RawServer(talk) as server:
            attempt = attempt_at(server.url)
            attempt.start().result(LONG)
            attempt.cancel()
            assert gone.wait(LONG)
            with pytest.raises(SessionClosed):
                attempt.take()

    def test_a_connection_that_was_taken(self) -> None:
        """It is its owner's, and stays open."""
        with RawServer(echo) as server:
            attempt = attempt_at(server.url)
            attempt.start().result(LONG)
            connection = attempt.take()
            attempt.cancel()
            converse(connection)

    def test_at_any_moment(self) -> None:
        """A connection is either taken or closed: no socket is left."""
        with RawServer(echo) as server:
            for number in range(60):
                attempt = attempt_at(server.url)
                future = attempt.start()
                time.sleep(number * 0.00005)
                attempt.cancel()
                future.exception(LONG)
                with pytest.raises(SessionClosed):
                    attempt.take()


class TestAddresses:
    @pytest.mark.parametrize("dead", ["127.0.0.2", "::1"])
    def test_a_silent_one_costs_a_quarter_of_a_second(self, dead: str, addresses: List[str]) -> None:
        addresses += [dead, "127.0.0.1"]
        with RawServer(echo) as server, silent(dead, server.port):
            with Took(less_than=3):
                converse(connect(f"ws://several.invalid:{server.port}"))

    def test_one_that_refuses_costs_nothing(self, addresses: List[str]) -> None:
        addresses += ["::1", "127.0.0.2", "127.0.0.1"]
        with RawServer(echo) as server:
            with Took(less_than=tcp.ATTEMPT_DELAY):
                connect(f"ws://several.invalid:{server.port}").close()

    def test_the_first_one_is_used_if_it_answers(self, addresses: List[str]) -> None:
        with RawServer(echo) as server:
            addresses += ["127.0.0.1", "::1"]
            connection = connect(f"ws://several.invalid:{server.port}")
            assert connection.sock.getpeername()[0] == "127.0.0.1"
            converse(connection)
            assert server.connections == 1

    def test_a_late_answer_of_the_first_one_counts(
        self, addresses: List[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first address goes on being waited for while the next ones are tried."""
        monkeypatch.setattr(tcp, "ATTEMPT_DELAY", 0.01)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            port = listening.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)):
                addresses += ["127.0.0.1", "127.0.0.2"]
                attempt = attempt_at(f"ws://several.invalid:{port}")
                future = attempt.start()
                time.sleep(0.2)
                accepted = [listening.accept()[0], listening.accept()[0]]
                for each in accepted:
                    each.close()
                # The second one refuses; the error is of the first one's connection, which was made.
                assert "refused" not in str(future.exception(LONG))

    def test_none_answers(self, addresses: List[str]) -> None:
        """The error is told when the last one has failed."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            addresses += ["::1", "127.0.0.1", "127.0.0.2"]
            with Took(less_than=LONG / 2), pytest.raises(ConnectError, match="connection refused"):
                connect(f"ws://several.invalid:{port}")

    def test_none_answers_in_time(self, addresses: List[str]) -> None:
        addresses += ["127.0.0.1", "127.0.0.2"]
        with silent() as port, silent("127.0.0.2", port), Took(less_than=LONG / 2):
            with pytest.raises(ConnectError, match="did not answer within"):
                connect(f"ws://several.invalid:{port}", 0.5)

    def test_families_take_turns(self, addresses: List[str]) -> None:
        addresses += ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"]
        found = [each.address[0] for each in tcp.look_up("several.invalid", 80)]
        assert found == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]
