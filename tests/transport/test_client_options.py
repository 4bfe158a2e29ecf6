"""Every wrong value is refused where it is given, by an error that names it."""

import functools
import logging
import math
import ssl
import sys
import types
from pathlib import Path
from typing import Any, Dict, List

import pytest
from loopback import KEY, Gateway, RawServer, after_upgrade, client, polite

from slng_sync import (
    AuthenticationError,
    Client,
    ConfigurationError,
    Dialect,
    Microphone,
    Reson8,
    SlngError,
    Soniox,
)

WSS = "wss://127.0.0.1:1"


async def coroutine(item: Any) -> None:
    """What nobody would await."""


class AsyncCallable:
    async def __call__(self, item: Any) -> None:
        """What nobody would await either."""


class NotADialect:
    model = "soniox/speech-ai:rt-v4"


def refused(model: Any = None, **options: Any) -> ConfigurationError:
    """The error for these options."""
    options.setdefault("api_key", KEY)
    options.setdefault("base_url", WSS)
    with pytest.raises(ConfigurationError) as caught:
        Client(Soniox() if model is None else model, **options)
    assert isinstance(caught.value, ValueError)
    assert type(caught.value) is ConfigurationError
    assert len(str(caught.value)) < 400
    return caught.value


class TestModel:
    @pytest.mark.parametrize(
        "name",
        ["soniox", "soniox/speech-ai", "soniox/speech-ai:rt-v4", "reson8", "reson8/reson8stt:v1"],
    )
    def test_a_model_by_its_name(self, name: str) -> None:
        """A model may be named by its id, with or without its variant."""
        assert name.split(":")[0] in repr(Client(name, api_key=KEY))

    @pytest.mark.parametrize("name", ["whisper", "", "soniox/speech-ai:rt-v5", "SONIOX", "rt-v4"])
    def test_an_unknown_model(self, name: str) -> None:
        """A name that is not known is refused, and the known ones are listed."""
        message = str(refused(name))
        assert "model" in message and repr(name) in message
        assert "soniox/speech-ai:rt-v4" in message and "reson8/reson8stt:v1" in message

    @pytest.mark.parametrize("kind", [Soniox, Reson8])
    def test_a_class_instead_of_a_value(self, kind: type) -> None:
        """The class is refused, with what to write instead."""
        assert f"{kind.__name__}()" in str(refused(kind))

    @pytest.mark.parametrize("model", [5, b"soniox", ["soniox"], NotADialect(), NotADialect, object])
    def test_no_model_at_all(self, model: Any) -> None:
        """Anything else is refused."""
        assert "model" in str(refused(model))

    def test_it_has_to_be_given(self) -> None:
        """There is no default model."""
        with pytest.raises((TypeError, ConfigurationError), match="model"):
            Client()  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match="model"):
            Client(None, api_key=KEY)  # type: ignore[arg-type]

    @pytest.mark.parametrize("model", [Dialect, Dialect()])
    def test_the_base_of_all_models_is_none(self, model: Any) -> None:
        """The base class is not a model."""
        assert "model" in str(refused(model))


