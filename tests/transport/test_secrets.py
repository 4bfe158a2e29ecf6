"""The key, and what was said, are nobody's business: no log, no error, no repr, no trace shows them."""

import json
import logging
import os
import struct
import traceback
from base64 import b64encode
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import websocket
from loopback import (
    CLOSE,
    KEY,
    LONG,
    SECOND,
    Peer,
    Proxy,
    RawServer,
    Told,
    after_upgrade,
    client,
    final,
    frame,
    polite,
)

from slng_sync import (
    AuthenticationError,
    Client,
    Closed,
    ConnectError,
    Reson8,
    ServerError,
    SlngError,
    Soniox,
)

ESCAPED = KEY.replace("/", "\\/")
ENCODED = b64encode(KEY.encode()).decode()
WORDS = "my voice is my passport"


class Observer:
    """Collects whatever a program, its logs and its terminal get to see."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.seen: List[str] = []
        self._capture = capture
        handler = self._handler = logging.Handler()
        handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
        handler.emit = lambda record: self.seen.append(handler.format(record))  # type: ignore[method-assign]

    def __enter__(self) -> "Observer":
        # Both: a program may have cut the library's logger off from the root.
        self._loggers = {each: each.level for each in map(logging.getLogger, (None, "slng_sync"))}
        for logger in self._loggers:
            logger.addHandler(self._handler)
            logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        for logger, level in self._loggers.items():
            logger.removeHandler(self._handler)
            logger.setLevel(level)
        self.seen += self._capture.readouterr()

    def look_at(self, *things: Any) -> None:
        """Note what can be seen of objects, and of errors with all that led to them."""
        for thing in things:
            self.seen += [str(thing), repr(thing)]
            if isinstance(thing, BaseException):
                self.seen += traceback.format_exception(type(thing), thing, thing.__traceback__)
                self.look_at_inside(thing)

    def look_at_inside(self, error: BaseException) -> None:
        """Note an error's attributes, and those of its causes."""
        self.seen.append(repr(vars(error)))
        for inner in (error.__cause__, error.__context__):
            if inner is not None:
                self.look_at_inside(inner)

    def assert_unseen(self, *secrets: str) -> None:
        """No secret may be part of anything that was seen."""
        found = [text for text in self.seen for secret in secrets if secret in text]
        assert found == []


@pytest.fixture(params=["plain", "trace"])
def observer(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Iterator[Observer]:
    """Everything is logged; the second time, with the trace of websocket-client switched on."""
    library = logging.getLogger("websocket")
    before = library.level, list(library.handlers)
    websocket.enableTrace(request.param == "trace")
    yield Observer(capfd)
    websocket.enableTrace(False)
    library.level, library.handlers = before


def refusing(answer: str) -> Callable[[Peer], None]:
    """A server that refuses the upgrade in these words."""

    def talk(peer: Peer) -> None:
        (authorization,) = peer.read_request().values("authorization")
        assert authorization == f"Bearer {KEY}"
        peer.say(answer.encode())

    return talk


def response(status: str, body: str, *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body])


def saying(*messages: Any) -> Callable[[Peer], None]:
    """A server that accepts, and then says this."""

    def talk(peer: Peer) -> None:
        for message in messages:
            peer.say(message if isinstance(message, bytes) else frame(message))
        peer.say(frame(struct.pack("!H", 1000), CLOSE))
        peer.wait_gone()

    return after_upgrade(talk)


CHUNKED = f"4\r\nbad \r\n6\r\n{KEY[:6]}\r\n{len(KEY) - 6:x}\r\n{KEY[6:]}\r\n0\r\n\r\n"

