"""What was heard, on its way out: into the transcript, and to whoever wants to be told."""

from dataclasses import replace
from typing import Any, Callable, Iterable, Optional

from ..events import Ready, Repeated, Transcript
from ..protocol.overlap import OverlapTrimmer
from ..transcript import TranscriptLog
from .dispatch import Dispatch

__all__ = ["ChannelDelivery", "Delivery"]

SEAM_FINALS = 40
"""Finals to look back upon for words that may come again."""


class Delivery:
    """Hands items on in order; behind a broken line without the words that come a second time.

    ``tap``, where there is one, sees each item first, on the thread that hands it on. The lock is held.
    """

    __slots__ = ("_dispatch", "_seam", "_tap", "finals", "log", "partials", "session_id")

    channel: Optional[str] = None
    """The name of the channel that is heard, where others are heard apart from it."""

    def __init__(self, dispatch: Dispatch, tap: Optional[Callable[[Any], None]] = None) -> None:
        self.log = TranscriptLog()
        self.session_id: Optional[str] = None
        self.partials = 0
        self.finals = 0
        self._dispatch = dispatch
        self._tap = tap
        self._seam: Optional[OverlapTrimmer] = None

    def deliver(self, items: Iterable[Any]) -> bool:
        """Deliver all; whether a transcript was among them."""
        heard = False
        for item in items:
            if isinstance(item, Transcript):
                heard = True
                rest = item if self._seam is None else self._trimmed(self._seam, item)
                if rest is not None:
                    self.log.add(rest)
                    self.finals += rest.is_final
                    self.partials += not rest.is_final
                    self.tell(rest)
                continue
            if isinstance(item, Ready):
                self.session_id = item.session_id
            self.tell(item)
        return heard

    def tell(self, item: Any) -> None:
        """Deliver what is no transcript."""
        if self._tap is not None:
            self._tap(item)
        self._dispatch.put(item)

    def begin_seam(self, begin: float) -> None:
        """From here on comes what a new line hears, whose audio begins at ``begin`` seconds."""
        finals = [self.log[at] for at in range(-min(SEAM_FINALS, len(self.log)), 0)]
        end = finals[-1].end if finals else None
        said = " ".join(final.text for final in finals).split()
        self._seam = None if end is None else OverlapTrimmer(said, end=end, begin=begin)

    def _trimmed(self, seam: OverlapTrimmer, transcript: Transcript) -> Optional[Transcript]:
        """A transcript without what was said before; None where nothing is left of it."""
        rest = seam.trim(transcript)
        if seam.is_over:
            self._seam = None
        return rest


class ChannelDelivery(Delivery):
    """The same for one channel of a source: its name stands in each transcript."""

    __slots__ = ("channel",)

    def __init__(self, channel: str, dispatch: Dispatch, tap: Optional[Callable[[Any], None]] = None) -> None:
        super().__init__(dispatch, tap)
        self.channel: str = channel

    def deliver(self, items: Iterable[Any]) -> bool:
        """Deliver all; whether a transcript was among them."""
        name = self.channel
        return super().deliver(
            replace(item, channel=name) if isinstance(item, Transcript) else item for item in items
        )

    def tell(self, item: Any) -> None:
        """Deliver what is no transcript, and told by no other channel's session."""
        if not isinstance(item, Repeated):
            super().tell(item)
