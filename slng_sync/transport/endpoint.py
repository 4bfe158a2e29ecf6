"""The server endpoint: address, key, headers, proxy and TLS, checked when the client is made."""

import os
import re
import ssl
from typing import Any, Dict, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from ..dialects import Dialect
from ..errors import AuthenticationError, ConfigurationError
from ..log import logger
from ..redaction import Redaction

__all__ = ["Address", "ServerEndpoint", "make_endpoint"]

DEFAULT_BASE_URL = "wss://api.slng.ai"

_RESERVED_HEADERS = re.compile(
    r"(?i)authorization|host|upgrade|connection|sec-websocket-.*|content-length|transfer-encoding"
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_LOOPBACK = re.compile(r"(?i)localhost|127\.[0-9.]+|::1")


class Address(NamedTuple):
    """Host, port, and whether TLS is used."""

    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: str) -> "Address":
        """Return the address in a ``ws://`` or ``wss://`` URL."""
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        return cls(parts.hostname or "", parts.port or (443 if secure else 80), secure)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class ServerEndpoint(NamedTuple):
    """The endpoint of a client. No message, log or repr shows the values of ``secret_headers``."""

    base_url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str]
    proxy: Optional[str] = None
    ssl_context: Optional[ssl.SSLContext] = None

    @property
    def address(self) -> Address:
        """The host, the port, and whether TLS is used."""
        return Address.of(self.base_url)

    @property
    def redaction(self) -> Redaction:
        """Hides the key and the values of the program's own headers."""
        values = self.secret_headers.values()
        return Redaction(word for value in values for word in {value, value.split(" ")[-1]})

    def __repr__(self) -> str:
        return f"<ServerEndpoint {self.address}>"


def make_endpoint(
    dialect: Dialect,
    api_key: Optional[str],
    world_part: Optional[str],
    region: Optional[str],
    base_url: Optional[str],
    headers: Optional[Mapping[str, str]],
    ssl_context: Any,
    ca_certs: Optional[str],
    proxy: Optional[str],
) -> ServerEndpoint:
    """Check the arguments of ``Client``, or the environment in their place, and return the endpoint.

    Raises ``ConfigurationError``, and ``AuthenticationError`` if there is no key.
    """
    url = _base_url(base_url if base_url is not None else os.environ.get("SLNG_BASE_URL") or DEFAULT_BASE_URL)
    address = Address.of(url)
    overrides = _override_headers(dialect, world_part, region)
    return ServerEndpoint(
        base_url=url,
        headers=overrides,
        secret_headers={"Authorization": f"Bearer {_key(api_key)}", **_own_headers(headers, overrides)},
        proxy=_proxy_for(address, proxy),
        ssl_context=_ssl_context(ssl_context, ca_certs) if address.secure else None,
    )


def _key(api_key: Optional[str]) -> str:
    """Return the key. Raises an error that does not show it."""
    key = api_key if api_key is not None else os.environ.get("SLNG_API_KEY")
    if key is None or key == "":
        raise AuthenticationError(
            "No API key given.", hint="Pass Client(api_key=...), or set SLNG_API_KEY in the environment."
        )
    if not isinstance(key, str) or not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigurationError(
            "api_key must consist of printable characters, without blanks and line breaks.",
            hint="A key read from a file often ends in a line break: use .strip().",
        )
    return key


def _base_url(url: object) -> str:
    expected = "base_url must be an address such as wss://api.slng.ai"
    if not isinstance(url, str) or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ConfigurationError(f"{expected}: a string without blanks.")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises ValueError for a port out of range)
    except ValueError:
        raise ConfigurationError(f"{expected}, with a valid host and port.") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.port == 0:
        raise ConfigurationError(
            f"{expected}, beginning with wss:// (or ws:// for a gateway on this machine)."
        )
    if parts.username is not None or "?" in url or "#" in url:
        raise ConfigurationError(
            f"{expected}, without a user, a query or a fragment. Pass the key as api_key."
        )
    if parts.scheme == "ws" and not _LOOPBACK.fullmatch(parts.hostname):
        logger.warning("base_url is not encrypted: the API key can be read on the way to %s", parts.hostname)
    return url


def _override_headers(dialect: Dialect, world_part: Optional[str], region: Optional[str]) -> Dict[str, str]:
    """Return the gateway's override headers [SLNG region-override]."""
    headers = {}
    if world_part is not None:
        if world_part not in dialect.world_parts:
            known = ", ".join(repr(part) for part in dialect.world_parts) or "none"
            raise ConfigurationError(
                f"world_part must be one that {dialect.model} offers ({known}), not {world_part!r}."
            )
        headers["X-World-Part-Override"] = world_part
    if region is not None:
        if not isinstance(region, str) or not re.fullmatch(r"[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*", region):
            raise ConfigurationError(
                f"region must be the name of a region such as 'eu-north-1', not {region!r}."
            )
        headers["X-Region-Override"] = region
    return headers


def _own_headers(headers: Optional[Mapping[str, str]], overrides: Mapping[str, str]) -> Dict[str, str]:
    """Return the user's headers, except those that an argument sets. A value may be a secret."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError("headers must be a mapping from names to values.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"headers must have names of letters, digits and dashes, not {name!r}.")
        if _RESERVED_HEADERS.fullmatch(name):
            raise ConfigurationError(f"headers must not contain {name!r}: this library sets it.")
        if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
            raise ConfigurationError(
                f"The value of the header {name!r} must be printable ASCII, without line breaks."
            )
    given = {name.lower() for name in overrides}
    return {name: value for name, value in headers.items() if name.lower() not in given}


def _ssl_context(ssl_context: Any, ca_certs: Optional[str]) -> Any:
    if ssl_context is None:
        return _default_ssl_context(ca_certs)
    if not isinstance(ssl_context, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {type(ssl_context).__name__}.")
    if ca_certs is not None:
        raise ConfigurationError(
            "ca_certs and ssl_context cannot be combined. Load the authorities into the context."
        )
    return ssl_context


def _default_ssl_context(ca_certs: Optional[str]) -> ssl.SSLContext:
    """Return a context that verifies the server by the system's authorities, or by those given."""
    try:
        folder = ca_certs if ca_certs and os.path.isdir(ca_certs) else None
        context = ssl.create_default_context(cafile=None if folder else ca_certs, capath=folder)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"ca_certs must be a file or folder of certificates (PEM): {ca_certs!r} cannot be read ({error})."
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _proxy_for(address: Address, proxy: Optional[str]) -> Optional[str]:
    """Return the given proxy, None if it is empty, or the proxy that the environment names."""
    if proxy is None:
        # Imported here because it loads http.client.
        from urllib.request import getproxies, proxy_bypass

        if proxy_bypass(f"{address.host}:{address.port}"):
            return None
        proxies = getproxies()
        proxy = proxies.get("https" if address.secure else "http") or proxies.get("all") or ""
    elif not isinstance(proxy, str):
        raise ConfigurationError(f"proxy must be an address as a string, not {type(proxy).__name__}.")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and not _is_http_proxy(proxy):
        # The message does not show the value, which may hold a password.
        raise ConfigurationError(
            "proxy must be an address such as http://host:3128. Other kinds are not supported."
        )
    return proxy or None


def _is_http_proxy(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        port = parts.port
    except ValueError:
        return False
    return (
        bool(re.fullmatch(r"[\x21-\x7e]+", proxy))
        and parts.scheme == "http"
        and bool(parts.hostname)
        and port != 0
    )
