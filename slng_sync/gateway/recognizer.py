"""The recogniser engine: one process for each stream, and one in reserve.

A process, because the recogniser keeps Python's global lock while it computes, and because a stream that
ends in the middle of a computation can then simply be ended.
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
# Each stream waits in a thread of its own for its process; the processes are what takes the time.
STREAMS = 64


class RecognizerError(Exception):
    """The recogniser's process failed, or ended."""


class Recognizers:
    """All recogniser processes of a gateway. Used in its event loop only, but for `reap`."""

    abilities: FrozenSet[str] = frozenset()

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(STREAMS, "slng-recognizer")
        self._processes: Set[_Process] = set()
        self._killed = False
        self._reserve = self._start()

    def stream(self, audio_format: AudioFormat, options: StreamOptions) -> "RecognizerStream":
        """Return the engine for a stream: the process in reserve, for which a new one is started."""
        if self._killed:
            raise RecognizerError("The gateway has stopped.")
        process, self._reserve = self._reserve, self._start()
        return RecognizerStream(self, process, audio_format, options)

    def kill(self) -> None:
        """End all processes at once; whoever waits for one of them gets an error."""
        self._killed = True
        # A copy: `reap` takes processes out in other threads.
        for process in list(self._processes):
            process.kill()

    def join(self) -> None:
        """Wait until all processes and threads are gone."""
        self._threads.shutdown(wait=True)
        for process in list(self._processes):
            self.reap(process)

    def request(self, process: "_Process", kind: bytes, data: bytes) -> "Awaitable[Any]":
        """Have a request answered, in another thread."""
        return asyncio.get_running_loop().run_in_executor(self._threads, process.request, kind, data)

    def discard(self, process: "_Process") -> None:
        """End one process without waiting for it."""
        process.kill()
        if not self._killed:
            self._threads.submit(self.reap, process)

    def reap(self, process: "_Process") -> None:
        """Wait for a process that was killed, and close its pipes."""
        process.reap()
        self._processes.discard(process)

    def _start(self) -> "_Process":
        process = _Process()
        self._processes.add(process)
        return process


class RecognizerStream:
    """The engine of one stream: asks its process, one question at a time."""

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
    """A recogniser's process. `request` from one thread at a time; `kill` from any."""

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
        """Send a request and wait for its answer."""
        with self._lock:
            try:
                reply = self._round_trip(kind, data)
            except (OSError, ValueError) as error:
                raise RecognizerError("The recogniser's process is gone.") from error
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
            raise RecognizerError("The recogniser's process has ended.")
        return json.loads(source.read(REPLY.unpack(head)[0]))

    def kill(self) -> None:
        # Where another thread has waited for it in this moment, older Pythons raise that it is gone.
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def reap(self) -> None:
        # Whoever is asking is told first that the process has ended, and lets go of the pipes.
        with self._lock:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except OSError:
                    # What could not be written to the dead process is of no use to anybody.
                    pass
