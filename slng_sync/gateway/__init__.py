"""The local gateway: both dialects on loopback, for trying without a key and for tests.

::

    with LocalGateway(engine="script", script=Script.from_text("hello world.")) as gateway:
        client = Client(Soniox(), api_key="any", base_url=gateway.url)

It is strict where the real gateway is strict: ``gateway.breaches`` holds what a client did wrong. What it
is to do wrong itself is told by `Faults`. `slng_sync.gateway.fixture` has a pytest fixture.

Modules: `server` (the thread, the socket), `stream` (one connection), `reson8` and `soniox` (the dialects,
without sockets), `engine` (what recognises), `script`, `recognizer`, `faults`, `records`.
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
