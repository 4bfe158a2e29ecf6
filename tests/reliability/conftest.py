"""Two ways to connect to a gateway: plain, and TLS with an authority that no system trusts."""

import ssl
from typing import Any, Dict, NamedTuple, Optional

import pytest

from slng_sync import Client, Dialect, Reson8, Soniox
from slng_sync.gateway import LocalGateway, Script


class Way(NamedTuple):
    """A way to connect to a gateway. ``options`` are the client's options for it."""

    tls: Optional[ssl.SSLContext]
    options: Dict[str, Any]

    def gateway(self, script: Script, faults: Any = None, **more: Any) -> LocalGateway:
        """Return a gateway that recognises the words of stamped audio."""
        more.setdefault("script_clock", "content")
        return LocalGateway(engine="script", script=script, faults=faults, tls=self.tls, **more)

    def client(self, url: str, dialect: Dialect, heard: Any = None, **options: Any) -> Client:
        """Return a client that passes everything to ``heard``."""
        kinds = ("on_partial", "on_final", "on_error", "on_event") if heard is not None else ()
        given: Dict[str, Any] = {"api_key": "any", **dict.fromkeys(kinds, heard), **self.options, **options}
        return Client(dialect, base_url=url, **given)


@pytest.fixture(params=["plain", "tls"])
def way(request: pytest.FixtureRequest, server_context: ssl.SSLContext, ca_file: str) -> Way:
    """Return the plain way, then TLS."""
    return Way(server_context, {"ca_certs": ca_file}) if request.param == "tls" else Way(None, {})


@pytest.fixture(params=[Reson8(), Soniox()], ids=["reson8", "soniox"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Return each dialect with its defaults."""
    chosen: Dialect = request.param
    return chosen
