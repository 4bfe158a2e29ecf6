"""Through an HTTP proxy: by CONNECT, with or without a password that nobody gets to see."""

import ssl
from base64 import b64encode
from typing import Any, List

import pytest
from loopback import KEY, LONG, SECOND, Gateway, Peer, Proxy, RawServer, Told, Took, client

from slng_sync import ConfigurationError, ConnectError

BASIC = "Basic " + b64encode(b"ann:pass:w@rd").decode()
WITH_PASSWORD = "http://ann:pass%3Aw%40rd@"


def refused(proxy: str, **options: Any) -> ConnectError:
    """The error for a connection through this proxy."""
    with pytest.raises(ConnectError) as caught:
        client("ws://127.0.0.1:9", proxy=proxy, **options).listen()
    return caught.value


class TestTunnel:
    def test_a_conversation_through_a_proxy(self) -> None:
        """What is said goes through the tunnel, both ways; the proxy sees only where to."""
        told = Told()
        with Gateway() as gateway, Proxy() as proxy:
            with client(gateway.url, proxy=proxy.url, **told.callbacks).listen() as session:
                session.send(SECOND)
        assert gateway.audio == SECOND
        assert told.finals == ["32000 bytes"]
        (request,) = proxy.requests
        assert request.line == f"CONNECT 127.0.0.1:{gateway.port} HTTP/1.1"
        assert request.values("host") == [f"127.0.0.1:{gateway.port}"]
        assert not any(KEY in value for _, value in request.headers)

    def test_tls_through_a_proxy(self, server_context: ssl.SSLContext, ca_file: str) -> None:
        """TLS is spoken with the gateway, not with the proxy."""
        with Gateway(ssl_context=server_context) as gateway, Proxy() as proxy:
            with client(gateway.url, proxy=proxy.url, ca_certs=ca_file).listen() as session:
                session.send(SECOND)
        assert gateway.audio == SECOND
        assert len(proxy.requests) == 1

    def test_the_password_of_the_proxy(self) -> None:
        """User and password in the address are decoded and given to the proxy."""
        with Gateway() as gateway, Proxy(BASIC) as proxy:
            address = proxy.url.replace("http://", WITH_PASSWORD)
            with client(gateway.url, proxy=address).listen():
                pass
        assert gateway.connections == 1

    def test_an_address_without_a_scheme(self) -> None:
        """``host:port`` is enough."""
        with Gateway() as gateway, Proxy() as proxy:
            with client(gateway.url, proxy=proxy.url.replace("http://", "")).listen():
                pass
        assert len(proxy.requests) == 1

    def test_ipv6_through_a_proxy(self) -> None:
        """An IPv6 address keeps its brackets in the request to the proxy."""
        with Gateway(host="::1") as gateway, Proxy() as proxy:
            with client(gateway.url, proxy=proxy.url).listen():
                pass
        assert proxy.requests[0].line == f"CONNECT [::1]:{gateway.port} HTTP/1.1"


