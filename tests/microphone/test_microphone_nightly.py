"""Ten minutes of a microphone, compared sample by sample. Runs with SLNG_NIGHTLY=1."""

import os

import numpy
import pytest
from virtual_microphone import VirtualMicrophone

from slng_sync.events import Event
from slng_sync.microphone.microphone import Microphone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif("SLNG_NIGHTLY" not in os.environ, reason="takes ten minutes; set SLNG_NIGHTLY=1"),
]


def test_ten_minutes_are_complete_without_a_reported_loss() -> None:
    noise = numpy.random.default_rng(1).integers(-9000, 9000, 600 * 16000).astype("<i2").tobytes()
    microphone = Microphone()
    captured, events, rest = bytearray(), [], 32000
    with VirtualMicrophone() as virtual:
        player = None
        for item in microphone.with_events():
            if isinstance(item, Event):
                events.append(item)
                continue
            captured += item
            player = player or virtual.play_pcm(noise)
            if player.poll() is not None:
                rest -= len(item)
                if rest <= 0:
                    microphone.stop()
        microphone.join(5)
    assert noise in bytes(captured)
    assert events == []
