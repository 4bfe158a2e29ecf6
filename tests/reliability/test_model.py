"""A model of a session, without sockets and threads, with a server that answers late and breaks connections.

Send queue, protocol, decoder, overlap trimmer and delivery are real, combined as in
``slng_sync/session/connection.py``. The server is written here, so that it may leave out words and times. It
recognises words by the stamps in the audio. ``HYPOTHESIS_PROFILE=thorough`` (with ``--timeout=0``) tries many
more conversations.
"""

import base64
import json
import os
from collections import deque
from typing import Any, Deque, Dict, List, Set

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slng_sync import AudioFormat, Dialect, Reson8, Soniox, Transcript
from slng_sync.callbacks.delivery import Delivery
from slng_sync.dialects.base import Message
from slng_sync.gateway import Script
from slng_sync.gateway.engine import HeardWord, StreamOptions, Update
from slng_sync.gateway.script import ScriptEngine
from slng_sync.protocol.send_queue import END, FINALIZE, SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
RATE = 1000
FORMAT = AudioFormat(RATE)
BLOCK = 500
"""Frames from one word to the next. A word lies well within its block."""
TICK = 50
"""Audio comes in multiples of this many frames, so that no cut divides a word into equal halves."""
SCRIPT = Script.numbered(2000, utterance=5)


class Server:
    """The server side of one connection. ``receive`` queues a message, ``work`` handles queued messages."""

    def __init__(self, dialect: Dialect) -> None:
        self.engine = ScriptEngine(SCRIPT, FORMAT, StreamOptions(dialect.model, 1), "content")
        self.inbox: Deque[Message] = deque()
        self.outbox: Deque[Dict[str, Any]] = deque()
        self.closed = False

    def receive(self, frame: Message) -> None:
        self.inbox.append(frame)

    def work(self, count: int) -> None:
        while self.inbox and count:
            count -= 1
            self.handle(self.inbox.popleft())

    def handle(self, frame: Message) -> None:
        raise NotImplementedError

    def send(self, **frame: Any) -> None:
        self.outbox.append(json.loads(json.dumps(frame)))


class SonioxServer(Server):
    """A Soniox server. Final tokens settle audio up to their end, a finalize up to its position."""

    configured = False
    settled_ms = 0

    def handle(self, frame: Message) -> None:
        if frame.binary:
            for update in self.engine.audio(frame.payload):
                self.send_update(update, ["<end>"] if update.endpoint else [])
            return
        kind = json.loads(frame.payload).get("type")
        if not self.configured:
            self.configured = True
        elif kind in ("finalize", ""):
            for update in self.engine.finalize():
                self.settled_ms = round(update.position * 1000)
                self.send_update(update, ["<fin>"] if kind else [])
            if not kind:
                self.send(tokens=[], finished=True)

    def send_update(self, update: Update, markers: List[str]) -> None:
        tokens = [token(word, True) for word in update.final]
        tokens += [{"text": marker, "is_final": True} for marker in markers]
        tokens += [token(word, False) for word in update.tentative]
        if update.final:
            self.settled_ms = max(self.settled_ms, round(update.final[-1].end * 1000))
        self.send(tokens=tokens, final_audio_proc_ms=self.settled_ms)


def token(word: HeardWord, final: bool) -> Dict[str, Any]:
    """Return a word as one token."""
    start, end = round(word.start * 1000), round(word.end * 1000)
    return {"text": " " + word.text, "start_ms": start, "end_ms": end, "is_final": final}


