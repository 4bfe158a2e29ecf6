"""Accept or refuse an upgrade request by its path, key and override headers. Does no I/O."""

import json
from http import HTTPStatus
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple, Type, Union
from urllib.parse import parse_qs

from .dialect import ServerDialect
from .faults import Faults
from .reson8 import Reson8Server
from .soniox import SonioxServer

__all__ = ["UpgradeResponse", "check_upgrade", "dialect_for"]

DIALECTS: Dict[str, Type[ServerDialect]] = {dialect.path: dialect for dialect in (Reson8Server, SonioxServer)}
MESSAGES = {
    400: "Bad request",
    401: "Invalid or missing API key",
    402: "Insufficient credit",
    403: "This API key may not use this model",
    404: "Unknown model or path",
    422: "Unknown model",
    429: "Too many requests",
    500: "Internal server error",
    503: "Service unavailable",
}


class UpgradeResponse(NamedTuple):
    """The response to an upgrade request (101: accepted), and the client's breaches."""

    status: int = 101
    body: str = ""
    headers: Tuple[Tuple[str, str], ...] = ()
    breaches: Tuple[str, ...] = ()


def dialect_for(path: str) -> Optional[Type[ServerDialect]]:
    """Return the dialect of a path, or None."""
    return DIALECTS.get(path)


def check_upgrade(
    path: str, query: str, headers: Mapping[str, str], faults: Faults, api_key: Optional[str]
) -> UpgradeResponse:
    """Check an upgrade request. ``headers`` has lower-case names."""
    breaches: List[str] = []
    if "sec-websocket-extensions" in headers:
        # On some routes, offered compression has broken the handshake.
        breaches.append("the upgrade offers WebSocket extensions")
    if faults.upgrade_status != 101:
        return _response_from_faults(faults, breaches)
    status, message, breach = _check_request(path, query, headers, faults, api_key)
    if breach:
        breaches.append(breach)
    if status == 101:
        return UpgradeResponse(breaches=tuple(breaches))
    return UpgradeResponse(status, _body("json", status, message), _content_type("json"), tuple(breaches))


def _check_request(
    path: str, query: str, headers: Mapping[str, str], faults: Faults, api_key: Optional[str]
) -> Tuple[int, str, str]:
    """Return the status, the message and the breach ("" if there is none)."""
    dialect = dialect_for(path)
    if dialect is None:
        return 404, MESSAGES[404], f"unknown path {path}"
    if faults.key_check != "off":
        key = _key(query, headers, faults.key_check)
        if not key:
            return 401, MESSAGES[401], f"no API key in the {faults.key_check}"
        if faults.key_refused == "at_upgrade" or (api_key is not None and key != api_key):
            return 401, MESSAGES[401], ""
    return _check_overrides(headers, dialect.world_parts)


def _key(query: str, headers: Mapping[str, str], where: str) -> str:
    if where == "query":
        return parse_qs(query).get("token", [""])[0]
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _check_overrides(headers: Mapping[str, str], world_parts: FrozenSet[str]) -> Tuple[int, str, str]:
    part = headers.get("x-world-part-override")
    if part is not None and part not in world_parts:
        return 400, "Unsupported world part", f"world part {part!r} is not one of {sorted(world_parts)}"
    if headers.get("x-region-override") == "":
        return 400, "Unsupported region", "an empty region"
    for name in ("x-slng-agent-id", "x-slng-session-id"):
        value = headers.get(name, "")
        if len(value) > 128 or "," in value or not value.isprintable():
            return 400, f"Invalid {name}", f"{name} is too long, or holds commas or control characters"
    return 101, "", ""


def _response_from_faults(faults: Faults, breaches: List[str]) -> UpgradeResponse:
    status = faults.upgrade_status
    headers = _content_type(faults.upgrade_body)
    if faults.retry_after is not None:
        headers += (("Retry-After", str(faults.retry_after)),)
    text = MESSAGES.get(status) or _phrase(status)
    return UpgradeResponse(status, _body(faults.upgrade_body, status, text), headers, tuple(breaches))


def _content_type(shape: str) -> Tuple[Tuple[str, str], ...]:
    kind = "application/json" if shape in ("json", "details") else "text/plain; charset=utf-8"
    return (("Content-Type", "text/html; charset=utf-8" if shape.lstrip().startswith("<") else kind),)


def _body(shape: str, status: int, message: str) -> str:
    if shape == "json":
        return json.dumps({"error": _phrase(status), "message": message, "statusCode": status})
    if shape == "details":
        details: Dict[str, Union[str, int, Dict[str, str]]] = {
            "error": message,
            "status": status,
            "details": {},
        }
        return json.dumps(details)
    return "" if shape == "none" else shape


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
