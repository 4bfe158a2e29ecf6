"""From the first packet to the 101, or to whatever else is answered."""

import datetime
import email.utils
import json
import os
import socket
import threading
import time
import tracemalloc
from typing import Any, Callable, List, Type

import pytest
from loopback import (
    KEY,
    LONG,
    Gateway,
    Peer,
    RawServer,
    Request,
    Told,
    Took,
    accepting,
    after_upgrade,
    client,
    final,
    frame,
    polite,
)

from slng_sync import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectError,
    QuotaError,
    Reson8,
    SlngError,
    Soniox,
)

MEGABYTE = 1 << 20


def requested(**options: Any) -> Request:
    """What the request for a connection looks like."""
    requests: List[Request] = []

    def talk(peer: Peer) -> None:
        requests.append(peer.upgrade())
        polite(peer)

    with RawServer(talk) as server, client(server.url, **options).listen():
        pass
    (request,) = requests
    return request


def refused(answer: bytes, then: Callable[[Peer], Any] = lambda peer: None, **options: Any) -> ConnectError:
    """The error for a server that answers so and does ``then`` before it closes."""

    def talk(peer: Peer) -> None:
        peer.read_request()
        peer.say(answer)
        then(peer)

    options.setdefault("connect_timeout", LONG)
    with RawServer(talk) as server:
        with pytest.raises(SlngError) as caught:
            client(server.url, **options).listen()
        assert server.connections == 1
    assert isinstance(caught.value, ConnectError), repr(caught.value)
    return caught.value


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class TestRequest:
    def test_the_key_goes_into_one_header(self) -> None:
        """The upgrade carries the key as a bearer token, and nowhere else."""
        request = requested()
        assert request.values("authorization") == [f"Bearer {KEY}"]
        rest = [value for name, value in request.headers if name != "authorization"]
        assert not any(KEY in each for each in [request.line, *rest])

    def test_the_path_keeps_its_colon(self) -> None:
        """The path is the model's, with the colon as it is."""
        assert requested().line == "GET /v1/stt/soniox/speech-ai:rt-v4 HTTP/1.1"

    def test_the_path_of_reson8(self) -> None:
        """Each model has a path of its own."""
        lines: List[str] = []

        def talk(peer: Peer) -> None:
            lines.append(peer.upgrade().line)
            peer.read_frame()
            peer.say(frame({"type": "ready", "session_id": "1"}))
            peer.wait_gone()

        with RawServer(talk) as server:
            client(server.url, model=Reson8()).listen().abort()
        assert lines == ["GET /v1/stt/reson8/reson8stt:v1 HTTP/1.1"]

    @pytest.mark.parametrize("ending", ["/gateway", "/gateway/"])
    def test_a_base_url_may_have_a_path(self, ending: str) -> None:
        """The path of ``base_url`` stands before the model's, whether it ends in a slash or not."""
        requests: List[Request] = []

        def talk(peer: Peer) -> None:
            requests.append(peer.upgrade())
            polite(peer)

        with RawServer(talk) as server, client(server.url + ending).listen():
            pass
        assert requests[0].line.split()[1] == "/gateway/v1/stt/soniox/speech-ai:rt-v4"

    def test_overrides_are_headers(self) -> None:
        """World part and region go into the gateway's override headers."""
        request = requested(world_part="eu", region="eu-north-1,eu-west-1")
        assert request.values("x-world-part-override") == ["eu"]
        assert request.values("x-region-override") == ["eu-north-1,eu-west-1"]

    def test_without_overrides_there_are_no_such_headers(self) -> None:
        """Nothing is overridden that was not asked for."""
        names = [name for name, _ in requested().headers]
        assert not [name for name in names if name.startswith("x-")]

    def test_own_headers_are_added(self) -> None:
        """Further headers of the program's go out as they are."""
        request = requested(headers={"X-Slng-Provider-Key": "pk=1:2", "X-SLNG-Session-Id": "a b"})
        assert request.values("x-slng-provider-key") == ["pk=1:2"]
        assert request.values("x-slng-session-id") == ["a b"]

    def test_what_the_gateway_does_not_want_is_not_there(self) -> None:
        """No origin, no compression, no cookie; and one header of each that an upgrade needs."""
        request = requested()
        names = [name for name, _ in request.headers]
        assert not {"origin", "sec-websocket-extensions", "sec-websocket-protocol", "cookie"} & set(names)
        assert len(names) == len(set(names))
        assert request.values("sec-websocket-version") == ["13"]
        assert request.values("upgrade") == ["websocket"]

    def test_the_host_is_that_of_the_base_url(self) -> None:
        """Host names the port as well, where it is not the usual one."""

        def talk(peer: Peer) -> None:
            hosts.extend(peer.upgrade().values("host"))
            polite(peer)

        hosts: List[str] = []
        with RawServer(talk) as server, client(server.url).listen():
            pass
        assert hosts == [f"127.0.0.1:{server.port}"]

    def test_cookies_are_not_kept(self) -> None:
        """A cookie that one connection was given is not sent on the next, which may be another account's."""
        requests: List[Request] = []

        def talk(peer: Peer) -> None:
            request = peer.read_request()
            requests.append(request)
            peer.say(accepting(request, "Set-Cookie: account=1; Domain=127.0.0.1; Path=/\r\n"))
            polite(peer)

        with RawServer(talk) as server:
            for key in ("first", "second"):
                with client(server.url, api_key=key).listen():
                    pass
        assert [each.values("authorization") for each in requests] == [["Bearer first"], ["Bearer second"]]
        assert [each.values("cookie") for each in requests] == [[], []]