REPEATING: Dict[str, Callable[[Peer], None]] = {
    "body": refusing(response("401 Unauthorized", f"Invalid key {KEY}!")),
    "body with the header": refusing(response("403 Forbidden", f"Authorization: Bearer {KEY}")),
    "json body": refusing(response("401 Unauthorized", json.dumps({"error": {"key": KEY}}))),
    "json body, escaped": refusing(response("401 Unauthorized", f'{{"error": "no {ESCAPED}"}}')),
    "body in chunks": refusing("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
    "body without length": refusing(f"HTTP/1.1 400 Bad\r\n\r\n{KEY} {KEY}"),
    "a long body": refusing(response("400 Bad", "x" * (496 - len(KEY) // 2) + KEY * 20)),
    "reason phrase": refusing(f"HTTP/1.1 401 {KEY}\r\nContent-Length: 0\r\n\r\n"),
    "header": refusing(response("401 Unauthorized", "", f"X-Key: {KEY}")),
    "redirect": refusing(response("302 Found", f"see {KEY}", f"Location: ws://127.0.0.1:1/?token={KEY}")),
    "accept": refusing(
        f"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: {KEY}\r\nUpgrade: websocket\r\n\r\n"
    ),
    "garbage": refusing(f"{KEY}\r\n\r\n"),
    "invalid header": refusing(f"HTTP/1.1 101 Switching\r\n{KEY}\r\n\r\n"),
    "header of a connection": lambda peer: peer.upgrade(headers=f"X-Key: {KEY}\r\n"),
    "gateway error": saying({"type": "error", "code": "auth_error", "message": f"bad key {KEY}"}),
    "gateway error, nested": saying({"type": "error", "data": {"code": KEY, "message": KEY, "k": [KEY]}}),
    "native error": saying({"tokens": [], "error_code": 401, "error_message": f"key {KEY}", "extra": KEY}),
    "native error, type": saying({"tokens": [], "error_code": KEY, "error_type": KEY, "error_message": KEY}),
    "error, escaped": saying(frame(f'{{"error_code": 401, "error_message": "no {ESCAPED}"}}'.encode())),
    "error, escaped otherwise": saying(
        frame(b'{"error_code": 401, "error_message": "' + b"".join(b"\\u%04x" % ord(c) for c in KEY) + b'"}')
    ),
    "error, as a name": saying({"type": "error", "code": 400, "message": "no", KEY: KEY}),
    "close reason": saying(frame(struct.pack("!H", 1008) + f"bad key {KEY}".encode(), CLOSE)),
    "broken frame": saying(frame(KEY.encode(), 3)),
    "reserved bits": saying(frame(KEY.encode(), rsv=4)),
    "junk": saying(frame(KEY.encode()), frame(f'"{KEY}"'.encode()), frame({"type": KEY})),
}


@pytest.mark.parametrize("model", [Soniox(), Reson8()], ids=["soniox", "reson8"])
@pytest.mark.parametrize("talk", REPEATING.values(), ids=REPEATING)
def test_a_server_that_repeats_the_key(talk: Callable[[Peer], None], model: Any, observer: Observer) -> None:
    """However a server repeats the key, it does not come out at this end."""
    told = Told()
    with observer, RawServer(talk) as server:
        one = client(server.url, model=model, connect_timeout=5, ready_timeout=0.5, **told.callbacks)
        observer.look_at(one)
        try:
            with one.listen() as session:
                observer.look_at(session, session.stats, session.state)
                session.send(SECOND)
                session.wait(LONG)
            observer.look_at(session)
        except SlngError as error:
            observer.look_at(error, error.hint)
        observer.look_at(*told.errors, *told.events)
    observer.assert_unseen(KEY, ESCAPED, ENCODED)


FAILING: Dict[str, Callable[[str], Client]] = {
    "refused": lambda url: client("ws://127.0.0.1:1"),
    "unknown host": lambda url: client("wss://no-such-host.invalid"),
    "no tls": lambda url: client(url.replace("ws:", "wss:"), connect_timeout=1),
    "no answer": lambda url: client(url, connect_timeout=0.2),
    "no proxy": lambda url: client(url, proxy="http://ann:hush-hush@127.0.0.1:1"),
    "not encrypted": lambda url: client("ws://no-such-host.invalid"),
}


@pytest.mark.parametrize("make", FAILING.values(), ids=FAILING)
def test_a_connection_that_fails(make: Callable[[str], Client], observer: Observer) -> None:
    """Whatever stands against a connection, the error about it shows neither key nor password."""
    with observer, RawServer(Peer.wait_gone) as server:
        one = make(server.url)
        with pytest.raises(ConnectError) as caught:
            one.listen()
        observer.look_at(caught.value, one, vars(one))
    observer.assert_unseen(KEY, "hush-hush", b64encode(b"ann:hush-hush").decode())


def test_a_proxy_that_repeats_the_password(observer: Observer) -> None:
    """A proxy that repeats the password it was given does not get it into an error."""
    secret = b64encode(b"ann:hush-hush").decode()
    with observer, Proxy(
        refuse=f"HTTP/1.1 403 ann:hush-hush {secret}\r\nX: hush-hush\r\n\r\nhush-hush"
    ) as proxy:
        one = client("ws://127.0.0.1:9", proxy=proxy.url.replace("http://", "http://ann:hush-hush@"))
        with pytest.raises(ConnectError) as caught:
            one.listen()
        observer.look_at(caught.value, one, vars(one))
    observer.assert_unseen(KEY, "hush-hush", secret)


def test_headers_of_the_programs_own(observer: Observer) -> None:
    """The value of an own header may be another key: it is treated like one."""
    provider_key = "provider-key-0123456789"

    def talk(peer: Peer) -> None:
        assert peer.read_request().values("x-slng-provider-key") == [provider_key]
        peer.say(response("400 Bad Request", f"wrong provider key {provider_key}").encode())

    with observer, RawServer(talk) as server:
        one = client(server.url, headers={"X-Slng-Provider-Key": provider_key})
        with pytest.raises(ConnectError) as caught:
            one.listen()
        observer.look_at(caught.value, one, vars(one))
    observer.assert_unseen(KEY, provider_key)


def test_an_ordinary_session(observer: Observer) -> None:
    """A session in which nothing goes wrong leaves neither key nor words in any log."""
    told = Told()

    def talk(peer: Peer) -> None:
        peer.upgrade()
        peer.say(frame(final(WORDS)))
        polite(peer)

    with observer, RawServer(talk) as server:
        one = client(server.url, **told.callbacks)
        with one.listen() as session:
            session.send(SECOND)
            told.wait_for(lambda: told.finals == [WORDS])
            observer.look_at(one, session)
    observer.assert_unseen(KEY, WORDS)


@pytest.mark.parametrize("kind", ["on_partial", "on_final", "on_event", "on_message"])
def test_a_callback_that_raises_what_was_said(kind: str, observer: Observer) -> None:
    """A callback whose error quotes the speaker is logged without the quotation."""

    class Mistake(Exception):
        pass

    def quote(item: Any) -> None:
        raise Mistake(f"cannot store {WORDS!r}: {item!r}") from ValueError(WORDS)

    def talk(peer: Peer) -> None:
        peer.say(frame({"tokens": [{"text": WORDS, "is_final": False}]}))
        peer.say(frame(final(WORDS)))
        polite(peer)

    errors: List[SlngError] = []
    options: Dict[str, Any] = {kind: quote, "on_error": errors.append}
    with observer, RawServer(after_upgrade(talk)) as server:
        with client(server.url, **options).listen() as session:
            session.send(SECOND)
            session.finalize()
        assert errors
        for error in errors:
            observer.look_at(str(error), repr(error))
            assert isinstance(error.__cause__, Mistake)
    observer.assert_unseen(KEY, WORDS)
    assert any("Mistake" in text and "callback" in text for text in observer.seen)


def test_an_error_callback_that_raises(observer: Observer) -> None:
    """A mistake in ``on_error`` itself is logged without its text, and ends nothing."""

    def mistaken(error: Any) -> None:
        raise RuntimeError(f"{WORDS} {error}")

    def talk(peer: Peer) -> None:
        peer.say(frame({"error_code": 503, "error_message": "again, please"}))
        peer.wait_gone()

    with observer, RawServer(after_upgrade(talk)) as server:
        with client(server.url, on_error=mistaken).listen() as session:
            session.wait(LONG)
    observer.assert_unseen(KEY, WORDS)
    assert any("on_error" in text and "RuntimeError" in text for text in observer.seen)


def test_a_dispatch_that_raises(observer: Observer) -> None:
    """A ``dispatch`` that fails, and quotes what it was given, is logged without the quotation."""

    def broken(delivery: Any) -> None:
        raise RuntimeError(f"the window is gone; not delivered: {delivery!r}")

    def talk(peer: Peer) -> None:
        peer.say(frame(final(WORDS)))
        polite(peer)

    with observer, RawServer(after_upgrade(talk)) as server:
        with client(server.url, dispatch=broken, on_final=print).listen() as session:
            session.send(SECOND)
            session.finalize()
    observer.assert_unseen(KEY, WORDS)
    assert any("dispatch" in text for text in observer.seen)


def test_what_is_delivered_is_not_shown(observer: Observer) -> None:
    """What ``dispatch`` is handed does not show the words either: event loops log what they are given."""
    handed: List[Callable[[], None]] = []

    def talk(peer: Peer) -> None:
        peer.say(frame(final(WORDS)))
        polite(peer)

    with observer, RawServer(after_upgrade(talk)) as server:
        with client(server.url, dispatch=handed.append).listen() as session:
            session.send(SECOND)
            session.finalize()
        observer.look_at(*handed)
    observer.assert_unseen(KEY, WORDS)


def test_an_error_that_nobody_is_told(observer: Observer) -> None:
    """An error that goes to the log, because nobody asked, holds neither key nor words."""

    def talk(peer: Peer) -> None:
        peer.say(frame(final(WORDS)) + frame({"error_code": 503, "error_message": f"{KEY} is busy"}))
        peer.wait_gone()

    told = Told()
    with observer, RawServer(after_upgrade(talk)) as server:
        session = client(server.url, on_event=told.callbacks["on_event"]).listen()
        told.wait_for(lambda: Closed(complete=False) in told.events)
        session.close()
    observer.assert_unseen(KEY, WORDS)
    assert any("ServerError" in text for text in observer.seen)


def test_no_wrong_value_is_shown_where_it_may_be_a_secret(observer: Observer) -> None:
    """Errors about the key, headers, the address and the proxy do not repeat what was given."""
    wrong: List[Dict[str, Any]] = [
        {"api_key": f"{KEY}\n"},
        {"api_key": f" {KEY}"},
        {"api_key": KEY.encode()},
        {"headers": {"X-Key": f"{KEY}\r\nX: y"}},
        {"headers": {"X-Key": KEY.encode()}},
        {"headers": {"Authorization": KEY}},
        {"headers": [("X-Key", KEY)]},
        {"base_url": f"wss://user:{KEY.replace('/', '')}@127.0.0.1"},
        {"base_url": f"wss://127.0.0.1/?token={KEY}"},
        {"base_url": f"wss://127.0.0.1/#{KEY}"},
        {"base_url": f"https://127.0.0.1/?token={KEY}"},
        {"base_url": f"wss://127.0.0.1/ {KEY}"},
        {"base_url": f"wss://u:{KEY.replace('/', '')}@127.0.0.1:port"},
        {"proxy": f"socks5://ann:{KEY.replace('/', '')}@127.0.0.1:1080"},
        {"proxy": f"http://ann:{KEY.replace('/', '')}@127.0.0.1:port"},
        {"world_part": "xx", "api_key": KEY},
    ]
    with observer:
        for options in wrong:
            url = options.pop("base_url", "ws://127.0.0.1:1")
            with pytest.raises(SlngError) as caught:
                client(url, **options)
            observer.look_at(caught.value)
    observer.assert_unseen(KEY, KEY.replace("/", ""))


def test_no_key_at_all(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no key, the error says where it is looked for."""
    monkeypatch.delenv("SLNG_API_KEY", raising=False)
    with observer, pytest.raises(AuthenticationError, match="SLNG_API_KEY"):
        Client(Soniox())


def test_errors_keep_what_helps(observer: Observer) -> None:
    """What hides the key leaves the rest of the server's words."""
    said = {
        "type": "error",
        "code": "auth_error",
        "message": f"the key {KEY} has expired",
        "request_id": "4711",
    }
    with observer, RawServer(saying(said)) as server:
        session = client(server.url).listen()
        with pytest.raises(ServerError) as caught:
            session.wait(LONG)
        observer.look_at(caught.value)
    assert "has expired" in str(caught.value)
    assert caught.value.raw["request_id"] == "4711"
    observer.assert_unseen(KEY)


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session leaves no file in the program's folder."""
    monkeypatch.chdir(tmp_path)
    with RawServer(after_upgrade(polite)) as server, client(server.url).listen() as session:
        session.send(SECOND)
    assert os.listdir(tmp_path) == []
