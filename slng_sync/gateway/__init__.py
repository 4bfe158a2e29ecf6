"""A local gateway that speaks both dialects on loopback, for tests and for trying without a key.

::

    with LocalGateway(engine="script", script=Script.from_text("hello world.")) as gateway:
        client = Client(Soniox(), api_key="any", base_url=gateway.url)

It is as strict as the real gateway: ``gateway.breaches`` lists every protocol violation of a client.
`Faults` makes the gateway itself fail. `slng_sync.gateway.fixture` provides a pytest fixture.

- ``server``: `LocalGateway`, its thread and its listening socket
- ``server_websocket``, ``inbox``, ``frame_sender``: one WebSocket, its messages and timers, its replies
- ``upgrade``: accepts or refuses an upgrade request
- ``stream``: serves one connection
- ``reson8`` and ``soniox*``: the dialects, without sockets or clocks; ``dialect`` is their base
- ``engine``: the interface of an engine; ``script`` and ``recognizer`` implement it
- ``faults``, ``records``: what goes wrong, and what a client did
"""

from .engine import ALL_ABILITIES, Engine, EngineFactory, HeardWord, StreamOptions, Update
from .faults import Faults, Trouble
from .records import Connection
from .script import Script, ScriptWord
from .server import LocalGateway

__all__ = [
    "ALL_ABILITIES",
    "Connection",
    "Engine",
    "EngineFactory",
    "Faults",
    "HeardWord",
    "LocalGateway",
    "Script",
    "ScriptWord",
    "StreamOptions",
    "Trouble",
    "Update",
]
