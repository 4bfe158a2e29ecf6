"""The recorded sessions as the decoders hear them, and our own messages beside the recorded ones."""

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

# How these clients began, no client of ours would: without a rate, with a container, without channels.
NOT_OUR_START = (
    "soniox_20_missing_sample_rate_400",
    "soniox_23_auto_container_wav",
    "bridge_01_utterance_end",
)


class Tape:
    """A timeline without any gap: the server's count is the session's clock."""

    reached = 0.0

    @property
    def heard(self) -> float:
        return self.reached

    def start(self, stream_seconds: float) -> float:
        return stream_seconds

    def end(self, stream_seconds: float) -> float:
        return stream_seconds


class Listener:
    """What a decoder makes of one recording."""

    def __init__(self, name: str) -> None:
        recording = Recording(name)
        tape = Tape()
        self.decoder = recording.dialect.decoder(tape)
        self.heard: List[Decoded] = []
        for line in recording.lines:
            tape.reached = recording.audio_before(line.t_ms)
            if line.dir == "server" and line.message is not None:
                self.heard += self.decoder(line.message)
        self.heard += self.decoder.end()

    @property
    def finals(self) -> List[Transcript]:
        return [each for each in self.heard if isinstance(each, Transcript) and each.is_final]

    @property
    def partials(self) -> List[Transcript]:
        return [each for each in self.heard if isinstance(each, Transcript) and not each.is_final]

    @property
    def error_codes(self) -> List[Any]:
        return [getattr(each.error, "code", None) for each in self.heard if isinstance(each, Failure)]

    @property
    def flush_ids(self) -> List[Any]:
        return [each.id for each in self.heard if isinstance(each, Flushed)]

    @property
    def markers(self) -> List[str]:
        return [
            "<end>" if isinstance(each, Endpoint) else "<fin>"
            for each in self.heard
            if isinstance(each, (Endpoint, Flushed))
        ]


@pytest.mark.parametrize("name", RESON8)
def test_reson8_is_understood_as_it_was_meant(name: str) -> None:
    """Finals, confirmations, errors and the open partial of a session come out as they stand on the wire."""
    expected, listener = EXPECTED[name], Listener(name)
    assert [final.text for final in listener.finals] == [each["text"] for each in expected["segments"]]
    for final, segment in zip(listener.finals, expected["segments"]):
        assert final.language == segment["language"] and final.complete
        assert final.start is not None and final.end is not None
        assert final.end - final.start == pytest.approx(segment["duration"], abs=MILLISECOND)
    assert listener.flush_ids == expected["flush_ids"]
    assert listener.error_codes == expected["error_codes"]
    assert listener.decoder.pending == expected["pending_partial_at_end"]


@pytest.mark.parametrize("name", SONIOX)
def test_soniox_is_understood_as_it_was_meant(name: str) -> None:
    """Segments, times, speakers, markers, errors and open tokens of a session come out as they were said."""
    expected, listener = EXPECTED[name], Listener(name)
    assert [final.text for final in listener.finals] == [each["text"] for each in expected["segments"]]
    for final, segment in zip(listener.finals, expected["segments"]):
        assert final.start == in_seconds(segment, "start_ms") and final.end == in_seconds(segment, "end_ms")
        assert final.speaker == segment.get("speaker") and final.language == segment.get("language")
        assert final.stable == final.text and final.complete
    assert listener.markers == expected["markers"]
    assert any(isinstance(each, Finished) for each in listener.heard) is expected["finished"]
    assert listener.error_codes == expected["error_codes"]
    assert listener.decoder.pending == expected["pending_nonfinal_at_end"].strip()


@pytest.mark.parametrize("name", [name for name in SONIOX if "translations" in EXPECTED[name]])
def test_a_translation_stands_beside_what_it_translates(name: str) -> None:
    """Translated tokens make a text of their own, at the segment they belong to."""
    finals = Listener(name).finals
    translated = [
        {"segment": at, "language": final.translation.language, "text": final.translation.text}
        for at, final in enumerate(finals)
        if final.translation is not None
    ]
    assert translated == EXPECTED[name]["translations"]


