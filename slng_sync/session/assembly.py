"""From what a program asks for to a session that can be opened."""

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

# What few programs ask for is imported where it is asked for: every program pays for what is imported here.
if TYPE_CHECKING:
    from ..audio.source import AudioSource
    from ..audio.voice_gate import VoiceGate
    from .files import SessionFiles
    from .sessions import Sessions

__all__ = ["Apart", "Assembly", "Request"]

DEFAULT_FORMAT = AudioFormat(16000, 1)

Apart = Union[str, Sequence[str]]
"""What ``channels`` is where each is heard by a session of its own: "separate", or their names."""


@dataclass(frozen=True, eq=False, repr=False)
class Request:
    """What is to be streamed and how, as ``Client.listen`` has it; checked when it is made.

    ``raises`` says that a call is there to raise what ends the stream; ``tap`` sees all that is told first.
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
        """Whether each channel is to be heard by a session of its own."""
        return not (self.channels is None or isinstance(self.channels, int))

    @property
    def is_self_described(self) -> bool:
        """Whether the source says itself what its audio is, as arrays, bytes and raw chunks cannot.

        Else ``sample_rate`` and ``channels`` say that; and nothing of what is to be sent.
        """
        source = self.source
        return source is None or isinstance(source, (str, os.PathLike)) or hasattr(source, "audio_format")

    def reader(self, channels: Optional[int]) -> "Optional[AudioSource]":
        """The source, with so many channels where it has to be told; None where the program sends."""
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
        """What listens before anything is sent, where that is asked for."""
        if not self.gate and self.finalize_after is None and not self.levels:
            return None
        from ..audio.voice_gate import VoiceGate

        return VoiceGate(audio_format, gate=self.gate, finalize_after=self.finalize_after, levels=self.levels)

    def check_files(self) -> None:
        """Raise ``ConfigurationError`` where ``record``, ``trace`` and the source are not different files."""
        if self.record is None and self.trace is None:
            return
        from ..storage.files import check_distinct, check_not_source

        check_not_source("record", self.record, self.source)
        check_not_source("trace", self.trace, self.source)
        check_distinct("record", self.record, "trace", self.trace)

    def _check_apart(self) -> None:
        from .sessions import names_asked_for

        assert self.channels is not None
        assert not isinstance(self.channels, int)
        names_asked_for(self.channels)
        if self.source is None:
            raise ConfigurationError("Channels can only be heard apart where there is a source.")
        if self.record is not None or self.trace is not None or self.trace_audio:
            raise ConfigurationError("record and trace are for one session: leave them out, or channels.")
        if self.levels:
            raise ConfigurationError("levels does not say of which channel: leave it out, or channels.")


class Assembly:
    """Makes sessions for one client. ``accepted`` is told the dialect with which a stream has begun."""

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
        """The session that was asked for, or one for each channel; not open yet."""
        if request.is_apart:
            return self._apart(request)
        request.check_files()
        assert request.channels is None or isinstance(request.channels, int)
        reader = request.reader(request.channels)
        audio_format = self._format(request, reader, request.channels)
        return self._one(request, audio_format, reader)[0]

    def _apart(self, request: Request) -> "Sessions":
        from ..audio.channels import split
        from .sessions import Sessions, channel_names, names_asked_for

        assert request.channels is not None
        assert not isinstance(request.channels, int)
        asked = names_asked_for(request.channels)
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
        """What is asked for; else the source's rate where the model takes it and speech needs no less."""
        rate = DEFAULT_FORMAT.sample_rate
        if source is not None and source.audio_format.sample_rate in self._dialect.sample_rates:
            own = source.audio_format.sample_rate
            # More than 16 kHz is only sent where it cannot be converted.
            if own < rate or importlib.util.find_spec("soxr") is None:
                rate = own
        if not request.is_self_described:
            return AudioFormat(rate, DEFAULT_FORMAT.channels)
        return AudioFormat(
            rate if request.sample_rate is None else request.sample_rate,
            DEFAULT_FORMAT.channels if channels is None else channels,
        )
