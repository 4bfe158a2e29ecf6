"""Measures one client: a process with so many streams at the pace of speech. Prints one line of JSON.

python tests/benchmarks/worker.py slng-soniox --port 12345 --sessions 100 --chunk-ms 50 --seconds 20
"""

import argparse
import json
import os
import resource
import struct
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List

from clients import CLIENTS

BYTES_PER_SECOND = 32000
WARM_UP = 3.0


def feed(send: Callable[[bytes], None], pause: float, share: float, over: threading.Event) -> None:
    """Send chunks of ``pause`` seconds at their times, by a share of that later than others."""
    rest = os.urandom(int(BYTES_PER_SECOND * pause) - 8)
    due = time.monotonic() + pause * (1 + share)
    while not over.is_set():
        time.sleep(max(0.0, due - time.monotonic()))
        send(struct.pack("<Q", time.monotonic_ns()) + rest)
        due += pause


class Streams:
    """The streams, and a thread for each that feeds it as a microphone would."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.delays: List[int] = []
        self.over = threading.Event()
        self.clients = [CLIENTS[args.client](args.port, self.answered) for _ in range(args.sessions)]
        # Spread over the time of a chunk.
        self.threads = [
            threading.Thread(
                target=feed, args=(client.send, args.chunk_ms / 1000, number / args.sessions, self.over)
            )
            for number, client in enumerate(self.clients)
        ]

    def answered(self, stamp: int) -> None:
        """What the user's callback does."""
        self.delays.append(time.monotonic_ns() - stamp)

    def measure(self) -> Dict[str, Any]:
        """CPU of the whole process over the time of measuring, delays, memory, threads."""
        for thread in self.threads:
            thread.start()
        time.sleep(WARM_UP)
        self.wire_delays()
        self.delays = []
        begun, cpu = time.monotonic(), time.process_time()
        switches = _switches()
        time.sleep(self.args.seconds)
        cpu, took = time.process_time() - cpu, time.monotonic() - begun
        switches = _switches() - switches
        result = {
            "client": self.args.client,
            "sessions": self.args.sessions,
            "chunk_ms": self.args.chunk_ms,
            "cpu_per_hour": cpu / took / self.args.sessions * 3600,
            "switches_per_second": switches / took / self.args.sessions,
            "to_callback_ms": _quantiles(self.delays),
            "to_wire_ms": _quantiles(self.wire_delays()),
            "answers": len(self.delays) / took / self.args.sessions,
            "memory_mb": _status("VmRSS") / 1024,
            "threads": _status("Threads"),
        }
        self.over.set()
        for thread in self.threads:
            thread.join()
        return result

    def wire_delays(self) -> List[int]:
        """What the server has measured since it was asked last."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.args.port}/delays") as answer:
            delays: List[int] = json.load(answer)
        return delays


def _quantiles(delays: List[int]) -> Dict[str, float]:
    ordered = sorted(delays) or [0]
    return {
        "p50": ordered[len(ordered) // 2] / 1e6,
        "p99": ordered[int(len(ordered) * 0.99)] / 1e6,
        "max": ordered[-1] / 1e6,
    }


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--chunk-ms", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--close", action="store_true", help="end the streams in order as well")
    args = parser.parse_args()
    streams = Streams(args)
    print(json.dumps(streams.measure()), flush=True)
    if args.close:
        for client in streams.clients:
            client.close()
    os._exit(0)


if __name__ == "__main__":
    main()
