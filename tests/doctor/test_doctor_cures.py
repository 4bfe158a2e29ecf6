"""The cure for each problem on each operating system."""

import ssl
import sys
from datetime import datetime, timedelta, timezone

import pytest
import trustme

from slng_sync.doctor.certificate import Certificate, read_certificate
from slng_sync.doctor.cures import certificate_cure, set_key, tls_cure, too_loud
from slng_sync.doctor.key import oddity
from slng_sync.microphone.silence import low_level_hint, silence_hint

NOW = datetime(2026, 5, 4, 3, 2, tzinfo=timezone.utc)
SEEN = Certificate("Acme Inspection", "Acme Inspection of api.slng.ai", NOW, NOW + timedelta(days=1))
OWN = SEEN._replace(subject=SEEN.issuer, is_own_issuer=True)


@pytest.fixture(params=["linux", "darwin", "win32", "freebsd14"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the operating system. One without cures of its own gets those for Linux."""
    monkeypatch.setattr(sys, "platform", request.param)
    return "linux" if request.param.startswith("freebsd") else str(request.param)


def test_the_key_is_set_as_the_system_does_it(system: str) -> None:
    wanted = {"linux": "~/.profile", "darwin": "launchctl setenv", "win32": "setx SLNG_API_KEY"}
    assert wanted[system] in set_key()
    assert "SLNG_API_KEY" in set_key()


def test_microphones_are_allowed_and_turned_where_the_system_does_it(system: str) -> None:
    wanted = {"linux": "pactl", "darwin": "System Settings", "win32": "Settings >"}
    for cure in (too_loud(), low_level_hint(), silence_hint()):
        assert wanted[system] in cure


@pytest.mark.parametrize("code", [9, 10])
def test_the_clock_is_set_where_the_system_does_it(code: int, system: str) -> None:
    wanted = {"linux": "timedatectl", "darwin": "Date & Time", "win32": "Sync now"}
    cure = certificate_cure(code, "api.slng.ai", SEEN, NOW)
    assert wanted[system] in cure
    assert "2026-05-04 03:02 UTC" in cure, "what the clock says is there to be compared"


def test_authorities_may_be_missing(system: str) -> None:
    wanted = {"linux": "ca-certificates", "darwin": "Install Certificates.command", "win32": "Edge"}
    cure = certificate_cure(20, "api.slng.ai", SEEN, NOW)
    assert wanted[system] in cure
    assert "Acme Inspection" in cure and "SSL_CERT_FILE" in cure


@pytest.mark.parametrize(
    ("code", "seen", "said"),
    [
        (9, SEEN, "valid from 2026-05-04"),
        (9, None, "the clock is behind"),
        (10, SEEN, "expired on 2026-05-05"),
        (10, None, "tell the operator of api.slng.ai"),
        (62, SEEN, "Wi-Fi"),
        (62, None, "Another server answers for api.slng.ai."),
        (64, SEEN, "belongs to Acme Inspection of api.slng.ai"),
        (18, OWN, "certificate of Acme Inspection is self-signed"),
        (19, SEEN, "issued by Acme Inspection"),
        (20, None, "issued by an authority that this computer does not trust"),
        (26, SEEN, "Check that this is right"),
    ],
)
def test_each_fault_of_a_certificate(code: int, seen: Certificate, said: str) -> None:
    assert said in certificate_cure(code, "api.slng.ai", seen, NOW)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("WRONG_VERSION_NUMBER", "does not speak TLS"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "too old"),
        ("UNSUPPORTED_PROTOCOL", "too old"),
        ("", "interrupts TLS"),
    ],
)
def test_where_it_does_not_come_to_certificates(reason: str, said: str) -> None:
    assert said in tls_cure(reason)


class TestCertificate:
    def test_what_one_says(self) -> None:
        ends = datetime.now(timezone.utc) + timedelta(days=9)
        authority = trustme.CA(organization_name="Ämter & Söhne")
        issued = authority.issue_cert("api.slng.ai", not_after=ends, organization_name="The Gateway")
        read = read_certificate(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))
        assert read is not None
        assert (read.issuer, read.subject) == ("Ämter & Söhne", "The Gateway")
        assert read.ends == ends.replace(microsecond=0)
        assert read.begins < datetime.now(timezone.utc)
        assert not read.is_own_issuer

    def test_one_of_an_authority(self) -> None:
        authority = trustme.CA()
        read = read_certificate(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode()))
        assert read is not None and read.is_own_issuer

    def test_what_is_none(self) -> None:
        whole = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
        for broken in (b"", b"0", b"\x30\x82", b"hello there", whole[:40], whole[4:], whole + b"\0\0"):
            assert read_certificate(broken) is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-1234567890/abc+d", ""),
        ("sk-1234567890\n", "line break"),
        (" sk-1234567890", "begins or ends with blanks"),
        ("sk-1234\t567890", "blanks or non-ASCII characters"),
        ("sk-1234567890é", "blanks or non-ASCII characters"),
        ("Bearer sk-1234567890", "Bearer"),
        ('"sk-1234567890"', "quotation"),
        ("\u201csk-1234567890\u201d", "non-ASCII"),
        ("<your key>", "blanks or non-ASCII characters"),
        ("<key>", "example"),
        ("your-api-key", "example"),
        ("$SLNG_API_KEY", "example"),
        ("${SLNG_API_KEY}", "example"),
        ("%SLNG_API_KEY%", "example"),
        ("...", "example"),
    ],
)
def test_odd_keys(key: str, said: str) -> None:
    assert said in oddity(key) and bool(said) == bool(oddity(key))
    assert "1234" not in oddity(key)
