"""The way to the gateway: its address, the proxy, the name, the connection."""

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
"""For what is bounded already, in case its bound does not hold: the system's look-up of names has none."""

CHECK_NETWORK = (
    "Is this computer online? A firewall may keep it back. Where only a proxy leads out, HTTPS_PROXY has to "
    "name that."
)
CHECK_NAME = (
    "Is it spelled right (--base-url, SLNG_BASE_URL)? Otherwise check the network, and the VPN where there "
    "is one."
)
NOTHING_LISTENS = (
    "Nothing listens there: check --base-url and SLNG_BASE_URL. A gateway of your own has to be started: "
    "slng-sync gateway."
)


def gateway(case: Case) -> Check:
    """Where the gateway is; with ``--local`` it is started."""
    if case.start_local is not None:
        case.base_url = case.start_local()
    route = case.find_route(proxy="")
    source = "--local" if case.is_local else "--base-url" if case.base_url is not None else ""
    if not source and os.environ.get("SLNG_BASE_URL"):
        source = "SLNG_BASE_URL"
    named = f"{route.base_url} ({source})" if source else route.base_url
    figures = {"model": case.model, "base_url": route.base_url, **route.headers}
    return Check("gateway", OK, named, "", figures)


def proxy(case: Case) -> Check:
    """Which proxy leads out. Its user and its password are shown nowhere."""
    try:
        found = case.find_route(proxy="" if case.is_local else None).proxy
    except ConfigurationError as error:
        cure = f"See {_source(case)}. It is written as http://host:3128; hosts in NO_PROXY need none."
        return failed("proxy", error, cure=cure)
    if found is None:
        return Check("proxy", OK, "none is used", "", {"proxy": None})
    host, port, has_user = _parts(found)
    source = _source(case)
    secret = ", with a user name and a password" if has_user else ""
    figures = {"proxy": f"{host}:{port}", "source": source, "has_password": has_user}
    return Check("proxy", OK, f"{host}:{port}{secret} ({source})", "", figures)


def dns(case: Case) -> Check:
    """Whether the name has an address: that of the proxy, where there is one, else of the gateway."""
    route = case.route
    host, port = route.address.host, route.address.port
    if route.proxy is not None:
        host, port, _ = _parts(route.proxy)
    if _is_address(host):
        return Check("dns", OK, f"{host} is an address already", "", {"addresses": [host]})
    begun = time.monotonic()
    try:
        found = within(DNS_SECONDS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except WaitTimeout as error:
        late = ConnectError(f"The address of {host} was not found within {DNS_SECONDS:g} s.")
        late.__cause__ = error
        return failed("dns", late, cure="The network's name server does not answer: check the network.")
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
    """Whether a connection can be made, through the proxy where there is one."""
    begun = time.monotonic()
    try:
        within(CONNECT_SECONDS + GRACE, lambda: _connect(case))
    except (ConnectError, WaitTimeout) as error:
        return failed("tcp", error, cure=_cure(case, error))
    took = milliseconds(begun)
    through = "" if case.route.proxy is None else " through the proxy"
    return Check("tcp", OK, f"connected to {case.route.address}{through} in {took} ms", "", {"ms": took})


@contextmanager
def connected(case: Case, context: Optional[ssl.SSLContext]) -> Iterator[socket.socket]:
    """Connect as a session does, with TLS if a context is given. Raises ``ConnectError``."""
    with Deadline(case.route.address, CONNECT_SECONDS) as deadline:
        sock = open_socket(deadline, case.route.proxy, context)
    with sock:
        yield sock


def _connect(case: Case) -> None:
    with connected(case, None):
        pass


def _cure(case: Case, error: Exception) -> str:
    if case.route.proxy is not None:
        hint = error.hint if isinstance(error, ConnectError) and error.status is not None else ""
        without = f"The proxy is that of {_source(case)}; NO_PROXY={case.route.address.host} goes without it."
        return f"{hint} {without}".strip()
    if getattr(error.__cause__, "errno", None) == errno.ECONNREFUSED:
        return NOTHING_LISTENS
    return CHECK_NETWORK


def _source(case: Case) -> str:
    """Who names the proxy: a variable, as the environment writes it, else the system."""
    for wanted in ("https_proxy" if case.route.address.secure else "http_proxy", "all_proxy"):
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
