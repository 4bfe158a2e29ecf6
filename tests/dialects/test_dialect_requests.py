"""Finalize and end: when they are sent, how often, and which answers end a session cleanly."""

from typing import Any, Dict, List

import pytest

from slng_sync import AudioFormat, Dialect, Reson8, Soniox
from slng_sync.protocol.send_queue import END, FINALIZE, SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts

SECOND = bytes(32000)
DIALECTS = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])


class Talk:
    """A protocol with a clock that the test sets."""

    def __init__(self, dialect: Dialect) -> None:
        self.queue = SendQueue(AudioFormat())
        self.exchange = StreamProtocol(dialect, self.queue, Timeouts(), 0.0)
        self.now = 0.0
        self.said: List[bytes] = []
        self.say()
        self.exchange.handle_message({"type": "ready"}, 0.0)

    def say(self, *, after: float = 0.0) -> List[bytes]:
        """Let time pass, and return the messages that are sent, except audio."""
        self.now += after
        new = []
        frame = self.exchange.next_message(self.now)
        while frame is not None:
            if not frame.binary and b'"audio"' not in frame.payload[:20]:
                new.append(frame.payload)
            frame = self.exchange.next_message(self.now)
        self.said += new
        return new

    def speak(self) -> "Talk":
        self.queue.put(SECOND)
        self.say()
        return self

    def end(self) -> List[bytes]:
        """Close as a session does: finalize, then the end."""
        self.queue.request(FINALIZE)
        self.queue.request(END)
        return self.say()

    def hear(self, frame: Dict[str, Any]) -> None:
        self.exchange.handle_message(frame, self.now)


@DIALECTS
def test_a_finalize_that_nobody_answers_is_not_repeated_for_nothing(dialect: Dialect) -> None:
    """After its timeout it is not sent again at the end if no audio was sent since."""
    talk = Talk(dialect).speak()
    talk.queue.request(FINALIZE)
    assert talk.say() == [b'{"type":"finalize"}']
    assert talk.say(after=3.1) == []
    assert b'{"type":"finalize"}' not in talk.end()


@DIALECTS
def test_new_audio_is_finalized_again(dialect: Dialect) -> None:
    """After an answer and more audio it is sent again."""
    talk = Talk(dialect).speak()
    answer = {"type": "flush_confirmation"} if dialect.needs_ready else {"tokens": [{"text": "<fin>"}]}
    for _ in range(2):
        talk.queue.request(FINALIZE)
        assert talk.say() == [b'{"type":"finalize"}']
        talk.hear(answer)
        talk.queue.request(FINALIZE)
        assert talk.say() == []
        talk.speak()


@DIALECTS
def test_nothing_is_said_after_the_end(dialect: Dialect) -> None:
    """No audio and no keepalive follow, only another form of the end if the first is not answered."""
    talk = Talk(dialect).speak()
    assert talk.end() == [b'{"type":"finalize"}']
    ends = talk.say(after=3.1)
    talk.queue.put(SECOND)
    ends += talk.say(after=2.1) + talk.say(after=6.0) + talk.say(after=30.0)
    assert ends == [form.payload for form in dialect.end()]


@DIALECTS
def test_a_stream_without_audio_has_no_end(dialect: Dialect) -> None:
    """The server would answer with an error, so the connection is closed instead."""
    talk = Talk(dialect)
    assert talk.end() == [] and talk.exchange.over(talk.now)


@pytest.mark.parametrize(
    "refusal",
    [
        {"tokens": [], "error_code": 400, "error_message": "Control request invalid type."},
        {"tokens": [], "error_code": "400", "error_message": "Control request invalid type."},
        {"type": "error", "code": "invalid_request", "message": "Control request invalid type."},
        {"type": "error", "code": 400, "message": "Control request invalid type."},
    ],
    ids=["native", "as text", "named", "the gateway's"],
)
def test_an_end_that_is_refused_is_an_end(refusal: Dict[str, Any]) -> None:
    """Native Soniox does not know the documented form. Nothing is lost if every token is final."""
    talk = Talk(Soniox()).speak()
    talk.end()
    talk.hear({"tokens": [{"text": "Bye.", "is_final": True}, {"text": "<fin>", "is_final": True}]})
    assert talk.say() == [b'{"type":""}']
    talk.hear(refusal)
    assert talk.exchange.over(talk.now) and talk.exchange.failure is None
    assert talk.exchange.complete


def test_audio_waits_until_the_server_is_ready() -> None:
    """Earlier audio would end the session."""
    queue = SendQueue(AudioFormat())
    exchange = StreamProtocol(Reson8(), queue, Timeouts(), 0.0)
    queue.put(SECOND)
    assert exchange.next_message(0.0) is not None and exchange.next_message(5.0) is None
    exchange.handle_message({"type": "READY"}, 5.0)
    frame = exchange.next_message(5.0)
    assert frame is not None and frame.payload.startswith(b'{"type":"audio"')
