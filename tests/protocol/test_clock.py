"""The mapping from the server's seconds to the session's."""

from hypothesis import given
from hypothesis import strategies as st

from slng_sync.protocol.clock import StreamClock


def test_a_first_connection_counts_like_the_session() -> None:
    """Without a gap the server's seconds equal the session's exactly."""
    clock = StreamClock(16000)
    assert clock.start(0.1 + 0.2) == 0.1 + 0.2
    assert clock.end(3600.04) == 3600.04


def test_a_later_connection_begins_where_the_audio_begins() -> None:
    """A connection that begins with the audio of 0.76 s adds 0.76 s."""
    clock = StreamClock(16000, origin=12160)
    assert clock.start(0.04) == 0.8
    assert clock.end(3.06) == 3.82


def test_a_gap_moves_what_begins_at_it_and_leaves_what_ends_at_it() -> None:
    """After one second of the stream follows the audio of second 5.

    A word ends at 1.0, the next begins at 5.0.
    """
    clock = StreamClock(1000)
    clock.anchor(1000, 5000)
    assert clock.end(1.0) == 1.0
    assert clock.start(1.0) == 5.0
    assert clock.end(1.5) == 5.5


def test_silence_put_into_the_stream_takes_no_time() -> None:
    """Words after 100 ms of padding keep the times of their audio."""
    clock = StreamClock(1000)
    clock.anchor(100, 0)
    assert clock.start(0.05) == 0.0
    assert clock.start(0.1) == 0.0
    assert clock.start(0.35) == 0.25


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=30),
    st.lists(st.floats(0, 20), min_size=2, max_size=10),
)
def test_later_in_the_stream_is_later_in_the_session(pieces: list, moments: list) -> None:
    """For any sent and skipped audio, times never go backwards and are never before the origin."""
    clock = StreamClock(1000, origin=250)
    stream = session = 0
    for sent, skipped in pieces:
        stream += sent
        session += sent + skipped
        clock.anchor(stream, 250 + session)
    starts = [clock.start(moment) for moment in sorted(moments)]
    assert starts == sorted(starts)
    assert starts[0] >= 0.25
    assert all(clock.end(moment) <= clock.start(moment) + 1e-6 for moment in moments)
