"""Both ways to a gateway: plain, and by TLS with an authority that no system knows."""

import ssl
import warnings
from typing import Any, Dict, NamedTuple, Optional

import pytest

from slng_sync import Client, Dialect, Reson8, Soniox
from slng_sync.gateway import LocalGateway, Script

with warnings.catch_warnings():
    # On a Python that has come to its end, what this imports says so.
    warnings.simplefilter("ignore")
    import trustme

_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy")
_OWN = ("SLNG_API_KEY", "SLNG_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "WEBSOCKET_CLIENT_CA_BUNDLE")


class Way(NamedTuple):
    """How a gateway is reached. ``options`` are what a client needs for it."""

    tls: Optional[ssl.SSLContext]
    options: Dict[str, Any]

    def gateway(self, script: Script, faults: Any = None, **more: Any) -> LocalGateway:
        """A gateway that hears the words of stamped audio."""
        more.setdefault("script_clock", "content")
        return LocalGateway(engine="script", script=script, faults=faults, tls=self.tls, **more)

    def client(self, url: str, dialect: Dialect, heard: Any = None, **options: Any) -> Client:
        """A client that tells ``heard`` everything."""
        kinds = ("on_partial", "on_final", "on_error", "on_event") if heard is not None else ()
        given: Dict[str, Any] = {"api_key": "any", **dict.fromkeys(kinds, heard), **self.options, **options}
        return Client(dialect, base_url=url, **given)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_NAMES, *map(str.upper, _NAMES), *_OWN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no system knows."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a server on loopback, with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate as a PEM file."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(params=["plain", "tls"])
def way(request: pytest.FixtureRequest, server_context: ssl.SSLContext, ca_file: str) -> Way:
    """Plain, then TLS."""
    return Way(server_context, {"ca_certs": ca_file}) if request.param == "tls" else Way(None, {})


@pytest.fixture(params=[Reson8(), Soniox()], ids=["reson8", "soniox"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each model with its defaults."""
    chosen: Dialect = request.param
    return chosen
