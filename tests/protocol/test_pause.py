"""Detection of pauses by loudness, and the finalize that is sent in a pause."""

import array
import json
import math
from typing import List

import pytest

from slng_sync import Reson8, Soniox
from slng_sync.audio.format import AudioFormat
from slng_sync.dialects import Dialect
from slng_sync.protocol.pause import Pause
from slng_sync.protocol.send_queue import SendQueue
from slng_sync.protocol.stream_protocol import KEPT_SECONDS, StreamProtocol, Timeouts


def tone(seconds: float, level: int = 8000) -> bytes:
    count = int(16000 * seconds)
    return array.array("h", [int(level * math.sin(at / 3)) for at in range(count)]).tobytes()


@pytest.mark.parametrize("noise", [0, 90, 900])
def test_a_pause_is_much_quieter_than_speech(noise: int) -> None:
    pause = Pause(AudioFormat())
    pause.hear(tone(1.0))
    assert pause.seconds == 0.0
    for _ in range(5):
        pause.hear(tone(0.1, noise))
    assert pause.seconds == pytest.approx(0.5)
    pause.hear(tone(0.1))
    assert pause.seconds == 0.0


def test_speech_that_becomes_softer_is_no_pause() -> None:
    pause = Pause(AudioFormat())
    pause.hear(tone(1.0))
    pause.hear(tone(1.0, 2000))
    assert pause.seconds == 0.0


class Server:
    """A server that receives a client's messages, in steps of 0.1 s."""

    def __init__(self, dialect: Dialect) -> None:
        self.now = 0.0
        self.queue = SendQueue(AudioFormat())
        self.protocol = StreamProtocol(dialect, self.queue, Timeouts(), self.now)
        self.said: List[str] = []
        self._take()
        self.protocol.handle_message({"type": "ready"}, self.now)

    def hears(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 3200):
            self.queue.put(pcm[at : at + 3200])
            self.now += 0.1
            self._take()

    def _take(self) -> None:
        while True:
            message = self.protocol.next_message(self.now)
            if message is None:
                return
            kind = "audio" if message.binary else json.loads(message.payload)["type"]
            if kind != "audio":
                self.said.append(kind)
            if kind == "finalize":
                self.at = self.queue.kept_seconds
                told = self.protocol.handle_message({"type": "flush_confirmation"}, self.now)
                assert told == [], "nobody but the client has asked"


def test_unsettled_audio_is_settled_in_a_pause_and_never_inside_speech() -> None:
    """Sixty seconds of speech with a pause after every seven. At most about fifteen seconds are kept."""
    server = Server(Reson8())
    most = 0.0
    for _ in range(8):
        server.hears(tone(7.0))
        asked = len(server.said)
        most = max(most, server.queue.kept_seconds)
        server.hears(tone(0.7, 20))
        assert server.said[asked:].count("finalize") <= 1
    assert server.said.count("finalize") >= 3
    assert most <= KEPT_SECONDS + 8.0
    assert server.queue.kept_seconds <= KEPT_SECONDS + 8.0


def test_speech_without_a_pause_is_not_cut_until_the_buffer_needs_it() -> None:
    server = Server(Reson8())
    server.hears(tone(40.0))
    assert "finalize" not in server.said
    server.hears(tone(25.0))
    assert "finalize" in server.said


def test_a_server_that_settles_by_itself_is_not_asked() -> None:
    server = Server(Soniox())
    for second in range(40):
        server.hears(tone(0.5))
        server.hears(bytes(16000))
        server.protocol.handle_message({"tokens": [], "final_audio_proc_ms": second * 1000}, server.now)
    assert "finalize" not in server.said
