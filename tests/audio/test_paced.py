import threading
import time
from typing import Any

import pytest

from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import ConfigurationError

SECOND = bytes(range(250)) * 128


@pytest.mark.parametrize("speed", [1.0, 4, float("inf")])
def test_no_chunk_comes_before_it_is_due(speed: float) -> None:
    source = as_source(SECOND[:6400], speed=speed)
    start = time.monotonic()
    for position, chunk in enumerate(source):
        assert time.monotonic() - start >= position * 0.05 / speed
        assert chunk == SECOND[position * 1600 : position * 1600 + 1600]
    assert position == 3


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_chunks_are_whole_frames_of_50_ms(rate: int) -> None:
    audio_format = AudioFormat(rate, 2)
    pcm = bytes(rate * 4)
    chunks = list(as_source(pcm, sample_rate=rate, channels=2, speed=float("inf")))
    assert b"".join(chunks) == pcm  # type: ignore[arg-type]
    assert {len(chunk) for chunk in chunks[:-1]} == {audio_format.frames(0.05) * 4}


def test_stop_ends_the_wait_for_the_next_chunk() -> None:
    source: Any = as_source(SECOND, speed=0.0001)
    received = []
    started = threading.Event()

    def read() -> None:
        for chunk in source:
            received.append(chunk)
            started.set()

    thread = threading.Thread(target=read)
    thread.start()
    started.wait()
    source.stop()
    thread.join()
    assert received == [SECOND[:1600]]


def test_stop_before_the_first_chunk_ends_that_iteration_and_not_the_next() -> None:
    source: Any = as_source(SECOND, speed=float("inf"))
    chunks = iter(source)
    source.stop()
    assert list(chunks) == []
    assert b"".join(source) == SECOND


@pytest.mark.parametrize("speed", [0, -1, float("nan"), True, "2", None])
def test_an_invalid_speed_is_refused(speed: Any) -> None:
    with pytest.raises(ConfigurationError, match="speed must be a number above 0"):
        as_source(SECOND, speed=speed)
