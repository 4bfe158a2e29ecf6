"""Storage of a message in a fraction of the memory of its objects."""

import marshal
from typing import Any, Dict, ItemsView, Iterator, KeysView, Mapping, Tuple, Type, ValuesView

__all__ = ["PackedMessage"]


class PackedMessage(Mapping[str, Any]):
    """A message as a read-only mapping. Each access unpacks it. ``items()`` unpacks it only once.

    It compares equal to the original dict. Pickling and ``deepcopy`` return that dict.
    """

    __slots__ = ("_packed",)

    def __init__(self, message: Mapping[str, Any]) -> None:
        try:
            # Three times as fast as JSON. The bytes never leave this process.
            self._packed: Any = marshal.dumps(message)  # type: ignore[arg-type]
        except ValueError:
            # The message is nested more deeply than the parsers here accept, or it is not JSON.
            self._packed = message

    def _unpacked(self) -> Dict[str, Any]:
        packed = self._packed
        message: Dict[str, Any] = marshal.loads(packed) if isinstance(packed, bytes) else packed
        return message

    def __getitem__(self, key: str) -> Any:
        return self._unpacked()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._unpacked())

    def __len__(self) -> int:
        return len(self._unpacked())

    def keys(self) -> KeysView[str]:
        return self._unpacked().keys()

    def items(self) -> ItemsView[str, Any]:
        return self._unpacked().items()

    def values(self) -> ValuesView[Any]:
        return self._unpacked().values()

    def __repr__(self) -> str:
        return repr(self._unpacked())

    def __copy__(self) -> "PackedMessage":
        return self

    def __deepcopy__(self, memo: Dict[int, Any]) -> Dict[str, Any]:
        return self._unpacked()

    def __reduce__(self) -> Tuple[Type[Dict[str, Any]], Tuple[Dict[str, Any]]]:
        return dict, (self._unpacked(),)
