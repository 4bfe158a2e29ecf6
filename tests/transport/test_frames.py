"""What a server may send, and what none should: frames in all shapes, within bounded memory."""

import json
import struct
import threading
import time
import tracemalloc
from typing import Any, Callable, List, Tuple, Type

import pytest
from loopback import (
    BINARY,
    CLOSE,
    LONG,
    PING,
    PONG,
    SECOND,
    TEXT,
    Gateway,
    Peer,
    RawServer,
    Told,
    Took,
    after_upgrade,
    client,
    end_of,
    final,
    frame,
    frame_head,
    polite,
)
from websockets.asyncio.server import ServerConnection

from slng_sync import Closed, ConnectionLost, ProtocolError, Reson8, Session, SlngError

MEGABYTE = 1 << 20
CONT = 0


def heard(said: bytes, *, enough: Callable[[Told], bool]) -> Tuple[Told, Session]:
    """What a client hears of a server that says this and then goes on as a polite one."""
    told = Told()

    def talk(peer: Peer) -> None:
        peer.say(said)
        polite(peer)

    with RawServer(after_upgrade(talk)) as server:
        with client(server.url, **told.callbacks).listen() as session:
            told.wait_for(lambda: enough(told))
    assert told.errors == []
    return told, session


def ended_by(talk: Callable[[Peer], Any], *, told_to: str = "wait", **options: Any) -> SlngError:
    """What ends a session whose server does this after the upgrade; it is told once, and nobody hangs."""
    with RawServer(after_upgrade(talk)) as server, Took(less_than=LONG):
        if told_to == "wait":
            return end_of(client(server.url, **options).listen())
        told = Told()
        with client(server.url, **told.callbacks, **options).listen() as session:
            told.wait_for(lambda: any(isinstance(event, Closed) for event in told.events))
            session.wait(LONG)
    (error,) = told.errors
    return error


class Bounded:
    """Bounds the memory that Python takes inside the ``with``."""

    def __init__(self, megabytes: int) -> None:
        self._bound = megabytes

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, kind: Any, *_: object) -> None:
        peak = tracemalloc.get_traced_memory()[1] / MEGABYTE
        tracemalloc.stop()
        assert kind is not None or peak < self._bound, f"it took {peak:.1f} MiB, not under {self._bound}"


