"""Whole clients in the recorded sessions, over a real WebSocket to a server that replays the recording.

The expected ``pending_..._at_end`` is compared with what a user sees: the last partial without the finals
that came after it. If the stream broke, it is the rest of that partial, or a last final that is not
``complete``. No complete final contains it.
"""

import logging
from typing import Any, List, Optional

import pytest
from recording import EXPECTED, NAMES, Recording, Turn
from replay_server import ReplayServer

from slng_sync import (
    AuthenticationError,
    Client,
    Closed,
    ConnectError,
    ConnectionLost,
    Dialect,
    Endpoint,
    Flushed,
    QuotaError,
    ServerError,
    Session,
    SessionClosed,
    SlngError,
    Transcript,
)

PLAYED = [name for name in NAMES if EXPECTED[name] is not None]
MILLISECOND = 0.001

# Our client does not send the end of a stream without audio, so it never gets the error that follows.
NOT_REACHED = {"soniox_13c_eos_without_audio_400"}
REFUSED = {400: ConnectError, 401: AuthenticationError, 402: QuotaError, 422: ConnectError}


def kinds_of(name: str) -> List[str]:
    return [turn.kind for turn in Recording(name).turns]


def broke(name: str) -> bool:
    """Return True if the user must get an error, because the server ended the stream or never began it."""
    kinds = set(kinds_of(name))
    ended_by_us = bool({"end", "hang_up"} & kinds)
    return name == "reson8_21_ready_never_comes" or (name not in NOT_REACHED and not ended_by_us)


class User:
    """A user of our client, who sends what the recorded client sent and collects all callbacks."""

    def __init__(self, server: ReplayServer, recording: Recording, *, handles_errors: bool = True) -> None:
        self.recording = recording
        self.transcripts: List[Transcript] = []
        self.events: List[Any] = []
        self.reported: List[SlngError] = []
        self.raised: List[SlngError] = []
        self.session: Optional[Session] = None
        self._server = server
        self._handles_errors = handles_errors
        self.client = self.make_client(recording.dialect)

    def make_client(self, dialect: Dialect) -> Client:
        """Return a client with short timeouts whose callbacks collect everything."""
        return Client(
            dialect,
            api_key="a-key",
            base_url=self._server.url,
            on_partial=self.transcripts.append,
            on_final=self.transcripts.append,
            on_event=self.events.append,
            on_error=self.reported.append if self._handles_errors else None,
            reconnect=False,
            ready_timeout=0.5,
            keepalive_interval=0.5,
            ping_interval=0.5,
            ping_timeout=0.5,
        )

    def run(self, *, keep_sending: bool = False) -> "User":
        """Send what the recorded client sent, then, if ``keep_sending``, more audio. Wait for the end."""
        audio_format = self.recording.audio_format
        try:
            session = self.client.listen(sample_rate=audio_format.sample_rate, channels=audio_format.channels)
        except SlngError as error:
            self.raised.append(error)
            return self
        self.session = session
        try:
            self._send_all(session)
            while keep_sending:
                session.send(bytes(640))
        except SessionClosed:
            # The session ended in between. Its error is reported separately.
            pass
        except SlngError as error:
            self.raised.append(error)
        try:
            session.wait(10)
        except SlngError as error:
            self.raised.append(error)
        session.close()
        return self

    def _send_all(self, session: Session) -> None:
        for turn in self.recording.turns:
            if turn.kind == "audio":
                session.send(turn.data)
            elif turn.kind == "finalize":
                session.finalize()
            elif turn.kind == "keepalive":
                self._server.wait_for_keepalive()
            elif turn.kind in ("end", "hang_up"):
                session.close()

    @property
    def finals(self) -> List[Transcript]:
        return [each for each in self.transcripts if each.is_final]

    @property
    def problems(self) -> List[SlngError]:
        return self.raised + self.reported

    @property
    def error_codes(self) -> List[Any]:
        return [error.code for error in self.problems if isinstance(error, ServerError)]

    @property
    def pending(self) -> str:
        """Return the text of partials that never became final."""
        if self.finals and not self.finals[-1].complete:
            return self.finals[-1].text
        shown, became = "", ""
        for transcript in self.transcripts:
            if transcript.is_final:
                became += transcript.text
            else:
                shown, became = transcript.text, ""
        return shown[len(became) :].strip() if shown.startswith(became) else ""


