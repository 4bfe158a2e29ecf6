"""The client: API key, model, options and callbacks. One client can open any number of sessions."""

import os
import queue
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional, TypeVar, Union, overload

from .callbacks.registry import KINDS, Callbacks
from .callbacks.targets import DispatchTo, check_dispatch
from .dialects import Dialect, as_dialect
from .errors import SlngError
from .events import Closed, Event, Transcript
from .protocol.stream_protocol import Timeouts
from .session.assembly import Apart, Assembly, Request
from .session.session import Session
from .session.state import ModelChoice, Settings
from .transcript import TranscriptLog
from .transport.endpoint import make_endpoint
from .validation import Path, check_count, check_flag, check_folder, check_seconds

if TYPE_CHECKING:
    from .session.sessions import Sessions

__all__ = ["Client"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Client:
    """A speech-to-text client for the SLNG gateway. All durations are in seconds.

    ``model``             ``Soniox(...)``, ``Reson8(...)`` or a model id such as "soniox/speech-ai:rt-v4"
    ``api_key``           the API key (default: ``SLNG_API_KEY`` from the environment)
    ``world_part``        the part of the world where the model runs, such as "eu"
    ``region``            the exact region; takes precedence over ``world_part``
    ``base_url``          the gateway (default: ``SLNG_BASE_URL``, otherwise wss://api.slng.ai)
    ``headers``           additional headers for the upgrade request
    ``on_partial, on_final, on_error, on_event, on_message``   callbacks; see the methods of the same names
    ``dispatch``          where callbacks run: None for a thread per session, a ``ThreadPoolExecutor``,
                          "manual" for ``session.poll()``, or a function that runs the function it is
                          given on another thread, such as ``wx.CallAfter``
    ``connect_timeout``   timeout for opening a connection
    ``ready_timeout``     timeout for the server's ready message after that
    ``reconnect``         whether a lost connection is replaced
    ``max_attempts``      attempts to reconnect before the session fails
    ``max_connection_seconds``   replace each connection at a pause before it reaches this age, for gateways
                          that end long streams (default: no limit)
    ``buffer_seconds``    how much audio is buffered while the connection is slow or lost
    ``spill``             folder for audio that no longer fits ``buffer_seconds`` during long outages: a
                          microphone's, and that of a ``send`` whose timeout expires. Without it, the
                          microphone's oldest audio is dropped. Raise ``max_attempts`` to match. Audio that
                          the server never acknowledged, or that a crash leaves, stays there as WAV files,
                          which ``transcribe(path)`` reads
    ``chunk_seconds``     minimum length of audio in a message
    ``ping_interval, ping_timeout``   a dead connection is detected within the sum of both
    ``keepalive_interval``   seconds without audio before a keepalive is sent
    ``ssl_context``       your own ``ssl.SSLContext``
    ``ca_certs``          a file or folder of trusted certificate authorities (PEM)
    ``proxy``             an HTTP proxy; "" for none (default: the proxy of the environment)

    Raises ``ConfigurationError`` for an invalid value and ``AuthenticationError`` if there is no API key.
    """

    def __init__(
        self,
        model: Union[Dialect, str],
        *,
        api_key: Optional[str] = None,
        world_part: Optional[str] = None,
        region: Optional[str] = None,
        base_url: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
        on_partial: Optional[Callable[[Transcript], Any]] = None,
        on_final: Optional[Callable[[Transcript], Any]] = None,
        on_error: Optional[Callable[[Any], Any]] = None,
        on_event: Optional[Callable[[Event], Any]] = None,
        on_message: Optional[Callable[[Mapping[str, Any]], Any]] = None,
        dispatch: DispatchTo = None,
        connect_timeout: float = 10.0,
        ready_timeout: float = 10.0,
        reconnect: bool = True,
        max_attempts: int = 8,
        max_connection_seconds: Optional[float] = None,
        buffer_seconds: float = 120.0,
        spill: Optional[Path] = None,
        chunk_seconds: float = 0.05,
        ping_interval: float = 5.0,
        ping_timeout: float = 5.0,
        keepalive_interval: float = 5.0,
        ssl_context: Any = None,
        ca_certs: Optional[str] = None,
        proxy: Optional[str] = None,
    ) -> None:
        dialect = as_dialect(model)
        self._model = ModelChoice(dialect)
        self._callbacks = Callbacks()
        given = (on_partial, on_final, on_error, on_event, on_message)
        for kind, function in zip(KINDS, given):
            if function is not None:
                self._callbacks.add(kind, function)
        check_dispatch(dispatch)
        check_flag("reconnect", reconnect)
        check_count("max_attempts", max_attempts)
        self._settings = Settings(
            endpoint=make_endpoint(
                dialect, api_key, world_part, region, base_url, headers, ssl_context, ca_certs, proxy
            ),
            dispatch=dispatch,
            timing=Timeouts(
                ready=check_seconds("ready_timeout", ready_timeout, 0.1, 300),
                keepalive=check_seconds("keepalive_interval", keepalive_interval, 0.5, 15),
            ),
            reconnect=reconnect,
            max_attempts=max_attempts,
            max_connection_seconds=(
                float("inf")
                if max_connection_seconds is None
                else check_seconds("max_connection_seconds", max_connection_seconds, 1, 1e6)
            ),
            connect_timeout=check_seconds("connect_timeout", connect_timeout, 0.1, 300),
            buffer_seconds=check_seconds("buffer_seconds", buffer_seconds, 1, 36000),
            spill=check_folder("spill", spill),
            chunk_seconds=check_seconds("chunk_seconds", chunk_seconds, 0.01, 0.5),
            ping_interval=check_seconds("ping_interval", ping_interval, 0.5, 3600),
            ping_timeout=check_seconds("ping_timeout", ping_timeout, 0.5, 3600),
        )

    # Callbacks. Each method registers a function and returns it, so that it also works as a decorator.

    def on_partial(self, function: Function) -> Function:
        """Call ``function(transcript)`` for each partial, which replaces the previous one."""
        return self._register("on_partial", function)

    def on_final(self, function: Function) -> Function:
        """Call ``function(transcript)`` for each final, a transcript that will not change any more."""
        return self._register("on_final", function)

    def on_error(self, function: Function) -> Function:
        """Call ``function(error)`` for each ``SlngError`` that is not raised by one of your calls."""
        return self._register("on_error", function)

    def on_event(self, function: Function) -> Function:
        """Call ``function(event)`` for all other events; see ``slng_sync.events``."""
        return self._register("on_event", function)

    def on_message(self, function: Function) -> Function:
        """Call ``function(message)`` for each message of the server, a dict, before its decoded results."""
        return self._register("on_message", function)

    # Sessions.

    @overload
    def listen(
        self,
        source: Any = None,
        *,
        sample_rate: Optional[int] = None,
        channels: Optional[int] = None,
        follow: bool = False,
        gate: bool = False,
        finalize_after: Optional[float] = None,
        levels: bool = False,
        record: Optional[Path] = None,
        trace: Optional[Path] = None,
        trace_audio: bool = False,
        wait: bool = True,
        on_partial: Optional[Callable[[Transcript], Any]] = None,
        on_final: Optional[Callable[[Transcript], Any]] = None,
        on_error: Optional[Callable[[Any], Any]] = None,
        on_event: Optional[Callable[[Event], Any]] = None,
    ) -> Session: ...

    @overload
    def listen(
        self,
        source: Any,
        *,
        sample_rate: Optional[int] = None,
        channels: Apart,
        follow: bool = False,
        gate: bool = False,
        finalize_after: Optional[float] = None,
        wait: bool = True,
        on_partial: Optional[Callable[[Transcript], Any]] = None,
        on_final: Optional[Callable[[Transcript], Any]] = None,
        on_error: Optional[Callable[[Any], Any]] = None,
        on_event: Optional[Callable[[Event], Any]] = None,
    ) -> "Sessions": ...

    def listen(
        self,
        source: Any = None,
        *,
        sample_rate: Optional[int] = None,
        channels: Union[int, Apart, None] = None,
        follow: bool = False,
        gate: bool = False,
        finalize_after: Optional[float] = None,
        levels: bool = False,
        record: Optional[Path] = None,
        trace: Optional[Path] = None,
        trace_audio: bool = False,
        wait: bool = True,
        on_partial: Optional[Callable[[Transcript], Any]] = None,
        on_final: Optional[Callable[[Transcript], Any]] = None,
        on_error: Optional[Callable[[Any], Any]] = None,
        on_event: Optional[Callable[[Event], Any]] = None,
    ) -> "Union[Session, Sessions]":
        """Connect, start to stream ``source``, and return the session once the server accepts audio.

        ``source`` is a ``Microphone``, a path, a file, an array with its ``sample_rate``, bytes of PCM, or an
        iterable of chunks. Without a source, the program calls ``session.send()``. ``sample_rate`` and
        ``channels`` describe arrays, bytes, chunks and raw PCM. For other files, a microphone or no source,
        they set the format that is sent (default: one channel at 16 kHz, or at a recording's rate if that is
        lower). Audio in another format is converted. When the source ends, the session closes by itself.

        ``follow`` reads a WAV or raw PCM file that is still being written. Audio already in the file is sent
        at once and the rest as it is written, until the recorder finishes the file or the session is closed.

        ``channels="separate"`` transcribes each channel of the source in a session of its own and returns
        ``Sessions``. Each ``Transcript`` then has a ``channel``: "left" and "right" for two channels, "1" to
        "3" for three, or the names given instead of "separate", such as ``["agent", "customer"]``.

        ``gate`` sends no audio during silence. The connection stays open, the session's clock goes on, and
        half a second of pre-roll keeps the first syllable. ``finalize_after`` finalizes after this many
        seconds of silence (0.2 to 10; 0.6 is a good value) instead of waiting for the server. Both need
        webrtcvad to detect speech: ``pip install "slng-sync[vad]"``. ``levels`` delivers a ``Level`` to
        ``on_event`` 25 times a second.

        ``record`` writes the audio that is sent to a WAV file. Audio withheld by a gate or a pause is not in
        it, so later words are earlier in the file than in the transcript. After a crash the file is playable
        except for the last second. ``trace`` writes each message with its time to a file, one JSON object a
        line, for ``replay``. It contains the spoken words, never the key, and audio only with
        ``trace_audio``. If the disk is full, the file ends, ``on_error`` receives an error and the session
        goes on. Both files must differ from the source. New files are readable by their owner only.

        ``wait=False`` returns at once with the session in ``CONNECTING`` and captures audio from then on. A
        ``Ready`` event (if the model sends one) or the first transcript shows that the connection is open. If
        it fails, ``on_error`` receives the error, then ``on_event`` receives ``Closed``. ``on_partial``,
        ``on_final``, ``on_error`` and ``on_event`` are callbacks for this session only and run after the
        client's own.

        Raises ``ConnectError`` or a subclass, ``ServerError``, ``AudioError`` or ``ConfigurationError``.
        """
        check_flag("wait", wait)
        callbacks = self._callbacks.also(
            on_partial=on_partial, on_final=on_final, on_error=on_error, on_event=on_event
        )
        request = Request(
            source,
            sample_rate,
            channels,
            follow=follow,
            gate=gate,
            finalize_after=finalize_after,
            levels=levels,
            record=record,
            trace=trace,
            trace_audio=trace_audio,
        )
        return self._session(request, callbacks).open(wait=wait)

    def stream(
        self,
        source: Any,
        *,
        partials: bool = False,
        speed: float = 1.0,
        sample_rate: Optional[int] = None,
        channels: Union[int, Apart, None] = None,
        follow: bool = False,
    ) -> Iterator[Transcript]:
        """Stream ``source`` and yield each final as it arrives, with ``partials`` each partial too.

        The other arguments are those of ``listen`` and ``transcribe``. Finals of separate channels are
        yielded in order of arrival. Raises the error that ends the session early. Leaving the loop early
        closes the session.
        """
        received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        request = Request(source, sample_rate, channels, speed, follow, raises=True, tap=received.put)
        session = self._session(request)
        open_channels = 1 if isinstance(session, Session) else len(session)
        with session.open():
            while open_channels:
                item = _get(received)
                if isinstance(item, Transcript) and (item.is_final or partials):
                    yield item
                open_channels -= isinstance(item, Closed)
            session.wait()

    def transcribe(
        self,
        source: Any,
        *,
        progress: bool = False,
        speed: float = 1.0,
        sample_rate: Optional[int] = None,
        channels: Union[int, Apart, None] = None,
        follow: bool = False,
    ) -> TranscriptLog:
        """Transcribe ``source`` and return the complete transcript.

        ``speed`` is the pace at which a recording is sent: 1.0 is real time, the pace the models are made
        for. ``progress`` shows a progress bar on the terminal. The other arguments are those of ``listen``.
        The finals of separate channels are in order of time. Ctrl-C closes the session and returns the
        transcript so far. If an error ends the session early, its ``transcript`` holds the transcript so far.
        """
        session = self._session(Request(source, sample_rate, channels, speed, follow, raises=True))
        try:
            with session.open():
                try:
                    _wait_with_progress(session, session.source_seconds if progress else None)
                except KeyboardInterrupt:
                    session.close()
        except SlngError as error:
            error.transcript = session.transcript
            raise
        return session.transcript

    def replay(self, path: Path, *, speed: float = float("inf")) -> TranscriptLog:
        """Replay a session that was traced with ``listen(trace=path)`` offline. Return its transcript.

        Calls the callbacks in the calling thread with what the server sent, with the times of the session's
        clock. The trace names the model. ``speed`` is the pace: 1.0 is the original one (default: no delays).
        Events of the client itself, such as ``Reconnecting``, are not repeated. If a crash has cut off the
        trace, its complete lines are replayed.

        Raises ``AudioError`` if the file cannot be read or is not a trace.
        """
        from .replay import Replay

        replay = Replay(path, speed=speed, raw=self._callbacks.want_frames)
        for item in replay:
            self._callbacks.deliver(item)
        return replay.log

    def __repr__(self) -> str:
        return f"<Client {self._model.dialect.model} at {self._settings.endpoint.address}>"

    def _register(self, kind: str, function: Function) -> Function:
        self._callbacks.add(kind, function)
        return function

    def _session(self, request: Request, callbacks: Optional[Callbacks] = None) -> "Union[Session, Sessions]":
        callbacks = callbacks or self._callbacks
        return Assembly(self._settings, self._model, callbacks).session(request)


def _get(items: "queue.SimpleQueue[Any]") -> Any:
    """Return the next item. On Windows a long wait is split, because Ctrl-C does not interrupt it."""
    while True:
        try:
            return items.get(timeout=0.5 if os.name == "nt" else None)
        except queue.Empty:
            continue


def _wait_with_progress(session: "Union[Session, Sessions]", duration: Optional[float]) -> None:
    if duration is None:
        session.wait()
        return
    from .progress import show_progress

    show_progress(session, duration)
