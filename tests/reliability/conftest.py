"""Both ways to a gateway: plain, and by TLS with an authority that no system knows."""

import ssl
from typing import Any, Dict, NamedTuple, Optional

import pytest

from slng_sync import Client, Dialect, Reson8, Soniox
from slng_sync.gateway import LocalGateway, Script


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


@pytest.fixture(params=["plain", "tls"])
def way(request: pytest.FixtureRequest, server_context: ssl.SSLContext, ca_file: str) -> Way:
    """Plain, then TLS."""
    return Way(server_context, {"ca_certs": ca_file}) if request.param == "tls" else Way(None, {})


@pytest.fixture(params=[Reson8(), Soniox()], ids=["reson8", "soniox"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each model with its defaults."""
    chosen: Dialect = request.param
    return chosen
