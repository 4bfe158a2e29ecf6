"""Whether work grows with what has been done before: long transcripts, long streams, whole files.

python tests/benchmarks/growth.py
"""

import json
import tempfile
import time
import wave
from pathlib import Path
from typing import Callable, Iterator

from compare import Gateway
from frames import FRAMES_IN_UTTERANCE, soniox

from slng_sync import Client, Soniox, TranscriptLog
from slng_sync.audio.format import AudioFormat
from slng_sync.protocol.rate_limit import RateLimit
from slng_sync.protocol.send_queue import SendQueue

FILE_SECONDS = 300


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of CPU, the best of three."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times) * 1000


def frames(utterances: int) -> Iterator[str]:
    """What a server says in that many utterances, 25 words each."""
    _, made = soniox()
    for number in range(utterances * FRAMES_IN_UTTERANCE):
        yield next(made)(number / 10, 0).decode()


def transcripts() -> None:
    """Decode and keep 100,000 words; what each quarter of them costs; what exporting costs at each size."""
    decoder, log = Soniox().decoder(SendQueue(AudioFormat())), TranscriptLog()
    print("Milliseconds of CPU per 1000 words; a partial in microseconds\n")
    print("| words | decode and keep | to_srt | to_json | save .txt | read the partial |")
    print("|---|---|---|---|---|---|")
    said = list(frames(1000))
    for quarter in range(1, 5):
        begun = time.process_time()
        for frame in said:
            for heard in decoder(json.loads(frame)):
                if hasattr(heard, "is_final"):
                    log.add(heard)
        keep = (time.process_time() - begun) * 1000
        words = quarter * 25000
        with tempfile.TemporaryDirectory() as folder:
            srt = cpu_ms(log.to_srt) / words * 1000
            as_json = cpu_ms(log.to_json) / words * 1000
            saved = cpu_ms(lambda folder=folder: log.save(f"{folder}/t.txt")) / words * 1000
        partial = cpu_ms(lambda: [log.partial for _ in range(1000)])
        figures = f"{keep / 25:.1f} | {srt:.2f} | {as_json:.2f} | {saved:.2f} | {partial:.2f}"
        print(f"| {words} | {figures} |", flush=True)


def streams() -> None:
    """Ten hours through the send queue: what each part of them costs."""
    queue, chunk = SendQueue(AudioFormat()), bytes(1600)
    print("\n| hours sent | us per chunk |\n|---|---|")
    for hour in range(1, 11):
        begun = time.process_time()
        for number in range(72000):
            queue.put(chunk)
            queue.take()
            if number % 2:
                queue.settle(queue.sent / 16000 - 0.8)
        took = time.process_time() - begun
        if hour in (1, 2, 5, 10):
            print(f"| {hour} | {took / 72000 * 1e6:.2f} |", flush=True)


def files() -> None:
    """A file as fast as the server takes it: under the gateway's message cap, and as if there were none."""
    with tempfile.TemporaryDirectory() as folder, Gateway() as gateway:
        path = Path(folder) / "speech.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(32000 * FILE_SECONDS))
        print(f"\n| a file of {FILE_SECONDS} s | times real time | CPU s per hour |\n|---|---|---|")
        for capped in (True, False):
            if not capped:
                RateLimit.__init__.__kwdefaults__.update(per_second=1e9, burst=1e9)
            for model in ("soniox", "reson8"):
                client = Client(model, api_key="k", base_url=f"ws://127.0.0.1:{gateway.port}")
                begun, cpu = time.monotonic(), time.process_time()
                client.transcribe(str(path), speed=10000.0)
                took, cpu = time.monotonic() - begun, time.process_time() - cpu
                name = f"{model}{'' if capped else ', no message cap'}"
                print(f"| {name} | {FILE_SECONDS / took:.0f} | {cpu / FILE_SECONDS * 3600:.1f} |", flush=True)


def main() -> None:
    transcripts()
    streams()
    files()


if __name__ == "__main__":
    main()