class Reson8Server(Server):
    """A Reson8 server. ``final_fields``: a final has "words", "times", or "nothing" besides its text."""

    def __init__(self, dialect: Dialect, final_fields: str) -> None:
        super().__init__(dialect)
        self.final_fields = final_fields
        self.open: List[HeardWord] = []

    def handle(self, frame: Message) -> None:
        message = json.loads(frame.payload)
        kind = message["type"]
        if kind == "init":
            self.send(type="ready", session_id="one")
        elif kind == "audio":
            for update in self.engine.audio(base64.b64decode(message["data"])):
                self.open += update.final
                if update.endpoint:
                    self.send_final()
            self.send_partial(update)
        elif kind in ("finalize", "close"):
            for update in self.engine.finalize():
                self.open += update.final
            self.send_final()
            if kind == "finalize":
                self.send(type="flush_confirmation", id="flush")
            self.closed = kind == "close"

    def send_partial(self, update: Update) -> None:
        words = [*self.open, *update.tentative]
        if words:
            self.send(type="partial_transcript", transcript=" ".join(word.text for word in words))

    def send_final(self) -> None:
        words, self.open = self.open, []
        more: Dict[str, Any] = {}
        if words and self.final_fields == "words":
            more["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in words]
        elif words and self.final_fields == "times":
            more = {"start": words[0].start, "duration": words[-1].end - words[0].start}
        if words:
            self.send(type="final_transcript", transcript=" ".join(word.text for word in words), **more)


class Sink:
    """A collector of finals in place of the mailbox."""

    def __init__(self) -> None:
        self.finals: List[Transcript] = []

    def queue(self, item: Any) -> None:
        if isinstance(item, Transcript) and item.is_final:
            self.finals.append(item)


class Conversation(RuleBasedStateMachine):
    """A session with speech, pauses, requests, answers and cuts in any order."""

    dialect: Dialect = Soniox()
    final_fields = "words"
    capacity = 3600.0
    is_prompt = False
    """True if the server answers each message before the next one is sent."""
    gives_up = False
    """True if a finalize may time out, and be answered later."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.lost = self.at = 0
        self.skipped: Set[int] = set()
        self.sink = Sink()
        self.queue = SendQueue(FORMAT, capacity_seconds=self.capacity)
        self.delivery = Delivery(self.sink, lambda item: None)  # type: ignore[arg-type]
        self.connect()

    def connect(self) -> None:
        self.protocol = StreamProtocol(self.dialect, self.queue, Timeouts(), self.now)
        self.server: Server = (
            SonioxServer(self.dialect)
            if isinstance(self.dialect, Soniox)
            else Reson8Server(self.dialect, self.final_fields)
        )
        self.flush()
        self.server.work(1)
        self.receive_all()
        self.flush()

    def flush(self, answered: bool = True) -> None:
        """Send all messages that are due. Let time pass while the rate limit applies."""
        while True:
            frame = self.protocol.next_message(self.now)
            if frame is not None:
                self.server.receive(frame)
                if self.is_prompt and answered:
                    self.server.work(1)
                    self.receive_all()
            elif self.protocol.is_limited:
                self.now += 0.04
            else:
                return

    def receive_all(self, count: int = 10**6) -> None:
        while self.server.outbox and count:
            count -= 1
            self.delivery.deliver(self.protocol.handle_message(self.server.outbox.popleft(), self.now))

    def put(self, ticks: int) -> None:
        frames = min(ticks * TICK, self.queue.room // TICK * TICK)
        if frames:
            self.queue.put(Script.audio(frames / RATE, FORMAT, start=self.at / RATE))
            self.at += frames

    # The events, in any order.

    @rule(ticks=st.integers(1, 60))
    def speak(self, ticks: int) -> None:
        self.put(ticks)
        self.flush()

    @precondition(lambda self: self.at % BLOCK == 0)
    @rule(words=st.integers(1, 20))
    def skip(self, words: int) -> None:
        """Let time pass without audio, between two words."""
        begin = self.at // BLOCK
        self.skipped.update(range(begin, begin + words))
        self.queue.skip(words * BLOCK)
        self.at += words * BLOCK

    @rule()
    def finalize(self) -> None:
        """Finalize between two words. A word with less than half on each side of a cut is not recognised."""
        self.put(-self.at % BLOCK // TICK)
        self.queue.request(FINALIZE)
        self.flush()

    @rule(count=st.integers(1, 20))
    def answer(self, count: int) -> None:
        """Let the server handle some messages. Its answers are in transit."""
        self.server.work(count)

    @rule(count=st.integers(1, 20))
    def receive(self, count: int) -> None:
        """Receive some of the messages in transit."""
        self.receive_all(count)
        self.flush()

    @precondition(lambda self: self.gives_up or self.queue.asked is None)
    @rule(seconds=st.sampled_from([0.5, 3.5, 6.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass: keepalives become due, requests time out."""
        self.now += seconds
        self.flush()

    @rule(unanswered=st.integers(0, 20))
    def cut(self, unanswered: int) -> None:
        """Break the connection. Messages in transit are lost. Then reconnect as `Lifecycle` does."""
        self.put(unanswered)
        self.flush(answered=False)
        last = self.protocol.decoder.end(promote=True)
        self.delivery.deliver([each for each in last if each.complete])
        self.lost += self.queue.rewind()
        self.delivery.begin_overlap(self.queue.start(0.0))
        self.connect()

    # The invariants.

    @invariant()
    def invariants_hold(self) -> None:
        self.every_word_once()
        self.times_are_right()
        self.the_marks_are_in_order()
        self.the_queue_is_bounded()

    @property
    def expected_words(self) -> List[str]:
        begun = range(self.at // BLOCK + 1)
        return [SCRIPT.words[n].text for n in begun if n not in self.skipped]

    @property
    def final_words(self) -> List[str]:
        return [word for final in self.sink.finals for word in final.text.split()]

    def every_word_once(self) -> None:
        if self.lost:
            known = {text: at for at, text in enumerate(self.expected_words)}
            places = [known[word] for word in self.final_words]
            assert places == sorted(set(places))
        else:
            assert self.final_words == self.expected_words[: len(self.final_words)]

    def times_are_right(self) -> None:
        expected = {word.text: word for word in SCRIPT.words[: self.at // BLOCK + 1]}
        for final in self.sink.finals:
            for word in final.words:
                assert word.start is not None and word.end is not None
                assert expected[word.text].start - 0.002 <= word.start < word.end, word
                assert word.end <= expected[word.text].end + 0.002, word

    def the_marks_are_in_order(self) -> None:
        assert self.queue.settled <= self.queue.sent <= self.queue.captured == self.at

    def the_queue_is_bounded(self) -> None:
        assert self.queue.unsettled_seconds <= self.capacity + 0.5

    def teardown(self) -> None:
        """End the session with all answers. Then every word must be there."""
        if not hasattr(self, "server"):
            return
        self.put(-self.at % BLOCK // TICK)
        self.queue.request(FINALIZE)
        self.queue.request(END)
        for _ in range(100):
            self.flush()
            self.server.work(10**6)
            self.receive_all()
            if self.protocol.finished or self.server.closed:
                break
            self.now += 0.5
        assert self.server.closed or self.protocol.finished
        assert self.protocol.may_close(1000)
        self.delivery.deliver(self.protocol.decoder.end(promote=True))
        self.at -= 1
        self.every_word_once()
        missing = len(self.expected_words) - len(self.final_words)
        assert missing <= (self.lost / BLOCK * 2 + 1 if self.lost else 0), self.expected_words[
            len(self.final_words) :
        ]


class WithSoniox(Conversation):
    """Tokens with times, answered late."""


class WithReson8Words(Conversation):
    """Finals with words and their times, answered late."""

    dialect = Reson8()


class WithReson8Times(Conversation):
    """Finals with a start and a duration, and no words."""

    dialect = Reson8()
    final_fields = "times"
    is_prompt = True


class WithReson8Text(Conversation):
    """Finals with only their text, which is all that the dialect promises, and no delay."""

    dialect = Reson8()
    final_fields = "nothing"
    is_prompt = True


class WithSonioxGivingUp(Conversation):
    """Answers that come after the finalize has timed out."""

    gives_up = True


class WithReson8GivingUp(WithReson8Words):
    """Answers that come after the finalize has timed out."""

    gives_up = True


class WithSonioxInLittleRoom(Conversation):
    """A send queue so small that a replay may lose audio. The loss is counted, and no word comes twice."""

    capacity = 4.0


class WithReson8InLittleRoom(WithReson8Words):
    """A send queue so small that a replay may lose audio. The loss is counted, and no word comes twice."""

    capacity = 4.0


MACHINES: List[Any] = [
    WithSoniox,
    WithReson8Words,
    WithReson8Times,
    WithReson8Text,
    WithSonioxGivingUp,
    WithReson8GivingUp,
    WithSonioxInLittleRoom,
    WithReson8InLittleRoom,
]
for machine in MACHINES:
    machine.TestCase.settings = settings(
        derandomize=not THOROUGH,
        deadline=None,
        max_examples=2000 if THOROUGH else 60,
        stateful_step_count=40,
    )
    machine.TestCase.pytestmark = [pytest.mark.timeout(600 if THOROUGH else 120)]

TestSoniox = WithSoniox.TestCase
TestReson8Words = WithReson8Words.TestCase
TestReson8Times = WithReson8Times.TestCase
TestReson8Text = WithReson8Text.TestCase
TestSonioxGivingUp = WithSonioxGivingUp.TestCase
TestReson8GivingUp = WithReson8GivingUp.TestCase
TestSonioxInLittleRoom = WithSonioxInLittleRoom.TestCase
TestReson8InLittleRoom = WithReson8InLittleRoom.TestCase


# Conversations that hypothesis found, reduced to the shortest form.


@pytest.mark.parametrize("final_fields", ["nothing", "times"])
def test_finals_without_words_while_much_is_under_way(final_fields: str) -> None:
    """Nine seconds are sent at once, as after an outage. The first final settles no more than it covers."""
    session = WithReson8Text()
    session.is_prompt, session.final_fields = False, final_fields
    session.begin()
    session.speak(180)
    session.server.work(100)
    while not session.sink.finals:
        session.receive_all(1)
    session.cut(0)
    session.teardown()


@pytest.mark.parametrize("machine", [WithSoniox, WithReson8Words])
def test_a_confirmation_of_an_earlier_finalize(machine: Any) -> None:
    """Two finalizes have timed out. A late confirmation answers the first of them, not the second."""
    session = machine()
    session.begin()
    session.speak(10)
    session.finalize()
    session.server.work(100)
    session.wait(3.5)
    session.speak(50)
    session.finalize()
    session.wait(3.5)
    session.receive(100)
    assert session.final_words == ["one"]
    session.cut(0)
    session.teardown()


@pytest.mark.parametrize("machine", [WithSoniox, WithReson8Words])
def test_a_late_confirmation_while_another_is_awaited(machine: Any) -> None:
    """The first finalize has timed out, the second is pending. A confirmation answers the first."""
    session = machine()
    session.begin()
    session.speak(10)
    session.finalize()
    session.server.work(100)
    session.wait(3.5)
    session.speak(50)
    session.finalize()
    session.receive(100)
    assert session.final_words == ["one"]
    session.cut(0)
    session.teardown()