@pytest.mark.parametrize("name", SESSIONS_PLAYED)
def test_no_marker_is_ever_shown(name: str) -> None:
    """No transcript and no word of one holds a marker, and what is stable leads each partial."""
    listener = Listener(name)
    for said in listener.finals + listener.partials:
        assert "<" not in said.text + "".join(word.text for word in said.words)
        assert said.text.startswith(said.stable)


@pytest.mark.parametrize("name", NAMES)
def test_our_client_says_the_same(name: str) -> None:
    """Start, finalize, keepalive and end are the recorded messages, given the options of that session."""
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
        assert said(dialect.finalize() if kind == "finalize" else dialect.keepalive()) == message
    elif kind in ("close", ""):
        assert message in [said(frame) for frame in dialect.end() if frame.payload]
    elif name in NOT_OUR_START:
        recorded = message.get("config", message)
        ours = said(dialect.start(audio_format))
        missing = {"sample_rate", "num_channels", "channels", "audio_format"}
        assert without(ours.get("config", ours), missing) == without(recorded, missing)
    else:
        assert said(dialect.start(audio_format)) == message


def check_audio(base64: str, dialect: Dialect) -> None:
    """Compare with literal base64, which the page cuts short with dots; a stand-in is only counted."""
    if base64.startswith("@pcm"):
        assert len(said(dialect.audio(bytes(3200)))["data"]) == 4268
        assert len(dialect.audio(bytes(3200)).payload) == 4294
    else:
        base64 = base64.rstrip(".")
        assert said(dialect.audio(b64decode(base64))) == {"type": "audio", "data": base64}


def said(frame: Message) -> Dict[str, Any]:
    """The JSON of a text message of ours, with every letter of it standing for itself."""
    assert not frame.binary
    message: Dict[str, Any] = json.loads(frame.payload.decode("utf-8"))
    return message


def without(config: Any, names: Any) -> Dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def in_seconds(segment: Dict[str, Any], name: str) -> Any:
    return pytest.approx(segment[name] / 1000, abs=MILLISECOND) if name in segment else None


def test_the_page_of_reson8_is_understood() -> None:
    """Each server frame that the model page prints is what the page says it is."""
    heard = Listener("reson8_00_seed_frames").heard
    ready, partial, final, flushed, failure = (each for each in heard if isinstance(each, MEANT))
    assert ready == Ready("sess_abc123")
    assert isinstance(partial, Transcript) and partial.text == "Hello wor" and partial.confidence == 0.85
    assert isinstance(final, Transcript) and final.is_final and final.text == "Hello world, this is a test."
    assert (final.confidence, final.language) == (0.95, "en")
    assert flushed == Flushed("flush-001")
    assert isinstance(failure, Failure) and not failure.error.retryable
    assert "Invalid or expired API key" in str(failure.error)


def test_the_page_of_soniox_is_understood() -> None:
    """The page's empty tokens frame says nothing, and its error frame says that the key was refused."""
    (failure,) = (each for each in Listener("soniox_00_seed_frames").heard if isinstance(each, MEANT))
    assert isinstance(failure, Failure) and not failure.error.retryable
    assert getattr(failure.error, "code", None) == 401 and "Invalid or expired API key" in str(failure.error)


MEANT = (Ready, Transcript, Flushed, Failure, Finished, Endpoint)


@pytest.mark.parametrize("dialect", [Reson8(), Soniox()])
def test_the_first_message_of_the_defaults_is_one_line_of_json(dialect: Dialect) -> None:
    """The start of a stream is a text frame that names rate and channels."""
    config = said(dialect.start(AudioFormat(8000, 2)))
    config = config.get("config", config)
    assert config["sample_rate"] == 8000 and config.get("channels", config.get("num_channels")) == 2
