"""Send messages to a client: late, fragmented, or mixed with unexpected ones, as the faults demand."""

import asyncio
import itertools
import random
import time
from typing import List, Optional, Tuple, Union

from .faults import Faults
from .server_websocket import ConnectionClosed, ServerWebSocket

__all__ = ["FrameSender"]

LARGE = 300_000
# One set of odd messages precedes every so many regular ones.
ODD_EVERY = 5


class FrameSender:
    """A sender that keeps the order, and applies the latency and the framing of the faults."""

    def __init__(self, websocket: ServerWebSocket, faults: Faults) -> None:
        self._websocket = websocket
        self._framings = faults.framings
        self._latency = faults.latency
        self._jitter = faults.jitter
        self._random = random.Random(faults.seed)
        self._count = itertools.count()
        self._queue: asyncio.Queue[Tuple[float, Union[str, bytes]]] = asyncio.Queue()
        self._task: Optional[asyncio.Task[None]] = None

    def start(self) -> None:
        """Start the task that delays messages, if there is any latency."""
        if self._latency or self._jitter:
            self._task = asyncio.ensure_future(self._send_late())

    def stop(self) -> None:
        """Cancel the task, and drop delayed messages."""
        if self._task is not None:
            self._task.cancel()

    async def send(self, frame: Union[str, bytes]) -> None:
        """Send a message now, or queue it if there is any latency."""
        if self._task is None:
            await self._send_now(frame)
        else:
            due = time.monotonic() + self._latency + self._jitter * self._random.random()
            self._queue.put_nowait((due, frame))

    async def drained(self) -> None:
        """Wait until all queued messages have been sent."""
        if self._task is not None:
            await self._queue.join()

    async def _send_late(self) -> None:
        while True:
            due, frame = await self._queue.get()
            try:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._send_now(frame)
            except ConnectionClosed:
                # `Stream.run` gets the same exception from its receive, and ends the stream.
                pass
            finally:
                self._queue.task_done()

    async def _send_now(self, frame: Union[str, bytes]) -> None:
        if self._framings and next(self._count) % ODD_EVERY == 0:
            await self._send_odd_frames()
        if "fragmented" in self._framings and isinstance(frame, str) and len(frame) > 2:
            await self._websocket.send(_fragments(frame))
        else:
            await self._websocket.send(frame)

    async def _send_odd_frames(self) -> None:
        if "pings" in self._framings:
            await self._websocket.ping()
        for frame in self._odd_frames():
            await self._websocket.send(frame)

    def _odd_frames(self) -> List[Union[str, bytes]]:
        frames: List[Tuple[str, Union[str, bytes]]] = [
            ("junk", "this is {not JSON"),
            ("unknown_type", '{"type":"x_gateway_notice","note":"made up"}'),
            ("array", '[{"type":"ready"}]'),
            ("large", '{"type":"x_gateway_padding","padding":"' + "x" * LARGE + '"}'),
            ("binary", b"\x00\x01\x02"),
        ]
        return [frame for name, frame in frames if name in self._framings]


def _fragments(text: str) -> List[str]:
    third = max(1, len(text) // 3)
    return [text[:third], text[third : 2 * third], text[2 * third :]]