class TestRefused:
    @pytest.mark.parametrize(
        ("status", "kind", "retryable"),
        [
            (400, ConnectError, False),
            (401, AuthenticationError, False),
            (402, QuotaError, False),
            (403, AuthenticationError, False),
            (404, ConnectError, False),
            (408, ConnectError, True),
            (409, ConnectError, True),
            (422, ConnectError, False),
            (425, ConnectError, True),
            (429, QuotaError, True),
            (500, ConnectError, True),
            (502, ConnectError, True),
            (503, ConnectError, True),
            (504, ConnectError, True),
        ],
    )
    def test_a_status_has_its_class(self, status: int, kind: Type[ConnectError], retryable: bool) -> None:
        """A refused upgrade raises the class of its status, tells the body, and whether to try again."""
        body = json.dumps({"error": "no", "message": f"because of {status}"}).encode()
        error = refused(response(f"{status} Reason", body, "Content-Type: application/json"))
        assert type(error) is kind
        assert (error.status, error.retryable) == (status, retryable)
        assert json.loads(error.body) == {"error": "no", "message": f"because of {status}"}
        assert str(status) in error.message and f"because of {status}" in error.message
        assert error.hint

    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            (b"no credit", "no credit"),
            (b"<html>\r\n  <h1>Bad\tgateway</h1>\n</html>", "<html> <h1>Bad gateway</h1> </html>"),
            (b"", ""),
            ("wrong ключ".encode(), "wrong ключ"),
            (b"\xff\xfe\x00bin", "\ufffd\ufffd\x00bin"),
        ],
    )
    def test_any_body_is_shown(self, body: bytes, shown: str) -> None:
        """Text, HTML, nothing, or bytes that are no text: the body is shown on one line."""
        error = refused(response("402 Payment Required", body))
        assert (error.status, error.body) == (402, shown)

    def test_what_is_no_secret_is_shown(self) -> None:
        """What a server says about region and world part is repeated word for word."""
        body = b"no such model in eu-north-1-zone-7 (eu)"
        error = refused(response("404 Not Found", body), region="eu-north-1-zone-7", world_part="eu")
        assert error.body == body.decode()

    def test_a_body_in_chunks_is_shown(self) -> None:
        """A chunked body is shown without the lengths of its chunks."""
        answer = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n"
        error = refused(answer + b"6\r\nwrong \r\n3\r\nkey\r\n0\r\n\r\n", Peer.wait_gone)
        assert (error.status, error.body) == (401, "wrong key")

    def test_a_body_without_a_length_is_shown(self) -> None:
        """A body that ends with the connection is shown."""
        error = refused(b"HTTP/1.1 401 Unauthorized\r\n\r\nwrong key")
        assert (error.status, error.body) == (401, "wrong key")

    def test_a_body_shorter_than_its_length_is_shown(self) -> None:
        """A body that breaks off is shown as far as it came."""
        error = refused(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\nwrong key")
        assert (error.status, error.body) == (401, "wrong key")

    def test_a_body_that_never_comes(self) -> None:
        """A server that announces a body and sends a part of it still has its status told."""
        announced = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 314572800\r\n\r\nwrong key"
        with Took(less_than=LONG):
            error = refused(announced, Peer.wait_gone, connect_timeout=1)
        assert (type(error), error.status, error.body) == (AuthenticationError, 401, "wrong key")

    def test_a_huge_body_is_cut(self) -> None:
        """Of 300 MB only the beginning is read, and shown."""
        announced = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 314572800\r\n\r\n"
        with tracing(less_than=16 * MEGABYTE):
            error = refused(announced, lambda peer: peer.flood(b"wrong " * 10000))
        assert (type(error), error.status) == (AuthenticationError, 401)
        assert error.body.startswith("wrong wrong") and len(error.body) <= 500

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"200 OK"])
    def test_any_other_status_is_no_connection(self, status: bytes) -> None:
        """Whatever is not 101 is refused, with its status."""
        error = refused(b"HTTP/1.1 " + status + b"\r\n\r\n")
        assert error.status == int(status[:3])
        assert str(error.status) in error.message

    def test_retry_after_in_seconds(self) -> None:
        """Retry-After may be a number of seconds."""
        assert refused(response("429 Too Many", b"", "Retry-After: 7")).retry_after == 7.0

    def test_retry_after_as_a_date(self) -> None:
        """Retry-After may be a date."""
        date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=600)
        header = f"Retry-After: {email.utils.format_datetime(date, usegmt=True)}"
        error = refused(response("503 Unavailable", b"", header))
        assert error.retry_after is not None
        assert 500 < error.retry_after <= 600

    @pytest.mark.parametrize(
        "value", ["", "soon", ",", "-5", "nan", "1e999", "Fri, 99 Foo 10000 00:00:00 GMT"]
    )
    def test_a_retry_after_that_makes_no_sense(self, value: str) -> None:
        """What cannot be read, or lies behind us, is no reason to wait for ever."""
        error = refused(response("429 Too Many", b"", f"Retry-After: {value}"))
        assert error.status == 429
        assert error.retry_after is None or 0 <= error.retry_after < 1e9

    def test_headers_are_available(self) -> None:
        """All headers of the answer are there for whoever looks for a request id."""
        error = refused(response("500 Oops", b"", "X-Request-Id: 4711"))
        assert error.headers["x-request-id"] == "4711"


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, status: int) -> None:
        """The key is sent to the server that was meant, and to no other."""
        with RawServer(polite) as elsewhere:
            location = f"Location: {elsewhere.url}/v1/stt/soniox/speech-ai:rt-v4"
            error = refused(response(f"{status} Moved", b"", location))
            assert elsewhere.connections == 0
        assert type(error) is ConnectError
        assert (error.status, error.retryable) == (status, False)
        assert "redirect" in str(error).lower()


