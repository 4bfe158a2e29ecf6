"""The recogniser's process: ``python -m slng_sync.gateway.recognizer_process``.

It reads requests from standard input: a letter, a length, and that many bytes. ``o`` opens a stream
(settings as JSON), ``a`` is audio, ``f`` finalizes and ``e`` ends the stream. It answers each request on
standard output with a length and JSON: a list of updates, or an object with an ``error``. The process exits
at the end of its input, so it never outlives the gateway's process.
"""

import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO, Dict, List, Optional, Tuple

import pocketsphinx  # type: ignore[import-untyped,unused-ignore]

from .resample import Resampler
from .utterances import PAUSE, UtteranceRecognizer

__all__ = ["main"]

# The initial cepstral mean, the average of several recordings; the decoder adapts it to the audio. With the
# decoder's own default one word in three of a short recording is wrong. With this one it is one word in
# five, as good as with the true mean of the whole recording.
TYPICAL_MEAN = "55.6,-0.7,-1.2,10.0,-12.5,4.9,-6.9,-3.7,-2.7,-1.2,1.0,-1.1,0.9"

REQUEST = struct.Struct("<cI")
REPLY = struct.Struct("<I")


class _Recognition:
    """One stream: its resampler, its recogniser, and the number of frames received."""

    def __init__(self) -> None:
        # The models load before the stream opens, so that a process in reserve answers at once. Without the
        # second, flat pass an utterance ends in 40 ms instead of 250, with fewer wrong words.
        self._decoder = pocketsphinx.Decoder(fwdflat=False, cmninit=TYPICAL_MEAN, loglevel="FATAL")
        self._detector = pocketsphinx.Vad(pocketsphinx.Vad.STRICT)
        self._frames = 0

    def _open(self, settings: Dict[str, Any]) -> None:
        self._rate = int(settings["sample_rate"])
        self._frame_bytes = 2 * int(settings["channels"])
        self._resampler = Resampler(self._rate, int(settings["channels"]))
        pause = float(settings.get("pause") or PAUSE)
        self._recognizer = UtteranceRecognizer(self._decoder, self._detector, pause)

    def answer(self, kind: bytes, data: bytes) -> List[Dict[str, Any]]:
        """Return the updates for one request."""
        updates: List[Dict[str, Any]] = []
        if kind == b"o":
            self._open(json.loads(data))
        elif kind == b"a":
            self._frames += len(data) // self._frame_bytes
            updates = self._recognizer.receive(self._resampler.convert(data))
        elif kind == b"f":
            updates = self._recognizer.finalize()
        elif kind == b"e":
            updates = self._recognizer.receive(self._resampler.flush())
            updates += self._recognizer.finalize()
        for update in updates:
            update["position"] = self._frames / self._rate
        return updates or [{"position": self._frames / self._rate, "unchanged": True}]


def main() -> None:
    """Answer requests until the input ends."""
    # Ctrl-C interrupts the whole process group. The gateway decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The replies have a file descriptor of their own, because the decoder may print to standard output.
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    recognition = _Recognition()
    while True:
        request = _read_request(requests)
        if request is None:
            return
        try:
            reply: Any = recognition.answer(*request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        text = json.dumps(reply).encode()
        replies.write(REPLY.pack(len(text)) + text)
        replies.flush()


def _read_request(source: BinaryIO) -> Optional[Tuple[bytes, bytes]]:
    head = source.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return None
    kind, length = REQUEST.unpack(head)
    return kind, source.read(length)


if __name__ == "__main__":
    main()
