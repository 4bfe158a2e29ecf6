"""Collect what a client passes to its callbacks, in order, and wait for it."""

import threading
from typing import Any, Callable, List, Type

from slng_sync import SlngError, Transcript

PATIENCE = 20.0


class Heard:
    """A callback for everything. ``items`` are its arguments, ``threads`` the calling threads' names."""

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
        """Return the items of a class."""
        return [item for item in self.items if isinstance(item, kind)]

    @property
    def finals(self) -> List[str]:
        return [item.text for item in self.of(Transcript) if item.is_final]

    @property
    def errors(self) -> List[SlngError]:
        return self.of(SlngError)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition on the items holds, at most PATIENCE seconds."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.items

    def wait_for_one(self, kind: Type[Any], count: int = 1) -> Any:
        """Wait for ``count`` items of a class, and return the last of them."""
        self.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]
