"""Serve one connection from its first message to its end, by performing the actions of its dialect."""

import asyncio
import inspect
import json
import logging
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple, Union

from ..audio.format import AudioFormat
from .dialect import Action, Actions, Breach, Close, Feed, Finalize, Finish, Later, Open, Send, ServerDialect
from .engine import Engine, StreamOptions, Update, Updates
from .faults import Faults, Trouble
from .frame_sender import FrameSender
from .inbox import Inbox
from .records import FRAME_LIMIT, Connection
from .server_websocket import ConnectionClosed, ServerWebSocket

__all__ = ["Stream"]

_LOG = logging.getLogger("slng_sync.gateway")

MakeEngine = Callable[[AudioFormat, StreamOptions], Engine]


class Stream:
    """The server of one connection. It handles a message completely before it reads the next one.

    It runs in the gateway's event loop. Timers run between two messages.
    """

    def __init__(
        self,
        websocket: ServerWebSocket,
        dialect: ServerDialect,
        make_engine: MakeEngine,
        keep_audio: float,
        report_breach: Callable[[str], None],
    ) -> None:
        self._websocket = websocket
        self._record: Connection = websocket.record
        self._dialect = dialect
        self._faults: Faults = dialect.faults
        self._make_engine = make_engine
        self._keep_audio = keep_audio
        self._report_breach = report_breach
        self._sender = FrameSender(websocket, self._faults)
        self._engine: Optional[Engine] = None
        self._format = AudioFormat()
        self._frame_bytes = 2
        self._frames = 0
        self._consumed = 0
        self._closing = False
        self._troubles: Deque[Trouble] = deque(self._faults.troubles)
        self._recent: Deque[float] = deque()
        self._began = self._last_message = time.monotonic()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        self._inbox = Inbox(self._websocket.recv)
        self._record._command = self._post_command
        self._sender.start()
        try:
            while not self._closing:
                message = await self._inbox.next(min(self._limits().values()))
                if message is None:
                    await self._run_timers()
                else:
                    await self._receive(message)
        except ConnectionClosed:
            pass
        finally:
            self._finish()

    def _finish(self) -> None:
        self._inbox.close()
        self._sender.stop()
        if self._engine is not None:
            self._engine.close()
        extra = self._websocket.arrived - self._consumed
        ended_again = extra == 1 and self._dialect.is_end(bytes(self._websocket.newest))
        if self._dialect.client_ended and extra > 0 and not ended_again:
            self._breach(f"{extra} message(s) after the end of stream")

    # Messages and timers

    def _limits(self) -> Dict[str, float]:
        """Return the deadline of each timeout, on the monotonic clock."""
        limits = {"max_duration": self._began + self._faults.max_duration}
        if not self._dialect.received_audio:
            limits["first_audio"] = self._began + self._limit("first_audio")
        limits["idle"] = self._last_message + self._limit("idle")
        return limits

    def _limit(self, name: str) -> float:
        seconds: Optional[float] = getattr(self._faults, name + "_timeout")
        own: float = getattr(self._dialect.timeouts, name)
        return own if seconds is None else seconds

    async def _run_timers(self) -> None:
        for then in self._inbox.due():
            await self._perform(then())
        now = time.monotonic()
        for name, due in self._limits().items():
            if due <= now and not self._closing:
                await self._perform(self._dialect.timed_out(name))

    async def _receive(self, message: Union[str, bytes]) -> None:
        self._consumed += 1
        self._last_message = time.monotonic()
        if len(self._record.frames) < FRAME_LIMIT:
            kept = ("text", message) if isinstance(message, str) else ("binary", len(message))
            self._record.frames.append(kept)
        if self._websocket.muted:
            return
        if self._exceeds_message_limit():
            await self._perform([Breach("more messages than the limit allows"), self._message_limit_close()])
            return
        await self._perform(self._dialect.receive(message))
        self._record.config = self._dialect.config

    def _exceeds_message_limit(self) -> bool:
        limit, now = self._faults.message_limit, self._last_message
        if limit is None:
            return False
        self._recent.append(now)
        while self._recent[0] <= now - self._faults.message_window:
            self._recent.popleft()
        return len(self._recent) > limit

    def _message_limit_close(self) -> Close:
        limit, window = self._faults.message_limit, self._faults.message_window
        per = "minute" if window == 60 else f"{window:g} s"
        return Close(1008, f"WebSocket message rate limit exceeded ({limit}/{per})")

    # Actions

    async def _perform(self, actions: Actions) -> None:
        for action in actions:
            if self._closing:
                return
            await self._perform_one(action)

    async def _perform_one(self, action: Action) -> None:
        if isinstance(action, Send):
            await self._send(action.message)
        elif isinstance(action, Feed):
            await self._feed(action.pcm)
        elif isinstance(action, Breach):
            self._breach(action.text)
        elif isinstance(action, Later):
            self._inbox.later(action.seconds, action.then)
        elif isinstance(action, Open):
            self._open(action)
        elif isinstance(action, Finalize):
            await self._ask_engine(lambda engine: engine.finalize(), self._dialect.handle_finalized)
        elif isinstance(action, Finish):
            await self._ask_engine(lambda engine: engine.end(), self._dialect.handle_ended)
        elif isinstance(action, Close):
            await self._close(action.code, action.reason)

    async def _send(self, message: Any) -> None:
        if not isinstance(message, (str, bytes)):
            message = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        if isinstance(message, str) and len(self._record.sent) < FRAME_LIMIT:
            self._record.sent.append(message)
        await self._sender.send(message)

    async def _close(self, code: int, reason: str) -> None:
        self._closing = True
        await self._sender.drained()
        await self._websocket.close(code, reason)

    def _breach(self, text: str) -> None:
        self._record.breaches.append(text)
        self._report_breach(text)

    def _open(self, action: Open) -> None:
        self._format = action.audio_format
        self._frame_bytes = action.options.sample_bytes * action.audio_format.channels
        self._record.options = action.options
        self._engine = self._make_engine(action.audio_format, action.options)

    # The engine

    async def _ask_engine(
        self, call: Callable[[Engine], Updates], handle: Callable[[List[Update]], Actions]
    ) -> None:
        """Call the engine, and perform the actions that ``handle`` returns for its updates."""
        updates: List[Update] = []
        if self._engine is not None:
            try:
                result = call(self._engine)
                updates = await result if inspect.isawaitable(result) else result
            except Exception:
                _LOG.exception("The engine of connection %d raised an error.", self._record.number)
                await self._perform(self._dialect.engine_failed())
                return
        await self._perform(handle(updates))

    async def _feed(self, pcm: bytes) -> None:
        """Pass audio to the engine, and apply each trouble at its position in the audio."""
        rate = self._format.sample_rate
        while pcm and not self._closing and not self._websocket.muted:
            take = len(pcm)
            trouble = self._troubles[0] if self._troubles else None
            if trouble is not None:
                take = min(take, max(0, round(trouble.at * rate) - self._frames) * self._frame_bytes)
            head, pcm = pcm[:take], pcm[take:]
            if head:
                await self._recognize(head)
            if trouble is not None and self._frames >= round(trouble.at * rate):
                self._troubles.popleft()
                await self._apply_trouble(trouble)

    async def _recognize(self, pcm: bytes) -> None:
        self._frames += len(pcm) // self._frame_bytes
        self._record.audio_seconds = self._frames / self._format.sample_rate
        if self._record.audio_seconds <= self._keep_audio:
            self._record.audio += pcm
        await self._ask_engine(lambda engine: engine.audio(pcm), self._dialect.handle_updates)

    async def _apply_trouble(self, trouble: Trouble) -> None:
        if trouble.kind == "error":
            await self._perform(
                self._dialect.error(trouble.code, trouble.message, trouble.error_type, trouble.close_after)
            )
        elif trouble.kind == "close":
            await self._close(int(trouble.code), trouble.message)
        elif trouble.kind == "drop":
            await self._sender.drained()
            self._closing = True
            self._websocket.reset()
        elif trouble.kind == "mute":
            self._websocket.muted = True
        elif trouble.kind == "freeze":
            await self._websocket.freeze(trouble.seconds)
        else:
            await asyncio.sleep(trouble.seconds)

    # Commands from other threads, through the record

    def _post_command(self, what: str, arguments: Tuple[Any, ...]) -> None:
        try:
            self._websocket.loop.call_soon_threadsafe(self._run_command, what, arguments)
        except RuntimeError:
            # The gateway has stopped, so there is no connection to drop or close.
            pass

    def _run_command(self, what: str, arguments: Tuple[Any, ...]) -> None:
        if what == "drop":
            self._websocket.reset()
        elif what == "mute":
            self._websocket.muted = True
        else:
            action: Action = Close(*arguments) if what == "close" else Send(*arguments)
            self._inbox.later(0.0, lambda: [action])
            self._inbox.wake()
