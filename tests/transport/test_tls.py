"""TLS: who is believed, and that nothing gets lost in its records."""

import asyncio
import datetime
import hashlib
import selectors
import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings
from pathlib import Path
from typing import Any, List

import pytest
import trustme
from loopback import (
    LONG,
    SECOND,
    Gateway,
    Peer,
    RawServer,
    Told,
    Took,
    after_upgrade,
    client,
    end_of,
    final,
    frame,
    polite,
)
from websockets.asyncio.server import ServerConnection

from slng_sync import ConnectError, ConnectionLost, Soniox
from slng_sync.dialects.base import Message
from slng_sync.transport.connecting import ConnectAttempt
from slng_sync.transport.connection import Closed, Received, WebSocketMessage
from slng_sync.transport.endpoint import make_endpoint


def context_for(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """TLS for a server of that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def refused(server_context: ssl.SSLContext, **options: Any) -> ConnectError:
    """The error for a server with this certificate."""
    with RawServer(polite, ssl_context=server_context) as server, Took(less_than=LONG):
        with pytest.raises(ConnectError) as caught:
            client(server.url, connect_timeout=60, **options).listen()
    assert type(caught.value) is ConnectError
    return caught.value


class TestTrust:
    def test_an_authority_from_a_file(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """A company's own authority is given as a file."""
        with Gateway(ssl_context=server_context) as gateway:
            with client(gateway.url, ca_certs=ca_file).listen() as session:
                session.send(SECOND)
        assert gateway.audio == SECOND

    def test_an_authority_from_a_path(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """A path may be a Path."""
        with Gateway(ssl_context=server_context) as gateway:
            with client(gateway.url, ca_certs=Path(ca_file)).listen():
                pass
        assert gateway.connections == 1

    def test_an_authority_from_a_folder(
        self, server_context: ssl.SSLContext, ca_file: str, tmp_path: Path
    ) -> None:
        """A folder holds authorities under the hashes of their names."""
        command = ["openssl", "x509", "-noout", "-hash", "-in", ca_file]
        name = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().strip()
        shutil.copy(ca_file, tmp_path / f"{name}.0")
        with Gateway(ssl_context=server_context) as gateway:
            with client(gateway.url, ca_certs=str(tmp_path)).listen():
                pass
        assert gateway.connections == 1

    def test_a_context_of_the_programs_own(
        self, authority: trustme.CA, server_context: ssl.SSLContext
    ) -> None:
        """A program may bring its own context."""
        own = ssl.create_default_context()
        authority.configure_trust(own)
        with Gateway(ssl_context=server_context) as gateway:
            with client(gateway.url, ssl_context=own).listen():
                pass
        assert gateway.connections == 1

    def test_the_name_is_sent(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """The server is told which name is meant, so that it can choose its certificate."""
        names: List[Any] = []
        server_context.sni_callback = lambda sock, name, context: names.append(name)
        try:
            with Gateway(ssl_context=server_context) as gateway:
                url = gateway.url.replace("127.0.0.1", "localhost")
                with client(url, ca_certs=ca_file).listen():
                    pass
        finally:
            server_context.sni_callback = None
        assert names == ["localhost"]

    def test_an_unknown_authority(self, server_context: ssl.SSLContext) -> None:
        """A certificate that nobody vouches for is refused, with a hint at ``ca_certs``."""
        error = refused(server_context)
        assert "certificate of 127.0.0.1" in str(error) and "issuer certificate" in str(error)
        assert "ca_certs" in error.hint
        assert not error.retryable

    def test_a_wrong_host(self, authority: trustme.CA, ca_file: str) -> None:
        """A certificate for another host is refused."""
        error = refused(context_for(authority, "example.com"), ca_certs=ca_file)
        assert "certificate of 127.0.0.1" in str(error) and "not valid for" in str(error)
        assert not error.retryable

    def test_an_expired_certificate(self, authority: trustme.CA, ca_file: str) -> None:
        """A certificate out of date is refused, and the clock is mentioned."""
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        error = refused(context_for(authority, "127.0.0.1", not_after=past), ca_certs=ca_file)
        assert "expired" in str(error)
        assert "clock" in error.hint
        assert not error.retryable

    def test_a_refused_server_is_not_told_the_key(self, server_context: ssl.SSLContext) -> None:
        """Nothing is said to a server whose certificate is refused."""
        heard: List[bytes] = []
        with RawServer(lambda peer: heard.append(peer.read(1)), ssl_context=server_context) as server:
            with pytest.raises(ConnectError):
                client(server.url).listen()
        assert heard == []


class TestVersions:
    def test_old_versions_are_not_spoken(
        self, server_context: ssl.SSLContext, authority: trustme.CA, ca_file: str
    ) -> None:
        """A server that knows nothing newer than TLS 1.1 is refused."""
        old = context_for(authority, "127.0.0.1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        error = refused(old, ca_certs=ca_file)
        assert "127.0.0.1" in str(error)

    def test_tls_1_2_is_spoken(self, authority: trustme.CA, ca_file: str) -> None:
        """A server that knows nothing newer than TLS 1.2 will do."""
        context = context_for(authority, "127.0.0.1")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with Gateway(ssl_context=context) as gateway:
            with client(gateway.url, ca_certs=ca_file).listen() as session:
                session.send(SECOND)
        assert gateway.audio == SECOND

    def test_a_server_without_tls(self, ca_file: str) -> None:
        """Plain text where TLS was expected is an error at once."""

        def talk(peer: Peer) -> None:
            peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\nThis port wants no TLS")
            peer.wait_gone()

        with RawServer(talk) as server, Took(less_than=LONG), pytest.raises(ConnectError) as caught:
            client(server.url.replace("ws://", "wss://"), ca_certs=ca_file, connect_timeout=60).listen()
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert caught.value.hint

    def test_a_silent_handshake(self, ca_file: str) -> None:
        """A server that never answers the TLS handshake is given up after ``connect_timeout``."""
        with RawServer(Peer.wait_gone) as server, Took(less_than=LONG):
            with pytest.raises(ConnectError, match=r"did not answer within 0\.5 s"):
                client(server.url.replace("ws://", "wss://"), ca_certs=ca_file, connect_timeout=0.5).listen()

    def test_it_closes_within_the_handshake(self, ca_file: str) -> None:
        """A server that hangs up within the TLS handshake is a ConnectError."""
        with RawServer(lambda peer: peer.read(5)) as server, pytest.raises(ConnectError) as caught:
            client(server.url.replace("ws://", "wss://"), ca_certs=ca_file).listen()
        assert caught.value.retryable


class TestRecords:
    def test_several_frames_in_one_record(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """Frames that come in one record are all heard, although the socket shows only the first."""
        words = [f"word {number}" for number in range(150)]

        def talk(peer: Peer) -> None:
            record = b"".join(frame(final(word)) for word in words)
            assert len(record) < 16384
            peer.say(record)
            polite(peer)

        told = Told()
        with RawServer(after_upgrade(talk), ssl_context=server_context) as server:
            with client(server.url, ca_certs=ca_file, **told.callbacks).listen():
                told.wait_for(lambda: len(told.finals) == len(words))
        assert told.finals == words

    def test_frames_in_the_record_of_the_answer(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """Frames in one record with the 101 are heard."""

        def talk(peer: Peer) -> None:
            peer.upgrade(early=frame(final("one")) + frame(final("two")))
            polite(peer)

        told = Told()
        with RawServer(talk, ssl_context=server_context) as server:
            with client(server.url, ca_certs=ca_file, **told.callbacks).listen():
                told.wait_for(lambda: told.finals == ["one", "two"])

    def test_a_message_over_many_records(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """A message of 3 MB comes in one piece."""
        words = "x" * 3_000_000
        told = Told()

        def talk(peer: Peer) -> None:
            peer.say(frame(final(words)))
            polite(peer)

        with RawServer(after_upgrade(talk), ssl_context=server_context) as server:
            with client(server.url, ca_certs=ca_file, **told.callbacks).listen():
                told.wait_for(lambda: told.finals == [words])

    @pytest.mark.parametrize("farewell", [Peer.reset, lambda peer: None])
    def test_an_end_without_goodbye(
        self, farewell: Any, server_context: ssl.SSLContext, ca_file: str
    ) -> None:
        """TLS that breaks off is a lost connection, told once."""
        with RawServer(after_upgrade(farewell), ssl_context=server_context) as server:
            error = end_of(client(server.url, ca_certs=ca_file).listen())
        assert isinstance(error, ConnectionLost)
        assert error.code == 1006


class TestBothWays:
    def test_a_long_conversation(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """Two threads send while the server floods: every word and every sample arrives, in order."""
        count = 3000

        async def talk(websocket: ServerConnection, gateway: Gateway) -> None:
            await websocket.recv()
            flood = asyncio.ensure_future(say_all(websocket))
            async for message in websocket:
                if isinstance(message, bytes):
                    gateway.audio += message
                elif "finalize" in message:
                    await flood
                    await websocket.send('{"tokens":[{"text":"<fin>","is_final":true}]}')
                else:
                    await websocket.send('{"tokens":[],"finished":true}')
                    return

        async def say_all(websocket: ServerConnection) -> None:
            for number in range(count):
                await websocket.send(frame(final(f"{number} {'x' * 300}"))[4:].decode())
                if number % 20 == 0:
                    await asyncio.sleep(0.001)

        told = Told()
        samples = b"\1\0" * 800
        with Gateway(talk, ssl_context=server_context) as gateway:
            with client(gateway.url, ca_certs=ca_file, **told.callbacks).listen() as session:
                senders = [threading.Thread(target=feed, args=(session.send, samples)) for _ in range(2)]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join(LONG)
                told.wait_for(lambda: len(told.finals) == count)
        assert told.finals == [f"{number} {'x' * 300}" for number in range(count)]
        assert gateway.audio == samples * 400
        assert told.errors == []

    def test_thousands_of_frames_both_ways(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """One thread sends thousands of frames while it reads thousands: none is harmed."""
        count = 4000

        async def talk(websocket: ServerConnection, gateway: Gateway) -> None:
            flood = asyncio.ensure_future(say_all(websocket))
            for _ in range(count):
                gateway.audio += await websocket.recv()  # type: ignore[operator]
            await flood
            await websocket.close()

        async def say_all(websocket: ServerConnection) -> None:
            for number in range(count):
                await websocket.send(payload(number))

        with Gateway(talk, ssl_context=server_context) as gateway:
            heard = converse(gateway.url, ca_file, count)
        assert len(heard) == count
        assert heard == [payload(number) for number in range(count)]
        sent = b"".join(map(payload, range(count)))
        assert hashlib.sha256(gateway.audio).digest() == hashlib.sha256(sent).digest()


def feed(send: Any, samples: bytes) -> None:
    for _ in range(200):
        send(samples)
        time.sleep(0.002)


def payload(number: int) -> bytes:
    """A message that no other is like."""
    return f"{number:06d}".encode() * (50 + number % 300)


def converse(url: str, ca_file: str, count: int) -> List[bytes]:
    """Send and read on one connection, as ``slng-io`` does: one thread, one poll."""
    endpoint = make_endpoint(Soniox(), "key", None, None, url, None, None, ca_file, None)
    attempt = ConnectAttempt(endpoint, "/", LONG)
    attempt.start().result(LONG)
    connection = attempt.take()
    messages = (Message(payload(number), binary=True) for number in range(count))
    heard: List[Received] = []
    until = time.monotonic() + 2 * LONG
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        while not heard or not isinstance(heard[-1], Closed):
            assert time.monotonic() < until, "the conversation does not end"
            while not connection.backlog:
                message = next(messages, None)
                if message is None:
                    break
                connection.send(message)
                connection.flush()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.backlog else 0)
            selector.modify(connection.sock, events)
            selector.select(0 if connection.has_more else 1.0)
            connection.flush()
            heard += connection.receive()
    connection.close()
    return [each.payload for each in heard if isinstance(each, WebSocketMessage)]


def test_a_plain_socket_is_no_tls(ca_file: str) -> None:
    """A port that talks first in another protocol is refused on wss."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=greet, args=(listening,))
        thread.start()
        with pytest.raises(ConnectError):
            client(f"wss://127.0.0.1:{listening.getsockname()[1]}", ca_certs=ca_file).listen()
        thread.join(LONG)


def greet(listening: socket.socket) -> None:
    sock, _ = listening.accept()
    with sock:
        sock.sendall(b"220 mail.example.com ESMTP\r\n")
        sock.recv(1000)
