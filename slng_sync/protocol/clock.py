"""The mapping from a connection's clock to the session's clock.

A server counts the audio that it has received on one connection, from 0. The session's clock counts all
audio since the session began, whether it was sent, withheld or lost. An anchor maps a position of the
connection to a position of the session wherever the offset between the two changes. No I/O, no lock.
"""

from bisect import bisect_left, bisect_right
from typing import List

__all__ = ["StreamClock"]


class StreamClock:
    """Maps seconds on one connection to seconds of the session. Positions are in frames."""

    __slots__ = ("_is_same", "_rate", "_session", "_stream")

    def __init__(self, sample_rate: int, origin: int = 0) -> None:
        self._rate = sample_rate
        self._stream: List[int] = [0]
        self._session: List[int] = [origin]
        self._is_same = not origin
        """Whether both clocks are equal."""

    def anchor(self, stream: int, session: int) -> None:
        """Map position ``stream`` of the connection, and all after it, to position ``session``."""
        self._is_same = False
        if stream == self._stream[-1]:
            self._session[-1] = session
        else:
            # In this order, so that a thread that maps words at the same time finds a position for each
            # anchor.
            self._session.append(session)
            self._stream.append(stream)

    def start(self, seconds: float) -> float:
        """Return the session's seconds for a start time of the server."""
        if self._is_same:
            return seconds
        return self._map(seconds, bisect_right(self._stream, seconds * self._rate) - 1)

    def end(self, seconds: float) -> float:
        """Return the session's seconds for an end time. At an anchor, the audio before the anchor counts."""
        if self._is_same:
            return seconds
        return self._map(seconds, bisect_left(self._stream, seconds * self._rate) - 1)

    def _map(self, seconds: float, index: int) -> float:
        index = max(index, 0)
        offset = self._session[index] - self._stream[index]
        if not offset and index == len(self._stream) - 1:
            return seconds
        mapped = seconds + offset / self._rate
        if index + 1 < len(self._session):
            # Silence that was sent as padding takes no time of the session.
            mapped = min(mapped, self._session[index + 1] / self._rate)
        return round(mapped, 6)
