"""The recorded sessions through the decoders, and our client's messages compared with the recorded ones."""

import json
from base64 import b64decode
from typing import Any, Dict, List

import pytest
from recording import EXPECTED, NAMES, Line, Recording

from slng_sync import AudioFormat, Dialect, Endpoint, Flushed, Ready, Reson8, Soniox, Transcript
from slng_sync.dialects.base import Decoded, Failure, Finished, Message

SESSIONS_PLAYED = [name for name in NAMES if EXPECTED[name] is not None]
RESON8 = [name for name in SESSIONS_PLAYED if not name.startswith("soniox")]
SONIOX = [name for name in SESSIONS_PLAYED if name.startswith("soniox")]
MILLISECOND = 0.001

# Our client never begins like these: without a sample rate, with a container, without channels.
NOT_OUR_START = (
    "soniox_20_missing_sample_rate_400",
    "soniox_23_auto_container_wav",
    "bridge_01_utterance_end",
)


class Clock:
    """A session's clock without gaps, which equals the server's clock."""

    reached = 0.0

    @property
    def heard(self) -> float:
        return self.reached

    def start(self, stream_seconds: float) -> float:
        return stream_seconds

    def end(self, stream_seconds: float) -> float:
        return stream_seconds


class DecodedSession:
    """The output of a decoder for one recording."""

    def __init__(self, name: str) -> None:
        recording = Recording(name)
        clock = Clock()
        self.decoder = recording.dialect.decoder(clock)
        self.items: List[Decoded] = []
        for line in recording.lines:
            clock.reached = recording.audio_before(line.t_ms)
            if line.dir == "server" and line.message is not None:
                self.items += self.decoder(line.message)
        self.items += self.decoder.end()

    @property
    def finals(self) -> List[Transcript]:
        return [each for each in self.items if isinstance(each, Transcript) and each.is_final]

    @property
    def partials(self) -> List[Transcript]:
        return [each for each in self.items if isinstance(each, Transcript) and not each.is_final]

    @property
    def error_codes(self) -> List[Any]:
        return [getattr(each.error, "code", None) for each in self.items if isinstance(each, Failure)]

    @property
    def flush_ids(self) -> List[Any]:
        return [each.id for each in self.items if isinstance(each, Flushed)]

    @property
    def markers(self) -> List[str]:
        return [
            "<end>" if isinstance(each, Endpoint) else "<fin>"
            for each in self.items
            if isinstance(each, (Endpoint, Flushed))
        ]


@pytest.mark.parametrize("name", RESON8)
def test_reson8_is_decoded_as_expected(name: str) -> None:
    """Finals, confirmations, errors and the last partial of a session are those on the wire."""
    expected, decoded = EXPECTED[name], DecodedSession(name)
    assert [final.text for final in decoded.finals] == [each["text"] for each in expected["segments"]]
    for final, segment in zip(decoded.finals, expected["segments"]):
        assert final.language == segment["language"] and final.complete
        assert final.start is not None and final.end is not None
        assert final.end - final.start == pytest.approx(segment["duration"], abs=MILLISECOND)
    assert decoded.flush_ids == expected["flush_ids"]
    assert decoded.error_codes == expected["error_codes"]
    assert decoded.decoder.pending == expected["pending_partial_at_end"]


@pytest.mark.parametrize("name", SONIOX)
def test_soniox_is_decoded_as_expected(name: str) -> None:
    """Segments, times, speakers, markers, errors and the last non-final tokens are those on the wire."""
    expected, decoded = EXPECTED[name], DecodedSession(name)
    assert [final.text for final in decoded.finals] == [each["text"] for each in expected["segments"]]
    for final, segment in zip(decoded.finals, expected["segments"]):
        assert final.start == in_seconds(segment, "start_ms") and final.end == in_seconds(segment, "end_ms")
        assert final.speaker == segment.get("speaker") and final.language == segment.get("language")
        assert final.stable == final.text and final.complete
    assert decoded.markers == expected["markers"]
    assert any(isinstance(each, Finished) for each in decoded.items) is expected["finished"]
    assert decoded.error_codes == expected["error_codes"]
    assert decoded.decoder.pending == expected["pending_nonfinal_at_end"].strip()


@pytest.mark.parametrize("name", [name for name in SONIOX if "translations" in EXPECTED[name]])
def test_a_translation_belongs_to_its_segment(name: str) -> None:
    """Translated tokens are a text of their own, attached to their segment."""
    finals = DecodedSession(name).finals
    translated = [
        {"segment": at, "language": final.translation.language, "text": final.translation.text}
        for at, final in enumerate(finals)
        if final.translation is not None
    ]
    assert translated == EXPECTED[name]["translations"]