class TestKey:
    @pytest.mark.parametrize("environment", [None, ""])
    @pytest.mark.parametrize("key", [None, ""])
    def test_no_key(self, key: Any, environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key there is an AuthenticationError that says where to put one."""
        if environment is not None:
            monkeypatch.setenv("SLNG_API_KEY", environment)
        with pytest.raises(AuthenticationError, match="SLNG_API_KEY") as caught:
            Client(Soniox(), api_key=key)
        assert caught.value.status is None
        assert not caught.value.retryable

    @pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\n", f" {KEY}", f"{KEY} ", f"{KEY}\r\nX: y", " "])
    def test_a_key_with_a_line_break(self, key: str) -> None:
        """A key as it is read from a file is refused, with the remedy, and not shown."""
        error = refused(api_key=key)
        assert "api_key" in str(error) and ".strip()" in str(error)
        assert KEY not in str(error)

    @pytest.mark.parametrize(
        "key", [KEY.encode(), 5, True, ["key"], "schlüssel", "key\0", "key\x7f", Path("key")]
    )
    def test_a_key_of_another_kind(self, key: Any) -> None:
        """A key that cannot go into a header is refused, and not shown."""
        error = refused(api_key=key)
        assert "api_key" in str(error)
        assert "schlüssel" not in str(error)

    def test_the_key_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's key is read when the client is made; an argument is stronger."""
        monkeypatch.setenv("SLNG_API_KEY", "of-the-environment")
        seen: List[str] = []

        def talk(peer: Any) -> None:
            seen.extend(peer.upgrade().values("authorization"))
            polite(peer)

        with RawServer(talk) as server:
            clients = [
                Client(Soniox(), base_url=server.url),
                Client(Soniox(), base_url=server.url, api_key=KEY),
            ]
            monkeypatch.setenv("SLNG_API_KEY", "changed-later")
            for each in clients:
                each.listen().close()
        assert seen == ["Bearer of-the-environment", f"Bearer {KEY}"]

    def test_a_wrong_key_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's key is checked like any other."""
        monkeypatch.setenv("SLNG_API_KEY", f"{KEY}\n")
        error = refused(api_key=None)
        assert ".strip()" in str(error)


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "api.slng.ai",
            "//api.slng.ai",
            "http://api.slng.ai",
            "https://api.slng.ai",
            "wss:api.slng.ai",
            "wss://",
            "wss://:443",
            "wss://host:port",
            "wss://host:99999",
            "wss://host:-1",
            "wss://host:0",
            "wss://user@host",
            "wss://user:password@host",
            "wss://@host",
            "wss://host?region=eu",
            "wss://host/?",
            "wss://host#fragment",
            "wss://host /",
            "wss://host\r\nX: y",
            "wss://host/\tpath",
            "wss://[::1",
            "wss://münchen.example",
            b"wss://host",
            5,
            Path("host"),
        ],
    )
    def test_a_wrong_base_url(self, url: Any) -> None:
        """An address without a host, with a user, a query, a fragment, or of another kind, is refused."""
        error = refused(base_url=url)
        assert "base_url" in str(error)
        assert "password" not in error.message

    @pytest.mark.parametrize(
        "url", ["wss://host", "wss://host/", "wss://host:8443/a/b", "WSS://host", "ws://[::1]:1"]
    )
    def test_a_good_base_url(self, url: str) -> None:
        """Host, port and path may be replaced."""
        assert "host" in repr(Client(Soniox(), api_key=KEY, base_url=url)) or "[::1]" in url

    def test_the_default(self) -> None:
        """The default is the gateway's global host."""
        assert "api.slng.ai:443" in repr(Client(Soniox(), api_key=KEY))

    def test_the_address_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's address is read when the client is made; an argument is stronger."""
        monkeypatch.setenv("SLNG_BASE_URL", "wss://one.example:1")
        made = Client(Soniox(), api_key=KEY)
        monkeypatch.setenv("SLNG_BASE_URL", "nonsense")
        assert "one.example:1" in repr(made)
        assert "two.example:443" in repr(Client(Soniox(), api_key=KEY, base_url="wss://two.example"))
        with pytest.raises(ConfigurationError, match="base_url"):
            Client(Soniox(), api_key=KEY)

    def test_an_empty_address_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty SLNG_BASE_URL counts as none."""
        monkeypatch.setenv("SLNG_BASE_URL", "")
        assert "api.slng.ai:443" in repr(Client(Soniox(), api_key=KEY))

    @pytest.mark.parametrize(
        ("url", "warned"),
        [
            ("ws://gateway.example", True),
            ("ws://127.0.0.1:1", False),
            ("ws://localhost", False),
            (WSS, False),
        ],
    )
    def test_a_key_in_clear(self, url: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
        """An address without TLS is warned of, unless it is this machine."""
        with caplog.at_level(logging.WARNING):
            Client(Soniox(), api_key=KEY, base_url=url)
        assert ("not encrypted" in caplog.text) is warned


class TestPlace:
    @pytest.mark.parametrize(
        ("model", "part"),
        [
            (Reson8(), "na"),
            (Reson8(), "ap"),
            (Soniox(), "EU"),
            (Soniox(), "us"),
            (Soniox(), ""),
            (Soniox(), 5),
        ],
    )
    def test_a_world_part_that_the_model_lacks(self, model: Dialect, part: Any) -> None:
        """A part of the world where the model does not run is refused, with those where it does."""
        message = str(refused(model, world_part=part))
        assert "world_part" in message and "'eu'" in message and repr(part) in message

    @pytest.mark.parametrize(
        ("model", "part"), [(Reson8(), "eu"), (Soniox(), "ap"), (Soniox(), "eu"), (Soniox(), "na")]
    )
    def test_a_world_part_of_the_model(self, model: Dialect, part: str) -> None:
        """The parts of the world that the model's page names are taken."""
        Client(model, api_key=KEY, world_part=part)

    @pytest.mark.parametrize(
        "region", ["", "eu north", "eu-north-1\r\nX: y", "eu,", ",", 5, ["eu-north-1"], "é"]
    )
    def test_a_wrong_region(self, region: Any) -> None:
        """A region that cannot be one is refused."""
        assert "region" in str(refused(region=region))


