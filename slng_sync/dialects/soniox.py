"""The dialect of Soniox v4: binary audio, transcripts as tokens.

The gateway forwards native messages unchanged [SLNG model page of soniox/speech-ai:rt-v4]. Wire facts are
from Soniox's WebSocket API page [soniox-ws-api] unless another source is named.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..audio.format import AudioFormat
from .base import (
    Dialect,
    Message,
    Timeline,
    extra_field,
    is_int,
    is_text,
    is_utf8,
    require,
    require_bool,
    require_extra,
    text_message,
)
from .tokens import SonioxDecoder

__all__ = ["Soniox"]

_END_OF_STREAM = {
    "type_empty": Message(b'{"type":""}'),
    "empty_text": Message(b""),
    "empty_binary": Message(b"", binary=True),
}
_CONTEXT_KEYS = ("general", "text", "terms", "translation_terms")
_CONTEXT_LIMIT = 10_000
_OURS = ("type", "model", "audio_format", "sample_rate", "num_channels")
_FLAGS = (
    "language_hints_strict",
    "enable_speaker_diarization",
    "enable_language_identification",
    "enable_endpoint_detection",
)


@dataclass(frozen=True)
class Soniox(Dialect):
    """The model ``soniox/speech-ai:rt-v4`` and its options, with their names on the wire.

    ``language_hints``          ISO codes of the expected languages, without duplicates
    ``language_hints_strict``   a strong bias towards these languages; works best with one
    ``context``                 the topic of the speech: text, or a mapping with ``general`` (a list of
                                ``{"key", "value"}``), ``text``, ``terms`` (a list) and ``translation_terms``
                                (a list of ``{"source", "target"}``); at most 10,000 characters in all
    ``enable_speaker_diarization``      labels up to 15 speakers
    ``enable_language_identification``  labels the language of each word
    ``enable_endpoint_detection``       finalizes when the speaker pauses
    ``max_endpoint_delay_ms``   the longest pause before that, 500 to 3000
    ``translation``             ``{"type": "one_way", "target_language": "fr"}`` or
                                ``{"type": "two_way", "language_a": "en", "language_b": "fr"}``
    ``client_reference_id``     your own id for the session, at most 256 characters
    ``config_type``             the ``type`` of the first message, or None to omit it as native Soniox
                                does. If the server refuses it, the client retries once without it
    ``end_of_stream``           the messages that end the audio, tried in order: "type_empty",
                                "empty_text", "empty_binary"
    ``extra``                   more keys for the config, sent unchanged

    Raises ``ConfigurationError`` for a wrong value.
    """

    model: ClassVar[str] = "soniox/speech-ai:rt-v4"
    world_parts: ClassVar[Tuple[str, ...]] = ("ap", "eu", "na")
    sample_rates: ClassVar[Tuple[int, ...]] = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
    needs_first_audio: ClassVar[bool] = True
    answers_audio: ClassVar[bool] = True

    language_hints: Optional[Sequence[str]] = None
    language_hints_strict: bool = False
    context: Union[str, Mapping[str, Any], None] = None
    enable_speaker_diarization: bool = False
    enable_language_identification: bool = False
    enable_endpoint_detection: bool = True
    max_endpoint_delay_ms: Optional[int] = None
    translation: Optional[Mapping[str, str]] = None
    client_reference_id: Optional[str] = None
    config_type: Optional[str] = "config"
    end_of_stream: Sequence[str] = ("type_empty", "empty_text")
    extra: Mapping[str, Any] = extra_field()

    def __post_init__(self) -> None:
        require_bool(self, *_FLAGS)
        _require_language_hints(self.language_hints)
        _require_context(self.context)
        _require_translation(self.translation)
        require(
            self.max_endpoint_delay_ms is None or is_int(self.max_endpoint_delay_ms, 500, 3000),
            "max_endpoint_delay_ms",
            "an integer from 500 to 3000 (milliseconds)",
            self.max_endpoint_delay_ms,
        )
        require(
            self.client_reference_id is None
            or (is_text(self.client_reference_id) and len(self.client_reference_id) <= 256),
            "client_reference_id",
            "a string of at most 256 characters",
            self.client_reference_id,
        )
        require(
            self.config_type is None or is_text(self.config_type),
            "config_type",
            "a string or None",
            self.config_type,
        )
        forms = self.end_of_stream
        require(
            isinstance(forms, (list, tuple))
            and bool(forms)
            and all(isinstance(form, str) and form in _END_OF_STREAM for form in forms),
            "end_of_stream",
            f"a list of {', '.join(map(repr, _END_OF_STREAM))}",
            forms,
        )
        require_extra(self, self.extra, _OURS)

    def start(self, audio_format: AudioFormat) -> Message:
        """Return the config. Audio may follow at once, as there is no ``ready``."""
        config: Dict[str, Any] = {} if self.config_type is None else {"type": self.config_type}
        config.update(
            model="stt-rt-v4",
            audio_format="pcm_s16le",
            sample_rate=audio_format.sample_rate,
            num_channels=audio_format.channels,
        )
        config.update({flag: True for flag in _FLAGS if getattr(self, flag)})
        for name in (
            "language_hints",
            "context",
            "max_endpoint_delay_ms",
            "translation",
            "client_reference_id",
        ):
            value = getattr(self, name)
            if value is not None:
                config[name] = list(value) if name == "language_hints" else value
        return text_message({**config, **self.extra})

    def audio(self, pcm: bytes) -> Message:
        """Return plain binary audio. An empty message would end the stream."""
        # Faster than the constructor of a NamedTuple, which is a Python function.
        return tuple.__new__(Message, (pcm, True))

    def finalize(self) -> Message:
        """Return ``finalize``, which the server answers with ``<fin>`` [soniox manual-finalization]."""
        return text_message({"type": "finalize"})

    def keepalive(self) -> Message:
        """Return ``keepalive``, due every 20 s without audio [soniox connection-keepalive]."""
        return text_message({"type": "keepalive"})

    def end(self) -> List[Message]:
        """Return the messages of ``end_of_stream``: by default the model page's, then the native one."""
        return [_END_OF_STREAM[form] for form in self.end_of_stream]

    def decoder(self, timeline: Timeline) -> SonioxDecoder:
        """Return a decoder for a new connection."""
        return SonioxDecoder(timeline)

    def alternative(self) -> Optional["Soniox"]:
        """Return this dialect without ``type``, which the model page requires and native Soniox does not
        know."""
        return None if self.config_type is None else replace(self, config_type=None)


