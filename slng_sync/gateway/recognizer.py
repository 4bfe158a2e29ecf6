"""The recogniser engine: one process per stream, and one in reserve.

The recogniser holds Python's global lock while it computes, so it needs a process of its own. A process can
also be killed in the middle of a computation, when its stream ends.
"""

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Awaitable, Dict, FrozenSet, List, Optional, Set

from ..audio.format import AudioFormat
from .engine import HeardWord, StreamOptions, Update

__all__ = ["Recognizers"]

REQUEST = struct.Struct("<cI")
REPLY = struct.Struct("<I")
# Each stream waits for its process in a thread of its own. The threads use hardly any CPU.
STREAMS = 64


class RecognizerError(Exception):
    """The recogniser's process failed or ended."""


class Recognizers:
    """The recogniser processes of a gateway. Used only in its event loop, except for `reap`."""

    abilities: FrozenSet[str] = frozenset()

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(STREAMS, "slng-recognizer")
        self._processes: Set[_Process] = set()
        self._killed = False
        self._reserve = self._start()

    def stream(self, audio_format: AudioFormat, options: StreamOptions) -> "RecognizerStream":
        """Return the engine for a stream. It takes the process in reserve, and a new one is started."""
        if self._killed:
            raise RecognizerError("The gateway has stopped and starts no more recognisers.")
        process, self._reserve = self._reserve, self._start()
        return RecognizerStream(self, process, audio_format, options)

    def kill(self) -> None:
        """Kill all processes. Pending requests raise `RecognizerError`."""
        self._killed = True
        # A copy, because `reap` removes processes in other threads.
        for process in list(self._processes):
            process.kill()

    def join(self) -> None:
        """Wait until all processes and threads have ended."""
        self._threads.shutdown(wait=True)
        for process in list(self._processes):
            self.reap(process)

    def request(self, process: "_Process", kind: bytes, data: bytes) -> "Awaitable[Any]":
        """Send a request to a process in another thread. Return the awaitable reply."""
        return asyncio.get_running_loop().run_in_executor(self._threads, process.request, kind, data)

    def discard(self, process: "_Process") -> None:
        """Kill one process without waiting for it."""
        process.kill()
        if not self._killed:
            self._threads.submit(self.reap, process)

    def reap(self, process: "_Process") -> None:
        """Wait for a killed process to end, and close its pipes. Called in any thread."""
        process.reap()
        self._processes.discard(process)

    def _start(self) -> "_Process":
        process = _Process()
        self._processes.add(process)
        return process


class RecognizerStream:
    """The engine of one stream. It sends its process one request at a time."""

    def __init__(
        self, recognizers: Recognizers, process: "_Process", audio_format: AudioFormat, options: StreamOptions
    ) -> None:
        self._recognizers = recognizers
        self._process = process
        self._settings: Optional[Dict[str, Any]] = {
            "sample_rate": audio_format.sample_rate,
            "channels": audio_format.channels,
            "pause": options.endpoint_delay,
        }
        self._tentative: Any = ()

    def audio(self, pcm: bytes) -> Awaitable[List[Update]]:
        return self._request(b"a", pcm)

    def finalize(self) -> Awaitable[List[Update]]:
        return self._request(b"f")

    def end(self) -> Awaitable[List[Update]]:
        return self._request(b"e")

    def close(self) -> None:
        self._recognizers.discard(self._process)

    async def _request(self, kind: bytes, data: bytes = b"") -> List[Update]:
        settings, self._settings = self._settings, None
        if settings is not None:
            await self._recognizers.request(self._process, b"o", json.dumps(settings).encode())
        reply = await self._recognizers.request(self._process, kind, data)
        return [self._update(update) for update in reply]

    def _update(self, reply: Dict[str, Any]) -> Update:
        if not reply.get("unchanged"):
            self._tentative = _words(reply["tentative"])
        return Update(
            position=reply["position"],
            final=_words(reply.get("final", ())),
            tentative=self._tentative,
            endpoint=reply.get("endpoint", False),
        )


def _words(replies: Any) -> Any:
    return tuple(HeardWord(language="en", **reply) for reply in replies)


class _Process:
    """A recogniser's process. `request` and `reap` exclude each other; `kill` is safe in any thread."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, os.environ.get("PYTHONPATH", "")]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "slng_sync.gateway.recognizer_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def request(self, kind: bytes, data: bytes) -> Any:
        """Send a request and wait for the reply. Raises `RecognizerError`."""
        with self._lock:
            try:
                reply = self._round_trip(kind, data)
            except (OSError, ValueError) as error:
                raise RecognizerError(f"The recogniser's process cannot be reached: {error}.") from error
        if isinstance(reply, dict):
            raise RecognizerError(reply["error"])
        return reply

    def _round_trip(self, kind: bytes, data: bytes) -> Any:
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None and sink is not None
        sink.write(REQUEST.pack(kind, len(data)) + data)
        sink.flush()
        head = source.read(REPLY.size)
        if len(head) < REPLY.size:
            raise RecognizerError("The recogniser's process ended before it replied.")
        return json.loads(source.read(REPLY.unpack(head)[0]))

    def kill(self) -> None:
        """Kill the process."""
        # Older Pythons raise if another thread reaps the process at this moment.
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def reap(self) -> None:
        """Wait for the process to end, and close its pipes."""
        # The lock lets a pending request fail first, which then no longer uses the pipes.
        with self._lock:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:
                    # Closing flushes, which fails because the process has ended.
                    pass