class TestWelcome:
    def test_a_message_in_pieces(self) -> None:
        """A message may come in fragments, cut anywhere, with control frames in between."""
        words = json.dumps(final("größer"), ensure_ascii=False).encode()
        pieces = [words[at : at + 1] for at in range(len(words))]
        said = frame(b"", TEXT, fin=False)
        for piece in pieces:
            said += frame(piece, CONT, fin=False) + frame(b"still there?", PING)
        said += frame(b"", CONT)
        heard(said, enough=lambda told: told.finals == ["größer"])

    def test_thousands_of_tiny_pieces(self) -> None:
        """A message of ten thousand fragments is one message."""
        words = "x" * 10000
        whole = json.dumps(final(words)).encode()
        said = frame(whole[:1], TEXT, fin=False)
        said += b"".join(frame(whole[at : at + 1], CONT, fin=False) for at in range(1, len(whole)))
        heard(said + frame(b"", CONT), enough=lambda told: told.finals == [words])

    def test_a_frame_in_drops(self) -> None:
        """A frame that comes byte by byte is heard when it is whole."""
        told = Told()

        def talk(peer: Peer) -> None:
            for byte in frame(final("slow " * 50)):
                peer.say(bytes([byte]))
            polite(peer)

        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, **told.callbacks).listen():
                told.wait_for(lambda: len(told.finals) == 1)
        assert told.finals == [("slow " * 50).strip()]

    @pytest.mark.parametrize("payload", [b"", b"\0\xff beat", b"x" * 125])
    def test_a_ping_is_answered(self, payload: bytes) -> None:
        """A ping is answered with its own payload."""
        answers: List[bytes] = []

        def talk(peer: Peer) -> None:
            peer.say(frame(payload, PING))
            answers.append(peer.read_until(PONG))
            peer.say(frame(final("thanks")))
            polite(peer)

        told = Told()
        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, **told.callbacks).listen():
                told.wait_for(lambda: told.finals == ["thanks"])
        assert answers == [payload]

    def test_pings_are_answered_while_a_callback_takes_its_time(self) -> None:
        """A callback that does not return keeps nobody from answering pings and sending audio."""
        answered, spoken = threading.Event(), threading.Event()

        def talk(peer: Peer) -> None:
            peer.say(frame(final("now wait")) + frame(b"1", PING))
            peer.read_until(PONG)
            answered.set()
            peer.read_until(BINARY)
            spoken.set()
            polite(peer)

        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, on_final=lambda transcript: spoken.wait(LONG)).listen() as session:
                assert answered.wait(LONG)
                session.send(SECOND)
                assert spoken.wait(LONG)

    def test_pongs_that_nobody_asked_for(self) -> None:
        """A pong out of the blue is ignored."""
        heard(frame(b"hm", PONG) + frame(final("one")), enough=lambda told: told.finals == ["one"])

    def test_a_masked_frame(self) -> None:
        """A server should not mask; a client that hears it all the same loses nothing, or says why."""
        told = Told()

        def talk(peer: Peer) -> None:
            peer.say(frame(final("one"), mask=True))
            polite(peer)

        with RawServer(after_upgrade(talk)) as server:
            session = client(server.url, **told.callbacks).listen()
            told.wait_for(lambda: bool(told.finals or told.errors))
            session.close()
        assert told.finals == ["one"] or isinstance(told.errors[0], ProtocolError)

    def test_a_message_just_under_the_bound(self) -> None:
        """A message of 4 MB is still read."""
        words = "x" * (4 * MEGABYTE - 200)
        heard(frame(final(words)), enough=lambda told: told.finals == [words])


