"""The upgrade: the socket as websocket-client sees it meanwhile, and what a refusal says."""

import email.utils
import re
import time
from typing import Dict, List, Mapping, Optional, Tuple, Type

from .errors import AuthenticationError, ConnectError, ProtocolError, QuotaError
from .opening import Opening
from .transport import Transport

__all__ = ["HandshakePipe", "refusal", "refused_upgrade"]

ANSWER_LIMIT = 128 << 10
BODY_SHOWN = 500

_REDIRECTS = (301, 302, 303, 307, 308)


class HandshakePipe:
    """The socket as the library sees it during the upgrade: it waits, within the bounds of the opening.

    The secret headers are put in here, below the library, whose trace would print them.
    """

    _closed = False

    def __init__(self, transport: Transport, opening: Opening, secret_headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._opening = opening
        self._secret = "".join(f"{name}: {value}\r\n" for name, value in secret_headers.items())
        self.secrets = [value.split()[-1] for value in secret_headers.values()]
        self._position = 0
        self.answer = bytearray()

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, timeout: Optional[float]) -> None:
        """The opening bounds every wait."""

    def fileno(self) -> int:
        return self._transport.sock.fileno()

    def send(self, data: bytes) -> int:
        request = data.decode("utf-8")
        self._transport.send((request[:-2] + self._secret + "\r\n").encode("utf-8"))
        return len(data)

    def recv(self, size: int) -> bytes:
        while self._position >= len(self.answer) and not self._transport.at_end:
            self.read()
        data = bytes(self.answer[self._position : self._position + size])
        self._position += len(data)
        return data

    @property
    def at_end(self) -> bool:
        """Whether the other side has closed."""
        return self._transport.at_end

    def without_secrets(self, said: str) -> str:
        """What a server said, without the key that it may have repeated."""
        for secret in self.secrets:
            said = said.replace(secret, "***")
        return said

    def read(self) -> None:
        """Wait for more of the answer."""
        if len(self.answer) > ANSWER_LIMIT:
            raise ProtocolError("The server's answer to the upgrade is too long.")
        self._transport.flush()
        data = self._transport.receive()
        if not data and not self._transport.at_end:
            self._opening.wait(self._transport.sock, write=bool(self._transport.backlog))
        self.answer += data

    @property
    def rest(self) -> bytes:
        """What came behind the answer: the first frames."""
        return bytes(self.answer[self._position :])

    def shutdown(self, how: int) -> None:
        """The transport is closed by whoever opened it."""

    def close(self) -> None:
        """The transport is closed by whoever opened it."""


def refusal(pipe: HandshakePipe, opening: Opening) -> ConnectError:
    """What a refused upgrade says, read from the answer itself: the library loses a body without a length."""
    while b"\r\n\r\n" in pipe.answer and not _is_whole(pipe.answer) and not pipe.at_end:
        try:
            pipe.read()
        except (ConnectError, ProtocolError, OSError):
            break
    head, _, body = bytes(pipe.answer).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    headers = _headers(lines[1:])
    if "chunked" in headers.get("transfer-encoding", ""):
        body = re.sub(rb"(?:^|\r\n)[0-9a-fA-F]+\r\n", b"", body)
    said = " ".join(body.decode("utf-8", "replace").split())
    return refused_upgrade(status, headers, pipe.without_secrets(said)[:BODY_SHOWN], str(opening.address))


def refused_upgrade(status: int, headers: Mapping[str, str], said: str, address: str) -> ConnectError:
    """The error for an upgrade that was answered with anything but 101 [SLNG errors page]."""
    kind, hint = _kind(status)
    said = "" if status in _REDIRECTS else said
    return kind(
        f"{address} refused the connection with status {status or 'unknown'}{': ' + said if said else ''}"
        if status != 101
        else f"{address} did not answer as a WebSocket server.",
        status=status or None,
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
    return ConnectError, "Try again later."


def _is_whole(answer: bytearray) -> bool:
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    headers = _headers(head.decode("latin-1").split("\r\n")[1:])
    if "chunked" in headers.get("transfer-encoding", ""):
        return body.endswith(b"0\r\n\r\n") or len(body) > BODY_SHOWN
    length = headers.get("content-length", "")
    return len(body) >= min(int(length) if length.isdigit() else BODY_SHOWN, BODY_SHOWN)


def _headers(lines: List[str]) -> Dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _retry_after(value: Optional[str]) -> Optional[float]:
    """Seconds, from a number of them or from a date [RFC 9110, 10.2.3]."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
