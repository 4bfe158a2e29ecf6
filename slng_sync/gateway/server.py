"""The local gateway: a thread with an event loop, a listening socket, and the record of each connection."""

import asyncio
import importlib
import importlib.util
import logging
import ssl
import threading
import time
import weakref
from typing import Any, FrozenSet, List, Optional, Set, Tuple, Union

from ..audio.format import AudioFormat
from ..errors import ConfigurationError
from .engine import Engine, EngineFactory, StreamOptions
from .faults import FaultsFor, faults_for
from .records import Connection
from .script import Script, ScriptEngine

__all__ = ["LocalGateway"]

_LOG = logging.getLogger("slng_sync.gateway")

INSTALL = 'pip install "slng-sync[gateway]"'
STOP_TIMEOUT = 5.0
CLOSE_TIMEOUT = 0.5
DROP_INTERVAL = 0.05

Tls = Union[None, ssl.SSLContext, Tuple[str, str]]


class LocalGateway:
    """A gateway on loopback that speaks both dialects and reports clients that break the protocol.

    - ``engine``: ``"recognizer"`` transcribes real English speech. ``"script"`` releases the words of
      ``script`` by the amount of audio. A callable makes your own engine, see `slng_sync.gateway.engine`.
    - ``script_clock``: ``"connection"`` restarts the script on each connection. ``"content"`` reads the
      position in the script from the audio (`Script.audio`), which is how to test a reconnect.
    - ``faults``: a `Faults`, a list with one per connection in order, or a callable that takes the number of
      the connection (from 1).
    - ``tls``: an ``ssl.SSLContext`` for a server, or ``(certfile, keyfile)``.
    - ``host``, ``port``: the address to listen on; port 0 takes a free one.
    - ``api_key``: the only key that is accepted. None accepts every key that is not empty.
    - ``keep_audio``: the seconds of audio that the record of each connection keeps.

    The attributes ``script`` and ``faults`` may be replaced at any time. New connections use the new value.
    ``connections`` holds the records of all connections, ``breaches`` all protocol violations as text.

    Raises `ConfigurationError` for wrong arguments or a missing package.
    """

    def __init__(
        self,
        engine: Union[str, EngineFactory] = "recognizer",
        *,
        script: Optional[Script] = None,
        script_clock: str = "connection",
        faults: FaultsFor = None,
        tls: Tls = None,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: Optional[str] = None,
        keep_audio: float = 600.0,
    ) -> None:
        if script_clock not in ("connection", "content"):
            raise ConfigurationError(f"script_clock must be 'connection' or 'content', not {script_clock!r}.")
        if not (engine in ("recognizer", "script") or callable(engine)):
            raise ConfigurationError(f"engine must be 'recognizer', 'script' or a callable, not {engine!r}.")
        if script is not None and engine != "script":
            raise ConfigurationError(f"script= needs engine='script', not engine={engine!r}.")
        _require("websockets")
        if engine == "recognizer":
            _require("pocketsphinx")
        self.script = script or Script.numbered(1000)
        self.faults = faults
        self.connections: List[Connection] = []
        self.breaches: List[str] = []
        self._engine = engine
        self._clock = script_clock
        self._tls = _tls_context(tls)
        self._host = host
        self._port = port
        self._api_key = api_key
        self._keep_audio = keep_audio
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._stopping: Optional[asyncio.Event] = None
        self._address: Tuple[str, int] = (host, port)
        self._failure: Optional[BaseException] = None
        self._accepted: weakref.WeakSet[Any] = weakref.WeakSet()
        self._websockets: Set[Any] = set()
        self._tasks: Set[asyncio.Task[Any]] = set()
        self._recognizers: Any = None

    @property
    def url(self) -> str:
        """Return the base URL for clients: scheme, host and port."""
        host = f"[{self._address[0]}]" if ":" in self._address[0] else self._address[0]
        return f"{'ws' if self._tls is None else 'wss'}://{host}:{self._address[1]}"

    @property
    def running(self) -> bool:
        """Return True between `start` and `stop`."""
        return self._thread is not None

    def start(self) -> "LocalGateway":
        """Start listening. Return once clients can connect. Raises `OSError` if the address is not available.

        Does nothing if the gateway is running.
        """
        with self._lock:
            if self._thread is not None:
                return self
            ready = threading.Event()
            self._failure = None
            # A daemon thread, so that a program that forgets to stop its gateway still ends.
            thread = threading.Thread(target=self._serve, args=(ready,), name="slng-gateway", daemon=True)
            thread.start()
            ready.wait()
            if self._failure is not None:
                thread.join()
                raise self._failure
            self._thread = thread
        return self

    def stop(self) -> None:
        """Close all connections, and end the thread and all processes. Safe to call twice, in any thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            assert self._loop is not None and self._stopping is not None
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                # The loop is closed, which happens only after an error in it.
                pass
            thread.join(STOP_TIMEOUT)

    def wait_idle(self, timeout: float = 5.0) -> bool:
        """Wait up to ``timeout`` seconds until all connections have ended. Return False on timeout."""
        deadline = time.monotonic() + timeout
        return all(
            connection.wait_closed(max(0.0, deadline - time.monotonic()))
            for connection in list(self.connections)
        )

    def __enter__(self) -> "LocalGateway":
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LocalGateway {self.url} {'running' if self.running else 'stopped'}>"

    # In the gateway's thread, slng-gateway

    def _serve(self, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._main(ready))
        except BaseException as failure:
            self._failure = failure
            if ready.is_set():
                _LOG.exception("The local gateway failed and has stopped.")
        finally:
            loop.close()
            ready.set()

    async def _main(self, ready: threading.Event) -> None:
        from . import server_websocket

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await server_websocket.listen(
            self._handle, self._process_request, self._accepted.add, self._host, self._port, self._tls
        )
        self._address = server.sockets[0].getsockname()[:2]
        try:
            if self._engine == "recognizer":
                from .recognizer import Recognizers

                self._recognizers = Recognizers()
            ready.set()
            await self._stopping.wait()
        finally:
            await self._shut_down(server)

    async def _shut_down(self, server: Any) -> None:
        """Close all connections with 1001, then drop those that do not close in time, and end all tasks."""
        server.close(close_connections=False)
        if self._recognizers is not None:
            self._recognizers.kill()
        websockets = [websocket for websocket in self._websockets if not websocket.muted]
        if websockets:
            closing = [
                asyncio.ensure_future(websocket.close(1001, "Gateway stopped")) for websocket in websockets
            ]
            _, slow = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
            for task in slow:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await self._drop_all()
        if self._recognizers is not None:
            self._recognizers.join()

    async def _drop_all(self) -> None:
        """Drop every connection until no task is left.

        ``websockets`` does not know a connection yet that is being accepted, and waits for the request of one
        that has not sent any.
        """
        deadline = time.monotonic() + STOP_TIMEOUT
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        while rest and time.monotonic() < deadline:
            for websocket in list(self._accepted):
                if websocket.transport is not None:
                    websocket.transport.abort()
            await asyncio.wait(rest, timeout=DROP_INTERVAL)
            rest = asyncio.all_tasks() - {asyncio.current_task()}

    async def _process_request(self, websocket: Any, request: Any) -> Any:
        """Return the HTTP response that refuses an upgrade request, or None to accept it."""
        from .server_websocket import response
        from .upgrade import check_upgrade

        record = self._register(websocket, request)
        faults = websocket.faults
        if faults.upgrade_delay:
            await self._wait_or_stop(faults.upgrade_delay)
        if faults.upgrade_drop:
            websocket.reset()
            self._record_closed(websocket)
            return None
        decision = check_upgrade(record.path, record.query, record.headers, faults, self._api_key)
        for breach in decision.breaches:
            record.breaches.append(breach)
            self._report_breach(record, breach)
        record.status = decision.status
        if decision.status == 101:
            return None
        self._record_closed(websocket)
        return response(decision)

    async def _wait_or_stop(self, seconds: float) -> None:
        assert self._stopping is not None
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    def _register(self, websocket: Any, request: Any) -> Connection:
        """Give a new connection its number, its record and its faults."""
        path, _, query = request.path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        record = websocket.record = Connection(len(self.connections) + 1, path, query, headers)
        self.connections.append(record)
        websocket.faults = faults_for(self.faults, record.number)
        self._websockets.add(websocket)
        return record

    def _report_breach(self, record: Connection, text: str) -> None:
        line = f"connection {record.number}: {text}"
        self.breaches.append(line)
        _LOG.warning("The client broke the protocol on %s", line)

    async def _handle(self, websocket: Any) -> None:
        from .stream import Stream
        from .upgrade import dialect_for

        record: Connection = websocket.record
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            dialect_type = dialect_for(record.path)
            assert dialect_type is not None
            record.model = dialect_type.model
            dialect = dialect_type(websocket.faults, self._abilities(), record.number)
            stream = Stream(
                websocket,
                dialect,
                self._make_engine,
                self._keep_audio,
                lambda text: self._report_breach(record, text),
            )
            await stream.run()
        except Exception:
            _LOG.exception("Connection %d failed because of an error in the gateway.", record.number)
        finally:
            self._tasks.discard(task)
            await self._close(websocket)

    async def _close(self, websocket: Any) -> None:
        try:
            await websocket.close(1011 if not websocket.transport.is_closing() else 1000)
        finally:
            self._record_closed(websocket)

    def _record_closed(self, websocket: Any) -> None:
        self._websockets.discard(websocket)
        record: Connection = websocket.record
        if record.status == 101:
            record.close_code, record.close_reason = websocket.ending
        record._closed.set()

    # Engines

    def _abilities(self) -> FrozenSet[str]:
        if self._engine == "script":
            return ScriptEngine.abilities
        return frozenset(getattr(self._engine, "abilities", ()))

    def _make_engine(self, audio_format: AudioFormat, options: StreamOptions) -> Engine:
        if self._engine == "script":
            return ScriptEngine(self.script, audio_format, options, self._clock)
        if self._engine == "recognizer":
            engine: Engine = self._recognizers.stream(audio_format, options)
            return engine
        assert not isinstance(self._engine, str)
        return self._engine(audio_format, options)


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"The local gateway needs the package {package!r}, which is not installed.",
            hint=f"Install it with: {INSTALL}",
        )


def _tls_context(tls: Tls) -> Optional[ssl.SSLContext]:
    if tls is None or isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context
