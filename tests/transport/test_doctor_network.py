"""What the doctor finds out about the way to a gateway: each fault is made on loopback."""

import datetime
import inspect
import socket
import ssl
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any, Dict

import pytest
import trustme
from loopback import KEY, LONG, Gateway, Peer, Proxy, RawServer, Took, polite

from slng_sync.doctor import FAILED, OK, SKIPPED, WARNING, Case, Check, examine, network
from slng_sync.doctor.tls import tls

BASIC = "Basic " + b64encode(b"ann:pass-word").decode()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLNG_API_KEY", KEY)


def examined(url: str, **options: Any) -> Dict[str, Check]:
    """What all the checks but those of the microphone have found."""
    return {check.name: check for check in examine(Case(microphone=False, base_url=url, **options))}


def context_for(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """TLS for a server of that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def refused(context: ssl.SSLContext) -> Check:
    """The check of TLS with a server with this certificate; nothing else is tried with it."""
    with RawServer(polite, ssl_context=context) as server, Took(less_than=LONG):
        found = examined(server.url)
    assert found["tcp"].status == OK
    assert found["tls"].status == FAILED
    assert found["session"].status == SKIPPED
    return found["tls"]


class TestCertificate:
    def test_an_unknown_authority(self, authority: trustme.CA) -> None:
        """Who issued it is told, although it is not believed."""
        check = refused(context_for(authority, "127.0.0.1", organization_name="Acme"))
        assert "issued by trustme" in check.cure and "SSL_CERT_FILE" in check.cure
        assert "trustme" in check.figures["issuer"]
        assert check.figures["subject"] == "Acme"

    def test_one_that_vouches_for_itself(self, tmp_path: Path) -> None:
        """A server's certificate that is an authority at once is told as its own."""
        authority = trustme.CA(organization_name="Self Made")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for blob in (authority.private_key_pem, authority.cert_pem):
            blob.write_to_path(str(tmp_path / "own.pem"), append=True)
        context.load_cert_chain(str(tmp_path / "own.pem"))
        check = refused(context)
        assert "Self Made is self-signed" in check.cure

    def test_expired(self, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its end is told beside the computer's own time."""
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        check = refused(context_for(authority, "127.0.0.1", not_after=past))
        assert f"expired on {past:%Y-%m-%d}" in check.cure
        assert f"{past + datetime.timedelta(days=1):%Y-%m}" in check.cure

    def test_not_valid_yet(
        self, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A certificate of the future means that the computer's clock is behind."""
        if "not_before" not in inspect.signature(authority.issue_cert).parameters:
            pytest.skip("this version of trustme issues none for the future")
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        now = datetime.datetime.now(datetime.timezone.utc)
        days = {"not_before": now + datetime.timedelta(days=8), "not_after": now + datetime.timedelta(days=9)}
        assert "clock is behind" in refused(context_for(authority, "127.0.0.1", **days)).cure

    def test_a_wrong_host(self, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate for somebody else means that somebody else has answered."""
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        check = refused(context_for(authority, "example.com", organization_name="Hotel Wi-Fi"))
        assert "Another server answers for 127.0.0.1" in check.cure and "Hotel Wi-Fi" in check.cure


class TestTls:
    def test_a_whole_session(
        self, server_context: ssl.SSLContext, ca_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where all is well, the figures say how quick it was."""
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        with Gateway(ssl_context=server_context) as gateway:
            found = examined(gateway.url)
        assert found["session"].status == OK, found["session"]
        assert len(gateway.audio) == 32000
        assert found["tls"].figures["version"].startswith("TLSv1.")
        assert found["tls"].figures["ms"] >= 0

    def test_a_server_without_tls(self) -> None:
        """Plain text where TLS was expected is told as that."""

        def talk(peer: Peer) -> None:
            peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\nThis port wants no TLS")
            peer.wait_gone()

        with RawServer(talk) as server, Took(less_than=LONG):
            check = examined(server.url.replace("ws://", "wss://"))["tls"]
        assert check.status == FAILED
        assert "does not speak TLS" in check.cure

    def test_it_is_cut_off(self) -> None:
        """A connection that ends within the handshake is told as cut off."""
        with RawServer(lambda peer: peer.read(5)) as server, Took(less_than=LONG):
            check = examined(server.url.replace("ws://", "wss://"))["tls"]
        assert check.status == FAILED
        assert "interrupts TLS" in check.cure

    def test_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that says nothing is given up."""
        monkeypatch.setattr(network, "CONNECT_SECONDS", 0.5)
        with RawServer(Peer.wait_gone) as server, Took(less_than=LONG):
            check = examined(server.url.replace("ws://", "wss://"))["tls"]
        assert check.status == FAILED
        assert "did not answer within 0.5 s" in check.detail

    def test_none_over_a_network(self) -> None:
        """Without encryption, the key can be read by others."""
        case = Case(base_url="ws://gateway.invalid")
        network.gateway(case)
        assert tls(case).status == WARNING
        assert "wss://" in tls(case).cure


class TestProxy:
    def test_through_a_proxy_with_a_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every layer goes through the proxy, and nobody gets to see its password."""
        with Gateway() as gateway, Proxy(BASIC) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://ann:pass-word@"))
            found = examined(gateway.url)
        assert found["session"].status == OK, found["session"]
        assert len(proxy.requests) == 2, "one for the connection, one for the session"
        assert "http_proxy" in found["proxy"].detail and "password" in found["proxy"].detail
        assert not [each for each in found.values() if "pass-word" in repr(each) or KEY in repr(each)]

    def test_a_wrong_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that refuses is told as the proxy, with the variable that names it."""
        with Proxy(BASIC) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://ann:wrong-word@"))
            found = examined("ws://127.0.0.1:9")
        assert "407" in found["tcp"].detail
        assert "password" in found["tcp"].cure and "http_proxy" in found["tcp"].cure
        assert not [each for each in found.values() if "wrong-word" in repr(each)]

    def test_the_proxys_name_is_looked_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Behind a proxy, its own name has to be known; the gateway's is its business."""
        monkeypatch.setenv("https_proxy", "no-such-proxy.invalid:3128")
        found = examined("wss://api.slng.ai")
        assert found["dns"].status == FAILED
        assert "no-such-proxy.invalid" in found["dns"].detail

    def test_the_local_gateway_needs_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With ``--local``, the environment's proxy is passed over."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("SLNG_API_KEY")
        with Gateway() as gateway:
            found = examined("", start_local=lambda: gateway.url)
        assert found["session"].status == OK, found["session"]
        assert found["key"].status == OK


class TestName:
    def test_a_look_up_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The system's look-up has no bound of its own; ours is kept."""
        released = threading.Event()

        def look_up(*_: object, **__: object) -> Any:
            released.wait(LONG)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(network, "DNS_SECONDS", 0.2)
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        found = examined("wss://api.slng.ai")
        released.set()
        assert "not found within 0.2 s" in found["dns"].detail
        assert found["tls"].status == SKIPPED

    def test_an_address_needs_no_look_up(self) -> None:
        """An address is one already."""
        case = Case(base_url="wss://[::1]:1")
        network.gateway(case)
        assert network.dns(case).status == OK
