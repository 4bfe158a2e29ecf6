"""The recorded sessions, traced by a whole client, and told again from its trace."""

import functools
from pathlib import Path
from typing import Any, List

import pytest
from player import Player
from recording import Recording
from test_wire_client import PLAYED, Listener

from slng_sync import Client, ServerError, Transcript


@pytest.mark.parametrize("name", PLAYED)
def test_a_trace_tells_what_its_session_told(name: str, tmp_path: Path) -> None:
    """Finals with words and times, the server's events and its errors; with other callbacks, alone."""
    recording, path = Recording(name), tmp_path / "talk.jsonl"
    with Player(recording) as player:
        listener = Listener(player, recording)
        listen: Any = functools.partial(listener.client.listen, trace=path)
        listener.client.listen = listen  # type: ignore[method-assign]
        listener.talk()
    if listener.session is None:
        return
    again: List[Any] = []
    client = Client("reson8", api_key="any", on_final=again.append, on_event=again.append)
    errors: List[Any] = []
    client.on_error(errors.append)
    client.replay(path)
    assert [each for each in again if isinstance(each, Transcript)] == listener.finals
    assert [each for each in again if not isinstance(each, Transcript)] == listener.events
    assert [error.code for error in errors if isinstance(error, ServerError)] == listener.error_codes
