"""Measures what a message of Soniox costs: parsing and decoding, in microseconds of CPU.

    python tests/benchmarks/decoding.py                 this version
    python tests/benchmarks/decoding.py BEFORE          another one beside it; a folder with a slng_sync in it

A partial is a message of one final token and eight others; an end is one of nine final tokens and a marker.
The mean is that of all messages of an utterance, and so of what a decoder puts off until the next message.
Read is the same for a program that looks at speaker, start and confidence of each transcript.
Each version has a process of its own in each round, the rounds take turns, and the best of them counts.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from frames import FRAMES_IN_UTTERANCE, OPEN_TOKENS, soniox, soniox_with_speakers, soniox_with_translation

ROOT = Path(__file__).parent.parent.parent
MADE = {"plain": soniox, "speakers": soniox_with_speakers, "translation": soniox_with_translation}
KINDS = ["partial", "end", "mean", "read"]
UTTERANCES = 60

Costs = Dict[str, float]


def utterance(name: str) -> List[bytes]:
    """The messages of one utterance; the last one ends it."""
    _, made = MADE[name]()
    return [next(made)(at / 10 + 0.1, 0) for at in range(FRAMES_IN_UTTERANCE)]


def measure() -> Costs:
    """Microseconds for each kind of message, by the package that this process has loaded."""
    from slng_sync import AudioFormat, Soniox, Transcript
    from slng_sync.dialects.parsing import best_parse
    from slng_sync.protocol.send_queue import SendQueue

    costs: Costs = {}
    parse: Callable[[bytes], Any] = best_parse()
    for name in MADE:
        decode, messages = Soniox().decoder(SendQueue(AudioFormat()).timeline()), utterance(name)
        took: Dict[str, List[float]] = {kind: [] for kind in KINDS}
        for _ in range(UTTERANCES):
            begun = time.perf_counter()
            for message in messages[:OPEN_TOKENS]:
                decode(parse(message))
            full = time.perf_counter()
            for message in messages[OPEN_TOKENS:-1]:
                decode(parse(message))
            last = time.perf_counter()
            decode(parse(messages[-1]))
            ended = time.perf_counter()
            took["partial"].append((last - full) / (len(messages) - OPEN_TOKENS - 1) * 1e6)
            took["end"].append((ended - last) * 1e6)
            took["mean"].append((ended - begun) / len(messages) * 1e6)
            begun = time.perf_counter()
            for message in messages:
                for each in decode(parse(message)):
                    if isinstance(each, Transcript):
                        _ = each.speaker, each.start, each.confidence
            took["read"].append((time.perf_counter() - begun) / len(messages) * 1e6)
        for kind, times in took.items():
            costs[f"{name}, {kind}"] = sorted(times)[len(times) // 4]
    return costs


def measure_version(folder: Path) -> Costs:
    """The same for the version in a folder, in a process of its own."""
    command = [sys.executable, __file__, "--measure"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    costs: Costs = json.loads(done.stdout)
    return costs


def best(runs: List[Costs]) -> Costs:
    """The lowest of each figure: what a machine does besides can only make it worse."""
    return {name: min(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the decoder of Soniox.")
    parser.add_argument("before", type=Path, nargs="?", help="a folder with another version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure()))
        return
    folders = [ROOT] if args.before is None else [args.before.resolve(), ROOT]
    runs: List[List[Costs]] = [[] for _ in folders]
    for _ in range(args.rounds):
        for folder, done in zip(folders, runs):
            done.append(measure_version(folder))
    costs = [best(done) for done in runs]
    print("| message | before, us | now, us | ratio |\n|---|---|---|---|")
    for name, now in costs[-1].items():
        before = costs[0][name]
        print(f"| {name} | {before:.1f} | {now:.1f} | {now / before:.2f} |")


if __name__ == "__main__":
    main()