class TestHeaders:
    @pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b", "a\x7f", "é", 5, None, b"a", ["a"]])
    def test_a_wrong_value(self, value: Any) -> None:
        """A value that would break the header is refused by its name; the value is not shown."""
        message = str(refused(headers={"X-Agent": value}))
        assert "X-Agent" in message
        assert repr(value) not in message and str(value) not in message.replace("X-Agent", "")

    @pytest.mark.parametrize("name", ["", "X Agent", "X:Agent", "X\r\nY", "Ünique", 5, b"X", None])
    def test_a_wrong_name(self, name: Any) -> None:
        """A name that cannot be one is refused; its value is not shown."""
        message = str(refused(headers={name: "a secret"}))
        assert "headers" in message
        assert "a secret" not in message

    @pytest.mark.parametrize(
        "name",
        [
            "Authorization",
            "authorization",
            "HOST",
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Key",
            "sec-websocket-extensions",
            "Content-Length",
            "Transfer-Encoding",
        ],
    )
    def test_headers_that_are_taken(self, name: str) -> None:
        """Headers that the upgrade needs, or that would break it, are not the program's to set."""
        assert name in str(refused(headers={name: "x"}))

    @pytest.mark.parametrize("name", ["X-World-Part-Override", "x-region-override"])
    def test_headers_that_have_an_argument(self, name: str) -> None:
        """What is given twice, as an argument and as a header, does not go out twice."""
        names: List[str] = []

        def talk(peer: Any) -> None:
            names.extend(each for each, _ in peer.upgrade().headers)
            polite(peer)

        options: Dict[str, Any] = {"headers": {name: "eu"}, "world_part": "eu", "region": "eu-north-1"}
        with RawServer(talk) as server:
            client(server.url, **options).listen().close()
        assert names.count(name.lower()) == 1

    @pytest.mark.parametrize("headers", ["X: y", 5, [("X", "y")], {"X": "y"}.items()])
    def test_what_is_no_mapping(self, headers: Any) -> None:
        """Anything but a mapping is refused."""
        assert "headers" in str(refused(headers=headers))

    def test_they_are_copied(self) -> None:
        """What happens to the mapping afterwards is of no consequence."""
        seen: List[str] = []

        def talk(peer: Any) -> None:
            seen.extend(peer.upgrade().values("x-agent"))
            polite(peer)

        headers = {"X-Agent": "one"}
        with RawServer(talk) as server:
            made = client(server.url, headers=headers)
            headers["X-Agent"] = "two\r\n"
            made.listen().close()
        assert seen == ["one"]


