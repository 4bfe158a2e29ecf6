"""Compares two versions of this package in one process: differences of a hundredth can be told apart.

    python tests/benchmarks/versions.py BEFORE AFTER          folders with a slng_sync in each
    python tests/benchmarks/versions.py BEFORE AFTER --client slng-reson8 --rounds 10

Streams of both take turns, at random over the time of a chunk, and the kernel says what each thread has used
of the CPU: whatever a shared host does besides meets both alike. A version against itself shows how far
chance goes. Linux only.
"""

import argparse
import functools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Set, Tuple

from clients import CLIENTS
from compare import Gateway
from worker import WARM_UP, feed

TASKS = Path("/proc/self/task")
PAUSE = 0.05
GROUPS = ["pacing", "before", "after"]


def install(tree: Path, name: str, folder: Path) -> None:
    """Put a version of the package into a folder, under another name."""
    shutil.copytree(tree / "slng_sync", folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (folder / name).rglob("*.py"):
        module.write_text(module.read_text("utf-8").replace("slng_sync", name), "utf-8")


def threads() -> Set[str]:
    return {task.name for task in TASKS.iterdir()}


def cpu_seconds(tasks: List[str]) -> Dict[str, float]:
    """What each of these threads has used so far, if it is still there."""
    alive = threads()
    return {
        task: int((TASKS / task / "schedstat").read_text().split()[0]) / 1e9
        for task in tasks
        if task in alive
    }


class Streams:
    """As many streams of each group, and the threads that belong to them."""

    def __init__(self, args: argparse.Namespace, port: int) -> None:
        self.args = args
        self.port = port
        self.over = threading.Event()
        self.tasks: Dict[str, List[str]] = {group: [] for group in GROUPS}
        self.clients: List[Tuple[str, Any]] = []
        self._random = random.Random(args.seed)

    def begin(self) -> None:
        """Open them in turns, and feed each from a thread of its own."""
        for _ in range(self.args.streams):
            for group in self._random.sample(GROUPS, len(GROUPS)):
                self.clients.append((group, self._own(group, functools.partial(self._open, group))))
        shares = [at / len(self.clients) for at in range(len(self.clients))]
        self._random.shuffle(shares)
        for (group, client), share in zip(self.clients, shares):
            thread = threading.Thread(target=feed, args=(client.send, PAUSE, share, self.over), daemon=True)
            self._own(group, thread.start)

    def _open(self, group: str) -> Any:
        if group == "pacing":
            return CLIENTS[group](self.port, lambda stamp: None)
        version = type(group, (CLIENTS[self.args.client],), {"package": f"slng_{group}"})
        return version(self.port, lambda stamp: None)

    def _own(self, group: str, begin: Callable[[], Any]) -> Any:
        """Do something; the threads that it starts are that group's."""
        before = threads()
        begun = begin()
        self.tasks[group] += threads() - before
        return begun

    def measure(self) -> float:
        """What the later version uses of the CPU, to the earlier one's; net of what feeding them costs."""
        begun = {group: cpu_seconds(tasks) for group, tasks in self.tasks.items()}
        time.sleep(self.args.seconds)
        used = {}
        for group, before in begun.items():
            now = cpu_seconds(self.tasks[group])
            # A thread that has ended meanwhile counts for nothing.
            used[group] = sum(now[task] - before[task] for task in before.keys() & now.keys())
        return (used["after"] - used["pacing"]) / (used["before"] - used["pacing"])


def run(args: argparse.Namespace) -> None:
    """One round, in this process."""
    with Gateway() as gateway:
        streams = Streams(args, gateway.port)
        streams.begin()
        time.sleep(WARM_UP)
        print(streams.measure(), flush=True)
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two versions.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--client", choices=["slng-soniox", "slng-soniox-speakers", "slng-reson8"], default="slng-soniox"
    )
    parser.add_argument("--streams", type=int, default=45, help="of each version")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.seed is not None:
        run(args)
        return
    ratios: List[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for group, tree in zip(GROUPS[1:], (args.before, args.after)):
            install(tree, f"slng_{group}", Path(folder))
        for seed in range(args.rounds):
            command = [sys.executable, *sys.argv, "--seed", str(seed)]
            environment = {**os.environ, "PYTHONPATH": folder}
            done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
            ratios.append(float(done.stdout))
            print(f"{ratios[-1]:.3f}", flush=True)
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    print(f"CPU of {args.after} to that of {args.before}: {statistics.mean(ratios):.3f} +- {error:.3f}")


if __name__ == "__main__":
    main()
