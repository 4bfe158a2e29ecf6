"""Transcripts, and callbacks that keep what they are called with."""

import threading
from typing import Any, Callable, List

from slng_sync import SlngError, Transcript
from slng_sync.callbacks.registry import KINDS, Callbacks

LONG = 20.0
"""Seconds that no wait of a passing test takes."""


def partial(text: str) -> Transcript:
    return Transcript(text, is_final=False)


def final(text: str) -> Transcript:
    return Transcript(text, is_final=True, stable=text)


def callbacks(*functions: Callable[[Any], Any]) -> Callbacks:
    """A registry that calls these functions with everything."""
    registry = Callbacks()
    for kind in KINDS:
        for function in functions:
            registry.add(kind, function)
    return registry


class Seen:
    """A callback that keeps what it is called with, and fails when two calls run at once."""

    def __init__(self) -> None:
        self.items: List[Any] = []
        self.threads: List[threading.Thread] = []
        self.overlapped = False
        self._running = threading.Lock()

    def __call__(self, item: Any) -> None:
        if not self._running.acquire(blocking=False):
            self.overlapped = True
            return
        try:
            self.items.append(item)
            self.threads.append(threading.current_thread())
        finally:
            self._running.release()

    @property
    def texts(self) -> List[str]:
        return [item.text for item in self.items if isinstance(item, Transcript)]

    @property
    def finals(self) -> List[str]:
        return [item.text for item in self.items if isinstance(item, Transcript) and item.is_final]

    @property
    def errors(self) -> List[SlngError]:
        return [item for item in self.items if isinstance(item, SlngError)]
