"""The protocol of one connection: messages, their order and timeouts. The test sets the time."""

import json
from typing import Any, Dict, List, Union

import pytest

from slng_sync import Reson8, Soniox
from slng_sync.audio.format import AudioFormat
from slng_sync.dialects import Dialect
from slng_sync.errors import ConnectError
from slng_sync.events import Flushed, Ready, Transcript
from slng_sync.protocol.rate_limit import RateLimit
from slng_sync.protocol.send_queue import END, FINALIZE, Mark, SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts

SECOND = bytes(32000)


class Talk:
    """A protocol with a clock that the test sets."""

    def __init__(self, dialect: Dialect) -> None:
        self.queue = SendQueue(AudioFormat())
        self.now = 100.0
        self.protocol = StreamProtocol(dialect, self.queue, Timeouts(), self.now)

    def says(self) -> List[Union[Dict[str, Any], bytes]]:
        """Return all messages to send now: JSON as a dict, audio as bytes, an empty text as {}."""
        said: List[Union[Dict[str, Any], bytes]] = []
        while (frame := self.protocol.next_message(self.now)) is not None:
            said.append(frame.payload if frame.binary else json.loads(frame.payload or "{}"))
        return said

    def hears(self, **frame: Any) -> List[Any]:
        return self.protocol.handle_message(frame, self.now)

    def after(self, seconds: float) -> "Talk":
        self.now += seconds
        return self


def reson8() -> Talk:
    talk = Talk(Reson8())
    assert [said["type"] for said in talk.says()] == ["init"]
    return talk


def soniox() -> Talk:
    talk = Talk(Soniox())
    assert [said["type"] for said in talk.says()] == ["config"]
    return talk


def said_all(talk: Talk, pcm: bytes) -> Mark:
    """Return a protocol that has sent audio and a finalize. The end waits for the answer."""
    talk.queue.put(pcm)
    mark = talk.queue.request(FINALIZE)
    talk.queue.request(END)
    talk.says()
    return mark


def token(text: str, **more: Any) -> Dict[str, Any]:
    return {"text": text, "is_final": True, **more}


def test_reson8_waits_for_ready_and_keeps_the_audio() -> None:
    """Audio before ready would end the session with 1008."""
    talk = reson8()
    talk.queue.put(SECOND)
    assert talk.says() == []
    assert talk.hears(type="ready", session_id="sess_1") == [Ready("sess_1")]
    assert [said["type"] for said in talk.says()] == ["audio", "audio"]


def test_reson8_that_never_gets_ready_says_so() -> None:
    """It raises an error after ten seconds."""
    talk = reson8()
    assert talk.protocol.due(talk.now) == talk.now + 10
    with pytest.raises(ConnectError, match="not ready within 10 s"):
        talk.after(10).says()


def test_reson8_may_be_told_to_begin_without_ready() -> None:
    """Some endpoints never send it. The client still waits two seconds for it."""
    talk = Talk(Reson8(wait_for_ready=False))
    talk.says()
    talk.queue.put(SECOND)
    assert talk.after(1.9).says() == []
    assert len(talk.after(0.2).says()) == 2


def test_soniox_speaks_at_once() -> None:
    """There is no ready message, so audio follows the config at once."""
    talk = soniox()
    talk.queue.put(SECOND[:1600])
    assert talk.says() == [SECOND[:1600]]


def test_silence_is_kept_alive_every_five_seconds() -> None:
    """It is due after the last message of any kind. Audio shorter than a chunk is sent in its place."""
    talk = soniox()
    talk.queue.put(SECOND[:1600])
    assert talk.says() == [SECOND[:1600]]
    talk.queue.put(b"\1\0" * 10)
    assert talk.after(4.9).says() == []
    assert talk.after(0.2).says() == [b"\1\0" * 10]
    assert talk.after(5).says() == [{"type": "keepalive"}]


def test_soniox_hears_silence_rather_than_a_keepalive_before_the_first_audio() -> None:
    """The server ends a stream with keepalives but no audio. The silence does not count on the clock."""
    talk = soniox()
    assert talk.after(5).says() == [bytes(3200)]
    talk.queue.put(SECOND[:1600])
    talk.says()
    heard = talk.hears(tokens=[token("hi", start_ms=110, end_ms=150)], final_audio_proc_ms=150)
    assert (heard[0].start, heard[0].end) == (0.01, 0.05)


