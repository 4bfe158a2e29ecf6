"""A recorder for a client's callbacks: keeps what they receive in order, and waits for it."""

import threading
from typing import Any, Callable, List, Type

from slng_sync import SlngError, Transcript

PATIENCE = 20.0


class Heard:
    """A recorder to pass to a client as every callback. ``threads`` holds the threads that called it."""

    def __init__(self) -> None:
        self.items: List[Any] = []
        self.threads: List[str] = []
        self._changed = threading.Condition()

    def __call__(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self.threads.append(threading.current_thread().name)
            self._changed.notify_all()

    def of(self, kind: Type[Any]) -> List[Any]:
        return [item for item in self.items if isinstance(item, kind)]

    @property
    def finals(self) -> List[str]:
        return [item.text for item in self.of(Transcript) if item.is_final]

    @property
    def errors(self) -> List[SlngError]:
        return self.of(SlngError)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.items

    def wait_for_one(self, kind: Type[Any], count: int = 1) -> Any:
        """Wait for the ``count``-th item of a kind and return it."""
        self.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]
