"""Hundreds of cuts of every kind: every word comes once, in order, with the right time.

``tests/end_to_end/test_reconnect.py`` makes a dozen cuts per seed on a plain connection. The tests here use
other seeds, and TLS too. With ``SLNG_NIGHTLY=1`` each run draws new seeds and makes hundreds of cuts.
``SLNG_SEED=n`` repeats one. A failure prints its seed.
"""

import os
import random
from typing import Any, List

import pytest
from heard import Heard
from test_reconnect import assert_all_heard, faults_from, speak

from slng_sync import AudioLost, Closed, Dialect
from slng_sync.gateway import Script
from slng_sync.protocol import backoff as retry

NIGHTLY = os.environ.get("SLNG_NIGHTLY", "") not in ("", "0")
CUTS = 50 if NIGHTLY else 8
SECONDS_PER_CUT = 6.0


def seeds() -> List[int]:
    """Return the seeds to try: the given one, new ones at night, else always the same."""
    asked = os.environ.get("SLNG_SEED")
    if asked:
        return [int(asked)]
    return [random.SystemRandom().randrange(10**6) for _ in range(3)] if NIGHTLY else [101]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds())
def test_many_cuts(way: Any, dialect: Dialect, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With resets, closes, stalls, mute servers, refused upgrades and odd messages, every word comes once."""
    # Some seeds fail many times in a row, and would wait half a minute each time.
    monkeypatch.setattr(retry, "LONGEST", 1.0)
    rng = random.Random(seed)
    seconds = CUTS * SECONDS_PER_CUT
    script = Script.numbered(int(seconds * 2), utterance=rng.choice([3, 7, 20]))
    heard = Heard()
    print(f"SLNG_SEED={seed}")
    with way.gateway(script, faults_from(rng, CUTS)) as server:
        client = way.client(
            server.url,
            dialect,
            heard,
            max_attempts=200,
            ping_interval=0.5,
            ping_timeout=0.5,
            # Room for all of the audio. The case of a full buffer is in test_full_buffer.py.
            buffer_seconds=3600,
        )
        with client.listen() as session:
            speak(session, script, seconds + 1.0, piece=rng.choice([0.05, 0.1, 0.25]))
            assert session.finalize(timeout=300)
        assert server.breaches == []
        print(f"{len(server.connections)} connections")
    assert_all_heard(heard, script, len(script.words))
    assert heard.of(AudioLost) == [] and heard.errors == []
    assert heard.items[-1] == Closed(complete=True)
