"""Ten minutes of a microphone, to the bit: SLNG_NIGHTLY=1."""

import os

import numpy
import pytest
from virtual_microphone import VirtualMicrophone

from slng_sync.events import Event
from slng_sync.microphone.microphone import Microphone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif("SLNG_NIGHTLY" not in os.environ, reason="ten minutes: SLNG_NIGHTLY=1 runs it"),
]


def test_ten_minutes_come_whole_and_nothing_is_said_to_be_lost() -> None:
    noise = numpy.random.default_rng(1).integers(-9000, 9000, 600 * 16000).astype("<i2").tobytes()
    microphone = Microphone()
    heard, events, rest = bytearray(), [], 32000
    with VirtualMicrophone() as virtual:
        player = None
        for item in microphone.hear():
            if isinstance(item, Event):
                events.append(item)
                continue
            heard += item
            player = player or virtual.play_pcm(noise)
            if player.poll() is not None:
                rest -= len(item)
                if rest <= 0:
                    microphone.stop()
        microphone.join(5)
    assert noise in bytes(heard)
    assert events == []
