"""The options of both models: accepted values, refused values, and their format on the wire."""

import json
import types
from typing import Any, Dict, Type

import pytest

from slng_sync import AudioFormat, ConfigurationError, Dialect, Reson8, Soniox
from slng_sync.dialects import as_dialect

SURROGATE = "half \ud800"
FLAGS = [
    (Soniox, "language_hints_strict"),
    (Soniox, "enable_speaker_diarization"),
    (Soniox, "enable_language_identification"),
    (Soniox, "enable_endpoint_detection"),
    (Reson8, "enable_partials"),
    (Reson8, "wait_for_ready"),
]

REFUSED = [
    (Soniox, "language_hints", "en"),
    (Soniox, "language_hints", ["en", "en"]),
    (Soniox, "language_hints", ["en", ""]),
    (Soniox, "language_hints", [1]),
    (Soniox, "language_hints", {"en": "fr"}),
    (Soniox, "language_hints", [["en"]]),
    (Soniox, "language_hints", [SURROGATE]),
    (Soniox, "context", 7),
    (Soniox, "context", ["terms"]),
    (Soniox, "context", "x" * 10_001),
    (Soniox, "context", {"terms": ["x" * 6000, "y" * 6000]}),
    (Soniox, "context", {"unknown": "x"}),
    (Soniox, "context", {"text": 1}),
    (Soniox, "context", {"terms": "one"}),
    (Soniox, "context", {"terms": [1]}),
    (Soniox, "context", {"general": [{"key": "topic"}]}),
    (Soniox, "context", {"general": {"key": "topic", "value": "x"}}),
    (Soniox, "context", {"translation_terms": [{"source": "a", "target": 1}]}),
    (Soniox, "context", SURROGATE),
    (Soniox, "max_endpoint_delay_ms", 499),
    (Soniox, "max_endpoint_delay_ms", 3001),
    (Soniox, "max_endpoint_delay_ms", 500.0),
    (Soniox, "max_endpoint_delay_ms", True),
    (Soniox, "max_endpoint_delay_ms", "500"),
    (Soniox, "translation", "fr"),
    (Soniox, "translation", {}),
    (Soniox, "translation", {"type": "one_way"}),
    (Soniox, "translation", {"type": "one_way", "target_language": ""}),
    (Soniox, "translation", {"type": "one_way", "target_language": "fr", "more": "x"}),
    (Soniox, "translation", {"type": "two_way", "language_a": "en"}),
    (Soniox, "translation", {"type": "three_way", "target_language": "fr"}),
    (Soniox, "translation", {"type": ["one_way"], "target_language": "fr"}),
    (Soniox, "client_reference_id", "x" * 257),
    (Soniox, "client_reference_id", 7),
    (Soniox, "client_reference_id", ""),
    (Soniox, "client_reference_id", SURROGATE),
    (Soniox, "config_type", 7),
    (Soniox, "config_type", ""),
    (Soniox, "end_of_stream", "type_empty"),
    (Soniox, "end_of_stream", []),
    (Soniox, "end_of_stream", ["close"]),
    (Soniox, "end_of_stream", [None]),
    (Soniox, "end_of_stream", [["type_empty"]]),
    (Reson8, "language", ""),
    (Reson8, "language", 7),
    (Reson8, "language", ["en", 7]),
    (Reson8, "language", [None]),
    (Reson8, "language", {"en": "fr"}),
    (Reson8, "language", SURROGATE),
    (Reson8, "audio_envelope", "base64"),
    (Reson8, "audio_envelope", None),
    (Reson8, "audio_envelope", ["json"]),
    (Reson8, "encoding", "mp3"),
    (Reson8, "encoding", None),
]

NOT_EXTRA = [
    "text",
    7,
    None,
    ["key"],
    {1: "x"},
    {"x": float("nan")},
    {"x": float("inf")},
    {"x": b"bytes"},
    {"x": b""},
    {"x": {1, 2}},
    {"x": {("a", 1)}},
    {"x": [set()]},
    {"x": SURROGATE},
    {"api_key": "k"},
]