@pytest.mark.parametrize("name", PLAYED)
def test_a_whole_client_repeats_the_recorded_session(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The user gets every segment, confirmation, marker and error of the session exactly once."""
    recording, expected = Recording(name), EXPECTED[name]
    with caplog.at_level(logging.WARNING), ReplayServer(recording) as server:
        user = User(server, recording).run()
    assert [final.text for final in user.finals if final.complete] == texts(expected)
    check_details(user, expected)
    check_flushes(user, expected, server)
    codes = [] if name in NOT_REACHED else expected["error_codes"]
    assert user.error_codes == codes
    assert len(user.problems) == broke(name), user.problems
    assert all("a-key" not in f"{error}{error!r}" for error in user.problems)
    assert user.pending == open_text(expected)
    assert server.breaches == []
    assert [record.message for record in caplog.records] == []
    closed = [event for event in user.events if isinstance(event, Closed)]
    assert len(closed) == (user.session is not None)
    assert closed in ([], [Closed(not user.problems)])


def check_details(user: User, expected: Any) -> None:
    for final, segment in zip(user.finals, expected["segments"]):
        assert final.speaker == segment.get("speaker") and final.language == segment.get("language")
        for value, name in ((final.start, "start_ms"), (final.end, "end_ms")):
            if name in segment:
                assert value == pytest.approx(segment[name] / 1000, abs=MILLISECOND)
    for each in expected.get("translations", ()):
        translation = user.finals[each["segment"]].translation
        assert translation is not None and translation.text == each["text"]
        assert translation.language == each["language"]


def check_flushes(user: User, expected: Any, server: ReplayServer) -> None:
    """Compare confirmations and markers, except for those of finalizes that were not recorded."""
    heard = [event for event in user.events if isinstance(event, (Flushed, Endpoint))]
    recorded = heard[: len(heard) - server.extra_finalizes]
    if "markers" in expected:
        kinds = {"<fin>": Flushed, "<end>": Endpoint}
        assert [type(event) for event in recorded] == [kinds[marker] for marker in expected["markers"]]
    else:
        assert [event.id for event in recorded if isinstance(event, Flushed)] == expected["flush_ids"]


def texts(expected: Any) -> List[str]:
    return [segment["text"] for segment in expected["segments"]]


def open_text(expected: Any) -> str:
    text = expected.get("pending_nonfinal_at_end", expected.get("pending_partial_at_end", ""))
    return str(text).strip()


@pytest.mark.parametrize("name", [name for name in PLAYED if broke(name)])
def test_an_error_without_on_error_is_raised_once(name: str) -> None:
    """Without on_error, listen() or wait() raises the error exactly once."""
    recording = Recording(name)
    with ReplayServer(recording) as server:
        user = User(server, recording, handles_errors=False).run()
    assert len(user.raised) == 1, user.raised


@pytest.mark.parametrize("name", [name for name in PLAYED if "refuses" in kinds_of(name)])
def test_a_refused_upgrade_is_raised_with_its_response(name: str) -> None:
    """The error has the status, the body and the right class. It is not retryable, and there is no retry."""
    recording = Recording(name)
    refusal = recording.turns[0].data
    with ReplayServer(recording) as server:
        (error,) = User(server, recording).run().raised
    assert isinstance(error, REFUSED[refusal["http_status"]]) and isinstance(error, ConnectError)
    assert error.status == refusal["http_status"] and not error.retryable
    assert error.body == refusal["body"] and error.hint
    assert len(server.connections) == 1


@pytest.mark.parametrize("name", [name for name in PLAYED if {"drops", "freezes"} & set(kinds_of(name))])
def test_a_lost_connection_is_reported_with_its_unsettled_audio(name: str) -> None:
    """A reset and a peer that stops answering both give 1006, and the seconds of unacknowledged audio."""
    recording = Recording(name)
    with ReplayServer(recording) as server:
        user = User(server, recording).run()
    (error,) = user.reported
    assert isinstance(error, ConnectionLost) and error.code == 1006 and error.retryable
    settled = max((final.end for final in user.finals if final.end is not None), default=0.0)
    sent = recording.audio_format.seconds(len(server.connections[0].audio) // 2)
    assert error.unsettled >= max(0.1, sent - settled - 0.001)


@pytest.mark.parametrize("name", ["reson8_07_audio_before_ready_1008", "soniox_24_message_rate_1008"])
def test_a_close_is_reported_with_code_and_reason(name: str) -> None:
    """The error has the code and the reason of the server's close frame."""
    recording = Recording(name)
    with ReplayServer(recording) as server:
        (error,) = User(server, recording).run().problems
    assert isinstance(error, ConnectionLost)
    assert {"code": error.code, "reason": error.reason} == recording.lines[-1].data


def test_a_server_that_is_never_ready_is_an_error() -> None:
    """Without ready within ready_timeout, listen() raises, and no audio was sent."""
    recording = Recording("reson8_21_ready_never_comes")
    with ReplayServer(recording) as server:
        (error,) = User(server, recording).run().raised
    assert isinstance(error, ConnectError) and error.retryable
    assert server.connections[0].audio == b""


class Reset(Recording):
    """A recording whose server resets the connection instead of closing it."""

    @property
    def turns(self) -> List[Turn]:
        return [*super().turns[:-1], Turn("drops")]


@pytest.mark.parametrize("name", ["soniox_12a_midstream_503", "reson8_09a_midstream_provider_error"])
def test_a_client_that_keeps_sending_still_gets_the_error(name: str) -> None:
    """The server sends an error and resets. A client that is still sending reports the error."""
    recording = Reset(name)
    for _ in range(10):
        with ReplayServer(recording) as server:
            user = User(server, recording)
            user.run(keep_sending=True)
        assert user.error_codes == EXPECTED[name]["error_codes"], user.problems
        assert len(user.problems) == 1
        assert user.pending == open_text(EXPECTED[name])


def test_a_refused_config_is_retried_in_another_form() -> None:
    """A config with ``type`` is refused, so the client sends it without. The next session starts without."""
    refused, taken = Recording("soniox_18a_config_type_rejected"), Recording("soniox_18b_config_without_type")
    with ReplayServer(refused, taken) as server:
        user = User(server, taken)
        user.client = user.make_client(refused.dialect)
        user.run().run()
    assert [final.text for final in user.finals] == ["Hi.", "Hi."]
    assert user.problems == [] and server.breaches == []
    assert [received.start.get("type") for received in server.connections] == ["config", None, None]
    assert server.connections[0].start == {"type": "config", **server.connections[1].start}


def test_the_audio_arrives_unchanged() -> None:
    """Two tones of 20 ms, sent as base64, arrive as the same samples."""
    recording = Recording("reson8_16_literal_audio_8k")
    with ReplayServer(recording) as server:
        User(server, recording).run()
    (audio,) = [turn.data for turn in recording.turns if turn.kind == "audio"]
    assert server.connections[0].audio == audio


@pytest.mark.parametrize("name", ["reson8_01_normal", "soniox_17a_eos_type_empty_accepted"])
def test_the_key_is_only_in_the_header(name: str) -> None:
    """The upgrade request has the bearer key and offers no compression. No message contains the key."""
    recording = Recording(name)
    with ReplayServer(recording) as server:
        User(server, recording).run()
    (received,) = server.connections
    assert received.headers["Authorization"] == "Bearer a-key"
    assert "Sec-WebSocket-Extensions" not in received.headers
    assert received.path == f"/v1/stt/{recording.dialect.model}"
    assert all("a-key" not in str(message) and "api_key" not in message for message in received.messages)
    assert received.hung_up