class TestCallbacks:
    KINDS = ["on_partial", "on_final", "on_error", "on_event", "on_message"]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "function", [5, "print", [print], coroutine, AsyncCallable(), functools.partial(coroutine)]
    )
    def test_what_cannot_be_called(self, kind: str, function: Any) -> None:
        """What is not callable, or a coroutine that nobody would await, is refused in both places."""
        assert kind in str(refused(**{kind: function}))
        one = Client(Soniox(), api_key=KEY)
        with pytest.raises(ConfigurationError, match=kind):
            getattr(one, kind)(function)

    def test_a_coroutine_is_told_what_to_do(self) -> None:
        """The error about a coroutine says how it is done."""
        assert "asyncio.run_coroutine_threadsafe" in str(refused(on_final=coroutine))

    @pytest.mark.parametrize("dispatch", [5, "thread", "", "MANUAL", [], True, coroutine, AsyncCallable()])
    def test_a_wrong_dispatch(self, dispatch: Any) -> None:
        """``dispatch`` is None, "manual", or an ordinary function; a coroutine would never deliver."""
        assert "dispatch" in str(refused(dispatch=dispatch))


RANGES = {
    "connect_timeout": (0.1, 300.0),
    "ready_timeout": (0.1, 300.0),
    "buffer_seconds": (1.0, 36000.0),
    "chunk_seconds": (0.01, 0.5),
    "ping_interval": (0.5, 3600.0),
    "ping_timeout": (0.5, 3600.0),
    "keepalive_interval": (0.5, 15.0),
}


class TestNumbers:
    @pytest.mark.parametrize("name", RANGES)
    @pytest.mark.parametrize("value", ["5", None, True, [5], -1, 0, math.nan, math.inf, -math.inf, 1e9, 5j])
    def test_a_wrong_time(self, name: str, value: Any) -> None:
        """Times are numbers of seconds within their range, and the error tells the range."""
        message = str(refused(**{name: value}))
        low, high = RANGES[name]
        assert name in message and f"{low:g}" in message and f"{high:g}" in message and repr(value) in message

    @pytest.mark.parametrize("name", RANGES)
    def test_the_ends_of_a_range(self, name: str) -> None:
        """Both ends of a range are within it, whole numbers too."""
        for value in RANGES[name]:
            Client(Soniox(), api_key=KEY, **{name: value})  # type: ignore[arg-type]
        Client(Soniox(), api_key=KEY, connect_timeout=5)

    @pytest.mark.parametrize("value", [-1, 2.0, "8", None, True, math.inf])
    def test_a_wrong_count(self, value: Any) -> None:
        """``max_attempts`` is a count."""
        assert "max_attempts" in str(refused(max_attempts=value))

    @pytest.mark.parametrize("value", [1, 0, "yes", None])
    def test_a_wrong_flag(self, value: Any) -> None:
        """``reconnect`` is True or False."""
        assert "reconnect" in str(refused(reconnect=value))


class TestTls:
    @pytest.mark.parametrize("path", ["/no/such/file.pem", 5, b"\0", True])
    def test_ca_certs_that_are_not_there(self, path: Any) -> None:
        """A file that cannot be read is refused when the client is made."""
        assert "ca_certs" in str(refused(ca_certs=path))

    def test_ca_certs_without_certificates(self, tmp_path: Path) -> None:
        """A file in which there is no certificate is refused."""
        path = tmp_path / "ca.pem"
        path.write_text("no certificate")
        assert "ca_certs" in str(refused(ca_certs=str(path)))

    @pytest.mark.parametrize("context", [5, True, "context", ssl.SSLContext, ssl])
    def test_a_wrong_context(self, context: Any) -> None:
        """A context is an ``ssl.SSLContext``."""
        assert "ssl_context" in str(refused(ssl_context=context))

    def test_both_at_once(self, ca_file: str) -> None:
        """Authorities are given in one place."""
        message = str(refused(ca_certs=ca_file, ssl_context=ssl.create_default_context()))
        assert "ca_certs" in message and "ssl_context" in message


class TestProxy:
    @pytest.mark.parametrize(
        "proxy",
        [
            "socks5://127.0.0.1:1080",
            "socks4a://127.0.0.1",
            "https://127.0.0.1:3128",
            "http://",
            "http://:3128",
            "http://host:port",
            "http://host:99999",
            "http://host:0",
            "http://ho st:3128",
            "http://host\r\n:3128",
            "://",
            " ",
            5,
            True,
            b"http://host:3128",
            {"http": "http://host:3128"},
        ],
    )
    def test_a_wrong_proxy(self, proxy: Any) -> None:
        """A proxy of another kind, or an address that is none, is refused."""
        assert "proxy" in str(refused(proxy=proxy))

    def test_a_password_is_not_shown(self) -> None:
        """The error about a proxy does not repeat its password."""
        assert "hush" not in str(refused(proxy="socks5://ann:hush@host:1080"))