class TestIgnored:
    @pytest.mark.parametrize(
        "ignored",
        [
            frame(b"junk"),
            frame(b""),
            frame(b"[1, 2]"),
            frame(b"null"),
            frame(b'"text"'),
            frame(b'{"tokens": '),
            frame(b"\xff\xfe\xfd"),
            frame(b'{"tokens": [{"text": "\xc3\x28", "is_final": true}]}'),
            frame(b'{"cut": "\xe2\x82'),
            frame(b"[" * 200_000),
            frame(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
            frame(b'{"number": ' + b"9" * 5000 + b".5e9}x"),
            frame(b"\1\2\3\4", BINARY),
            frame(b"", BINARY),
            frame(json.dumps(final("not as binary")).encode(), BINARY),
            frame(b"\xef\xbb\xbf{}"),
        ],
        ids=lambda ignored: repr(ignored[:24]),
    )
    def test_what_is_no_message_is_counted(self, ignored: bytes) -> None:
        """Junk, odd JSON, bytes that are no text, binary: counted, and the next frame is heard."""
        _, session = heard(ignored + frame(final("one")), enough=lambda told: told.finals == ["one"])
        assert session.stats.ignored_frames == 1

    @pytest.mark.parametrize(
        "unknown",
        [
            {},
            {"type": "news", "payload": [1, {"2": 3}]},
            {"type": None, "tokens": None},
            {"tokens": [None, 5, {"text": None}, {"text": 7, "is_final": True}, {"is_final": True}]},
            {"tokens": {"text": "odd"}, "final_audio_proc_ms": "x", "total_audio_proc_ms": -1},
            {"final_audio_proc_ms": 1e308, "tokens": []},
            {"type": 5, "data": []},
        ],
    )
    def test_unknown_messages_do_no_harm(self, unknown: Any) -> None:
        """Objects that nobody knows, or with values of other types, change nothing."""
        heard(frame(unknown) + frame(final("one")), enough=lambda told: "one" in told.finals)

    def test_numbers_that_are_none(self) -> None:
        """NaN and infinity, which JSON does not have, do no harm."""
        said = b'{"tokens": [{"text": "a", "start_ms": NaN, "end_ms": Infinity, "confidence": -Infinity}]}'
        heard(frame(said) + frame(final("one")), enough=lambda told: "one" in told.finals[-1:])


class TestClosed:
    def test_code_and_reason_are_told(self) -> None:
        """A close that nobody asked for is a lost connection, with the code and the words of the server."""
        error = ended_by(lambda peer: (peer.say(close(4001, "quota exceeded")), peer.wait_gone()))
        assert isinstance(error, ConnectionLost)
        assert (error.code, error.reason) == (4001, "quota exceeded")
        assert "4001" in str(error) and "quota exceeded" in str(error)

    def test_it_is_told_to_on_error(self) -> None:
        """With ``on_error`` the error goes there, and neither ``wait`` nor leaving the ``with`` raises it."""
        error = ended_by(lambda peer: (peer.say(close(1011, "")), peer.wait_gone()), told_to="on_error")
        assert isinstance(error, ConnectionLost)
        assert (error.code, error.reason) == (1011, "")

    def test_the_close_is_answered_once(self) -> None:
        """The client answers a close frame with one of its own, and then hangs up."""
        frames: List[int] = []

        def talk(peer: Peer) -> None:
            peer.say(close(1001, "going away"))
            try:
                while True:
                    frames.append(peer.read_frame()[0])
            except EOFError:
                pass

        ended_by(talk)
        assert frames.count(CLOSE) == 1

    def test_a_close_without_a_code(self) -> None:
        """A close frame without a code counts as 1005, as the standard says."""
        error = ended_by(lambda peer: (peer.say(frame(b"", CLOSE)), peer.wait_gone()))
        assert isinstance(error, ConnectionLost)
        assert error.code == 1005

    @pytest.mark.parametrize("payload", [b"\x03", struct.pack("!H", 1005), struct.pack("!H", 1006), b"\0\0"])
    def test_a_close_that_is_none(self, payload: bytes) -> None:
        """A close frame of one byte, or with a code that must not be sent, ends the session as well."""
        error = ended_by(lambda peer: (peer.say(frame(payload, CLOSE)), peer.wait_gone()))
        assert isinstance(error, (ProtocolError, ConnectionLost))

    def test_a_reason_that_is_no_text(self) -> None:
        """A reason that is not UTF-8 is shown as far as it goes."""
        payload = struct.pack("!H", 1011) + b"bad \xff\xfe"
        error = ended_by(lambda peer: (peer.say(frame(payload, CLOSE)), peer.wait_gone()))
        assert isinstance(error, (ProtocolError, ConnectionLost))

    def test_words_before_the_close_are_heard(self) -> None:
        """What came before a close is delivered before the error."""
        told = Told()

        def talk(peer: Peer) -> None:
            peer.say(frame(final("last words")) + close(1011, "gone"))
            peer.wait_gone()

        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, **told.callbacks).listen() as session:
                session.wait(LONG)
        assert told.finals == ["last words"]
        assert [type(error) for error in told.errors] == [ConnectionLost]

    def test_nothing_after_the_close_is_heard(self) -> None:
        """Frames behind a close frame do not exist."""
        told = Told()

        def talk(peer: Peer) -> None:
            peer.say(close(1011, "gone") + frame(final("ghost")))
            peer.wait_gone()

        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, **told.callbacks).listen() as session:
                session.wait(LONG)
        assert told.finals == []

    @pytest.mark.parametrize("farewell", [Peer.reset, lambda peer: None], ids=["reset", "end"])
    @pytest.mark.parametrize("before", [b"", frame(final("one"))[:7]], ids=["between frames", "in a frame"])
    def test_a_connection_that_breaks(self, farewell: Callable[[Peer], None], before: bytes) -> None:
        """A reset, or an end without a close frame, is 1006."""
        error = ended_by(lambda peer: (peer.say(before), farewell(peer)))
        assert isinstance(error, ConnectionLost)
        assert error.code == 1006
        assert error.retryable

    def test_words_before_a_break_are_heard(self) -> None:
        """What came before the connection ended without a word is delivered."""
        told = Told()
        with RawServer(after_upgrade(lambda peer: peer.say(frame(final("last words"))))) as server:
            with client(server.url, **told.callbacks).listen() as session:
                session.wait(LONG)
        assert told.finals == ["last words"]

    def test_a_reset_while_audio_is_sent(self) -> None:
        """A reset in the middle of speech reaches whoever sends, or ``wait``, once."""

        def talk(peer: Peer) -> None:
            peer.read_until(BINARY)
            peer.reset()

        with RawServer(after_upgrade(talk)) as server, Took(less_than=LONG):
            session = client(server.url).listen()
            with pytest.raises(ConnectionLost) as caught:
                for _ in range(100000):
                    session.send(bytes(3200))
                session.wait(LONG)
            session.wait(LONG)
            session.close()
        assert caught.value.unsettled > 0