def _require_language_hints(hints: object) -> None:
    valid = hints is None or (
        isinstance(hints, (list, tuple))
        and all(is_text(hint) for hint in hints)
        and len(set(hints)) == len(hints)
    )
    require(valid, "language_hints", 'a list of ISO codes without duplicates, such as ["en", "fr"]', hints)


def _require_context(context: object) -> None:
    if isinstance(context, Mapping):
        unknown = sorted(set(map(str, context)) - set(_CONTEXT_KEYS))
        require(not unknown, "context", f"a mapping with {', '.join(_CONTEXT_KEYS)}", context)
        _require_records("general", context.get("general"), ("key", "value"))
        _require_records("translation_terms", context.get("translation_terms"), ("source", "target"))
        terms = context.get("terms", [])
        valid = isinstance(terms, (list, tuple)) and all(isinstance(term, str) for term in terms)
        require(valid, "context['terms']", "a list of strings", terms)
        require(isinstance(context.get("text", ""), str), "context['text']", "a string", context.get("text"))
    else:
        require(context is None or isinstance(context, str), "context", "a mapping or a string", context)
    length = _characters(context)
    require(
        length <= _CONTEXT_LIMIT,
        "context",
        f"at most {_CONTEXT_LIMIT} characters in all",
        f"{length} characters",
    )


def _require_records(name: str, records: object, keys: Tuple[str, str]) -> None:
    valid = records is None or (
        isinstance(records, (list, tuple))
        and all(
            isinstance(record, Mapping)
            and set(record) == set(keys)
            and all(isinstance(value, str) for value in record.values())
            for record in records
        )
    )
    require(valid, f"context[{name!r}]", f"a list of {{{keys[0]!r}: text, {keys[1]!r}: text}}", records)


def _characters(value: object) -> int:
    if isinstance(value, str):
        require(is_utf8(value), "context", "text that UTF-8 can encode", value)
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, (list, tuple)) else 0


def _require_translation(translation: object) -> None:
    shapes = {"one_way": {"type", "target_language"}, "two_way": {"type", "language_a", "language_b"}}
    valid = translation is None or (
        isinstance(translation, Mapping)
        and set(translation) == shapes.get(str(translation.get("type")))
        and all(is_text(value) for value in translation.values())
    )
    require(
        valid,
        "translation",
        '{"type": "one_way", "target_language": "fr"} '
        'or {"type": "two_way", "language_a": "en", "language_b": "fr"}',
        translation,
    )
