"""The send queue: order, replay and settling of audio and marks."""

from typing import List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.send_queue import END, FINALIZE, Mark, SendQueue

RATE = 1000
"""A frame is one millisecond, a chunk is 50 frames, the longest message is 500."""


def make_queue(capacity: float = 10.0) -> SendQueue:
    return SendQueue(AudioFormat(RATE, 1), capacity_seconds=capacity)


def audio(start: int, frames: int) -> bytes:
    """Return frames whose content is their own position."""
    return b"".join((position % 65536).to_bytes(2, "little") for position in range(start, start + frames))


def positions(pcm: bytes) -> List[int]:
    return [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), 2)]


def taken(queue: SendQueue, *, flush: bool = False) -> List[object]:
    """Return everything that can be sent now."""
    out: List[object] = []
    while (piece := queue.take(flush=flush)) is not None:
        out.append(piece)
    return out


def test_less_than_a_chunk_waits_for_more() -> None:
    """49 ms are held back, 50 ms are sent."""
    queue = make_queue()
    queue.put(audio(0, 49))
    assert queue.take() is None
    queue.put(audio(49, 1))
    assert queue.take() == audio(0, 50)


def test_a_backlog_leaves_in_larger_messages() -> None:
    """Two seconds in chunks of 20 ms are sent as four messages of half a second."""
    queue = make_queue()
    for start in range(0, 2000, 20):
        queue.put(audio(start, 20))
    assert taken(queue) == [audio(start, 500) for start in range(0, 2000, 500)]


def test_a_finalize_leaves_behind_the_audio_before_it() -> None:
    """Even 7 ms are sent if a finalize follows them. Later audio is sent after the finalize."""
    queue = make_queue()
    queue.put(audio(0, 7))
    mark = queue.request(FINALIZE)
    queue.put(audio(7, 60))
    assert taken(queue) == [audio(0, 7), mark, audio(7, 60)]


def test_a_finalize_after_a_pause_does_not_wait_for_more_audio() -> None:
    """7 ms are sent if a gap and a finalize follow, because no audio can join them."""
    queue = make_queue()
    queue.put(audio(0, 7))
    queue.skip(1000)
    mark = queue.request(FINALIZE)
    assert taken(queue) == [audio(0, 7), mark]


def test_a_confirmed_finalize_settles_the_audio_before_it() -> None:
    """Settled audio is dropped. Later audio is kept for a replay."""
    queue = make_queue()
    queue.put(audio(0, 100))
    queue.request(FINALIZE)
    queue.put(audio(100, 50))
    taken(queue)
    queue.answer()
    assert queue.settled == 100
    assert queue.unsettled_seconds == 0.05


def test_two_finalizes_at_one_place_are_one_request() -> None:
    """Two requests at one position are sent once. A request after the answer is not sent."""
    queue = make_queue()
    queue.put(audio(0, 100))
    first = queue.request(FINALIZE)
    assert queue.request(FINALIZE) is first
    taken(queue)
    queue.answer()
    assert queue.request(FINALIZE).confirmed
    assert taken(queue) == []


def test_a_new_connection_gets_what_was_not_settled() -> None:
    """After a rewind, audio and requests from the settled position on are sent again."""
    queue = make_queue()
    queue.put(audio(0, 300))
    finalize = queue.request(FINALIZE)
    queue.put(audio(300, 100))
    end = queue.request(END)
    assert taken(queue) == [audio(0, 300), finalize, audio(300, 100), end]
    queue.settle(0.12)
    assert queue.rewind() == 0
    assert taken(queue) == [audio(120, 180), finalize, audio(300, 100), end]
    assert queue.start(0.0) == 0.12


def test_what_did_not_fit_into_the_replay_is_told() -> None:
    """With room for one second, three unsettled seconds leave two that cannot be sent again."""
    queue = make_queue(capacity=1.0)
    for start in range(0, 3000, 100):
        queue.put(audio(start, 100))
        taken(queue)
    assert queue.rewind() == 2000
    assert taken(queue) == [audio(2000, 500), audio(2500, 500)]
    assert queue.start(0.0) == 2.0


def test_time_that_was_withheld_is_no_loss() -> None:
    """A gap of one second before replayed audio does not count as lost."""
    queue = make_queue()
    queue.put(audio(0, 100))
    taken(queue)
    queue.settle(0.1)
    queue.skip(1000)
    queue.put(audio(1100, 100))
    taken(queue)
    assert queue.rewind() == 0
    assert taken(queue) == [audio(1100, 100)]
    assert queue.start(0.02) == 1.12


