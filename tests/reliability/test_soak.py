"""A long, fast session with repeated cuts: nothing is lost, and memory, threads and descriptors do not grow.

A client keeps to the gateway's message limit. With messages of half a second it allows about twelve times
the speed of speech, after a burst of 25 s at the beginning of each connection. With a cut every 26 s of audio
most audio is sent in bursts, so an hour with 140 cuts takes about a minute. The default is five minutes of
audio, and an hour with ``SLNG_NIGHTLY=1``.
"""

import gc
import os
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple

import pytest
from test_reconnect import assert_all_heard

from slng_sync import AudioLost, Closed, Dialect, Reconnected, SlngError, Transcript
from slng_sync.gateway import Faults, Script, Trouble

NIGHTLY = os.environ.get("SLNG_NIGHTLY", "") not in ("", "0")
MINUTES = 60 if NIGHTLY else 5
CUT_EVERY = 26.0


class Usage(NamedTuple):
    """The resources of the process. ``memory``: bytes allocated by the package without its gateway."""

    memory: int
    threads: int
    descriptors: int
    resident: int


class Quiet:
    """A callback that keeps only what the test checks, so that its own memory does not matter.

    It copies finals without their raw messages.
    """

    def __init__(self) -> None:
        self.items: List[Any] = []
        self.losses = self.reconnects = 0
        self.errors: List[SlngError] = []
        self.last: Any = None

    def __call__(self, item: Any) -> None:
        self.last = item
        if isinstance(item, Transcript) and item.is_final:
            self.items.append(Transcript(item.text, True, item.start, item.end, words=item.words))
        elif isinstance(item, SlngError):
            self.errors.append(item)
        self.losses += isinstance(item, AudioLost)
        self.reconnects += isinstance(item, Reconnected)


def usage() -> Usage:
    """Measure the resources. Without /proc, descriptors and resident memory are 0."""
    import slng_sync

    gc.collect()
    folder = Path(slng_sync.__file__).parent
    kept = [
        tracemalloc.Filter(True, str(folder / "*.py")),
        tracemalloc.Filter(False, str(folder / "gateway" / "*.py")),
    ]
    found = tracemalloc.take_snapshot().filter_traces(kept).statistics("filename")
    proc = Path("/proc/self")
    descriptors = len(list((proc / "fd").iterdir())) if proc.exists() else 0
    pages = int((proc / "statm").read_text().split()[1]) if proc.exists() else 0
    return Usage(sum(each.size for each in found), threading.active_count(), descriptors, pages * 4096)


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace allocations during the test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def faults_for_connection(number: int) -> Faults:
    """Return the faults of a connection, which is cut in one of three ways."""
    kinds = [Trouble.drop(CUT_EVERY), Trouble.close(CUT_EVERY, 1011), Trouble.close(CUT_EVERY, 1001)]
    return Faults(trouble=kinds[number % 3])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("traced")
def test_a_long_session(way: Any, dialect: Dialect) -> None:
    """Every word comes once, with the right time. Memory, threads and descriptors do not grow."""
    seconds = MINUTES * 60
    script = Script.numbered(seconds * 2, utterance=8)
    heard = Quiet()
    measured: List[Usage] = []
    begun = time.monotonic()
    with way.gateway(script, faults_for_connection, keep_audio=0) as server:
        client = way.client(server.url, dialect, heard, chunk_seconds=0.5)
        with client.listen() as session:
            for at in range(seconds + 1):
                session.send(script.audio(1.0, session.audio_format, start=at))
                # Stay well below the buffer's size. The case of a full buffer is in test_full_buffer.py.
                while session.stats.buffered > 20:
                    time.sleep(0.01)
                if at and at % (seconds // 4) == 0:
                    # The gateway records every message, which must not count as growth.
                    for each in server.connections[:-1]:
                        each.frames.clear()
                        each.sent.clear()
                    measured.append(usage())
            session.finalize(timeout=30)
        stats = session.stats
        assert server.breaches == []
    print(f"{MINUTES} min of audio in {time.monotonic() - begun:.0f} s, {heard.reconnects} cuts, {stats}")
    print(*measured, sep="\n")
    assert_all_heard(heard, script, len(script.words))  # type: ignore[arg-type]
    assert heard.errors == [] and heard.losses == 0 and stats.lost == 0
    assert heard.last == Closed(complete=True)
    assert heard.reconnects >= seconds / CUT_EVERY - 2
    first, last = measured[0], measured[-1]
    # The transcript itself grows by two words per second, each with its times.
    words = 2 * seconds * 3 / 4
    assert last.memory - first.memory < 1_000_000 + 1000 * words
    assert last.threads <= first.threads + 1
    assert last.descriptors <= first.descriptors + 4
    assert last.resident - first.resident < 100_000_000