class TestEnvironment:
    def test_http_proxy_is_for_ws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's ``http_proxy`` is used for ws."""
        with Gateway() as gateway, Proxy() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            with client(gateway.url).listen():
                pass
        assert len(proxy.requests) == 1

    @pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
    def test_https_proxy_is_for_wss(
        self, name: str, monkeypatch: pytest.MonkeyPatch, server_context: ssl.SSLContext, ca_file: str
    ) -> None:
        """The environment's ``https_proxy`` is used for wss, and the other one is not."""
        with Gateway(ssl_context=server_context) as gateway, Proxy() as proxy:
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
            with client(gateway.url, ca_certs=ca_file).listen():
                pass
        assert len(proxy.requests) == 1

    @pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
    def test_no_proxy(self, exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hosts in ``no_proxy`` are reached directly."""
        with Gateway() as gateway, Proxy() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", exempt)
            with client(gateway.url).listen():
                pass
        assert proxy.requests == []
        assert gateway.connections == 1

    def test_no_proxy_with_a_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``no_proxy`` may name a host with its port."""
        with Gateway() as gateway, Proxy() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", f"127.0.0.1:{gateway.port}")
            with client(gateway.url).listen():
                pass
        assert proxy.requests == []

    def test_no_proxy_is_for_whole_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who is exempt under ``example.com`` is not exempt under ``evilexample.com``."""
        monkeypatch.setenv("no_proxy", ".example.com")
        with Proxy(refuse="HTTP/1.1 502 Bad\r\n\r\n") as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            with pytest.raises(ConnectError):
                client("ws://evilexample.com").listen()
        assert [request.line for request in proxy.requests] == ["CONNECT evilexample.com:80 HTTP/1.1"]

    def test_an_empty_proxy_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``proxy=""`` ignores what the environment says."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with Gateway() as gateway:
            with client(gateway.url, proxy="").listen():
                pass
        assert gateway.connections == 1

    def test_a_given_proxy_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The argument is stronger than ``http_proxy`` and ``no_proxy``."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "*")
        with Gateway() as gateway, Proxy() as proxy:
            with client(gateway.url, proxy=proxy.url).listen():
                pass
        assert len(proxy.requests) == 1

    def test_a_proxy_of_another_kind_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that is not understood is an error when the client is made, not passed over."""
        monkeypatch.setenv("https_proxy", "socks5://ann:secret@127.0.0.1:1080")
        with pytest.raises(ConfigurationError, match="proxy") as caught:
            client("wss://api.slng.ai")
        assert "secret" not in str(caught.value)


class TestRefused:
    def test_the_proxy_wants_a_password(self) -> None:
        """A 407 says that it was the proxy that refused, and is not worth a retry."""
        with Proxy(BASIC) as proxy:
            error = refused(proxy.url)
        assert error.status == 407
        assert "proxy" in error.message and "password" in error.hint
        assert not error.retryable

    def test_a_wrong_password_is_not_shown(self) -> None:
        """A password appears in no message and in no repr."""
        with Proxy(BASIC) as proxy:
            address = proxy.url.replace("http://", "http://ann:wrong-secret@")
            one = client("ws://127.0.0.1:9", proxy=address)
            with pytest.raises(ConnectError) as caught:
                one.listen()
        shown = [str(caught.value), repr(caught.value), repr(one), repr(vars(caught.value))]
        secret = b64encode(b"ann:wrong-secret").decode()
        assert not [each for each in shown if "wrong-secret" in each or secret in each]

    @pytest.mark.parametrize(("status", "retryable"), [(403, False), (502, True), (503, True)])
    def test_the_proxy_refuses(self, status: int, retryable: bool) -> None:
        """What a proxy answers instead of 200 is told as the proxy's."""
        with Proxy(refuse=f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno") as proxy:
            error = refused(proxy.url)
        assert (error.status, error.retryable) == (status, retryable)
        assert "proxy" in error.message.lower()

    @pytest.mark.parametrize(
        "answer",
        [
            "",
            "hello\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 " + "9" * 5000 + "\r\n\r\n",
        ],
        ids=lambda answer: repr(answer[:20]),
    )
    def test_what_is_no_proxy(self, answer: str) -> None:
        """A server that does not answer as a proxy is told as a bad proxy."""

        def talk(peer: Peer) -> None:
            peer.read_request()
            peer.say(answer.encode())

        with RawServer(talk) as server:
            error = refused(server.url.replace("ws://", "http://"))
        assert "proxy" in error.message.lower()
        assert error.status is None

    def test_an_endless_answer(self) -> None:
        """A proxy whose answer has no end is given up."""

        def talk(peer: Peer) -> None:
            peer.read_request()
            peer.say(b"HTTP/1.1 200 OK\r\nX: ")
            peer.flood(b"x" * 1000)

        with RawServer(talk) as server, Took(less_than=LONG):
            error = refused(server.url.replace("ws://", "http://"), connect_timeout=60)
        assert "proxy" in error.message.lower()

    def test_a_silent_proxy(self) -> None:
        """A proxy that never answers is given up after ``connect_timeout``."""
        with RawServer(Peer.wait_gone) as server, Took(less_than=LONG):
            error = refused(server.url.replace("ws://", "http://"), connect_timeout=0.5)
        assert error.retryable

    def test_nobody_is_there(self) -> None:
        """Where the proxy itself cannot be reached, the error speaks of the proxy."""
        error = refused("http://127.0.0.1:1")
        assert "proxy" in str(error).lower()
        assert "127.0.0.1:1" in str(error)

    def test_an_unknown_proxy(self) -> None:
        """Where the proxy's name is not known, the error speaks of the proxy."""
        error = refused("http://ann:secret@no-such-proxy.invalid:3128")
        assert "no-such-proxy.invalid" in str(error)
        assert "secret" not in str(error)


def test_the_proxy_sees_no_more_than_it_must(server_context: ssl.SSLContext, ca_file: str) -> None:
    """Over TLS, neither the key nor the path is visible to the proxy."""
    seen: List[bytes] = []

    def talk(peer: Peer) -> None:
        seen.append(peer.read_request().line.encode())
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                seen.append(peer.read(1))
        except EOFError:
            pass

    with RawServer(talk) as server, pytest.raises(ConnectError):
        address = server.url.replace("ws://", "http://")
        client("wss://127.0.0.1:9", proxy=address, ca_certs=ca_file, connect_timeout=1).listen()
    assert KEY.encode() not in b"".join(seen) and b"speech-ai" not in b"".join(seen)