def test_audio_on_both_sides_of_a_gap_does_not_share_a_message() -> None:
    """Audio across a gap is not joined, because the clock could not map its second half."""
    queue = make_queue()
    queue.put(audio(0, 30))
    queue.skip(500)
    queue.put(audio(530, 70))
    assert taken(queue) == [audio(0, 30), audio(530, 70)]
    assert queue.start(0.03) == 0.53
    assert queue.end(0.03) == 0.03


def test_a_full_queue_drops_the_oldest_and_the_clock_goes_on() -> None:
    """Dropping audio does not change the times of later words."""
    queue = make_queue(capacity=1.0)
    for start in range(0, 1000, 100):
        queue.put(audio(start, 100))
    assert queue.room == 0
    assert queue.drop_oldest(150) == 200
    assert queue.room == 200
    assert positions(taken(queue)[0])[0] == 200  # type: ignore[arg-type]
    assert queue.start(0.0) == 0.2


def test_padding_is_sent_and_not_counted() -> None:
    """Padding before the first audio shifts the server's clock, and the mapping removes the shift."""
    queue = make_queue()
    assert queue.padding(0.1) == bytes(200)
    queue.put(audio(0, 50))
    taken(queue)
    assert queue.start(0.12) == 0.02
    assert queue.stream_sent == 150


class Server(RuleBasedStateMachine):
    """A server that receives audio, settles some of it, and loses its connection at random."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = make_queue(capacity=3.0)
        self.heard: List[int] = []

    @rule(frames=st.integers(1, 700))
    def speak(self, frames: int) -> None:
        if frames <= self.queue.room:
            self.queue.put(audio(self.queue.captured, frames))

    @rule(frames=st.integers(1, 400))
    def stay_silent(self, frames: int) -> None:
        self.queue.skip(frames)

    @rule()
    def ask_to_finalize(self) -> None:
        self.queue.request(FINALIZE)

    @rule(flush=st.booleans())
    def send(self, flush: bool) -> None:
        piece = self.queue.take(flush=flush)
        if isinstance(piece, bytes):
            assert 0 < len(piece) // 2 <= 500
            self.heard += positions(piece)

    @precondition(lambda self: self.heard)
    @rule(part=st.floats(0, 1))
    def settle(self, part: float) -> None:
        index = int(part * (len(self.heard) - 1))
        self.queue.settle(self.queue.end((index + 1) / RATE))

    @rule()
    def answer(self) -> None:
        self.queue.answer()

    @rule()
    def lose_the_connection(self) -> None:
        self.queue.rewind()
        self.heard = []

    @invariant()
    def the_marks_keep_their_order(self) -> None:
        assert self.queue.settled <= self.queue.sent <= self.queue.captured

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert self.queue.unsettled_seconds <= 3.0 + 1e-9

    @invariant()
    def the_clock_knows_every_frame(self) -> None:
        for index in {0, len(self.heard) // 2, len(self.heard) - 1} if self.heard else ():
            assert self.queue.start(index / RATE) == pytest.approx(self.heard[index] % 65536 / RATE, abs=1e-6)

    @invariant()
    def one_connection_hears_nothing_twice_and_nothing_late(self) -> None:
        assert self.heard == sorted(set(self.heard))


Server.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestServer = Server.TestCase


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_over_any_cuts_every_frame_is_heard_or_told(data: st.DataObject) -> None:
    """Connections break at random. Settled audio and the audio of the last connection are complete."""
    queue = make_queue(capacity=2.0)
    settled_by_server: List[int] = []
    heard: List[int] = []
    lost = 0
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["speak", "send", "settle", "cut"]))
        if action == "speak":
            frames = min(queue.room, data.draw(st.integers(1, 300)))
            queue.put(audio(queue.captured, frames))
        elif action == "send":
            piece = queue.take()
            heard += positions(piece) if isinstance(piece, bytes) else []
        elif action == "settle" and heard:
            count = data.draw(st.integers(1, len(heard)))
            queue.settle(queue.end(count / RATE) if count else 0)
            settled_by_server = sorted({*settled_by_server, *heard[:count]})
        elif action == "cut":
            lost += queue.rewind()
            heard = []
    queue.request(END)
    for piece in taken(queue):
        heard += positions(piece) if isinstance(piece, bytes) else []
        assert isinstance(piece, (bytes, Mark))
    assert len({*settled_by_server, *heard}) + lost == queue.captured
