"""Advice on how to fix problems, by operating system. No I/O."""

import sys
from datetime import datetime
from typing import Dict, Optional

from .certificate import Certificate

__all__ = ["certificate_cure", "set_key", "tls_cure", "too_loud"]

# OpenSSL's codes for certificate verification errors.
NOT_YET_VALID, EXPIRED = 9, 10
SELF_SIGNED, NO_ISSUER, WRONG_HOST = (18, 19), (2, 20, 21), (62, 64)
# OpenSSL's names for errors caused by a server that does not speak TLS.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")

SET_KEY = {
    "linux": "Run export SLNG_API_KEY=... in the shell that starts the program. To keep it, add that line to "
    "~/.profile: programs started from the desktop do not read ~/.bashrc.",
    "darwin": "Run export SLNG_API_KEY=... in the shell that starts the program. To keep it, add that line "
    "to ~/.zshrc. For programs started from the Dock or the Finder: launchctl setenv SLNG_API_KEY ...",
    "win32": "Run setx SLNG_API_KEY ... and open a new window. For the current window only: set "
    "SLNG_API_KEY=... (in PowerShell: $env:SLNG_API_KEY = '...').",
}
SET_CLOCK = {
    "linux": "sudo timedatectl set-ntp true",
    "darwin": "System Settings > General > Date & Time > Set time and date automatically",
    "win32": "Settings > Time & language > Date & time > Sync now",
}
MISSING_AUTHORITY = {
    "linux": "The system's certificate authorities may be missing: sudo apt install ca-certificates.",
    "darwin": "Python from python.org comes without certificate authorities: run Install "
    "Certificates.command in its folder in Applications.",
    "win32": "Windows downloads a certificate authority on first use: open the gateway's address in Edge "
    "once.",
}
TOO_LOUD = {
    "linux": "Lower the microphone's level: pavucontrol, or pactl set-source-volume @DEFAULT_SOURCE@ 60%.",
    "darwin": "Lower the microphone's level: System Settings > Sound > Input.",
    "win32": "Lower the microphone's level and boost: Settings > System > Sound > Input.",
}
OWN_AUTHORITY = (
    "If you trust it, save the certificate of its authority as a PEM file and set SSL_CERT_FILE in the "
    "environment, or pass Client(ca_certs=FILE)."
)


def set_key() -> str:
    """Return how to set the API key in the environment."""
    return _for_platform(SET_KEY)


def too_loud() -> str:
    """Return how to lower the level of a microphone."""
    return _for_platform(TOO_LOUD)


def certificate_cure(code: int, host: str, seen: Optional[Certificate], now: datetime) -> str:
    """Return what to do about a rejected certificate.

    ``code`` is OpenSSL's verification error. ``seen`` is the certificate, or None if it could not be read.
    """
    today = f"This computer's clock says {now:%Y-%m-%d %H:%M} UTC"
    if code == NOT_YET_VALID:
        begins = "" if seen is None else f", the certificate is valid from {seen.begins:%Y-%m-%d}"
        return f"{today}{begins}: the clock is behind. Set it: {_for_platform(SET_CLOCK)}."
    if code == EXPIRED:
        ends = "" if seen is None else f", the certificate expired on {seen.ends:%Y-%m-%d}"
        return (
            f"{today}{ends}. If the clock is wrong, set it: {_for_platform(SET_CLOCK)}. Otherwise tell the "
            f"operator of {host}."
        )
    if code in WRONG_HOST:
        whose = "" if seen is None else f" (its certificate belongs to {seen.subject})"
        return (
            f"Another server answers for {host}{whose}. It may be the login page of a Wi-Fi network (open "
            "any page in a browser) or a proxy, or --base-url or SLNG_BASE_URL is wrong."
        )
    if code in NO_ISSUER:
        return f"{_issued(host, seen)} {OWN_AUTHORITY}\n{_for_platform(MISSING_AUTHORITY)}"
    if code in SELF_SIGNED:
        return f"{_issued(host, seen)} {OWN_AUTHORITY}"
    return f"{today}. Check that this is right. {OWN_AUTHORITY}"


def tls_cure(reason: str) -> str:
    """Return what to do if the TLS handshake failed before the certificate was verified.

    ``reason`` is OpenSSL's name for the error, or "".
    """
    if reason in NO_TLS:
        return (
            "The server does not speak TLS. It may be the login page of a Wi-Fi network, the wrong port, or "
            "your own gateway without TLS, whose address begins with ws://."
        )
    if "PROTOCOL" in reason or "VERSION" in reason:
        return "The server supports only TLS versions that are too old. It is probably not the gateway."
    return (
        "Something between this computer and the gateway interrupts TLS: a firewall, a virus scanner or a "
        "proxy."
    )


def _issued(host: str, seen: Optional[Certificate]) -> str:
    if seen is None:
        return f"The certificate of {host} was issued by an authority that this computer does not trust."
    if seen.is_own_issuer:
        return (
            f"The certificate of {seen.subject} is self-signed. It belongs to your own gateway, or something "
            "intercepts the connection."
        )
    return (
        f"The certificate was issued by {seen.issuer}, which this computer does not trust. Unless {host} "
        "really uses this authority, a proxy or a virus scanner intercepts the connection."
    )


def _for_platform(cures: Dict[str, str]) -> str:
    return cures.get(sys.platform, cures["linux"])
