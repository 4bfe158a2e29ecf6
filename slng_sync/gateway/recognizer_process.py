"""The recogniser's process: ``python -m slng_sync.gateway.recognizer_process``.

Requests come on the standard input: a letter, a length, and so many bytes. ``o`` opens (settings as JSON),
``a`` is audio, ``f`` finalizes, ``e`` ends. Each is answered on the standard output by a length and a JSON
list of updates, or an object with an ``error``. The end of the input ends the process, and that comes with
the end of the gateway's process, however it ended.
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

# The cepstral mean that the first words are heard with; from there the decoder goes on with what it hears.
# This is the average of several recordings. With the decoder's own, every third word of a short recording
# is wrong, with this every fifth, as if the mean of the whole recording were known in advance.
TYPICAL_MEAN = "55.6,-0.7,-1.2,10.0,-12.5,4.9,-6.9,-3.7,-2.7,-1.2,1.0,-1.1,0.9"

REQUEST = struct.Struct("<cI")
REPLY = struct.Struct("<I")


class _Recognition:
    """One stream: its converter, its listener, and how much of it has come."""

    def __init__(self) -> None:
        # Loaded before the stream begins, so that a process in reserve replies at once. Without the second,
        # flat pass the end of an utterance takes 40 ms instead of 250, and hears better.
        self._decoder = pocketsphinx.Decoder(fwdflat=False, cmninit=TYPICAL_MEAN, loglevel="FATAL")
        self._detector = pocketsphinx.Vad(pocketsphinx.Vad.STRICT)
        self._frames = 0

    def _open(self, settings: Dict[str, Any]) -> None:
        self._rate = int(settings["sample_rate"])
        self._frame_bytes = 2 * int(settings["channels"])
        self._resampler = Resampler(self._rate, int(settings["channels"]))
        self._recognizer = UtteranceRecognizer(
            self._decoder, self._detector, float(settings.get("pause") or PAUSE)
        )

    def answer(self, kind: bytes, data: bytes) -> List[Dict[str, Any]]:
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
    """Answer requests until there are no more."""
    # An interrupt from the keyboard reaches the whole group; it is the gateway that decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The replies go to a descriptor of their own, so that nothing printed by the decoder mixes with them.
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
