"""Validate a Soniox config as strictly as the service does [soniox-ws-api, SLNG Soniox page]."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Tuple

from ..audio.format import AudioFormat
from .dialect import as_object

__all__ = ["Refusal", "SonioxConfig", "read_config"]

MALFORMED = "Start request is malformed."
MODEL = "stt-rt-v4"
CONTAINERS = ("aac", "aiff", "amr", "asf", "flac", "mp3", "ogg", "wav", "webm")
CONTEXT_LIMIT = 10000
REFERENCE_LIMIT = 256

RAW_BYTES: Dict[str, int] = {"pcm_s8": 1, "pcm_u8": 1, "mulaw": 1, "alaw": 1}
for _bits in (16, 24, 32):
    for _sign in "su":
        for _order in ("le", "be"):
            RAW_BYTES[f"pcm_{_sign}{_bits}{_order}"] = _bits // 8
for _bits in (32, 64):
    for _order in ("le", "be"):
        RAW_BYTES[f"pcm_f{_bits}{_order}"] = _bits // 8


class Refusal(Exception):
    """A config is refused with an error message. ``breach`` is the client's mistake, or ""."""

    def __init__(
        self, message: str, *, breach: str = "", code: int = 400, error_type: str = "invalid_request"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.breach = breach
        self.code = code
        self.error_type = error_type


@dataclass(frozen=True)
class Translation:
    """The translation to make. ``targets`` maps a language ("" for any) to the target language."""

    targets: Mapping[str, str]

    def target(self, language: str) -> Optional[str]:
        """Return the language that a word of ``language`` is translated to, or None."""
        target = self.targets.get(language, self.targets.get(""))
        return None if target == language else target


@dataclass(frozen=True)
class SonioxConfig:
    """An accepted config. ``audio_format`` is None for a container, whose header holds the format."""

    audio_format: Optional[AudioFormat]
    sample_bytes: int
    diarization: bool
    languages: bool
    endpoints: bool
    endpoint_delay: Optional[float]
    translation: Optional[Translation]
    raw: Mapping[str, Any]


def read_config(text: str, type_policy: str, abilities: FrozenSet[str]) -> SonioxConfig:
    """Parse the first message. Raises `Refusal`."""
    config, problem = as_object(text)
    if problem:
        raise Refusal(MALFORMED, breach=f"the config is {problem}")
    _check_type(config, type_policy)
    _check_keys(config)
    audio_format, sample_bytes = _read_audio(config, abilities)
    _check_abilities(config, abilities)
    delay = config.get("max_endpoint_delay_ms")
    return SonioxConfig(
        audio_format=audio_format,
        sample_bytes=sample_bytes,
        diarization=config.get("enable_speaker_diarization", False),
        languages=config.get("enable_language_identification", False) or "translation" in config,
        endpoints=config.get("enable_endpoint_detection", False),
        endpoint_delay=None if delay is None else delay / 1000,
        translation=_read_translation(config.get("translation")),
        raw=config,
    )


def _check_type(config: Dict[str, Any], policy: str) -> None:
    # The service accepts or refuses this key at different times, so neither is the client's mistake.
    if "type" in config:
        if policy == "refuse":
            raise Refusal(MALFORMED)
        if config["type"] != "config":
            raise Refusal(MALFORMED, breach=f"config with type {config['type']!r}")
    elif policy == "require":
        raise Refusal(MALFORMED)


def _check_keys(config: Dict[str, Any]) -> None:
    for key, value in config.items():
        if key == "api_key":
            raise Refusal(MALFORMED, breach="api_key in the config: the gateway adds its own")
        if key in ("endpoint_sensitivity", "endpoint_latency_adjustment_level"):
            raise Refusal(f"{key} is not supported by this model.", breach=f"{key} with a v4 model")
        check = CHECKS.get(key)
        if check is None:
            raise Refusal(MALFORMED, breach=f"unknown key {key!r} in the config")
        problem = check(value)
        if problem:
            raise Refusal(problem, breach=f"config key {key!r}: {problem}")
    if config.get("model") != MODEL:
        raise Refusal(
            "Model is not available.",
            breach=f"model {config.get('model')!r}",
            error_type="model_not_available",
        )


def _read_audio(config: Dict[str, Any], abilities: FrozenSet[str]) -> Tuple[Optional[AudioFormat], int]:
    name = config.get("audio_format")
    if name == "auto" or name in CONTAINERS:
        if "sample_rate" in config or "num_channels" in config:
            raise Refusal(
                "Sample rate and channels must not be given with a container.",
                breach="auto with rate or channels",
            )
        if name not in ("auto", "wav"):
            raise Refusal(f"Audio format {name} is not supported by this gateway.")
        return None, 2
    if name not in RAW_BYTES:
        raise Refusal("Invalid audio format.", breach=f"audio_format {name!r}")
    for key, noun in (("sample_rate", "sample rate"), ("num_channels", "channels")):
        if key not in config:
            raise Refusal(f"Audio data {noun} must be specified for PCM formats", breach=f"no {key}")
    if name != "pcm_s16le" and "raw_formats" not in abilities:
        raise Refusal(f"Audio format {name} is not supported by this gateway.")
    return AudioFormat(config["sample_rate"], config["num_channels"]), RAW_BYTES[name]


def _check_abilities(config: Dict[str, Any], abilities: FrozenSet[str]) -> None:
    if config.get("enable_speaker_diarization") and "diarization" not in abilities:
        raise Refusal("Speaker diarization is not supported by this gateway's recogniser.")
    if "translation" in config and "translation" not in abilities:
        raise Refusal("Translation is not supported by this gateway's recogniser.")


def _read_translation(value: Optional[Dict[str, Any]]) -> Optional[Translation]:
    if value is None:
        return None
    if value["type"] == "one_way":
        return Translation({"": value["target_language"]})
    a, b = value["language_a"], value["language_b"]
    return Translation({a: b, b: a})


def _bool(value: object) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _string(value: object) -> str:
    return "" if isinstance(value, str) else "must be a string"


def _int(low: int, high: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        ok = type(value) is int and low <= value <= high
        return "" if ok else f"must be an integer from {low} to {high}"

    return check


def _hints(value: object) -> str:
    if not isinstance(value, list) or not all(
        isinstance(hint, str) and 2 <= len(hint) <= 3 for hint in value
    ):
        return "Invalid language hint."
    return "Language hints must be unique." if len(set(value)) < len(value) else ""


def _reference(value: object) -> str:
    if isinstance(value, str) and len(value) <= REFERENCE_LIMIT:
        return ""
    return f"Client reference ID is too long (max length {REFERENCE_LIMIT})."


def _context(value: object) -> str:
    if not isinstance(value, dict) or not set(value) <= {"general", "text", "terms", "translation_terms"}:
        return "Invalid context."
    sound = (
        _pairs(value.get("general", []), "key", "value")
        and _pairs(value.get("translation_terms", []), "source", "target")
        and isinstance(value.get("text", ""), str)
        and isinstance(value.get("terms", []), list)
        and all(isinstance(term, str) for term in value.get("terms", []))
    )
    if not sound:
        return "Invalid context."
    return "Context is too long." if _text_length(value) > CONTEXT_LIMIT else ""


def _pairs(value: object, first: str, second: str) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, dict)
        and set(pair) == {first, second}
        and all(isinstance(v, str) for v in pair.values())
        for pair in value
    )


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(_text_length(item) for item in items)


def _translation(value: object) -> str:
    shapes = {"one_way": {"type", "target_language"}, "two_way": {"type", "language_a", "language_b"}}
    if not isinstance(value, dict) or set(value) != shapes.get(str(value.get("type"))):
        return "Invalid translation."
    if not all(isinstance(language, str) and language for language in value.values()):
        return "Invalid translation."
    if value["type"] == "two_way" and value["language_a"] == value["language_b"]:
        return "Translation languages must differ."
    return ""


CHECKS: Dict[str, Callable[[object], str]] = {
    "type": _string,
    "model": _string,
    "audio_format": _string,
    "sample_rate": _int(2000, 96000),
    "num_channels": _int(1, 8),
    "language_hints": _hints,
    "language_hints_strict": _bool,
    "context": _context,
    "enable_speaker_diarization": _bool,
    "enable_language_identification": _bool,
    "enable_endpoint_detection": _bool,
    "max_endpoint_delay_ms": _int(500, 3000),
    "translation": _translation,
    "client_reference_id": _reference,
}