class TestEarlyFrames:
    def test_frames_in_the_packet_of_the_answer(self) -> None:
        """What comes in one packet with the 101 is heard at once."""

        def talk(peer: Peer) -> None:
            peer.upgrade(early=b"".join(frame(final(word)) for word in ("one", "two", "three")))
            polite(peer)

        told = Told()
        with RawServer(talk) as server, client(server.url, **told.callbacks).listen():
            told.wait_for(lambda: len(told.finals) == 3)
        assert told.finals == ["one", "two", "three"]

    def test_half_a_frame_in_the_packet_of_the_answer(self) -> None:
        """A frame that begins with the 101 may end later."""
        whole = frame(final("one"))

        def talk(peer: Peer) -> None:
            peer.upgrade(early=whole[:9])
            assert b"stt-rt-v4" in peer.read_frame()[1]
            peer.say(whole[9:])
            polite(peer)

        told = Told()
        with RawServer(talk) as server, client(server.url, **told.callbacks).listen():
            told.wait_for(lambda: told.finals == ["one"])

    def test_the_close_comes_with_the_answer(self) -> None:
        """A server that accepts and closes in one packet ends the session with its code."""

        def talk(peer: Peer) -> None:
            peer.upgrade(early=frame(b"\x03\xf3upstream is gone", 8))
            peer.wait_gone()

        with RawServer(talk) as server, pytest.raises(SlngError, match="upstream is gone"):
            with client(server.url).listen() as session:
                session.wait(LONG)


