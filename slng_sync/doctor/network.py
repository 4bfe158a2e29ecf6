"""Checks of the network: the gateway's address, the proxy, the name look-up, the TCP connection."""

import errno
import ipaddress
import os
import socket
import ssl
import time
from contextlib import contextmanager
from typing import Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

from ..errors import ConfigurationError, ConnectError, WaitTimeout
from ..transport.connecting import open_socket
from ..transport.deadline import Deadline
from ..waiting import within
from .case import Case
from .check import OK, Check, failed, milliseconds

__all__ = ["connected", "dns", "gateway", "proxy", "tcp"]

DNS_SECONDS = 4.0
CONNECT_SECONDS = 4.0
GRACE = 1.0
"""Extra seconds for calls that have a timeout of their own, in case the system's name look-up exceeds it."""

CHECK_NETWORK = (
    "Check that this computer is online. A firewall may block the connection. If the network requires a "
    "proxy, set HTTPS_PROXY."
)
CHECK_NAME = "Check the spelling of --base-url or SLNG_BASE_URL, the network, and the VPN if you use one."
NOTHING_LISTENS = (
    "No server listens at this address: check --base-url and SLNG_BASE_URL. Start a local gateway with "
    "slng-sync gateway."
)


def gateway(case: Case) -> Check:
    """Find the address of the gateway. With ``--local``, start the gateway."""
    if case.start_local is not None:
        case.base_url = case.start_local()
    endpoint = case.find_endpoint(proxy="")
    source = "--local" if case.is_local else "--base-url" if case.base_url is not None else ""
    if not source and os.environ.get("SLNG_BASE_URL"):
        source = "SLNG_BASE_URL"
    named = f"{endpoint.base_url} ({source})" if source else endpoint.base_url
    figures = {"model": case.model, "base_url": endpoint.base_url, **endpoint.headers}
    return Check("gateway", OK, named, "", figures)


def proxy(case: Case) -> Check:
    """Find the proxy. Its user name and password are never shown."""
    try:
        found = case.find_endpoint(proxy="" if case.is_local else None).proxy
    except ConfigurationError as error:
        cure = f"Correct {_source(case)}: write http://host:3128, or list hosts without a proxy in NO_PROXY."
        return failed("proxy", error, cure=cure)
    if found is None:
        return Check("proxy", OK, "not used", "", {"proxy": None})
    host, port, has_user = _parts(found)
    source = _source(case)
    secret = ", with a user name and a password" if has_user else ""
    figures = {"proxy": f"{host}:{port}", "source": source, "has_password": has_user}
    return Check("proxy", OK, f"{host}:{port}{secret} ({source})", "", figures)


def dns(case: Case) -> Check:
    """Look up the address of the gateway, or of the proxy if there is one."""
    endpoint = case.endpoint
    host, port = endpoint.address.host, endpoint.address.port
    if endpoint.proxy is not None:
        host, port, _ = _parts(endpoint.proxy)
    if _is_address(host):
        return Check("dns", OK, f"not needed, {host} is an IP address", "", {"addresses": [host]})
    begun = time.monotonic()
    try:
        found = within(DNS_SECONDS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except WaitTimeout as error:
        late = ConnectError(f"The address of {host} was not found within {DNS_SECONDS:g} s.")
        late.__cause__ = error
        return failed("dns", late, cure="The name server does not answer: check the network.")
    except (OSError, UnicodeError) as error:
        unknown = ConnectError(
            f"The name {host} was not found ({getattr(error, 'strerror', None) or error})."
        )
        unknown.__cause__ = error
        return failed("dns", unknown, cure=CHECK_NAME)
    addresses: List[str] = list(dict.fromkeys(str(each[4][0]) for each in found))
    took = milliseconds(begun)
    figures = {"addresses": addresses, "ms": took}
    return Check("dns", OK, f"{host} is {', '.join(addresses)}; {took} ms", "", figures)


def tcp(case: Case) -> Check:
    """Open a TCP connection to the gateway, through the proxy if there is one."""
    begun = time.monotonic()
    try:
        within(CONNECT_SECONDS + GRACE, lambda: _connect(case))
    except (ConnectError, WaitTimeout) as error:
        return failed("tcp", error, cure=_cure(case, error))
    took = milliseconds(begun)
    through = "" if case.endpoint.proxy is None else " through the proxy"
    return Check("tcp", OK, f"connected to {case.endpoint.address}{through} in {took} ms", "", {"ms": took})


@contextmanager
def connected(case: Case, context: Optional[ssl.SSLContext]) -> Iterator[socket.socket]:
    """Yield a socket connected as in a session, with TLS if a context is given. Raises ``ConnectError``."""
    with Deadline(case.endpoint.address, CONNECT_SECONDS) as deadline:
        sock = open_socket(deadline, case.endpoint.proxy, context)
    with sock:
        yield sock


def _connect(case: Case) -> None:
    with connected(case, None):
        pass


def _cure(case: Case, error: Exception) -> str:
    if case.endpoint.proxy is not None:
        hint = error.hint if isinstance(error, ConnectError) and error.status is not None else ""
        source = (
            f"The proxy comes from {_source(case)}; set NO_PROXY={case.endpoint.address.host} to bypass it."
        )
        return f"{hint} {source}".strip()
    if getattr(error.__cause__, "errno", None) == errno.ECONNREFUSED:
        return NOTHING_LISTENS
    return CHECK_NETWORK


def _source(case: Case) -> str:
    """Return the environment variables that set the proxy, as written there, or "the system's settings"."""
    for wanted in ("https_proxy" if case.endpoint.address.secure else "http_proxy", "all_proxy"):
        names = sorted(name for name, value in os.environ.items() if name.lower() == wanted and value)
        if names:
            return ", ".join(names)
    return "the system's settings"


def _parts(proxy: str) -> Tuple[str, int, bool]:
    parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or 80, parts.username is not None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
