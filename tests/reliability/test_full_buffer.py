"""A program sends faster than the gateway accepts audio, and the connection breaks."""

from typing import Any

from heard import Heard
from test_reconnect import assert_all_heard

from slng_sync import AudioLost, Dialect
from slng_sync.gateway import Faults, Script, Trouble


def test_a_source_that_can_wait_loses_nothing(way: Any, dialect: Dialect) -> None:
    """``send`` waits for room, so audio that was sent but not acknowledged is never dropped."""
    script = Script.numbered(140, utterance=8)
    heard = Heard()
    with way.gateway(script, [Faults(trouble=Trouble.drop(40.3)), Faults()]) as server:
        client = way.client(server.url, dialect, heard, chunk_seconds=0.5, buffer_seconds=20.0)
        with client.listen() as session:
            for at in range(71):
                session.send(script.audio(1.0, session.audio_format, start=at))
            session.finalize(timeout=20)
    assert heard.of(AudioLost) == []
    assert_all_heard(heard, script, 140)
