"""Sessions that follow a file while it is written, from a recorder's buffer to the gateway."""

import threading
import time
import wave
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from slng_sync import AudioError, Client, ConfigurationError, Reson8, SlngError, Soniox, State
from slng_sync.audio import follow
from slng_sync.dialects import Dialect
from slng_sync.gateway import LocalGateway, Script

BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])
SPEECH = Script.audio(6.0)
WORDS = "the recorder is still running."
# Odd sizes, so that no piece is a whole number of chunks or of the writer's buffers.
PIECES = (4999, 1, 8191, 13, 30011, 997)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the intervals of following a file."""
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(follow, "UNCHANGED_SECONDS", 0.2)


@pytest.fixture
def server() -> Iterator[LocalGateway]:
    script = Script.from_text(WORDS, start=0.5)
    with LocalGateway(engine="script", script=script, script_clock="content") as server:
        yield server


def client_for(server: LocalGateway, dialect: Dialect, **options: Any) -> Client:
    return Client(dialect, api_key="any", base_url=server.url, **options)


class Recorder:
    """A recorder that writes a WAV in odd chunks. The standard library writes the sizes on close."""

    def __init__(self, path: Path) -> None:
        # No ``with`` block: the file stays open until ``close``.
        self._writer = wave.open(str(path), "wb")  # noqa: SIM115
        self._writer.setparams((1, 2, 16000, 0, "NONE", ""))
        self._left = SPEECH
        # The writer writes the header only with the first audio.
        self.write(20000)

    def write(self, size: int) -> None:
        piece, self._left = self._left[:size], self._left[size:]
        self._writer.writeframesraw(piece)

    def write_all(self) -> None:
        count = 0
        while self._left:
            self.write(2 * PIECES[count % len(PIECES)])
            count += 1
        self.close()

    def close(self) -> None:
        self._writer.close()


def wait_for_audio(session: Any, seconds: float) -> None:
    """Wait until this much of the file was captured."""
    deadline = time.monotonic() + 10
    while session.stats.captured < seconds and time.monotonic() < deadline:
        time.sleep(0.005)
    assert session.stats.captured >= seconds


@BOTH
def test_a_recording_is_heard_to_the_bit_while_it_is_written(
    dialect: Dialect, server: LocalGateway, tmp_path: Path
) -> None:
    """The session ends by itself when the recorder has finished the file."""
    path = tmp_path / "talk.wav"
    recorder = Recorder(path)
    writing = threading.Thread(target=recorder.write_all)
    partials: List[str] = []

    def go_on(partial: Any) -> None:
        if not partials:
            # Write the rest only after the first words were transcribed.
            writing.start()
        partials.append(partial.text)

    recorder.write(40000)
    log = client_for(server, dialect, on_partial=go_on).transcribe(path, follow=True)
    writing.join()
    assert log.text == WORDS
    assert bytes(server.connections[0].audio) == SPEECH
    assert server.breaches == []


def test_finals_come_while_it_is_written(server: LocalGateway, tmp_path: Path) -> None:
    """The loop ends with the recording."""
    recorder = Recorder(tmp_path / "talk.wav")
    recorder.write(len(SPEECH))
    said = []
    for final in client_for(server, Soniox()).stream(tmp_path / "talk.wav", follow=True):
        said.append(final.text)
        recorder.close()
    assert said == [WORDS]


@BOTH
def test_close_ends_it_with_the_last_words(dialect: Dialect, server: LocalGateway, tmp_path: Path) -> None:
    """The recorder goes on, and the session does not wait for it."""
    path = tmp_path / "talk.raw"
    path.write_bytes(SPEECH[:64000])
    session = client_for(server, dialect).listen(path, sample_rate=16000, follow=True)
    wait_for_audio(session, 2.0)
    with path.open("ab") as file:
        file.write(SPEECH[64000:96001])
    assert session.close() is True
    assert session.transcript.text == WORDS
    assert session.stats.captured == 3.0
    assert bytes(server.connections[0].audio[:96000]) == SPEECH[:96000]


def test_a_file_that_goes_away_is_told_and_what_was_heard_is_kept(
    server: LocalGateway, tmp_path: Path
) -> None:
    errors: List[SlngError] = []
    path = tmp_path / "talk.raw"
    path.write_bytes(SPEECH)
    session = client_for(server, Soniox(), on_error=errors.append).listen(
        path, sample_rate=16000, follow=True
    )
    wait_for_audio(session, 6.0)
    path.unlink()
    session.wait(timeout=20)
    assert session.state is State.CLOSED
    assert [type(error) for error in errors] == [AudioError]
    assert "removed" in str(errors[0])
    assert session.transcript.text == WORDS


def test_channels_are_heard_apart_while_they_are_written(server: LocalGateway, tmp_path: Path) -> None:
    """Two sessions follow one file, each at its own pace."""
    path = tmp_path / "talk.raw"
    stereo = b"".join(2 * SPEECH[at : at + 2] for at in range(0, len(SPEECH), 2))
    path.write_bytes(stereo[:320001])
    sessions = client_for(server, Soniox()).listen(
        path, sample_rate=16000, follow=True, channels=["agent", "customer"]
    )
    wait_for_audio(sessions, 5.0)
    with path.open("ab") as file:
        file.write(stereo[320001:])
    assert sessions.close() is True
    assert [session.transcript.text for session in sessions] == [WORDS, WORDS]
    assert [bytes(each.audio) for each in server.connections] == [SPEECH, SPEECH]


@pytest.mark.parametrize("wrong", [{"source": None}, {"source": b"\0\0"}, {"follow": "yes"}])
def test_what_cannot_be_followed(wrong: Dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="follow"):
        Client(Soniox(), api_key="any").listen(**{"source": "talk.wav", "follow": True, **wrong})
