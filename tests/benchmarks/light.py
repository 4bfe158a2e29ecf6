"""What a program pays before the first word: import, installed size, and a session that is idle.

python tests/benchmarks/light.py
"""

import compileall
import json
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Set

from compare import Gateway

IMPORTS = {
    "slng-sync": "from slng_sync import Client",
    "soniox": "from soniox import SonioxClient",
    "assemblyai": "from assemblyai.streaming.v3 import RealTimeTranscriber",
    "deepgram-sdk": "from deepgram import DeepgramClient",
    "websocket-client": "import websocket",
    "websockets": "import websockets.sync.client",
}
ROUNDS = 7
IDLE_SECONDS = 20.0
ROOT = Path(__file__).parents[2]


def import_ms() -> Dict[str, float]:
    """Milliseconds until the client can be made, net of the interpreter's own start; the best of rounds."""
    # As pip has done for the others: an editable installation may have been told not to.
    compileall.compile_dir(str(ROOT / "slng_sync"), quiet=1)
    best: Dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, statement in {"": "pass", **IMPORTS}.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            took = (time.perf_counter() - begun) * 1000
            best[name] = min(took, best.get(name, took))
    start = best.pop("")
    return {name: took - start for name, took in best.items()}


def installed_mb(distribution: str) -> float:
    """What it brings with it, all it needs included, without extras."""
    seen: Set[str] = set()
    waiting: List[str] = [distribution]
    size = 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in found.files or ():
            path = Path(str(file.locate()))
            size += path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0
        for need in found.requires or ():
            if "extra ==" not in need:
                waiting += re.findall(r"^[\w.-]+", need)
    return size / 1e6


def idle_wakes() -> Dict[str, float]:
    """How often an idle session's threads wake up, per second."""
    program = f"""
import json, resource, sys, time
from clients import CLIENTS
client = CLIENTS[sys.argv[1]](int(sys.argv[2]), lambda stamp: None)
client.send(bytes(1600)); time.sleep(5)
before = resource.getrusage(resource.RUSAGE_SELF)
time.sleep({IDLE_SECONDS})
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps((after.ru_nvcsw - before.ru_nvcsw - 1) / {IDLE_SECONDS}))
import os; os._exit(0)
"""
    wakes = {}
    with Gateway() as gateway:
        for client in ("slng-soniox", "slng-reson8", "soniox-sdk", "assemblyai"):
            done = subprocess.run(
                [sys.executable, "-c", program, client, str(gateway.port)],
                stdout=subprocess.PIPE,
                check=True,
                cwd=Path(__file__).parent,
            )
            wakes[client] = float(json.loads(done.stdout))
    return wakes


def main() -> None:
    print("| import | ms | ratio |\n|---|---|---|")
    times = import_ms()
    for name, took in times.items():
        print(f"| {name} | {took:.0f} | {took / times['slng-sync']:.2f} |")
    own = sum(path.stat().st_size for path in (ROOT / "slng_sync").rglob("*.py")) / 1e6
    print("\n| installed, with all it needs | MB |\n|---|---|")
    print(f"| slng_sync itself | {own:.1f} |")
    for distribution in list(IMPORTS)[1:]:
        print(f"| {distribution} | {installed_mb(distribution):.1f} |")
    print("\n| idle session | wake-ups per second |\n|---|---|")
    for client, count in idle_wakes().items():
        print(f"| {client} | {count:.2f} |")


if __name__ == "__main__":
    main()
