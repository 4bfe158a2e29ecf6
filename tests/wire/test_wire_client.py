"""Whole clients in the recorded sessions: a real WebSocket, and a server that says what was recorded.

What of the open text is left at the end (``pending_..._at_end``) is taken from what a user sees: the last
partial, less the finals that came after it. Where words were open when the stream broke, they are the rest
of that partial behind what became final, or a last final that is not ``complete``; no complete final holds
them.
"""

import logging
from typing import Any, List, Optional

import pytest
from player import Player
from recording import EXPECTED, NAMES, Recording, Turn

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

# This client does not ask for the end of a stream without audio, so it never hears what that leads to.
SPARED = {"soniox_13c_eos_without_audio_400"}
REFUSED = {400: ConnectError, 401: AuthenticationError, 402: QuotaError, 422: ConnectError}


def kinds_of(name: str) -> List[str]:
    return [turn.kind for turn in Recording(name).turns]


def broke(name: str) -> bool:
    """Whether something went wrong that a user has to know: the server ended, or never began."""
    kinds = set(kinds_of(name))
    ended_by_us = bool({"end", "hang_up"} & kinds)
    return name == "reson8_21_ready_never_comes" or (name not in SPARED and not ended_by_us)


class Listener:
    """A user of a client: talks as the recorded one did, and notes everything that is heard."""

    def __init__(self, player: Player, recording: Recording, *, listens_to_errors: bool = True) -> None:
        self.recording = recording
        self.transcripts: List[Transcript] = []
        self.events: List[Any] = []
        self.told: List[SlngError] = []
        self.raised: List[SlngError] = []
        self.session: Optional[Session] = None
        self._player = player
        self._listens_to_errors = listens_to_errors
        self.client = self.make_client(recording.dialect)

    def make_client(self, dialect: Dialect) -> Client:
        """Make a client that tells this user everything, and does not wait for long."""
        return Client(
            dialect,
            api_key="a-key",
            base_url=self._player.url,
            on_partial=self.transcripts.append,
            on_final=self.transcripts.append,
            on_event=self.events.append,
            on_error=self.told.append if self._listens_to_errors else None,
            reconnect=False,
            ready_timeout=0.5,
            keepalive_interval=0.5,
            ping_interval=0.5,
            ping_timeout=0.5,
        )

    def talk(self, *, and_on: bool = False) -> "Listener":
        """Say what the recorded client said, until the end of the session; or go on talking until then."""
        audio_format = self.recording.audio_format
        try:
            session = self.client.listen(sample_rate=audio_format.sample_rate, channels=audio_format.channels)
        except SlngError as error:
            self.raised.append(error)
            return self
        self.session = session
        try:
            self._say_all(session)
            while and_on:
                session.send(bytes(640))
        except SessionClosed:
            # The session ended in between; why is told elsewhere.
            pass
        except SlngError as error:
            self.raised.append(error)
        try:
            session.wait(10)
        except SlngError as error:
            self.raised.append(error)
        session.close()
        return self

    def _say_all(self, session: Session) -> None:
        for turn in self.recording.turns:
            if turn.kind == "audio":
                session.send(turn.data)
            elif turn.kind == "finalize":
                session.finalize()
            elif turn.kind == "keepalive":
                self._player.wait_until_kept_alive()
            elif turn.kind in ("end", "hang_up"):
                session.close()

    @property
    def finals(self) -> List[Transcript]:
        return [each for each in self.transcripts if each.is_final]

    @property
    def problems(self) -> List[SlngError]:
        return self.raised + self.told

    @property
    def error_codes(self) -> List[Any]:
        return [error.code for error in self.problems if isinstance(error, ServerError)]

    @property
    def pending(self) -> str:
        """What was shown and never became final."""
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
def test_the_recorded_session_is_held_again(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The user hears every segment, flush, marker and problem of the session, once."""
    recording, expected = Recording(name), EXPECTED[name]
    with caplog.at_level(logging.WARNING), Player(recording) as player:
        listener = Listener(player, recording).talk()
    assert [final.text for final in listener.finals if final.complete] == texts(expected)
    check_details(listener, expected)
    check_flushes(listener, expected, player)
    codes = [] if name in SPARED else expected["error_codes"]
    assert listener.error_codes == codes
    assert len(listener.problems) == broke(name), listener.problems
    assert all("a-key" not in f"{error}{error!r}" for error in listener.problems)
    assert listener.pending == open_text(expected)
    assert player.breaches == []
    assert [record.message for record in caplog.records] == []
    closed = [event for event in listener.events if isinstance(event, Closed)]
    assert len(closed) == (listener.session is not None)
    assert closed in ([], [Closed(not listener.problems)])


def check_details(listener: Listener, expected: Any) -> None:
    for final, segment in zip(listener.finals, expected["segments"]):
        assert final.speaker == segment.get("speaker") and final.language == segment.get("language")
        for value, name in ((final.start, "start_ms"), (final.end, "end_ms")):
            if name in segment:
                assert value == pytest.approx(segment[name] / 1000, abs=MILLISECOND)
    for each in expected.get("translations", ()):
        translation = listener.finals[each["segment"]].translation
        assert translation is not None and translation.text == each["text"]
        assert translation.language == each["language"]


def check_flushes(listener: Listener, expected: Any, player: Player) -> None:
    """Compare confirmations and markers, those of a finalize that was not recorded apart."""
    heard = [event for event in listener.events if isinstance(event, (Flushed, Endpoint))]
    recorded = heard[: len(heard) - player.extra_flushes]
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
def test_a_problem_that_nobody_listens_for_is_raised_once(name: str) -> None:
    """Without on_error the same problem comes out of listen() or wait(), once."""
    recording = Recording(name)
    with Player(recording) as player:
        listener = Listener(player, recording, listens_to_errors=False).talk()
    assert len(listener.raised) == 1, listener.raised


@pytest.mark.parametrize("name", [name for name in PLAYED if "refuses" in kinds_of(name)])
def test_a_refused_upgrade_is_raised_with_what_the_gateway_said(name: str) -> None:
    """Status, body and the fitting class of error; another attempt would not help, and none is made."""
    recording = Recording(name)
    refusal = recording.turns[0].data
    with Player(recording) as player:
        (error,) = Listener(player, recording).talk().raised
    assert isinstance(error, REFUSED[refusal["http_status"]]) and isinstance(error, ConnectError)
    assert error.status == refusal["http_status"] and not error.retryable
    assert error.body == refusal["body"] and error.hint
    assert len(player.connections) == 1


@pytest.mark.parametrize("name", [name for name in PLAYED if {"drops", "freezes"} & set(kinds_of(name))])
def test_a_connection_that_broke_is_told_with_what_it_cost(name: str) -> None:
    """A reset and a peer that stopped living are both 1006, with the seconds that nothing answered for."""
    recording = Recording(name)
    with Player(recording) as player:
        listener = Listener(player, recording).talk()
    (error,) = listener.told
    assert isinstance(error, ConnectionLost) and error.code == 1006 and error.retryable
    settled = max((final.end for final in listener.finals if final.end is not None), default=0.0)
    sent = recording.audio_format.seconds(len(player.connections[0].audio) // 2)
    assert error.unsettled >= max(0.1, sent - settled - 0.001)


@pytest.mark.parametrize("name", ["reson8_07_audio_before_ready_1008", "soniox_24_message_rate_1008"])
def test_a_close_says_its_code_and_reason(name: str) -> None:
    """What the server gave as its reason to close is what the user is told."""
    recording = Recording(name)
    with Player(recording) as player:
        (error,) = Listener(player, recording).talk().problems
    assert isinstance(error, ConnectionLost)
    assert {"code": error.code, "reason": error.reason} == recording.lines[-1].data


def test_a_server_that_is_never_ready_is_given_up() -> None:
    """No ready within the limit: listen() raises, and the connection is closed in order."""
    recording = Recording("reson8_21_ready_never_comes")
    with Player(recording) as player:
        (error,) = Listener(player, recording).talk().raised
    assert isinstance(error, ConnectError) and error.retryable
    assert player.connections[0].audio == b""


class Reset(Recording):
    """A session whose server resets the connection where it had closed it."""

    @property
    def turns(self) -> List[Turn]:
        return [*super().turns[:-1], Turn("drops")]


@pytest.mark.parametrize("name", ["soniox_12a_midstream_503", "reson8_09a_midstream_provider_error"])
def test_who_goes_on_talking_still_hears_why_the_server_went(name: str) -> None:
    """The server reports an error and resets: a client in the middle of a word tells the error."""
    recording = Reset(name)
    for _ in range(10):
        with Player(recording) as player:
            listener = Listener(player, recording)
            listener.talk(and_on=True)
        assert listener.error_codes == EXPECTED[name]["error_codes"], listener.problems
        assert len(listener.problems) == 1
        assert listener.pending == open_text(EXPECTED[name])


def test_a_config_that_was_refused_is_put_in_other_words() -> None:
    """Refused with its type, the same session is held without it; the next one begins that way."""
    refused, taken = Recording("soniox_18a_config_type_rejected"), Recording("soniox_18b_config_without_type")
    with Player(refused, taken) as player:
        listener = Listener(player, taken)
        listener.client = listener.make_client(refused.dialect)
        listener.talk().talk()
    assert [final.text for final in listener.finals] == ["Hi.", "Hi."]
    assert listener.problems == [] and player.breaches == []
    assert [heard.start.get("type") for heard in player.connections] == ["config", None, None]
    assert player.connections[0].start == {"type": "config", **player.connections[1].start}


def test_the_bytes_of_the_audio_arrive_as_they_were_sent() -> None:
    """Two tones of 20 ms, in base64 on the wire, come out as the samples that went in."""
    recording = Recording("reson8_16_literal_audio_8k")
    with Player(recording) as player:
        Listener(player, recording).talk()
    (audio,) = [turn.data for turn in recording.turns if turn.kind == "audio"]
    assert player.connections[0].audio == audio


@pytest.mark.parametrize("name", ["reson8_01_normal", "soniox_17a_eos_type_empty_accepted"])
def test_the_key_goes_into_the_header_and_nowhere_else(name: str) -> None:
    """The upgrade carries the bearer key and asks for no compression; no message carries a key."""
    recording = Recording(name)
    with Player(recording) as player:
        Listener(player, recording).talk()
    (heard,) = player.connections
    assert heard.headers["Authorization"] == "Bearer a-key"
    assert "Sec-WebSocket-Extensions" not in heard.headers
    assert heard.path == f"/v1/stt/{recording.dialect.model}"
    assert all("a-key" not in str(message) and "api_key" not in message for message in heard.messages)
    assert heard.hung_up
