"""A session without sockets and threads, against a server that answers late and is cut off at any moment.

Send queue, exchange, decoder, seam and delivery are the real ones, put together as a stream does. What the
server hears follows from the stamps in the audio, what it says is written here, so that it may leave out
words and times. ``HYPOTHESIS_PROFILE=thorough`` (with ``--timeout=0``) tries many more conversations.
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
from slng_sync.dialects.base import Frame
from slng_sync.gateway import Script
from slng_sync.gateway.engine import HeardWord, StreamOptions, Update
from slng_sync.gateway.script import ScriptEngine
from slng_sync.protocol.send_queue import END, FINALIZE, SendQueue
from slng_sync.protocol.stream_protocol import StreamProtocol, Timeouts

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
RATE = 1000
FORMAT = AudioFormat(RATE)
BLOCK = 500
"""Frames from one word to the next; a word lies well inside of its block."""
TICK = 50
"""Audio comes in multiples of this many frames, so that no word is ever cut into two equal halves."""
SCRIPT = Script.numbered(2000, utterance=5)


class Server:
    """One connection's other side. ``receive`` takes a message, ``work`` answers the next ones."""

    def __init__(self, dialect: Dialect) -> None:
        self.engine = ScriptEngine(SCRIPT, FORMAT, StreamOptions(dialect.model, 1), "content")
        self.inbox: Deque[Frame] = deque()
        self.outbox: Deque[Dict[str, Any]] = deque()
        self.closed = False

    def receive(self, frame: Frame) -> None:
        self.inbox.append(frame)

    def work(self, count: int) -> None:
        while self.inbox and count:
            count -= 1
            self.take(self.inbox.popleft())

    def take(self, frame: Frame) -> None:
        raise NotImplementedError

    def say(self, **frame: Any) -> None:
        self.outbox.append(json.loads(json.dumps(frame)))


class SonioxServer(Server):
    """Tokens; what is final is answered for up to its end, or up to where a finalize stood."""

    configured = False
    settled_ms = 0

    def take(self, frame: Frame) -> None:
        if frame.binary:
            for update in self.engine.audio(frame.payload):
                self.tell(update, ["<end>"] if update.endpoint else [])
            return
        kind = json.loads(frame.payload).get("type")
        if not self.configured:
            self.configured = True
        elif kind in ("finalize", ""):
            for update in self.engine.finalize():
                self.settled_ms = round(update.position * 1000)
                self.tell(update, ["<fin>"] if kind else [])
            if not kind:
                self.say(tokens=[], finished=True)

    def tell(self, update: Update, markers: List[str]) -> None:
        tokens = [token(word, True) for word in update.final]
        tokens += [{"text": marker, "is_final": True} for marker in markers]
        tokens += [token(word, False) for word in update.tentative]
        if update.final:
            self.settled_ms = max(self.settled_ms, round(update.final[-1].end * 1000))
        self.say(tokens=tokens, final_audio_proc_ms=self.settled_ms)


def token(word: HeardWord, final: bool) -> Dict[str, Any]:
    """A word as one token."""
    start, end = round(word.start * 1000), round(word.end * 1000)
    return {"text": " " + word.text, "start_ms": start, "end_ms": end, "is_final": final}