class TestNoAnswer:
    def test_nothing_answers(self) -> None:
        """A server that takes the connection and says nothing is given up after ``connect_timeout``."""
        with Took(less_than=LONG):
            error = refused(b"", Peer.wait_gone, connect_timeout=0.5)
        assert "did not answer within 0.5 s" in str(error)
        assert error.retryable

    def test_the_connection_itself_is_not_answered(self) -> None:
        """A host that swallows packets is given up after ``connect_timeout``."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            # With its queue full, the system answers no further connection.
            waiting = [socket.socket() for _ in range(3)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(listening.getsockname())
            try:
                with Took(less_than=LONG), pytest.raises(ConnectError, match=r"did not answer within 0\.5 s"):
                    url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
                    client(url, connect_timeout=0.5).listen()
            finally:
                for each in waiting:
                    each.close()

    def test_a_handshake_in_drops(self) -> None:
        """An answer that comes byte by byte is an answer."""

        def talk(peer: Peer) -> None:
            for byte in accepting(peer.read_request()):
                peer.say(bytes([byte]))
            polite(peer)

        with RawServer(talk) as server, client(server.url).listen() as session:
            pass
        assert session.stats.connections == 1

    def test_a_handshake_that_drips_for_ever(self) -> None:
        """Bytes that trickle in do not prolong ``connect_timeout``."""

        def drip(peer: Peer) -> None:
            while not peer.stopping.wait(0.05):
                peer.say(b"X")

        with Took(less_than=LONG):
            error = refused(b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ", drip, connect_timeout=1)
        assert "did not answer" in str(error)

    @pytest.mark.parametrize("endless", [b"X" * 10000, b"X-Header: value\r\n" * 1000])
    def test_an_endless_header(self, endless: bytes) -> None:
        """A header without an end is given up long before it fills the memory."""
        with tracing(less_than=16 * MEGABYTE), Took(less_than=LONG):
            error = refused(b"HTTP/1.1 101 Switching Protocols\r\n", lambda peer: peer.flood(endless))
        assert "too long" in str(error)

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\r\n\r\n",
            b"hello\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 forty\r\n\r\n",
            b"HTTP/1.1 4\xb21 Odd\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nno colon\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX: \xff\xfe\r\n\r\n",
            b"HTTP/1.1 401 No\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"HTTP/1.1 401 No\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 401 No\r\nContent-Length: \xb2\r\n\r\n",
            b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFFFFFF\r\nno",
            b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a:b=c; a[b]=d; \x01=e; =; Domain=x\r\n\r\n",
            b"HTTP/1.1 302 Found\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: :://[\r\n\r\n",
            bytes(range(256)),
            b"\x15\x03\x01\x00\x02\x02\x46",
        ],
        ids=lambda garbage: repr(garbage[:30]),
    )
    def test_garbage_instead_of_an_answer(self, garbage: bytes) -> None:
        """A server of another kind, or a broken one, is a ConnectError and nothing else."""
        error = refused(garbage)
        assert "127.0.0.1" in error.message
        assert "unexpected" not in error.message

    def test_it_closes_at_once(self) -> None:
        """A server that closes without a word is told as such."""
        with RawServer(lambda peer: None) as server, pytest.raises(ConnectError) as caught:
            client(server.url).listen()
        assert "127.0.0.1" in str(caught.value)
        assert caught.value.retryable

    def test_it_closes_after_the_request(self) -> None:
        """A server that reads the request and closes is told as such."""
        error = refused(b"")
        assert "closed the connection without an answer" in str(error)
        assert error.retryable

    def test_it_resets(self) -> None:
        """A reset instead of an answer is a ConnectError."""
        error = refused(b"", Peer.reset)
        assert error.retryable

    @pytest.mark.parametrize("header", ["Sec-WebSocket-Accept: bm90IHRoZSBrZXk=\r\n", ""])
    def test_a_wrong_accept(self, header: str) -> None:
        """A 101 that does not know our key is no WebSocket server, which is told at once."""
        answer = f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{header}\r\n"
        with Took(less_than=LONG / 2):
            error = refused(answer.encode(), Peer.wait_gone, connect_timeout=LONG)
        assert "did not answer as a WebSocket server" in str(error)


class TestAddresses:
    def test_it_refuses(self) -> None:
        """A port where nobody listens is told as refused."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        with Took(less_than=LONG), pytest.raises(ConnectError) as caught:
            client(f"ws://127.0.0.1:{port}", connect_timeout=30).listen()
        assert f"127.0.0.1:{port}" in str(caught.value) and "refused" in str(caught.value)
        assert caught.value.retryable

    def test_an_unknown_host(self) -> None:
        """A name that nobody knows is told as such."""
        with pytest.raises(ConnectError, match=r"no-such-host\.invalid:443.*was not found") as caught:
            client("wss://no-such-host.invalid").listen()
        assert caught.value.status is None

    @pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid", "." * 300])
    def test_a_name_that_cannot_be_one(self, host: str) -> None:
        """A name that no name server would be asked for is refused, as a wrong value or as not found."""
        with pytest.raises((ConnectError, ConfigurationError)):
            client(f"ws://{host}:9").listen()

    def test_an_address_that_cannot_be_reached(self) -> None:
        """Where the system itself says no, nobody waits for ``connect_timeout``."""
        began = time.process_time()
        with Took(less_than=LONG), pytest.raises(ConnectError, match=r"255\.255\.255\.255"):
            client("ws://255.255.255.255:9", connect_timeout=30).listen()
        assert time.process_time() - began < 2

    def test_ipv6(self) -> None:
        """An IPv6 address in brackets is an address, in Host as well."""
        hosts: List[str] = []

        def talk(peer: Peer) -> None:
            hosts.extend(peer.upgrade().values("host"))
            polite(peer)

        with RawServer(talk, host="::1") as server, client(server.url).listen():
            pass
        assert hosts == [f"[::1]:{server.port}"]

    def test_ipv6_that_refuses(self) -> None:
        """An error shows an IPv6 address in its brackets."""
        with socket.socket(socket.AF_INET6) as unused:
            unused.bind(("::1", 0))
            port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=rf"\[::1\]:{port}"):
            client(f"ws://[::1]:{port}").listen()

    @pytest.mark.parametrize("first", ["::1", "255.255.255.255", "127.0.0.2"])
    def test_several_addresses(self, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where one address of a host does not work, the next one is tried at once."""
        resolve = socket.getaddrinfo

        # Only what the name server says is made up: no name has two addresses everywhere.
        def answer(host: str, *args: Any, **options: Any) -> Any:
            if host != "two-addresses.invalid":
                return resolve(host, *args, **options)
            return [*resolve(first, *args, **options), *resolve("127.0.0.1", *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        with Gateway() as gateway, Took(less_than=LONG):
            url = f"ws://two-addresses.invalid:{gateway.port}"
            with client(url, connect_timeout=60).listen() as session:
                session.send(bytes(3200))
        assert gateway.audio == bytes(3200)

    def test_a_silent_address_takes_its_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An address that swallows packets leaves time for the next one."""
        resolve = socket.getaddrinfo
        with socket.socket() as silent, Gateway() as gateway:
            silent.bind(("127.0.0.2", gateway.port))
            silent.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(silent.getsockname())

            def answer(host: str, *args: Any, **options: Any) -> Any:
                if host != "two-addresses.invalid":
                    return resolve(host, *args, **options)
                return [*resolve("127.0.0.2", *args, **options), *resolve("127.0.0.1", *args, **options)]

            monkeypatch.setattr(socket, "getaddrinfo", answer)
            try:
                url = f"ws://two-addresses.invalid:{gateway.port}"
                with client(url, connect_timeout=2).listen() as session:
                    assert session.stats.connections == 1
            finally:
                for each in waiting:
                    each.close()


class TestIdle:
    def test_half_a_frame_is_waited_for(self) -> None:
        """A frame that does not go on costs no processor time."""
        with RawServer(
            after_upgrade(lambda peer: (peer.say(frame(final("one"))[:-1]), peer.wait_gone()))
        ) as server:
            with client(server.url).listen() as session:
                threading.Event().wait(0.3)
                began = time.process_time()
                threading.Event().wait(1.5)
                assert time.process_time() - began < 0.1
                session.abort()


class tracing:  # noqa: N801  (reads as the verb that it is)
    """Bounds how much memory Python takes inside the ``with``."""

    def __init__(self, *, less_than: int) -> None:
        self._bound = less_than

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, kind: Any, *_: object) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert kind is not None or peak < self._bound, f"{peak / MEGABYTE:.1f} MiB"


def test_the_environment_names_key_and_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and address come from the environment, as it is when the client is made."""
    with Gateway() as gateway:
        monkeypatch.setenv("SLNG_API_KEY", KEY)
        monkeypatch.setenv("SLNG_BASE_URL", gateway.url)
        made = Client(Soniox())
        monkeypatch.setenv("SLNG_BASE_URL", "ws://127.0.0.1:1")
        del os.environ["SLNG_API_KEY"]
        with made.listen():
            pass
    assert gateway.connections == 1
