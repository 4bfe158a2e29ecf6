"""Issuer, subject and validity of a certificate, even if it is not trusted (RFC 5280, 4.1).

The ``ssl`` module decodes only certificates that it has verified. The doctor has to explain the others.
"""

from datetime import datetime, timezone
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

__all__ = ["Certificate", "read_certificate"]

ORGANIZATION, COMMON_NAME = bytes([0x55, 4, 10]), bytes([0x55, 4, 3])
VERSION, UTC_TIME, BMP_STRING = 0xA0, 0x17, 0x1E


class Certificate(NamedTuple):
    """The contents of a certificate. Names are those of organisations, otherwise the common names.

    ``is_own_issuer`` is True for a self-signed certificate.
    """

    issuer: str
    subject: str
    begins: datetime
    ends: datetime
    is_own_issuer: bool = False


def read_certificate(der: bytes) -> Optional[Certificate]:
    """Decode a certificate in DER. Return None if it is invalid."""
    try:
        ((_, whole),) = _items(der)
        _, signed = next(_items(whole))
        fields = [item for item in _items(signed) if item[0] != VERSION]
        (_, issuer), (_, validity), (_, subject) = fields[2:5]
        begins, ends = (_time(tag, text.decode("ascii")) for tag, text in _items(validity))
        return Certificate(_name(issuer), _name(subject), begins, ends, issuer == subject)
    except (ValueError, IndexError, StopIteration):
        return None


def _items(der: bytes) -> Iterator[Tuple[int, bytes]]:
    """Yield the tag and the value of each element in a sequence (X.690, 8.1)."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        yield tag, der[at : at + length]
        at += length


def _name(der: bytes) -> str:
    found: Dict[bytes, str] = {}
    for _, group in _items(der):
        for _, pair in _items(group):
            (_, kind), (tag, value) = _items(pair)
            found[kind] = value.decode("utf-16-be" if tag == BMP_STRING else "utf-8", "replace")
    return found.get(ORGANIZATION) or found.get(COMMON_NAME) or "(no name)"


def _time(tag: int, text: str) -> datetime:
    form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
