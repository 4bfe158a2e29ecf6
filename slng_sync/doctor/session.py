"""The whole way: a session that is opened, given a second of silence, and closed."""

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
SECOND = bytes(32000)
"""Of silence, at 16 kHz."""


class Talk(NamedTuple):
    """How the conversation went: times in milliseconds, None for what was not answered in time."""

    model: str
    session_id: Optional[str]
    ready_ms: int
    finalize_ms: Optional[int]
    closed_in_order: bool


def session(case: Case) -> Check:
    """Whether the gateway lets us in and answers, and how soon. Raises what stands against it."""
    talk = _talk(case)
    ready = f"{talk.model} was ready after {talk.ready_ms} ms"
    if talk.finalize_ms is None:
        said = f"{ready}, but did not answer finalize within {FINALIZE_SECONDS:g} s"
        slow = "Words will come late: try again later, or another --world-part."
        return Check("session", WARNING, said, slow, talk._asdict())
    said = f"{ready} and answered finalize after {talk.finalize_ms} ms"
    if not talk.closed_in_order:
        said = f"{said}, but did not end the stream within {CLOSE_SECONDS:g} s"
        late = "The last words of a stream may be late: try again later."
        return Check("session", WARNING, said, late, talk._asdict())
    return Check("session", OK, said, "", talk._asdict())


def _talk(case: Case) -> Talk:
    client = _client(case)
    begun = time.monotonic()
    opened = client.listen()
    ready_ms = milliseconds(begun)
    try:
        opened.send(SECOND)
        asked = time.monotonic()
        confirmed = opened.finalize(FINALIZE_SECONDS)
        finalize_ms = milliseconds(asked) if confirmed else None
        opened.begin_close(CLOSE_SECONDS)
        is_closed = _is_over(opened)
    finally:
        # Whatever has happened, nothing is waited for any more. After a close in order this does nothing.
        opened.abort()
    return Talk(as_dialect(case.model).model, opened.id, ready_ms, finalize_ms, is_closed)


def _is_over(opened: Session) -> bool:
    """Wait for the end; whether it came in time. Raises the error that it came by."""
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