# Keys that the client sets itself. Other values would contradict the audio that it sends.
OUR_OWN = [
    (Soniox, "type", "init"),
    (Soniox, "model", "stt-rt-v5"),
    (Soniox, "audio_format", "auto"),
    (Soniox, "sample_rate", 8000),
    (Soniox, "num_channels", 2),
    (Reson8, "sample_rate", 8000),
    (Reson8, "channels", 2),
]

TAKEN: Any = [
    (Soniox, {"language_hints": ["en", "fr"]}, {"language_hints": ["en", "fr"]}),
    (Soniox, {"language_hints": ("en",)}, {"language_hints": ["en"]}),
    (Soniox, {"language_hints_strict": True}, {"language_hints_strict": True}),
    (Soniox, {"context": "a talk"}, {"context": "a talk"}),
    (Soniox, {"context": "x" * 10_000}, {"context": "x" * 10_000}),
    (
        Soniox,
        {"context": {"general": [{"key": "topic", "value": "x"}], "terms": ["SLNG"], "text": "t"}},
        None,
    ),
    (Soniox, {"context": {"translation_terms": [{"source": "a", "target": "b"}]}}, None),
    (Soniox, {"enable_speaker_diarization": True}, {"enable_speaker_diarization": True}),
    (Soniox, {"enable_language_identification": True}, {"enable_language_identification": True}),
    (Soniox, {"max_endpoint_delay_ms": 500}, {"max_endpoint_delay_ms": 500}),
    (Soniox, {"max_endpoint_delay_ms": 3000}, {"max_endpoint_delay_ms": 3000}),
    (Soniox, {"translation": {"type": "one_way", "target_language": "fr"}}, None),
    (Soniox, {"translation": {"type": "two_way", "language_a": "en", "language_b": "fr"}}, None),
    (Soniox, {"client_reference_id": "x" * 256}, {"client_reference_id": "x" * 256}),
    (Soniox, {"extra": {"endpoint_sensitivity": 0.5}}, {"endpoint_sensitivity": 0.5}),
    (Reson8, {"language": "de"}, {"language": "de"}),
    (Reson8, {"language": ["de", "fr"]}, {"language": "de,fr"}),
    (Reson8, {"enable_partials": False}, {"enable_partials": False}),
    (Reson8, {"encoding": "linear16"}, {"encoding": "linear16"}),
    (Reson8, {"extra": {"custom_model": {"id": [1, None]}}}, {"custom_model": {"id": [1, None]}}),
    (Reson8, {"extra": {"enable_partial_transcripts": True}}, {"enable_partial_transcripts": True}),
]


def config_of(dialect: Dialect) -> Dict[str, Any]:
    config: Dict[str, Any] = json.loads(dialect.start(AudioFormat()).payload.decode("utf-8"))
    return dict(config.get("config", config))


def refusal(model: Type[Any], option: str, value: Any) -> str:
    """Return the error for an option. It is raised at once, not with the first message."""
    with pytest.raises(ConfigurationError) as refused:
        model(**{option: value})
    assert isinstance(refused.value, ValueError)
    return str(refused.value)


@pytest.mark.parametrize(("model", "option", "value"), REFUSED)
def test_a_wrong_value_is_refused_by_its_name(model: Type[Any], option: str, value: Any) -> None:
    """The message begins with the option and says what was expected."""
    message = refusal(model, option, value)
    assert message.startswith(option) and " must be " in message


@pytest.mark.parametrize("value", [None, 1, 0, "yes", []])
@pytest.mark.parametrize(("model", "flag"), FLAGS)
def test_a_flag_is_true_or_false(model: Type[Any], flag: str, value: Any) -> None:
    """Other truthy values are refused."""
    assert refusal(model, flag, value).startswith(f"{flag} must be True or False")


@pytest.mark.parametrize("extra", NOT_EXTRA)
@pytest.mark.parametrize("model", [Soniox, Reson8])
def test_extra_is_what_json_can_carry(model: Type[Any], extra: Any) -> None:
    """``extra`` must be a mapping with strings as keys, and without an API key."""
    assert refusal(model, "extra", extra).startswith("extra must ")


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [(Soniox, "language_hints", ["en"]), (Soniox, "end_of_stream", []), (Reson8, "language", "en")],
)
def test_extra_does_not_hide_an_option(model: Type[Any], name: str, value: Any) -> None:
    """Options with a keyword argument are refused in ``extra``."""
    assert name in refusal(model, "extra", {name: value})


