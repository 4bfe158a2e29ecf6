"""From a connection's clock to the session's.

A server counts the audio it has received on one connection, from 0. The session's clock counts all
audio since its beginning, whether it was sent, withheld or lost. Where the two run apart, an anchor
says which position of the stream is which position of the session. No I/O, no lock.
"""

from bisect import bisect_left, bisect_right
from typing import List

__all__ = ["StreamClock"]


class StreamClock:
    """Map the seconds of one connection to the seconds of the session. Positions are in frames."""

    __slots__ = ("_is_same", "_rate", "_session", "_stream")

    def __init__(self, sample_rate: int, origin: int = 0) -> None:
        self._rate = sample_rate
        self._stream: List[int] = [0]
        self._session: List[int] = [origin]
        self._is_same = not origin
        """Whether both clocks show the same."""

    def anchor(self, stream: int, session: int) -> None:
        """From ``stream`` frames on, the stream carries the audio that begins at ``session``."""
        self._is_same = False
        if stream == self._stream[-1]:
            self._session[-1] = session
        else:
            # In this order: a thread that makes words meanwhile finds a position for each anchor it sees.
            self._session.append(session)
            self._stream.append(stream)

    def start(self, seconds: float) -> float:
        """When something began that the server places at ``seconds``."""
        if self._is_same:
            return seconds
        return self._map(seconds, bisect_right(self._stream, seconds * self._rate) - 1)

    def end(self, seconds: float) -> float:
        """When something ended. At an anchor that is the end of what came before it."""
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
            # Silence that was put into the stream takes no time of the session.
            mapped = min(mapped, self._session[index + 1] / self._rate)
        return round(mapped, 6)
