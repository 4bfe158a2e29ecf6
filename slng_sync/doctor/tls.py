"""Check of TLS and the gateway's certificate."""

import ssl
import time
from datetime import datetime, timezone
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..errors import ConnectError, SlngError, WaitTimeout
from ..waiting import within
from .case import Case
from .certificate import Certificate, read_certificate
from .check import OK, WARNING, Check, failed, milliseconds
from .cures import certificate_cure, tls_cure
from .network import CONNECT_SECONDS, GRACE, connected

__all__ = ["tls"]


class Secured(NamedTuple):
    """The result of a TLS handshake."""

    version: str
    cipher: str
    certificate: Optional[Certificate]


def tls(case: Case) -> Check:
    """Check that the connection is encrypted and the gateway's certificate is valid."""
    address = case.endpoint.address
    if not address.secure:
        return _plain(case)
    begun = time.monotonic()
    try:
        secured = within(CONNECT_SECONDS + GRACE, lambda: _secure(case, case.endpoint.ssl_context))
    except (ConnectError, WaitTimeout) as error:
        return _refused(case, error)
    took = milliseconds(begun)
    issuer = "an unreadable issuer" if secured.certificate is None else secured.certificate.issuer
    figures = {
        "version": secured.version,
        "cipher": secured.cipher,
        "ms": took,
        **_figures(secured.certificate),
    }
    return Check("tls", OK, f"{secured.version}, certificate issued by {issuer}; {took} ms", "", figures)


def _plain(case: Case) -> Check:
    host, figures = case.endpoint.address.host, {"version": None}
    if host == "localhost" or host == "::1" or host.startswith("127."):
        return Check("tls", OK, "not used, which is safe on this machine (ws://)", "", figures)
    return Check(
        "tls",
        WARNING,
        f"not used: the API key is sent to {host} unencrypted",
        "Use wss:// in the address.",
        figures,
    )


def _refused(case: Case, error: SlngError) -> Check:
    cause, host = error.__cause__, case.endpoint.address.host
    if isinstance(cause, ssl.SSLCertVerificationError):
        seen = _untrusted_certificate(case)
        cure = certificate_cure(cause.verify_code, host, seen, datetime.now(timezone.utc))
        return failed("tls", error, cure=cure, figures={"verify_code": cause.verify_code, **_figures(seen)})
    reason = str(getattr(cause, "reason", None) or "")
    return failed("tls", error, cure=tls_cure(reason), figures={"reason": reason})


def _untrusted_certificate(case: Case) -> Optional[Certificate]:
    """Return the rejected certificate, or None. Sends nothing over the unverified connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return within(CONNECT_SECONDS + GRACE, lambda: _secure(case, context)).certificate
    except SlngError:
        return None


def _secure(case: Case, context: Optional[ssl.SSLContext]) -> Secured:
    with connected(case, context) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        cipher: Optional[Tuple[Any, ...]] = sock.cipher()
        return Secured(
            sock.version() or "TLS",
            str(cipher[0]) if cipher else "",
            read_certificate(sock.getpeercert(True) or b""),
        )


def _figures(certificate: Optional[Certificate]) -> Dict[str, Any]:
    if certificate is None:
        return {}
    return {
        "issuer": certificate.issuer,
        "subject": certificate.subject,
        "begins": certificate.begins.isoformat(),
        "ends": certificate.ends.isoformat(),
    }