@pytest.mark.parametrize(("model", "name", "value"), OUR_OWN)
def test_extra_does_not_contradict_the_audio(model: Type[Any], name: str, value: Any) -> None:
    """Keys that the client sets itself cannot be overridden."""
    assert name in refusal(model, "extra", {name: value})


@pytest.mark.parametrize("model", [Soniox, Reson8])
def test_an_option_that_does_not_exist_is_named(model: Type[Any]) -> None:
    """Python reports unknown keyword arguments."""
    with pytest.raises((ConfigurationError, TypeError), match="langauge"):
        model(langauge="en")


@pytest.mark.parametrize(("model", "options", "expected"), TAKEN)
def test_what_is_right_stands_on_the_wire(model: Type[Any], options: Any, expected: Any) -> None:
    """Each option appears in the first message with its name and the defaults."""
    config = config_of(model(**options))
    wanted = options if expected is None else expected
    assert {name: config[name] for name in wanted} == wanted
    assert set(config) - set(wanted) <= set(config_of(model()))


@pytest.mark.parametrize(
    "options",
    [
        {"context": types.MappingProxyType({"text": "x"})},
        {"context": {"general": [types.MappingProxyType({"key": "a", "value": "b"})]}},
        {"translation": types.MappingProxyType({"type": "one_way", "target_language": "fr"})},
        {"extra": types.MappingProxyType({"endpoint_sensitivity": 0.5})},
    ],
)
def test_any_mapping_that_is_taken_can_be_sent(options: Any) -> None:
    """A mapping other than a dict is either refused at once or written as JSON."""
    try:
        dialect = Soniox(**options)
    except ConfigurationError:
        return
    (name,) = options
    assert name == "extra" or name in config_of(dialect)


def test_the_defaults_are_those_of_the_pages() -> None:
    """The first message with default options."""
    assert config_of(Reson8()) == {
        "encoding": "pcm_s16le",
        "sample_rate": 16000,
        "channels": 1,
        "enable_partials": True,
    }
    assert config_of(Soniox()) == {
        "type": "config",
        "model": "stt-rt-v4",
        "audio_format": "pcm_s16le",
        "sample_rate": 16000,
        "num_channels": 1,
        "enable_endpoint_detection": True,
    }


def test_the_end_of_a_stream_is_said_in_the_wanted_forms() -> None:
    """In the given order. An empty binary message is binary."""
    forms = Soniox(end_of_stream=("empty_binary", "empty_text", "type_empty")).end()
    assert [(form.payload, form.binary) for form in forms] == [
        (b"", True),
        (b"", False),
        (b'{"type":""}', False),
    ]
    assert [form.payload for form in Soniox().end()] == [b'{"type":""}', b""]


def test_the_other_form_of_the_config_differs_only_in_its_type() -> None:
    """The alternative omits the type and has no alternative itself."""
    dialect = Soniox(language_hints=["en"], extra={"x": 1})
    other = dialect.alternative()
    assert other is not None and other.alternative() is None
    assert config_of(dialect) == {"type": "config", **config_of(other)}
    assert Reson8().alternative() is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("soniox/speech-ai:rt-v4", Soniox),
        ("soniox/speech-ai", Soniox),
        ("soniox", Soniox),
        ("reson8/reson8stt:v1", Reson8),
    ],
)
def test_a_model_may_be_named_by_its_id(name: str, kind: Type[Any]) -> None:
    """An id is the model with its defaults."""
    assert as_dialect(name) == kind()


@pytest.mark.parametrize("model", ["", "soniox/", "whisper", None, 7, Soniox, b"soniox"])
def test_a_model_that_nobody_knows_is_refused(model: Any) -> None:
    """The message lists the known models."""
    with pytest.raises(ConfigurationError, match="model must be"):
        as_dialect(model)
