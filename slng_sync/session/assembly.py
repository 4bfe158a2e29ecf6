"""Construction of sessions from the arguments of ``Client.listen()``."""

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence, Tuple, Union

from ..audio.format import AudioFormat
from ..callbacks.registry import Callbacks
from ..errors import ConfigurationError
from ..validation import Path, check_flag, check_seconds
from .audio_input import AudioInput
from .capture import Capture
from .io_loop import TaskWakeup
from .lifecycle import Lifecycle
from .session import Session
from .shared_state import SharedState
from .state import ModelChoice, Settings

# Modules that few programs need are imported where they are used, to keep the import of the package fast.
if TYPE_CHECKING:
    from ..audio.source import AudioSource
    from ..audio.voice_gate import VoiceGate
    from .files import SessionFiles
    from .sessions import Sessions

__all__ = ["Apart", "Assembly", "Request"]

DEFAULT_FORMAT = AudioFormat(16000, 1)

Apart = Union[str, Sequence[str]]
"""The values of ``channels`` for one session per channel: "separate", or the names of the channels."""


@dataclass(frozen=True, eq=False, repr=False)
class Request:
    """The arguments of ``Client.listen``, checked.

    ``raises`` is True if a call is waiting that can raise the error which ends the session. ``tap`` is called
    with each item before it is delivered. Raises ``ConfigurationError`` for a wrong value.
    """

    source: Any
    sample_rate: Optional[int] = None
    channels: Union[int, Apart, None] = None
    speed: float = 1.0
    follow: bool = False
    gate: bool = False
    finalize_after: Optional[float] = None
    levels: bool = False
    record: Optional[Path] = None
    trace: Optional[Path] = None
    trace_audio: bool = False
    raises: bool = False
    tap: Optional[Callable[[Any], None]] = None

    def __post_init__(self) -> None:
        for name in ("follow", "gate", "levels", "trace_audio"):
            check_flag(name, getattr(self, name))
        if self.finalize_after is not None:
            check_seconds("finalize_after", self.finalize_after, 0.2, 10)
        if self.is_apart:
            self._check_apart()

    @property
    def is_apart(self) -> bool:
        """Whether each channel gets its own session."""
        return not (self.channels is None or isinstance(self.channels, int))

    @property
    def is_self_described(self) -> bool:
        """Whether the source knows its audio format. Arrays, bytes and raw chunks do not.

        If it does not, ``sample_rate`` and ``channels`` describe the source, and not the audio that is sent.
        """
        source = self.source
        return source is None or isinstance(source, (str, os.PathLike)) or hasattr(source, "audio_format")

    def reader(self, channels: Optional[int]) -> "Optional[AudioSource]":
        """Return the source, or None if the program calls ``send``.

        ``channels`` is for sources of raw PCM.
        """
        if self.source is None and not self.follow:
            return None
        from ..audio.source import as_source

        return as_source(
            self.source,
            sample_rate=self.sample_rate,
            channels=channels,
            speed=self.speed,
            follow=self.follow,
        )

    def voice_gate(self, audio_format: AudioFormat) -> "Optional[VoiceGate]":
        """Return a voice gate, or None if no option needs one."""
        if not self.gate and self.finalize_after is None and not self.levels:
            return None
        from ..audio.voice_gate import VoiceGate

        return VoiceGate(audio_format, gate=self.gate, finalize_after=self.finalize_after, levels=self.levels)

    def check_files(self) -> None:
        """Raise ``ConfigurationError`` unless ``record``, ``trace`` and the source are different files."""
        if self.record is None and self.trace is None:
            return
        from ..storage.files import check_distinct, check_not_source

        check_not_source("record", self.record, self.source)
        check_not_source("trace", self.trace, self.source)
        check_distinct("record", self.record, "trace", self.trace)

    def _check_apart(self) -> None:
        from .sessions import requested_names

        assert self.channels is not None
        assert not isinstance(self.channels, int)
        requested_names(self.channels)
        if self.source is None:
            raise ConfigurationError(
                "channels can be separated only if there is a source. For send(), give a number."
            )
        if self.record is not None or self.trace is not None or self.trace_audio:
            raise ConfigurationError(
                "record and trace cannot be combined with separate channels. Leave one of them out."
            )
        if self.levels:
            raise ConfigurationError(
                "levels cannot be combined with separate channels. Leave one of them out."
            )


class Assembly:
    """The factory of one client's sessions.

    ``accepted`` is called with the dialect that a server has accepted.
    """

    def __init__(
        self,
        settings: Settings,
        model: ModelChoice,
        callbacks: Callbacks,
    ) -> None:
        self._settings = settings
        self._model = model
        self._dialect = model.dialect
        self._callbacks = callbacks

    def session(self, request: Request) -> "Union[Session, Sessions]":
        """Return a new session, or one for each channel. They are not open yet."""
        if request.is_apart:
            return self._apart(request)
        request.check_files()
        assert request.channels is None or isinstance(request.channels, int)
        reader = request.reader(request.channels)
        audio_format = self._format(request, reader, request.channels)
        return self._one(request, audio_format, reader)[0]

    def _apart(self, request: Request) -> "Sessions":
        from ..audio.channels import split
        from .sessions import Sessions, channel_names, requested_names

        assert request.channels is not None
        assert not isinstance(request.channels, int)
        asked = requested_names(request.channels)
        whole = request.reader(None if asked is None else len(asked))
        assert whole is not None
        names = channel_names(asked, whole.audio_format.channels)
        audio_format = self._format(request, whole, None)
        parts = split(whole, len(names))
        return Sessions(
            [self._one(request, audio_format, part, name) for part, name in zip(parts, names)], parts
        )

    def _one(
        self,
        request: Request,
        audio_format: AudioFormat,
        source: "Optional[AudioSource]",
        channel: Optional[str] = None,
    ) -> Tuple[Session, SharedState]:
        wakeup = TaskWakeup()
        shared = SharedState(
            self._settings,
            self._dialect,
            audio_format,
            self._callbacks,
            tap=request.tap,
            channel=channel,
            wakeup=wakeup,
            files=self._files(request, audio_format, wakeup),
        )
        audio_input = AudioInput(shared, request.voice_gate(audio_format))
        capture = None if source is None else Capture(source, shared, audio_input)
        life = Lifecycle(shared, audio_input, capture, self._callbacks, self._model, raises=request.raises)
        return Session(shared, audio_input, capture, life), shared

    def _files(
        self, request: Request, audio_format: AudioFormat, wakeup: TaskWakeup
    ) -> "Optional[SessionFiles]":
        spill = self._settings.spill
        if request.record is None and request.trace is None and spill is None:
            return None
        from .files import SessionFiles

        return SessionFiles(
            audio_format,
            wakeup,
            record=request.record,
            trace=request.trace,
            trace_audio=request.trace_audio,
            spill=spill,
        )

    def _format(
        self, request: Request, source: "Optional[AudioSource]", channels: Optional[int]
    ) -> AudioFormat:
        """Return the requested format.

        By default use the source's rate if the model accepts it, up to 16 kHz.
        """
        rate = DEFAULT_FORMAT.sample_rate
        if source is not None and source.audio_format.sample_rate in self._dialect.sample_rates:
            own = source.audio_format.sample_rate
            # A rate above 16 kHz is sent only if it cannot be converted.
            if own < rate or importlib.util.find_spec("soxr") is None:
                rate = own
        if not request.is_self_described:
            return AudioFormat(rate, DEFAULT_FORMAT.channels)
        return AudioFormat(
            rate if request.sample_rate is None else request.sample_rate,
            DEFAULT_FORMAT.channels if channels is None else channels,
        )