class TestBroken:
    @pytest.mark.parametrize(
        "broken",
        [
            frame(final("one"), rsv=4),
            frame(b"x", rsv=2),
            frame(b"x", rsv=1),
            frame(b"x", 3),
            frame(b"x", 7),
            frame(b"x", 11),
            frame(b"x", 15),
            frame(b"x", PING, fin=False),
            frame(b"x" * 126, PING),
            frame(b"x" * 126, CLOSE),
            frame(b"x", CONT),
            frame(b"{", TEXT, fin=False) + frame(b"}", TEXT),
            frame_head(1 << 30),
            frame_head(1 << 62),
            b"\x81\x7f" + b"\xff" * 8,
            frame_head(4 * MEGABYTE + 1),
            frame_head(4 * MEGABYTE + 1, PING),
        ],
        ids=lambda broken: broken[:10].hex(),
    )
    def test_a_broken_frame_ends_the_session(self, broken: bytes) -> None:
        """Reserved bits, unknown opcodes, pieces in disorder, absurd lengths: a ProtocolError, at once."""
        error = ended_by(lambda peer: (peer.say(broken), peer.wait_gone()))
        assert type(error) is ProtocolError
        assert error.retryable

    def test_it_is_told_to_on_error(self) -> None:
        """With ``on_error`` a ProtocolError goes there, once."""
        error = ended_by(lambda peer: (peer.say(frame(b"x", 3)), peer.wait_gone()), told_to="on_error")
        assert type(error) is ProtocolError

    def test_words_before_a_broken_frame_are_heard(self) -> None:
        """What came in one packet with a broken frame, but before it, is delivered."""
        told = Told()

        def talk(peer: Peer) -> None:
            peer.say(frame(final("last words")) + frame(b"x", 3))
            peer.wait_gone()

        with RawServer(after_upgrade(talk)) as server:
            with client(server.url, **told.callbacks).listen() as session:
                session.wait(LONG)
        assert [type(error) for error in told.errors] == [ProtocolError]
        assert told.finals == ["last words"]

    def test_a_gigabyte_is_not_waited_for(self) -> None:
        """A frame of 1 GiB is refused when it is announced, not when it is there."""
        with Bounded(32):
            error = ended_by(lambda peer: (peer.say(frame_head(1 << 30)), peer.flood(b"x" * 65536)))
        assert type(error) is ProtocolError
        assert str(1 << 30) in str(error)

    @pytest.mark.parametrize(
        "piece", [frame(b"x" * 1000, CONT, fin=False), frame(b"x" * 65536, CONT, fin=False)], ids=len
    )
    def test_an_endless_message(self, piece: bytes) -> None:
        """A message whose pieces do not end is refused once it is too long."""

        def talk(peer: Peer) -> None:
            peer.say(frame(b"{", TEXT, fin=False))
            peer.flood(piece * (65536 // len(piece) + 1))

        with Bounded(48):
            error = ended_by(talk)
        assert type(error) is ProtocolError

    def test_an_endless_message_of_nothing(self) -> None:
        """A message of endless empty pieces is refused once there are too many."""

        def talk(peer: Peer) -> None:
            peer.say(frame(b"{", TEXT, fin=False))
            peer.flood(frame(b"", CONT, fin=False) * 20000)

        with Bounded(64):
            error = ended_by(talk)
        assert type(error) is ProtocolError

    def test_reson8_before_it_is_ready(self) -> None:
        """A frame that breaks the protocol before the session has begun is raised by ``listen``."""

        def talk(peer: Peer) -> None:
            peer.say(frame(b"x", 3))
            peer.wait_gone()

        with RawServer(after_upgrade(talk)) as server, pytest.raises(SlngError) as caught:
            client(server.url, model=Reson8()).listen()
        assert isinstance(caught.value, ProtocolError)


class TestFloods:
    def test_pings_without_reading(self) -> None:
        """A server that floods with pings and never reads takes little memory, and cannot prevent the end."""
        with RawServer(after_upgrade(lambda peer: peer.flood(frame(b"x" * 125, PING) * 500))) as server:
            session = client(server.url).listen()
            with Bounded(32), Took(less_than=LONG):
                session.send(SECOND)
                threading.Event().wait(1.0)
                session.close(1.0)

    def test_words_without_end(self) -> None:
        """A server that never stops talking cannot prevent the end either."""
        said = frame({"tokens": [{"text": "a", "is_final": False}]}) * 200
        with RawServer(after_upgrade(lambda peer: peer.flood(said))) as server:
            session = client(server.url).listen()
            session.send(SECOND)
            threading.Event().wait(0.5)
            with Took(less_than=LONG):
                session.close(1.0)

    @pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
    def test_a_flood_of_nothing_does_not_stop_the_sender(self, opcode: int) -> None:
        """While empty frames pour in, who sends audio hardly waits, and ``close`` keeps to its timeout."""
        longest = 0.0
        with RawServer(after_upgrade(lambda peer: peer.flood(frame(b"", opcode) * 5000))) as server:
            session = client(server.url).listen()
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                began = time.monotonic()
                session.send(bytes(320))
                longest = max(longest, time.monotonic() - began)
                threading.Event().wait(0.01)
            with Took(less_than=3):
                session.close(1.0)
            session.wait(LONG)
        assert longest < 1.0

    def test_a_slow_callback_sees_every_final(self) -> None:
        """A callback slower than the server misses partials, never a final."""
        count = 2000

        async def talk(websocket: ServerConnection, gateway: Gateway) -> None:
            await websocket.recv()
            for number in range(count):
                await websocket.send('{"tokens":[{"text":"guess","is_final":false}]}')
                await websocket.send(json.dumps(final(str(number))))
            async for message in websocket:
                if "finalize" in str(message):
                    await websocket.send('{"tokens":[{"text":"<fin>","is_final":true}]}')
                elif isinstance(message, str):
                    await websocket.send('{"tokens":[],"finished":true}')
                    return

        told = Told()
        with Gateway(talk) as gateway:
            with client(gateway.url, **told.callbacks).listen() as session:
                session.send(SECOND)
                told.wait_for(lambda: len(told.finals) == count)
        assert told.finals == [str(number) for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "said"),
    [(ConnectionLost, b""), (ProtocolError, frame(b"x", 3)), (ConnectionLost, frame(b"\x03\xf3", CLOSE))],
)
def test_leaving_the_with_raises_what_nobody_was_told(kind: Type[SlngError], said: bytes) -> None:
    """Without ``on_error``, the end of the ``with`` raises what ended the session."""
    over = threading.Event()

    def note(event: Any) -> None:
        if isinstance(event, Closed):
            over.set()

    with RawServer(after_upgrade(lambda peer: peer.say(said))) as server:
        with pytest.raises(kind):
            with client(server.url, on_event=note).listen() as session:
                assert over.wait(LONG)
        session.close()
        session.wait(LONG)


def close(code: int, reason: str) -> bytes:
    """A close frame."""
    return frame(struct.pack("!H", code) + reason.encode(), CLOSE)