def test_finalize_is_answered_in_order() -> None:
    """Each confirmation settles the oldest request, and the audio before it."""
    talk = reson8()
    talk.hears(type="ready")
    talk.queue.put(SECOND)
    first = talk.queue.request(FINALIZE)
    talk.queue.put(SECOND)
    second = talk.queue.request(FINALIZE)
    talk.says()
    assert talk.hears(type="flush_confirmation", id="flush-001") == [Flushed("flush-001")]
    assert first.confirmed
    assert not second.settled
    assert talk.queue.settled == 16000


def test_a_finalize_without_an_answer_is_given_up_after_three_seconds() -> None:
    """It settles as unconfirmed, so no caller waits for ever."""
    talk = soniox()
    talk.queue.put(SECOND)
    mark = talk.queue.request(FINALIZE)
    talk.says()
    talk.after(3).says()
    assert mark.settled
    assert not mark.confirmed


def test_while_audio_goes_on_what_is_heard_is_no_sign_that_an_answer_will_come() -> None:
    """It may answer audio that was sent after the request."""
    talk = soniox()
    talk.queue.put(SECOND)
    mark = talk.queue.request(FINALIZE)
    for _ in range(3):
        talk.queue.put(SECOND)
        talk.says()
        talk.after(1).hears(tokens=[token(" well")], total_audio_proc_ms=500)
    talk.says()
    assert mark.settled
    assert not mark.confirmed


def test_a_server_that_is_slower_than_we_are_is_waited_for_while_it_talks() -> None:
    """Recordings, and audio kept during an outage, are sent faster than they are transcribed."""
    talk = soniox()
    mark = said_all(talk, SECOND)
    said = []
    for _ in range(8):
        talk.after(2).hears(tokens=[token(" and")], total_audio_proc_ms=500)
        said += talk.says()
        assert talk.protocol.due(talk.now) > talk.now
    assert said == [{"type": "keepalive"}] * 2
    talk.hears(tokens=[token("<fin>")], total_audio_proc_ms=1000)
    assert mark.confirmed
    assert talk.says() == [{"type": ""}]


def test_a_server_in_the_pace_of_speech_may_be_silent_until_it_has_heard_all() -> None:
    """Reson8 sends nothing during silence, and without interim results nothing during speech."""
    talk = reson8()
    talk.hears(type="ready")
    mark = said_all(talk, SECOND * 8)
    talk.after(10.9).says()
    assert not mark.settled
    talk.hears(type="flush_confirmation", id="flush-001")
    assert mark.confirmed
    assert [said["type"] for said in talk.says()] == ["close"]
    assert talk.after(2).protocol.over(talk.now), "it has heard all, and is not waited for as long again"


def test_a_close_in_time_leaves_the_end_its_time() -> None:
    """Even if the server is far behind, the end of the stream makes everything final."""
    talk = reson8()
    talk.hears(type="ready")
    talk.protocol.deadline = talk.now + 7
    mark = said_all(talk, SECOND * 8)
    assert talk.after(4.9).says() == []
    assert [said["type"] for said in talk.after(0.1).says()] == ["close"]
    assert not mark.confirmed


def test_a_server_that_never_stops_talking_is_given_up_after_a_minute() -> None:
    """Before and after the end is sent, in each of its forms."""
    talk = soniox()
    mark = said_all(talk, SECOND)
    said: Dict[str, float] = {}
    while not talk.protocol.over(talk.now):
        talk.after(1).hears(tokens=[token(" and")], total_audio_proc_ms=500)
        said.update((json.dumps(each), talk.now - 100) for each in talk.says())
    assert said == {'{"type": "keepalive"}': 60, '{"type": ""}': 64, "{}": 126}
    assert talk.now - 100 == 191
    assert mark.settled
    assert not mark.confirmed


def test_finalize_before_any_audio_needs_no_question() -> None:
    """Without audio, everything is final."""
    talk = soniox()
    mark = talk.queue.request(FINALIZE)
    assert talk.says() == []
    assert mark.confirmed


