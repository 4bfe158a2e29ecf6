"""What to do about it, where that takes more than a few words. No I/O."""

import sys
from datetime import datetime
from typing import Dict, Optional

from .certificate import Certificate

__all__ = ["certificate_cure", "set_key", "tls_cure", "too_loud"]

# OpenSSL's numbers for what is wrong with a certificate.
NOT_YET_VALID, EXPIRED = 9, 10
SELF_SIGNED, NO_ISSUER, WRONG_HOST = (18, 19), (2, 20, 21), (62, 64)
# And its names for what is said by something that does not speak TLS.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")

SET_KEY = {
    "linux": "export SLNG_API_KEY=... in the shell that starts the program. A program that is started from "
    "the desktop does not see what ~/.bashrc sets: ~/.profile is for both.",
    "darwin": "export SLNG_API_KEY=... in the shell that starts the program, for good in ~/.zshrc. A program "
    "that is started from the Dock or the Finder does not see that: launchctl setenv SLNG_API_KEY ...",
    "win32": "setx SLNG_API_KEY ..., and then a new window, for good; set SLNG_API_KEY=... (in PowerShell "
    "$env:SLNG_API_KEY = '...') for this window.",
}
SET_CLOCK = {
    "linux": "sudo timedatectl set-ntp true",
    "darwin": "System Settings > General > Date & Time > Set time and date automatically",
    "win32": "Settings > Time & language > Date & time > Sync now",
}
MISSING_AUTHORITY = {
    "linux": "This system may lack the usual authorities: sudo apt install ca-certificates.",
    "darwin": "A Python from python.org comes without authorities: run Install Certificates.command in its "
    "folder in Applications.",
    "win32": "Windows fetches an authority when it is first needed: open the gateway's address in Edge once.",
}
TOO_LOUD = {
    "linux": "Lower its level: pavucontrol, or pactl set-source-volume @DEFAULT_SOURCE@ 60%.",
    "darwin": "Lower its level: System Settings > Sound > Input.",
    "win32": "Lower its level, and its boost: Settings > System > Sound > Input.",
}
OWN_AUTHORITY = (
    "If you trust it, save its authority's certificate as a PEM file, and name that by SSL_CERT_FILE in the "
    "environment, or Client(ca_certs=FILE)."
)


def set_key() -> str:
    """How to put the key into the environment."""
    return _here(SET_KEY)


def too_loud() -> str:
    """How to turn a microphone down."""
    return _here(TOO_LOUD)


def certificate_cure(code: int, host: str, seen: Optional[Certificate], now: datetime) -> str:
    """What to do about a certificate that was refused. ``code`` is OpenSSL's, ``seen`` what was shown."""
    today = f"This computer says it is {now:%Y-%m-%d %H:%M} UTC"
    if code == NOT_YET_VALID:
        begins = "" if seen is None else f", the certificate begins on {seen.begins:%Y-%m-%d}"
        return f"{today}{begins}: its clock is behind. Set it: {_here(SET_CLOCK)}."
    if code == EXPIRED:
        ends = "" if seen is None else f", the certificate ended on {seen.ends:%Y-%m-%d}"
        return (
            f"{today}{ends}. If the computer is wrong, set its clock: {_here(SET_CLOCK)}. Else tell whoever "
            f"runs {host}."
        )
    if code in WRONG_HOST:
        whose = "" if seen is None else f" (the certificate is that of {seen.subject})"
        return (
            f"Something else answers for {host}{whose}: the log-in page of a Wi-Fi (open any page in a "
            "browser), a proxy; or --base-url or SLNG_BASE_URL is wrong."
        )
    if code in NO_ISSUER:
        return f"{_issued(host, seen)} {OWN_AUTHORITY}\n{_here(MISSING_AUTHORITY)}"
    if code in SELF_SIGNED:
        return f"{_issued(host, seen)} {OWN_AUTHORITY}"
    return f"{today}. Is that right? {OWN_AUTHORITY}"


def tls_cure(reason: str) -> str:
    """What to do where it did not even come to certificates. ``reason`` is OpenSSL's name for it."""
    if reason in NO_TLS:
        return (
            "What answers there does not speak TLS: the log-in page of a Wi-Fi, a wrong port, or a gateway "
            "of your own, whose address then begins with ws://."
        )
    if "PROTOCOL" in reason or "VERSION" in reason:
        return "What answers there speaks only versions of TLS that are too old: it is hardly the gateway."
    return (
        "Something between this computer and the gateway cuts TLS off: a firewall, a virus scanner, a proxy."
    )


def _issued(host: str, seen: Optional[Certificate]) -> str:
    if seen is None:
        return f"The certificate of {host} is issued by nobody that this computer knows."
    if seen.is_own_issuer:
        return f"{seen.subject} vouches for itself: a gateway of your own, or something that reads along."
    return (
        f"It is issued by {seen.issuer}, whom this computer does not know: a proxy or a virus scanner that "
        f"reads along, unless {host} really uses that."
    )


def _here(cures: Dict[str, str]) -> str:
    return cures.get(sys.platform, cures["linux"])
