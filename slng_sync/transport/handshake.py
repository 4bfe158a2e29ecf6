"""The upgrade: the socket as websocket-client sees it meanwhile, and what a refusal says."""

import math
import re
import time
from typing import Dict, List, Mapping, Optional, Tuple, Type

from ..errors import AuthenticationError, ConnectError, ProtocolError, QuotaError, SlngError
from ..redaction import Redaction
from .connecting import Opening
from .transport import Transport

__all__ = ["HandshakePipe", "Refused"]

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 64 << 10
BODY_PATIENCE = 2.0
"""Seconds to wait for the body of a refusal: its status has come, and says the most."""
BODY_SHOWN = 500
LONGEST_RETRY_AFTER = 86400.0

_REDIRECTS = (301, 302, 303, 307, 308)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")
_CHUNK_SIZE = re.compile(rb"(?:^|\r\n)[0-9a-fA-F]{1,8}\r\n")


class Refused(Exception):
    """The server has answered, but not with 101."""


class HandshakePipe:
    """The socket as the library sees it during the upgrade: it waits, within the bounds of the opening.

    Headers of ours are put in here, below the library, whose trace would print them; and what must not get
    through is taken out of the answer before the library reads it: secrets that the server repeats, and
    cookies, which the library would keep for the whole process.
    """

    _closed = False

    def __init__(
        self, transport: Transport, opening: Opening, headers: Mapping[str, str], redaction: Redaction
    ) -> None:
        self._transport = transport
        self._opening = opening
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._redaction = redaction
        self._answer = bytearray()
        self._head = b""
        self._read_up_to = 0
        self.rest = b""
        """What came behind the head: the first frames, or the body of a refusal."""

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, timeout: Optional[float]) -> None:
        """The opening bounds every wait."""

    def fileno(self) -> int:
        return self._transport.sock.fileno()

    def send(self, data: bytes) -> int:
        lines = [
            line for line in data[:-2].splitlines(keepends=True) if not line.lower().startswith(b"cookie:")
        ]
        self._transport.send(b"".join(lines) + self._headers.encode("ascii") + b"\r\n")
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self._head:
            self._read_head()
        data = self._head[self._read_up_to : self._read_up_to + size]
        self._read_up_to += len(data)
        return data

    def shutdown(self, how: int) -> None:
        """The transport is closed by whoever opened it."""

    def close(self) -> None:
        """The transport is closed by whoever opened it."""

    @property
    def has_answer(self) -> bool:
        """Whether anything came at all."""
        return bool(self._answer)

    def refusal(self) -> ConnectError:
        """What a refusal says: its status, and its body as far as it comes soon."""
        match = _STATUS_LINE.match(self._head)
        headers = _headers(self._head)
        until = time.monotonic() + BODY_PATIENCE
        body = bytearray(self.rest)
        while (
            match and not _is_whole(body, headers) and not self._transport.at_end and len(body) < BODY_LIMIT
        ):
            try:
                body += self._read(until)
            except (SlngError, OSError):
                break
        said = bytes(body)
        if "chunked" in headers.get("transfer-encoding", ""):
            said = _CHUNK_SIZE.sub(b"", said)
        shown = self._redaction.text(" ".join(said.decode("utf-8", "replace").split()))[:BODY_SHOWN]
        return _refusal(int(match[1]) if match else None, headers, shown, str(self._opening.address))

    def _read_head(self) -> None:
        """Wait for the whole head of the answer. Raises ``Refused`` unless it is a 101."""
        while b"\r\n\r\n" not in self._answer and not self._transport.at_end:
            if len(self._answer) > HEAD_LIMIT:
                raise ProtocolError("The server's answer to the upgrade is too long.")
            self._answer += self._read(self._opening.deadline)
        head, end, self.rest = bytes(self._answer).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"set-cookie")]
        self._head = self._redaction.text((b"\r\n".join(lines) + end).decode("latin-1")).encode("latin-1")
        match = _STATUS_LINE.match(self._head)
        if not end or not match or match[1] != b"101":
            raise Refused

    def _read(self, until: float) -> bytes:
        """Wait for more."""
        self._transport.flush()
        data = self._transport.receive()
        if not data and not self._transport.at_end:
            bounds = self._opening._replace(deadline=min(until, self._opening.deadline))
            bounds.wait(self._transport.sock, write=bool(self._transport.backlog))
        return bytes(data)


def _refusal(status: Optional[int], headers: Mapping[str, str], said: str, address: str) -> ConnectError:
    """The error for an upgrade that was answered with anything but 101 [SLNG errors page]."""
    if status is None or status == 101:
        return ConnectError(
            f"{address} did not answer as a WebSocket server.",
            hint="Check base_url: is it the address of an SLNG gateway?",
            headers=headers,
        )
    kind, hint = _kind(status)
    said = "" if status in _REDIRECTS else said
    return kind(
        f"{address} refused the connection with status {status}{': ' + said if said else ''}.",
        status=status,
        body=said,
        hint=hint,
        retryable=status in (408, 409, 425, 429) or status >= 500,
        retry_after=_retry_after(headers.get("retry-after")),
        headers=headers,
    )


def _kind(status: int) -> Tuple[Type[ConnectError], str]:
    if status in (401, 403):
        return AuthenticationError, "Check the API key (SLNG_API_KEY), and that it may use this model."
    if status == 402:
        return QuotaError, "The account has no credit left."
    if status == 429:
        return QuotaError, "Too many requests or streams at once: try again later."
    if status in _REDIRECTS:
        return ConnectError, "Redirects are not followed, so that the key goes nowhere else: check base_url."
    if status in (400, 404, 422):
        return ConnectError, "Check the model, world_part, region and base_url."
    if status < 400:
        return ConnectError, "Check base_url: is it the address of an SLNG gateway?"
    return ConnectError, "Try again later."


def _is_whole(body: bytearray, headers: Mapping[str, str]) -> bool:
    if "chunked" in headers.get("transfer-encoding", ""):
        return body.endswith(b"0\r\n\r\n")
    length = headers.get("content-length", "")
    return bool(re.fullmatch(r"\d{1,9}", length)) and len(body) >= int(length)


def _headers(head: bytes) -> Dict[str, str]:
    lines: List[str] = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _retry_after(value: Optional[str]) -> Optional[float]:
    """Seconds, from a number of them or from a date [RFC 9110, 10.2.3]."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            import email.utils

            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
