"""Who issued a certificate, for whom and until when, also where it is not to be believed [RFC 5280, 4.1].

Python shows these of certificates that it has verified only; of the others they matter most.
"""

from datetime import datetime, timezone
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

__all__ = ["Certificate", "read_certificate"]

ORGANIZATION, COMMON_NAME = bytes([0x55, 4, 10]), bytes([0x55, 4, 3])
VERSION, UTC_TIME, BMP_STRING = 0xA0, 0x17, 0x1E


class Certificate(NamedTuple):
    """What a certificate says: names of organisations or, where there is none, of machines.

    ``is_own_issuer``: nobody but its owner vouches for it.
    """

    issuer: str
    subject: str
    begins: datetime
    ends: datetime
    is_own_issuer: bool = False


def read_certificate(der: bytes) -> Optional[Certificate]:
    """Read it; None for what is no certificate."""
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
    """The values in a sequence, each with its tag [X.690, 8.1]."""
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
    return found.get(ORGANIZATION) or found.get(COMMON_NAME) or "nobody"


def _time(tag: int, text: str) -> datetime:
    form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
