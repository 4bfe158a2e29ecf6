"""The server side of the Soniox dialect: config, audio, tokens [soniox-ws-api, SLNG Soniox page]."""

from typing import Any, Dict, List, Optional, Union

from ..audio.format import AudioFormat
from .dialect import (
    Actions,
    Breach,
    Close,
    Feed,
    Finalize,
    Finish,
    Later,
    Open,
    Send,
    ServerDialect,
    Timeouts,
    as_object,
)
from .engine import StreamOptions, Update
from .soniox_config import MALFORMED, Refusal, SonioxConfig, read_config
from .soniox_errors import error_message_for
from .soniox_tokens import Token, TokenWriter, marker
from .wav_header import WavHeaderError, read_header

__all__ = ["SonioxServer"]

# Seconds of audio after which a message is sent even if no token has changed.
PROGRESS = 0.5
# Seconds that a marker waits for non-final tokens, with the fault markers="with_next".
MARKER_WAIT = 0.2


class SonioxServer(ServerDialect):
    """One Soniox session. Every error frame is followed by a close with 1000."""

    model = "soniox/speech-ai:rt-v4"
    path = "/v1/stt/soniox/speech-ai:rt-v4"
    world_parts = frozenset({"ap", "eu", "na"})
    timeouts = Timeouts(first_audio=20.0, idle=20.0)

    state = "config"
    _settings: SonioxConfig
    _tokens: TokenWriter
    _frame_bytes = 2
    _header: Optional[bytes] = None
    _rest = b""
    _final_ms = 0
    _total_ms = 0
    _reported_ms = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tentative: List[Token] = []
        self._held: List[Token] = []

    def receive(self, message: Union[str, bytes]) -> Actions:
        if self.state == "ended":
            return [] if self.is_end(message) else [Breach("a message after the end of stream")]
        if self.state == "config":
            return self._config_message(message)
        if not message:
            return self._end_of_stream()
        return self._audio(message) if isinstance(message, bytes) else self._control(message)

    # The start of the stream

    def _config_message(self, message: Union[str, bytes]) -> Actions:
        if isinstance(message, bytes):
            return self._refuse(MALFORMED, breach="the first message is not a text frame with the config")
        try:
            settings = read_config(message, self.faults.config_type, self.abilities)
        except Refusal as refusal:
            noted: Actions = [Breach(refusal.breach)] if refusal.breach else []
            return noted + self.error(refusal.code, refusal.message, refusal.error_type)
        self.config = dict(settings.raw)
        self.state = "live"
        self._settings = settings
        self._tokens = TokenWriter(settings)
        if self.faults.key_refused == "in_band":
            return self.key_refused()
        if settings.audio_format is None:
            self._header = b""
            return []
        return [self._open(settings.audio_format)]

    def _open(self, audio_format: AudioFormat) -> Open:
        settings = self._settings
        self._frame_bytes = settings.sample_bytes * audio_format.channels
        return Open(
            audio_format,
            StreamOptions(
                self.model,
                self.number,
                sample_bytes=settings.sample_bytes,
                endpoint_delay=settings.endpoint_delay,
                diarization=settings.diarization,
                languages=settings.languages,
                translation=settings.translation is not None,
                config=settings.raw,
            ),
        )

    def is_end(self, message: Union[str, bytes]) -> bool:
        # A client may send another form of the end after two seconds without an answer.
        text = message.decode(errors="replace") if isinstance(message, bytes) else message
        return text.replace(" ", "") in ("", '{"type":""}')

    # Audio

    def _audio(self, data: bytes) -> Actions:
        self.received_audio = True
        if self._settings.audio_format is None:
            return self._container_audio(data)
        if len(data) % self._frame_bytes:
            return self._refuse("Audio decode error.", breach="audio that is not whole sample frames")
        return [Feed(data)]

    def _container_audio(self, data: bytes) -> Actions:
        """Parse a streamed WAV. A message may end inside a sample frame; the next one completes it."""
        actions: Actions = []
        data = self._rest + data
        if self._header is not None:
            try:
                header = read_header(data)
            except WavHeaderError as problem:
                return self.error(400, f"Audio decode error: this gateway decodes only WAV ({problem}).")
            if header is None:
                self._rest = data
                return []
            audio_format, begin = header
            actions.append(self._open(audio_format))
            self._header, data = None, data[begin:]
        whole = len(data) // self._frame_bytes * self._frame_bytes
        self._rest = data[whole:]
        if whole:
            actions.append(Feed(data[:whole]))
        return actions

    # Control

    def _control(self, text: str) -> Actions:
        request, problem = as_object(text)
        if problem:
            return self._refuse("Control request is malformed.", breach=problem)
        kind = request.get("type")
        if kind == "finalize":
            return self._finalize(request)
        if kind == "keepalive" and len(request) == 1:
            return []
        if kind == "" and len(request) == 1:
            return self._end_by_type()
        if kind in ("finalize", "keepalive", ""):
            return self._refuse("Control request is malformed.", breach=f"extra keys in a {kind!r} message")
        what = "a second config" if "model" in request else f"control message of type {kind!r}"
        return self._refuse("Control request invalid type.", breach=what)

    def _finalize(self, request: Dict[str, Any]) -> Actions:
        if not set(request) <= {"type", "trailing_silence_ms"}:
            return self._refuse("Control request is malformed.", breach="extra keys in a finalize message")
        if type(request.get("trailing_silence_ms", 0)) is not int:
            return self._refuse(
                "Control request is malformed.", breach="trailing_silence_ms is not an integer"
            )
        return [Finalize()]

    def _end_by_type(self) -> Actions:
        policy = self.faults.end_of_stream
        if policy == "ignore_type":
            return []
        return (
            self.error(400, "Control request invalid type.")
            if policy == "only_empty"
            else self._end_of_stream()
        )

    def _end_of_stream(self) -> Actions:
        self.client_ended = True
        if not self.received_audio:
            return self._refuse("No audio received.", breach="an end of stream without any audio")
        self.state = "ended"
        return [Finish()]

    # Updates of the engine

    def handle_updates(self, updates: List[Update]) -> Actions:
        actions: Actions = []
        for update in updates:
            actions.extend(self._progress(update))
        return actions

    def handle_finalized(self, updates: List[Update]) -> Actions:
        tokens = self._finals(updates)
        self._final_ms = self._total_ms
        if self.faults.markers == "with_next":
            return [*self._message_if(tokens), *self._hold_marker("<fin>")]
        if self.faults.markers == "own_frame":
            return [*self._message_if(tokens), self._message([marker("<fin>")])]
        return [self._message([*tokens, marker("<fin>")])]

    def handle_ended(self, updates: List[Update]) -> Actions:
        tokens = self._finals(updates)
        self._final_ms = self._total_ms
        if self.faults.finished == "with_tokens":
            return [self._message(tokens, finished=True), Close(1000)]
        last = [] if self.faults.finished == "missing" else [self._message([], finished=True)]
        return [*self._message_if(tokens), *last, Close(1000)]

    def _finals(self, updates: List[Update]) -> List[Token]:
        tokens = self._take_held()
        for update in updates:
            tokens.extend(self._tokens.final(update.final))
            self._total_ms = max(self._total_ms, round(update.position * 1000))
        self._tentative = []
        return tokens

    def _progress(self, update: Update) -> Actions:
        self._total_ms = max(self._total_ms, round(update.position * 1000))
        finals = self._tokens.final(update.final)
        if update.final:
            self._final_ms = max(self._final_ms, round(max(word.end for word in update.final) * 1000))
        tentative, before = self._tokens.tentative(update.tentative), self._tentative
        self._tentative = tentative
        if update.endpoint and self._settings.endpoints:
            return self._endpoint(finals, tentative)
        if finals or tentative != before or self._total_ms - self._reported_ms >= PROGRESS * 1000:
            # A held marker precedes all later tokens.
            held = self._take_held() if finals or tentative else []
            return [self._message([*held, *finals, *tentative])]
        return []

    def _endpoint(self, finals: List[Token], tentative: List[Token]) -> Actions:
        if self.faults.markers == "with_next":
            return [self._message([*self._take_held(), *finals]), *self._hold_marker("<end>")]
        if self.faults.markers == "own_frame":
            return [*self._message_if(finals), self._message([marker("<end>"), *tentative])]
        return [self._message([*finals, marker("<end>"), *tentative])]

    # Markers that wait for the next message with non-final tokens

    def _hold_marker(self, text: str) -> Actions:
        self._held.append(marker(text))
        return [Later(MARKER_WAIT, self._send_held)]

    def _take_held(self) -> List[Token]:
        held, self._held = self._held, []
        return held

    def _send_held(self) -> Actions:
        return (
            self._message_if([*self._take_held(), *self._tentative])
            if self._held and self.state == "live"
            else []
        )

    # Messages

    def _message_if(self, tokens: List[Token]) -> Actions:
        return [self._message(tokens)] if tokens else []

    def _message(self, tokens: List[Token], finished: bool = False) -> Send:
        self._reported_ms = self._total_ms
        message: Dict[str, Any] = {
            "tokens": tokens,
            "final_audio_proc_ms": self._final_ms,
            "total_audio_proc_ms": self._total_ms,
        }
        if finished:
            message["finished"] = True
        return Send(message)

    # Errors

    def error(
        self, code: Union[int, str], message: str = "", error_type: Optional[str] = None, close: bool = True
    ) -> Actions:
        reply = Send(error_message_for(code, message, error_type))
        if not close:
            return [reply]
        self.state = "ended"
        return [reply, Close(1000)]

    def key_refused(self) -> Actions:
        return self.error(401)

    def engine_failed(self) -> Actions:
        return self.error(500)

    def timed_out(self, limit: str) -> Actions:
        if limit == "first_audio":
            started = self.state == "live"
            waiting = (
                "Timed out while waiting for the first audio chunk" if started else "Start request timeout."
            )
            return self.error(408, waiting)
        return self.error(413 if limit == "max_duration" else 408)

    def _refuse(self, message: str, breach: str) -> Actions:
        return [Breach(breach), *self.error(400, message)]
