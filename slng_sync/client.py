"""The client: who you are, which model, and your callbacks. Made once, used for any number of streams."""

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
from .session.state import Settings
from .transcript import TranscriptLog
from .transport.endpoint import make_endpoint
from .validation import Path, check_count, check_flag, check_folder, check_seconds

if TYPE_CHECKING:
    from .session.sessions import Sessions

__all__ = ["Client"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Client:
    """Live speech-to-text behind the SLNG gateway, for programs that are not async.

    ``model``             ``Soniox(...)``, ``Reson8(...)`` or a model's id such as "soniox/speech-ai:rt-v4"
    ``api_key``           else the environment's ``SLNG_API_KEY``
    ``world_part``        where the model is to run: a part it offers, such as "eu"
    ``region``            an exact region, which wins over the world part
    ``base_url``          else ``SLNG_BASE_URL``, else wss://api.slng.ai
    ``headers``           further headers of the upgrade request
    ``on_partial, on_final, on_error, on_event, on_message``   callbacks, see the methods of these names
    ``dispatch``          where callbacks run: None for a thread of the session's, "manual" for
                          ``session.poll()``, or a function that is handed each delivery (wx.CallAfter)
    ``connect_timeout``   seconds for the connection, ``ready_timeout`` for the server's ready after it
    ``reconnect``         whether a lost connection is replaced, ``max_attempts`` how often it is tried
    ``max_connection_seconds``   a connection is replaced before it is as old, at a pause: for endless
                          sessions over a gateway that ends long streams
    ``buffer_seconds``    how much audio is kept while the connection is slow or away
    ``spill``             a folder for the audio of a microphone beyond that, which is lost otherwise, and
                          of a ``send`` whose time is up: for long times without a connection, with
                          ``max_attempts`` to match. What was never answered for, or is left by a crash,
                          stays there as WAV files; ``transcribe(path)`` reads them
    ``chunk_seconds``     how much audio goes into a message, at least
    ``ping_interval, ping_timeout``   how a dead connection is noticed: within the sum of both
    ``keepalive_interval``            how long to be silent before saying that the silence is meant
    ``ssl_context, ca_certs``         TLS of your own, or your own authorities (a file or folder of PEM)
    ``proxy``             an HTTP proxy, "" for none; unset, the environment's

    Raises ``ConfigurationError`` for a wrong value, ``AuthenticationError`` where there is no key.
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
        self._dialect = as_dialect(model)
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
                self._dialect, api_key, world_part, region, base_url, headers, ssl_context, ca_certs, proxy
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

    # Callbacks. Each of these registers a function and returns it, so that it also works as a decorator.

    def on_partial(self, function: Function) -> Function:
        """Call ``function(transcript)`` for each guess at what is being said; the next one replaces it."""
        return self._register("on_partial", function)

    def on_final(self, function: Function) -> Function:
        """Call ``function(transcript)`` for each transcript that will not change any more."""
        return self._register("on_final", function)

    def on_error(self, function: Function) -> Function:
        """Call ``function(error)`` for each ``SlngError`` that no call of yours has raised."""
        return self._register("on_error", function)

    def on_event(self, function: Function) -> Function:
        """Call ``function(event)`` for everything else that happens: see ``slng_sync.events``."""
        return self._register("on_event", function)

    def on_message(self, function: Function) -> Function:
        """Call ``function(frame)`` with each frame of the server, a dict, before what is made of it."""
        return self._register("on_message", function)

    # Streams.

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
        """Connect, begin to stream ``source``, and return the session once the server accepts audio.

        ``source`` is a ``Microphone``, a path, a file, an array with its ``sample_rate``, bytes of PCM, or an
        iterable of chunks; without one the program calls ``session.send()``. ``sample_rate`` and ``channels``
        say what arrays, bytes, chunks and raw PCM are; with another path, a microphone, or none, they say
        what is sent: otherwise 16 kHz, or what a recording has less, and one channel. A source that differs
        is converted. When a source ends, the session ends in order by itself.

        ``follow``: the path is that of a WAV or raw PCM file that is still being written. What is there goes
        at once, the rest as it comes, until the recorder has finished the file or the session is closed.

        ``channels="separate"`` hears each channel of the source by a session of its own and returns
        ``Sessions``; every ``Transcript`` then says its ``channel``: "left" and "right", "1" to "3" for
        three, or the names that stand in the place of "separate", such as ``["agent", "customer"]``.

        ``gate`` withholds silence: the connection is kept, the clock goes on, and the first syllable of what
        comes next is there. ``finalize_after`` makes what was said final once the speaker has been silent for
        so many seconds (0.2 to 10; 0.6 is a good one), long before the server would. Both tell speech from
        noise by webrtcvad: ``pip install "slng-sync[vad]"``. ``levels`` asks for a ``Level`` 25 times a
        second, for ``on_event``.

        ``record`` is a WAV file to write, with the audio that is sent: what a gate or a pause withholds is
        not in it, so that later words stand earlier there than in the transcript. What a crash leaves can be
        played, but for the last second. ``trace`` is a file for every message and its time, one JSON object
        a line, for ``replay``: spoken words stand in it, the key does not, and audio only with
        ``trace_audio``. Where the disk takes no more, the file ends, ``on_error`` is told, and the session
        goes on. Both must be other files than the source. New files are readable by their owner only.

        ``wait=False`` returns at once with the session in ``CONNECTING``; audio is captured from that moment.
        The event ``Ready`` of a model that sends it, the first transcript, or an error (``on_error``, then
        ``Closed``) tells how it went. ``on_partial``, ``on_final``, ``on_error`` and ``on_event`` register
        callbacks for this session only; they run after the client's own.

        Raises ``ConnectError`` or a subclass, ``ServerError``, ``AudioError``, ``ConfigurationError``.
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
        return self._session(request, callbacks)._open(wait=wait)

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
        """Stream ``source`` and yield the finals as they come, and the partials where they are wanted.

        ``follow`` and ``channels`` are those of ``listen``; channels that are heard apart come as each is
        understood. Raises what ends the stream too early. A loop that is left early closes the session.
        """
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        request = Request(source, sample_rate, channels, speed, follow, raises=True, tap=heard.put)
        session = self._session(request)
        open_channels = 1 if isinstance(session, Session) else len(session)
        with session._open():
            while open_channels:
                item = _get(heard)
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
        """Transcribe ``source`` and return when its last word is there.

        ``speed`` is how fast a recording is sent: 1.0 as it is heard, the pace that the models are made for;
        ``progress`` shows a bar on the terminal. ``follow`` and ``channels`` are those of ``listen``; what
        was said on channels that are heard apart stands in order of time. Ctrl-C ends in order and returns
        what there is. An error that comes in the middle has what was understood until then as its
        ``transcript``.
        """
        session = self._session(Request(source, sample_rate, channels, speed, follow, raises=True))
        try:
            with session._open():
                try:
                    _wait_with_progress(session, session.source_seconds if progress else None)
                except KeyboardInterrupt:
                    session.close()
        except SlngError as error:
            error.transcript = session.transcript
            raise
        return session.transcript

    def replay(self, path: Path, *, speed: float = float("inf")) -> TranscriptLog:
        """Run the callbacks on a session that was traced with ``listen(trace=path)``, without a network.

        They are told what the server said, at the times of the session's clock, in the calling thread; which
        model it was is in the trace. ``speed`` is how fast: 1.0 as it was, unless said at once. What the
        client itself had to tell, such as ``Reconnecting``, is not told again. A trace that a crash has cut
        off is replayed as far as it goes.

        Raises ``AudioError`` for a file that cannot be read, or is no such trace.
        """
        from .replay import Replay

        replay = Replay(path, speed=speed, raw=self._callbacks.want_frames)
        for item in replay:
            self._callbacks.deliver(item)
        return replay.log

    def __repr__(self) -> str:
        return f"<Client {self._dialect.model} at {self._settings.endpoint.address}>"

    def _register(self, kind: str, function: Function) -> Function:
        self._callbacks.add(kind, function)
        return function

    def _session(self, request: Request, callbacks: Optional[Callbacks] = None) -> "Union[Session, Sessions]":
        callbacks = callbacks or self._callbacks
        return Assembly(self._settings, self._dialect, callbacks, self._remember).session(request)

    def _remember(self, dialect: Dialect) -> None:
        """The server takes this form: the next session begins with it."""
        self._dialect = dialect


def _get(heard: "queue.SimpleQueue[Any]") -> Any:
    """The next item. On Windows in slices, or Ctrl-C would not get through."""
    while True:
        try:
            return heard.get(timeout=0.5 if os.name == "nt" else None)
        except queue.Empty:
            continue


def _wait_with_progress(session: "Union[Session, Sessions]", duration: Optional[float]) -> None:
    if duration is None:
        session.wait()
        return
    from .progress import show_progress

    show_progress(session, duration)