class Reson8Server(Server):
    """Whole texts. ``tells`` is what a final has besides: its "words", its "times", or "nothing"."""

    def __init__(self, dialect: Dialect, tells: str) -> None:
        super().__init__(dialect)
        self.tells = tells
        self.open: List[HeardWord] = []

    def take(self, frame: Frame) -> None:
        message = json.loads(frame.payload)
        kind = message["type"]
        if kind == "init":
            self.say(type="ready", session_id="one")
        elif kind == "audio":
            for update in self.engine.audio(base64.b64decode(message["data"])):
                self.open += update.final
                if update.endpoint:
                    self.tell_final()
            self.tell_partial(update)
        elif kind in ("finalize", "close"):
            for update in self.engine.finalize():
                self.open += update.final
            self.tell_final()
            if kind == "finalize":
                self.say(type="flush_confirmation", id="flush")
            self.closed = kind == "close"

    def tell_partial(self, update: Update) -> None:
        words = [*self.open, *update.tentative]
        if words:
            self.say(type="partial_transcript", transcript=" ".join(word.text for word in words))

    def tell_final(self) -> None:
        words, self.open = self.open, []
        more: Dict[str, Any] = {}
        if words and self.tells == "words":
            more["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in words]
        elif words and self.tells == "times":
            more = {"start": words[0].start, "duration": words[-1].end - words[0].start}
        if words:
            self.say(type="final_transcript", transcript=" ".join(word.text for word in words), **more)


class Sink:
    """In the place of callbacks."""

    def __init__(self) -> None:
        self.finals: List[Transcript] = []

    def put(self, item: Any) -> None:
        if isinstance(item, Transcript) and item.is_final:
            self.finals.append(item)


class Conversation(RuleBasedStateMachine):
    """Speech, pauses, requests, answers and cuts in any order."""

    dialect: Dialect = Soniox()
    tells = "words"
    capacity = 3600.0
    prompt = False
    """Whether the server answers each message before the next one is sent."""
    gives_up = False
    """Whether a finalize may be given up, and be answered after that."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.lost = self.at = 0
        self.withheld: Set[int] = set()
        self.sink = Sink()
        self.queue = SendQueue(FORMAT, capacity_seconds=self.capacity)
        self.delivery = Delivery(self.sink, lambda item: None)  # type: ignore[arg-type]
        self.connect()

    def connect(self) -> None:
        self.exchange = StreamProtocol(self.dialect, self.queue, Timeouts(), self.now)
        self.server: Server = (
            SonioxServer(self.dialect)
            if isinstance(self.dialect, Soniox)
            else Reson8Server(self.dialect, self.tells)
        )
        self.pump()
        self.server.work(1)
        self.hear_all()
        self.pump()

    def pump(self, answered: bool = True) -> None:
        """Send what may be sent; where the message cap stands against it, time passes."""
        while True:
            frame = self.exchange.next_message(self.now)
            if frame is not None:
                self.server.receive(frame)
                if self.prompt and answered:
                    self.server.work(1)
                    self.hear_all()
            elif self.exchange.is_limited:
                self.now += 0.04
            else:
                return

    def hear_all(self, count: int = 10**6) -> None:
        while self.server.outbox and count:
            count -= 1
            self.delivery.deliver(self.exchange.handle_message(self.server.outbox.popleft(), self.now))

    def put(self, ticks: int) -> None:
        frames = min(ticks * TICK, self.queue.room // TICK * TICK)
        if frames:
            self.queue.put(Script.audio(frames / RATE, FORMAT, start=self.at / RATE))
            self.at += frames

    # What may happen.

    @rule(ticks=st.integers(1, 60))
    def speak(self, ticks: int) -> None:
        self.put(ticks)
        self.pump()

    @precondition(lambda self: self.at % BLOCK == 0)
    @rule(words=st.integers(1, 20))
    def withhold(self, words: int) -> None:
        """Time passes without audio, between two words."""
        begin = self.at // BLOCK
        self.withheld.update(range(begin, begin + words))
        self.queue.skip(words * BLOCK)
        self.at += words * BLOCK

    @rule()
    def finalize(self) -> None:
        """Between two words: a word with less than half of it on either side of a cut is nobody's."""
        self.put(-self.at % BLOCK // TICK)
        self.queue.request(FINALIZE)
        self.pump()

    @rule(count=st.integers(1, 20))
    def answer(self, count: int) -> None:
        """The server takes in some messages; what it says is under way."""
        self.server.work(count)

    @rule(count=st.integers(1, 20))
    def hear(self, count: int) -> None:
        """Some of what is under way arrives."""
        self.hear_all(count)
        self.pump()

    @precondition(lambda self: self.gives_up or self.queue.asked is None)
    @rule(seconds=st.sampled_from([0.5, 3.5, 6.0]))
    def wait(self, seconds: float) -> None:
        """Keepalives become due, requests are given up."""
        self.now += seconds
        self.pump()

    @rule(unanswered=st.integers(0, 20))
    def cut(self, unanswered: int) -> None:
        """The connection breaks; what was under way is gone. As ``Stream._leave`` and ``_connect`` do."""
        self.put(unanswered)
        self.pump(answered=False)
        last = self.exchange.decoder.end(promote=True)
        self.delivery.deliver([each for each in last if each.complete])
        self.lost += self.queue.rewind()
        self.delivery.begin_overlap(self.queue.start(0.0))
        self.connect()

    # What must always hold.

    @invariant()
    def all_is_well(self) -> None:
        self.every_word_once()
        self.true_times()
        self.the_marks_are_in_order()
        self.the_queue_is_bounded()

    @property
    def meant(self) -> List[str]:
        begun = range(self.at // BLOCK + 1)
        return [SCRIPT.words[n].text for n in begun if n not in self.withheld]

    @property
    def said(self) -> List[str]:
        return [word for final in self.sink.finals for word in final.text.split()]

    def every_word_once(self) -> None:
        if self.lost:
            known = {text: at for at, text in enumerate(self.meant)}
            places = [known[word] for word in self.said]
            assert places == sorted(set(places))
        else:
            assert self.said == self.meant[: len(self.said)]

    def true_times(self) -> None:
        meant = {word.text: word for word in SCRIPT.words[: self.at // BLOCK + 1]}
        for final in self.sink.finals:
            for word in final.words:
                assert word.start is not None and word.end is not None
                assert meant[word.text].start - 0.002 <= word.start < word.end, word
                assert word.end <= meant[word.text].end + 0.002, word

    def the_marks_are_in_order(self) -> None:
        assert self.queue.settled <= self.queue.sent <= self.queue.captured == self.at

    def the_queue_is_bounded(self) -> None:
        assert self.queue.unsettled_seconds <= self.capacity + 0.5

    def teardown(self) -> None:
        """At last everything is answered: then every word must be there."""
        if not hasattr(self, "server"):
            return
        self.put(-self.at % BLOCK // TICK)
        self.queue.request(FINALIZE)
        self.queue.request(END)
        for _ in range(100):
            self.pump()
            self.server.work(10**6)
            self.hear_all()
            if self.exchange.finished or self.server.closed:
                break
            self.now += 0.5
        assert self.server.closed or self.exchange.finished
        assert self.exchange.may_close(1000)
        self.delivery.deliver(self.exchange.decoder.end(promote=True))
        self.at -= 1
        self.every_word_once()
        missing = len(self.meant) - len(self.said)
        assert missing <= (self.lost / BLOCK * 2 + 1 if self.lost else 0), self.meant[len(self.said) :]


class WithSoniox(Conversation):
    """Tokens with times, answered late."""


class WithReson8Words(Conversation):
    """Finals with words and their times, answered late."""

    dialect = Reson8()


class WithReson8Times(Conversation):
    """Finals with a start and a duration, and no words."""

    dialect = Reson8()
    tells = "times"
    prompt = True


class WithReson8Text(Conversation):
    """Finals with nothing but their text: what the wire promises. Answered as speech is, without delay."""

    dialect = Reson8()
    tells = "nothing"
    prompt = True


class WithSonioxGivingUp(Conversation):
    """Answers so late that nobody waits for them any more."""

    gives_up = True


class WithReson8GivingUp(WithReson8Words):
    """The same."""

    gives_up = True


class WithSonioxInLittleRoom(Conversation):
    """So little that a replay may lose something: it is told, and nothing comes twice."""

    capacity = 4.0


class WithReson8InLittleRoom(WithReson8Words):
    """The same."""

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


# Conversations that were found so, as short as they get.


@pytest.mark.parametrize("tells", ["nothing", "times"])
def test_finals_without_words_while_much_is_under_way(tells: str) -> None:
    """Nine seconds go out at once, as after an outage: the first final settles no more than it covers."""
    talk = WithReson8Text()
    talk.prompt, talk.tells = False, tells
    talk.begin()
    talk.speak(180)
    talk.server.work(100)
    while not talk.sink.finals:
        talk.hear_all(1)
    talk.cut(0)
    talk.teardown()


@pytest.mark.parametrize("machine", [WithSoniox, WithReson8Words])
def test_a_confirmation_of_an_earlier_finalize(machine: Any) -> None:
    """Two were given up; what then comes late answers the first of them and not the second."""
    talk = machine()
    talk.begin()
    talk.speak(10)
    talk.finalize()
    talk.server.work(100)
    talk.wait(3.5)
    talk.speak(50)
    talk.finalize()
    talk.wait(3.5)
    talk.hear(100)
    assert talk.said == ["one"]
    talk.cut(0)
    talk.teardown()


@pytest.mark.parametrize("machine", [WithSoniox, WithReson8Words])
def test_a_late_confirmation_while_another_is_awaited(machine: Any) -> None:
    """The first was given up, the second is open: what comes is the answer to the first."""
    talk = machine()
    talk.begin()
    talk.speak(10)
    talk.finalize()
    talk.server.work(100)
    talk.wait(3.5)
    talk.speak(50)
    talk.finalize()
    talk.hear(100)
    assert talk.said == ["one"]
    talk.cut(0)
    talk.teardown()