def test_the_end_waits_for_the_last_words() -> None:
    """The order is finalize, its answer, the documented end of the stream, and the native one."""
    talk = soniox()
    talk.queue.put(SECOND[:1600])
    talk.queue.request(FINALIZE)
    talk.queue.request(END)
    assert talk.says() == [SECOND[:1600], {"type": "finalize"}]
    talk.hears(tokens=[token(" bye"), token("<fin>")], final_audio_proc_ms=50)
    assert talk.says() == [{"type": ""}]
    assert talk.after(2).says() == [{}]
    assert not talk.protocol.over(talk.now)
    talk.hears(tokens=[], finished=True)
    assert talk.protocol.over(talk.now)
    assert talk.protocol.complete


def test_an_end_that_nobody_answers_is_given_up() -> None:
    """Five seconds after the last form."""
    talk = soniox()
    talk.queue.put(SECOND[:1600])
    talk.queue.request(END)
    talk.says()
    assert talk.after(2.1).says() == [{}]
    assert not talk.after(4.9).protocol.over(talk.now)
    assert talk.after(0.2).protocol.over(talk.now)
    assert not talk.protocol.complete


def test_native_soniox_that_refuses_the_documented_end_has_lost_nothing() -> None:
    """A 400 in answer to the end of the stream is not an error: every word was final before."""
    talk = soniox()
    talk.queue.put(SECOND[:1600])
    talk.queue.request(FINALIZE)
    talk.queue.request(END)
    talk.says()
    talk.hears(tokens=[token(" bye"), token("<fin>")])
    talk.says()
    talk.hears(tokens=[], error_code=400, error_message="Control request invalid type.")
    assert talk.protocol.failure is None
    assert talk.protocol.complete


def test_a_stream_without_audio_is_not_ended_in_words() -> None:
    """Soniox would answer "No audio received.", so the connection is closed without an end."""
    talk = soniox()
    talk.queue.request(FINALIZE)
    talk.queue.request(END)
    assert talk.says() == []
    assert talk.protocol.over(talk.now)
    assert talk.protocol.complete


def test_reson8_ends_with_close() -> None:
    """Messages after the end still count. The client waits two seconds for the server to close."""
    talk = reson8()
    talk.hears(type="ready")
    talk.queue.put(SECOND[:1600])
    talk.queue.request(FINALIZE)
    talk.queue.request(END)
    assert [said["type"] for said in talk.says()] == ["audio", "finalize"]
    talk.hears(type="flush_confirmation", id="flush-001")
    assert [said["type"] for said in talk.says()] == ["close"]
    late = talk.hears(type="final_transcript", transcript="bye")
    assert isinstance(late[0], Transcript)
    assert talk.after(2.1).protocol.over(talk.now)
    assert talk.protocol.complete


def test_a_gateway_that_speaks_up_on_a_soniox_stream_is_understood() -> None:
    """The gateway's error format is recognised too, and a ready is harmless."""
    talk = soniox()
    assert talk.hears(type="ready", session_id="x") == []
    talk.hears(type="ERROR", data={"code": "backpressure", "description": "slow down", "status_code": 503})
    assert talk.protocol.failure is not None
    assert talk.protocol.failure.retryable


def test_a_backlog_stays_under_the_message_cap() -> None:
    """Ten minutes of audio are sent in half seconds, with at most 25 messages a second."""
    talk = soniox()
    talk.queue.capacity = 16000 * 600
    for _ in range(600):
        talk.queue.put(SECOND)
    sent = sum(isinstance(said, bytes) for said in talk.says())
    for _ in range(60):
        assert talk.after(1).protocol.is_limited
        sent += sum(isinstance(said, bytes) for said in talk.says())
        if not talk.queue.unsent:
            break
    assert sent == 1200
    assert talk.now >= 100.0 + (1200 - 51) / 25


def test_the_budget_allows_a_few_messages_at_once() -> None:
    """After the burst, 25 messages a second are sent."""
    budget = RateLimit(0.0)
    for _ in range(50):
        assert budget.free_at <= 0.0
        budget.spend(0.0)
    assert budget.free_at == pytest.approx(0.04, abs=1e-5)
    for each in range(1, 1000):
        assert budget.free_at <= each / 25
        budget.spend(each / 25)
        assert budget.free_at > each / 25
    for _ in range(50):
        assert budget.free_at <= 1000.0
        budget.spend(1000.0)
    assert budget.free_at > 1000.0
