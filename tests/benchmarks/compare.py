"""Compares the clients, side by side in one run: prints a table, and each figure as a ratio.

    python tests/benchmarks/compare.py                              100 sessions, chunks of 50 ms
    python tests/benchmarks/compare.py --sessions 1 100 500 --chunk-ms 20 50 100
    python tests/benchmarks/compare.py --clients slng-soniox soniox-sdk --capacity

Each client gets a process of its own in each round, the rounds take turns, and the best of them counts: what
a machine does besides can only make a figure worse. CPU is net of what feeding the streams costs by itself.
``--capacity`` looks for the number of live sessions at which p99 of a delay passes 50 ms in every round.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

from clients import CLIENTS

HERE = Path(__file__).parent
REFERENCE = "soniox-sdk"
MEMORY_REFERENCE = "websocket-client"
LIMIT_MS = 50.0
STEPS = [*range(100, 420, 20), 450, 500, 600, 700, 800, 1000]

Result = Dict[str, Any]


class Gateway:
    """The server's process, for the time of a ``with``."""

    def __enter__(self) -> "Gateway":
        self._process = subprocess.Popen(
            [sys.executable, HERE / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def measure(self, client: str, sessions: int, chunk_ms: int, seconds: float) -> Optional[Result]:
        """One run of one client; None where it does not get through."""
        command = [sys.executable, HERE / "worker.py", client, "--port", self.port]
        command += ["--sessions", sessions, "--chunk-ms", chunk_ms, "--seconds", seconds]
        try:
            done = subprocess.run(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120
            )
            result: Result = json.loads(done.stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None
        return result


def best(runs: List[Result]) -> Result:
    """The lowest of each figure."""
    lowest = dict(min(runs, key=lambda run: run["cpu_per_hour"]))
    for name in ("to_wire_ms", "to_callback_ms"):
        lowest[name] = {each: min(run[name][each] for run in runs) for each in runs[0][name]}
    lowest["memory_mb"] = min(run["memory_mb"] for run in runs)
    return lowest


def compare(gateway: Gateway, args: argparse.Namespace, sessions: int, chunk_ms: int) -> None:
    """One table."""
    runs: Dict[str, List[Result]] = {}
    for _ in range(args.rounds):
        for client in ["pacing", *args.clients]:
            result = gateway.measure(client, sessions, chunk_ms, args.seconds)
            if result is not None:
                runs.setdefault(client, []).append(result)
    results = {client: best(done) for client, done in runs.items()}
    pacing = results.pop("pacing")["cpu_per_hour"]
    reference = results[REFERENCE]["cpu_per_hour"] - pacing if REFERENCE in results else None
    memory = results[MEMORY_REFERENCE]["memory_mb"] if MEMORY_REFERENCE in results else None
    rounds = f"best of {args.rounds} rounds of {args.seconds:g} s"
    print(f"\n{sessions} sessions, {chunk_ms} ms chunks, {rounds}; delays: p50, p99\n")
    print("| client | CPU s per hour | ratio | to wire ms | to callback ms | MB | ratio | threads |")
    print("|---|---|---|---|---|---|---|---|")
    for client, result in results.items():
        cpu = result["cpu_per_hour"] - pacing
        wire, callback = result["to_wire_ms"], result["to_callback_ms"]
        print(
            f"| {client} | {cpu:.1f} | {_ratio(cpu, reference)} "
            f"| {wire['p50']:.2f}, {wire['p99']:.2f} | {callback['p50']:.2f}, {callback['p99']:.2f} "
            f"| {result['memory_mb']:.0f} | {_ratio(result['memory_mb'], memory)} | {result['threads']} |",
            flush=True,
        )


def _ratio(value: float, reference: Optional[float]) -> str:
    return f"{value / reference:.2f}" if reference else ""


def capacity(gateway: Gateway, args: argparse.Namespace, chunk_ms: int) -> None:
    """How many sessions each client holds."""
    print(f"\nSessions with p99 of both delays below {LIMIT_MS:g} ms, {chunk_ms} ms chunks\n")
    for client in args.clients:
        held = 0
        for sessions in STEPS:
            # Again where it fails, as a busy host makes one fail that would hold twice as many.
            tries = (gateway.measure(client, sessions, chunk_ms, args.seconds) for _ in range(args.rounds))
            if not any(map(_is_held, tries)):
                break
            held = sessions
        print(f"| {client} | {held} |", flush=True)


def _is_held(result: Optional[Result]) -> bool:
    return result is not None and all(
        result[name]["p99"] <= LIMIT_MS for name in ("to_wire_ms", "to_callback_ms")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the clients.")
    clients = [each for each in CLIENTS if each != "pacing"]
    parser.add_argument("--clients", nargs="+", choices=clients, default=clients)
    parser.add_argument("--sessions", nargs="+", type=int, default=[100])
    parser.add_argument("--chunk-ms", nargs="+", type=int, default=[50])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--capacity", action="store_true")
    args = parser.parse_args()
    with Gateway() as gateway:
        for chunk_ms in args.chunk_ms:
            if args.capacity:
                capacity(gateway, args, chunk_ms)
                continue
            for sessions in args.sessions:
                compare(gateway, args, sessions, chunk_ms)


if __name__ == "__main__":
    main()
