"""Check of a complete session: open it, send one second of silence, finalize, close."""

import time
from typing import NamedTuple, Optional

from ..client import Client
from ..dialects import as_dialect
from ..errors import WaitTimeout
from ..session.session import Session
from .case import LOCAL_KEY, Case
from .check import OK, WARNING, Check, milliseconds

__all__ = ["session"]

CONNECT_SECONDS = 4.0
READY_SECONDS = 5.0
FINALIZE_SECONDS = 3.0
CLOSE_SECONDS = 2.0
SILENCE = bytes(32000)
"""One second of silence at 16 kHz."""


class SessionTest(NamedTuple):
    """The figures of a session. Times are in milliseconds, None after a timeout."""

    model: str
    session_id: Optional[str]
    ready_ms: int
    finalize_ms: Optional[int]
    closed_in_order: bool


def session(case: Case) -> Check:
    """Check that the gateway accepts a session, and measure its response times. Raises ``SlngError``."""
    test = _run(case)
    detail = f"{test.model} was ready after {test.ready_ms} ms"
    if test.finalize_ms is None:
        detail += f", but did not answer finalize within {FINALIZE_SECONDS:g} s"
        cure = "Transcripts will be late. Try again later, or another --world-part."
        return Check("session", WARNING, detail, cure, test._asdict())
    detail += f" and answered finalize after {test.finalize_ms} ms"
    if not test.closed_in_order:
        detail += f", but did not end the session within {CLOSE_SECONDS:g} s"
        cure = "The last words of a session may be late. Try again later."
        return Check("session", WARNING, detail, cure, test._asdict())
    return Check("session", OK, detail, "", test._asdict())


def _run(case: Case) -> SessionTest:
    client = _client(case)
    begun = time.monotonic()
    opened = client.listen()
    ready_ms = milliseconds(begun)
    try:
        opened.send(SILENCE)
        asked = time.monotonic()
        confirmed = opened.finalize(FINALIZE_SECONDS)
        finalize_ms = milliseconds(asked) if confirmed else None
        opened.begin_close(CLOSE_SECONDS)
        is_closed = _is_over(opened)
    finally:
        # Do not wait any longer, whatever happened. After a clean close this does nothing.
        opened.abort()
    return SessionTest(as_dialect(case.model).model, opened.id, ready_ms, finalize_ms, is_closed)


def _is_over(opened: Session) -> bool:
    """Wait for the end. Return False after a timeout. Raises the error that ended the session."""
    try:
        opened.wait(CLOSE_SECONDS)
    except WaitTimeout:
        return False
    return True


def _client(case: Case) -> Client:
    return Client(
        case.model,
        api_key=LOCAL_KEY if case.is_local else None,
        world_part=case.world_part,
        region=case.region,
        base_url=case.base_url,
        proxy="" if case.is_local else None,
        connect_timeout=CONNECT_SECONDS,
        ready_timeout=READY_SECONDS,
        reconnect=False,
    )