@pytest.mark.parametrize("name", SESSIONS_PLAYED)
def test_no_transcript_contains_a_marker(name: str) -> None:
    """No transcript and no word contains a marker, and each partial begins with its stable text."""
    decoded = DecodedSession(name)
    for transcript in decoded.finals + decoded.partials:
        assert "<" not in transcript.text + "".join(word.text for word in transcript.words)
        assert transcript.text.startswith(transcript.stable)


@pytest.mark.parametrize("name", NAMES)
def test_our_client_sends_the_same(name: str) -> None:
    """With the options of the session, start, finalize, keepalive and end equal the recorded messages."""
    recording = Recording(name)
    dialect = recording.dialect
    for line in recording.lines:
        if line.dir == "client" and line.kind != "close":
            check_message(name, line, dialect, recording.audio_format)


def check_message(name: str, line: Line, dialect: Dialect, audio_format: AudioFormat) -> None:
    message = line.message
    kind = None if message is None else message.get("type")
    if line.data == "@empty":
        assert Message(b"", binary=True) in Soniox(end_of_stream=["empty_binary"]).end()
    elif line.kind == "binary":
        assert dialect.audio(bytes(3200)) == Message(bytes(3200), binary=True)
    elif message is None:
        assert line.data == "" and Message(b"") in dialect.end()
    elif kind == "audio":
        check_audio(message["data"], dialect)
    elif kind in ("finalize", "keepalive"):
        assert parsed(dialect.finalize() if kind == "finalize" else dialect.keepalive()) == message
    elif kind in ("close", ""):
        assert message in [parsed(frame) for frame in dialect.end() if frame.payload]
    elif name in NOT_OUR_START:
        recorded = message.get("config", message)
        ours = parsed(dialect.start(audio_format))
        missing = {"sample_rate", "num_channels", "channels", "audio_format"}
        assert without(ours.get("config", ours), missing) == without(recorded, missing)
    else:
        assert parsed(dialect.start(audio_format)) == message


def check_audio(base64: str, dialect: Dialect) -> None:
    """Compare literal base64, which the page abbreviates with dots. Check only the length of a stand-in."""
    if base64.startswith("@pcm"):
        assert len(parsed(dialect.audio(bytes(3200)))["data"]) == 4268
        assert len(dialect.audio(bytes(3200)).payload) == 4294
    else:
        base64 = base64.rstrip(".")
        assert parsed(dialect.audio(b64decode(base64))) == {"type": "audio", "data": base64}


def parsed(frame: Message) -> Dict[str, Any]:
    """Return the JSON object of one of our text messages."""
    assert not frame.binary
    message: Dict[str, Any] = json.loads(frame.payload.decode("utf-8"))
    return message


def without(config: Any, names: Any) -> Dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def in_seconds(segment: Dict[str, Any], name: str) -> Any:
    return pytest.approx(segment[name] / 1000, abs=MILLISECOND) if name in segment else None


def test_the_messages_of_the_reson8_page_are_decoded() -> None:
    """Each server message that the model page prints is decoded as the page describes it."""
    items = DecodedSession("reson8_00_seed_frames").items
    ready, partial, final, flushed, failure = (each for each in items if isinstance(each, MEANT))
    assert ready == Ready("sess_abc123")
    assert isinstance(partial, Transcript) and partial.text == "Hello wor" and partial.confidence == 0.85
    assert isinstance(final, Transcript) and final.is_final and final.text == "Hello world, this is a test."
    assert (final.confidence, final.language) == (0.95, "en")
    assert flushed == Flushed("flush-001")
    assert isinstance(failure, Failure) and not failure.error.retryable
    assert "Invalid or expired API key" in str(failure.error)


def test_the_messages_of_the_soniox_page_are_decoded() -> None:
    """The page's message without tokens gives nothing, and its error message is a refused key."""
    (failure,) = (each for each in DecodedSession("soniox_00_seed_frames").items if isinstance(each, MEANT))
    assert isinstance(failure, Failure) and not failure.error.retryable
    assert getattr(failure.error, "code", None) == 401 and "Invalid or expired API key" in str(failure.error)


MEANT = (Ready, Transcript, Flushed, Failure, Finished, Endpoint)


@pytest.mark.parametrize("dialect", [Reson8(), Soniox()])
def test_the_first_message_of_the_defaults_is_one_line_of_json(dialect: Dialect) -> None:
    """The first message is text with the sample rate and the number of channels."""
    config = parsed(dialect.start(AudioFormat(8000, 2)))
    config = config.get("config", config)
    assert config["sample_rate"] == 8000 and config.get("channels", config.get("num_channels")) == 2
