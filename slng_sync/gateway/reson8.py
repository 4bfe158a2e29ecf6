"""The server side of the Reson8 dialect: init, ready, audio, transcripts [SLNG Reson8 page]."""

import base64
import binascii
import math
from typing import Any, Dict, List, Optional, Tuple, Union

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
from .engine import HeardWord, StreamOptions, Update

__all__ = ["Reson8Server"]

TIMEOUT_ERRORS = {
    "first_audio": ("idle_timeout_exceeded", "No audio received"),
    "idle": ("idle_timeout_exceeded", "Connection closed after inactivity"),
    "max_duration": ("max_connection_duration_exceeded", "Maximum connection duration exceeded"),
}


class Reson8Server(ServerDialect):
    """One Reson8 session.

    It decides what the page leaves open. A close with 1008 follows each error (1001 after an idle timeout).
    Audio before ``ready`` closes the connection at once with 1008 [pipecat-slng]. Unknown keys in the config
    are ignored, unknown messages are refused.
    """

    model = "reson8/reson8stt:v1"
    path = "/v1/stt/reson8/reson8stt:v1"
    world_parts = frozenset({"eu"})
    timeouts = Timeouts(first_audio=math.inf, idle=120.0)

    state = "init"
    _frame_bytes = 2
    _partials = False
    _language = "en"
    _partial = ""
    _final_words: Tuple[HeardWord, ...] = ()
    _tentative: Tuple[HeardWord, ...] = ()
    _confirmations = 0
    _confirmation_pending = False
    _finalized_to = 0.0
    _position = 0.0

    def receive(self, message: Union[str, bytes]) -> Actions:
        if self.state == "ended":
            return [Breach("a message after close")]
        if isinstance(message, bytes):
            return self._audio_message(message, "binary")
        request, problem = as_object(message)
        if problem:
            return self._refuse("invalid_request", f"The message is {problem}.", breach=problem)
        kind = request.get("type")
        if self.state == "init" and kind not in ("init", "audio"):
            return self._refuse(
                "config_error", "Expected init", breach=f"first message is {kind!r}, not init"
            )
        handle = {
            "init": self._init,
            "audio": self._json_audio,
            "finalize": self._finalize,
            "keepalive": self._keepalive,
            "close": self._close,
        }.get(kind if isinstance(kind, str) else "")
        if handle is None:
            return self._refuse("invalid_request", "Unknown message type", breach=f"message of type {kind!r}")
        return handle(request)

    # The start of the stream

    def _init(self, request: Dict[str, Any]) -> Actions:
        if self.state != "init":
            return self._refuse("invalid_request", "Session already initialized", breach="a second init")
        config = request.get("config")
        problem = _config_problem(config)
        if problem:
            return self._refuse("config_error", problem, breach=f"init refused: {problem}")
        assert isinstance(config, dict)
        self.config = config
        self.state = "waiting"
        opened = self._open(config)
        if self.faults.key_refused == "in_band":
            return self.key_refused()
        if self.faults.ready == "never":
            return [opened]
        if self.faults.ready_delay:
            return [opened, Later(self.faults.ready_delay, self._ready)]
        return [opened, *self._ready()]

    def _open(self, config: Dict[str, Any]) -> Open:
        self._partials = bool(config.get("enable_partials", config.get("enable_partial_transcripts", False)))
        self._language = str(config.get("language") or "en").split(",")[0]
        audio_format = AudioFormat(config["sample_rate"], config["channels"])
        self._frame_bytes = audio_format.frame_bytes
        options = StreamOptions(self.model, self.number, languages=True, config=config)
        return Open(audio_format, options)

    def _ready(self) -> Actions:
        if self.state == "waiting":
            self.state = "ready"
        message = {"type": "ready", "session_id": f"sess_{self.number:06d}"}
        message.update(self.faults.ready_extra)
        return [Send(message)]

    # Audio

    def _json_audio(self, request: Dict[str, Any]) -> Actions:
        data = request.get("data")
        if not isinstance(data, str):
            return self._refuse("invalid_request", "Audio data is missing", breach="audio without data")
        try:
            pcm = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return self._refuse(
                "invalid_request", "Audio data is not base64", breach="audio is not valid base64"
            )
        return self._audio_message(pcm, "json")

    def _audio_message(self, pcm: bytes, envelope: str) -> Actions:
        if self.faults.audio_envelope not in ("both", envelope):
            return self._refuse("invalid_request", f"Expected {self.faults.audio_envelope} audio")
        if self.state == "init":
            return [Breach("audio before init"), *self._end_with(1008, "Session not ready")]
        if self.state == "waiting" and self.faults.early_audio != "accept":
            if self.faults.early_audio == "ignore":
                return [Breach("audio before ready")]
            return [Breach("audio before ready"), *self._end_with(1008, "Session not ready")]
        if not pcm:
            return self._refuse("invalid_request", "Audio data is empty", breach="empty audio")
        if len(pcm) % self._frame_bytes:
            return self._refuse(
                "invalid_request",
                "Audio data is not whole samples",
                breach="audio that is not whole sample frames",
            )
        self.received_audio = True
        return [Feed(pcm)]

    # Control

    def _keepalive(self, request: Dict[str, Any]) -> Actions:
        return []

    def _finalize(self, request: Dict[str, Any]) -> Actions:
        return [Finalize()]

    def _close(self, request: Dict[str, Any]) -> Actions:
        self.state = "ended"
        self.client_ended = True
        return [Finish()]

    # Updates of the engine

    def handle_updates(self, updates: List[Update]) -> Actions:
        actions: Actions = []
        for update in updates:
            self._add(update)
            if update.endpoint and self._final_words:
                actions.append(self._final())
            elif self._partials:
                actions.extend(self._changed_partial())
        return actions

    def handle_finalized(self, updates: List[Update]) -> Actions:
        previous_end = self._finalized_to
        for update in updates:
            self._add(update)
        # Silence since the last final gives an empty final. No audio since then gives only the confirmation.
        finals: Actions = [self._final()] if self._final_words or self._position > previous_end else []
        return self._confirmed(finals)

    def handle_ended(self, updates: List[Update]) -> Actions:
        for update in updates:
            self._add(update)
        if self._final_words and self.faults.finals_at_close == "deliver":
            return [self._final(), Close(1000)]
        return [Close(1000)]

    def _add(self, update: Update) -> None:
        self._final_words += update.final
        self._tentative = update.tentative
        self._position = update.position

    def _changed_partial(self) -> Actions:
        words = self._final_words + self._tentative
        text = _text(words)
        if not text or text == self._partial:
            return []
        self._partial = text
        return [Send({"type": "partial_transcript", "transcript": text, "confidence": _confidence(words)})]

    def _final(self) -> Send:
        words, begin = self._final_words, self._finalized_to
        self._final_words, self._tentative, self._partial = (), (), ""
        self._finalized_to = self._position
        message: Dict[str, Any] = {
            "type": "final_transcript",
            "transcript": _text(words),
            "confidence": _confidence(words),
            "language": (words[0].language if words else None) or self._language,
            "duration": round(self._position - begin, 3),
        }
        if words:
            message["duration"] = round(max(w.end for w in words) - words[0].start, 3)
            message["start"] = round(words[0].start, 3)
            message["words"] = [
                {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                for word in words
            ]
        return Send(message)

    def _confirmed(self, finals: Actions) -> Actions:
        policy = self.faults.flush
        if policy == "missing":
            return finals
        if policy == "before_final":
            return [*self._confirm(), *finals]
        if policy == "late":
            return [*finals, Later(self.faults.flush_delay, self._confirm)]
        if policy == "merged":
            pending, self._confirmation_pending = self._confirmation_pending, True
            return finals if pending else [*finals, Later(self.faults.flush_delay, self._confirm)]
        return [*finals, *self._confirm()]

    def _confirm(self) -> Actions:
        self._confirmation_pending = False
        self._confirmations += 1
        return [Send({"type": "flush_confirmation", "id": f"flush-{self._confirmations:03d}"})]

    # Errors

    def error(
        self, code: Union[int, str], message: str = "", error_type: Optional[str] = None, close: bool = True
    ) -> Actions:
        reply: Actions = [Send({"type": "error", "code": code, "message": message or f"{code}"})]
        if not close:
            return reply
        return reply + self._end_with(1001 if code == "idle_timeout_exceeded" else 1008)

    def key_refused(self) -> Actions:
        return self.error("auth_error", "Invalid or expired API key")

    def engine_failed(self) -> Actions:
        return self.error("provider_error", "The recogniser failed")

    def timed_out(self, limit: str) -> Actions:
        return self.error(*TIMEOUT_ERRORS[limit])

    def _refuse(self, code: str, message: str, breach: str = "") -> Actions:
        noted: Actions = [Breach(breach)] if breach else []
        return noted + self.error(code, message)

    def _end_with(self, code: int, reason: str = "") -> Actions:
        self.state = "ended"
        return [Close(code, reason)]


def _config_problem(config: object) -> str:
    """Return what is wrong with the config of an init, or ""."""
    if not isinstance(config, dict):
        return "Missing config"
    if config.get("encoding") not in ("pcm_s16le", "linear16"):
        return "Unsupported encoding"
    rate, channels = config.get("sample_rate"), config.get("channels")
    if type(rate) is not int or not 8000 <= rate <= 48000:
        return "Unsupported sample rate"
    if type(channels) is not int or channels != 1:
        return "Unsupported number of channels"
    if not isinstance(config.get("enable_partials", False), bool):
        return "enable_partials must be true or false"
    if not isinstance(config.get("language", ""), str):
        return "language must be a string"
    return ""


def _text(words: Tuple[HeardWord, ...]) -> str:
    return " ".join(word.text for word in words)


def _confidence(words: Tuple[HeardWord, ...]) -> float:
    return round(sum(word.confidence for word in words) / len(words), 3) if words else 0.0