class TestListen:
    @pytest.mark.parametrize("name", ["sample_rate", "channels"])
    @pytest.mark.parametrize("value", [0, -1, 16000.0, "16000", True, 10**9, math.nan])
    def test_a_wrong_format(self, name: str, value: Any) -> None:
        """Rate and channels are integers within reason."""
        with pytest.raises(ConfigurationError, match=name):
            client("ws://127.0.0.1:1").listen(**{name: value})

    @pytest.mark.parametrize("source", [5, object(), Microphone, "https://example.com/a.wav", "", 1.5, print])
    def test_a_wrong_source(self, source: Any) -> None:
        """What is no source is refused before anything is connected."""
        with pytest.raises(SlngError, match="source"):
            client("ws://127.0.0.1:1").listen(source)

    @pytest.mark.parametrize("speed", [0, -1, "1", math.nan, True, None])
    def test_a_wrong_speed(self, speed: Any) -> None:
        """A pace is a number above 0."""
        one = client("ws://127.0.0.1:1")
        with pytest.raises(ConfigurationError, match="speed"):
            one.transcribe(bytes(3200), speed=speed)
        with pytest.raises(ConfigurationError, match="speed"):
            next(iter(one.stream(bytes(3200), speed=speed)))

    def test_unknown_names(self) -> None:
        """A misspelt argument is a TypeError, as everywhere."""
        with pytest.raises(TypeError):
            Client(Soniox(), api_key=KEY, timeout=5)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            client("ws://127.0.0.1:1").listen(rate=16000)  # type: ignore[call-arg]


class TestSession:
    @pytest.mark.parametrize("timeout", ["1", -1, True, math.nan, [1]])
    def test_wrong_timeouts(self, timeout: Any) -> None:
        """Each method that waits refuses a timeout that is none."""
        with RawServer(after_upgrade(polite)) as server, client(
            server.url, dispatch="manual"
        ).listen() as session:
            calls: Dict[str, Any] = {
                "send": lambda: session.send(bytes(320), timeout=timeout),
                "finalize": lambda: session.finalize(timeout=timeout),
                "wait": lambda: session.wait(timeout),
                "poll": lambda: session.poll(timeout),
                "close": lambda: session.close(timeout),
            }
            for name, call in calls.items():
                with pytest.raises(ConfigurationError, match="timeout"):
                    call()
                assert session.state.name == "STREAMING", name

    @pytest.mark.parametrize("audio", ["text", 5, None, b"odd", [1, 2], {"a": 1}])
    def test_what_is_no_audio(self, audio: Any) -> None:
        """What is no audio is refused by ``send``, and the session goes on."""
        with Gateway() as gateway:
            with client(gateway.url).listen() as session:
                with pytest.raises(ConfigurationError):
                    session.send(audio)
                session.send(bytes(320))
        assert gateway.audio == bytes(320)

    def test_poll_without_manual_dispatch(self) -> None:
        """``poll`` is for ``dispatch="manual"``, and says so."""
        with Gateway() as gateway, client(gateway.url).listen() as session:
            with pytest.raises(ConfigurationError, match="manual"):
                session.poll()


def test_another_package_of_the_name_websocket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI has a package that takes websocket-client's place: the error says which, and how to mend it."""
    monkeypatch.delitem(sys.modules, "slng_sync.transport.limited_websocket", raising=False)
    monkeypatch.setitem(sys.modules, "websocket", types.ModuleType("websocket"))
    with RawServer(after_upgrade(polite)) as server:
        with pytest.raises(ConfigurationError, match="hides websocket-client") as caught:
            client(server.url).listen()
    assert "pip uninstall websocket" in caught.value.hint
