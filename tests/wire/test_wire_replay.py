"""The recorded sessions, traced by a whole client, and replayed from the trace."""

import functools
from pathlib import Path
from typing import Any, List

import pytest
from recording import Recording
from replay_server import ReplayServer
from test_wire_client import PLAYED, User

from slng_sync import Client, ServerError, Transcript


@pytest.mark.parametrize("name", PLAYED)
def test_replaying_a_trace_gives_the_same_callbacks(name: str, tmp_path: Path) -> None:
    """Finals with words and times, the server's events and its errors are the same, for other callbacks."""
    recording, path = Recording(name), tmp_path / "talk.jsonl"
    with ReplayServer(recording) as server:
        user = User(server, recording)
        listen: Any = functools.partial(user.client.listen, trace=path)
        user.client.listen = listen  # type: ignore[method-assign]
        user.run()
    if user.session is None:
        return
    again: List[Any] = []
    client = Client("reson8", api_key="any", on_final=again.append, on_event=again.append)
    errors: List[Any] = []
    client.on_error(errors.append)
    client.replay(path)
    assert [each for each in again if isinstance(each, Transcript)] == user.finals
    assert [each for each in again if not isinstance(each, Transcript)] == user.events
    assert [error.code for error in errors if isinstance(error, ServerError)] == user.error_codes
