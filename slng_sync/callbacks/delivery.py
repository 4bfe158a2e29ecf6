"""Delivery of a session's items: trim the overlap, add to the ``TranscriptLog``, put into the mailbox."""

from dataclasses import replace
from typing import Any, Callable, Iterable, Optional

from ..events import Ready, Repeated, Transcript
from ..protocol.overlap import OverlapTrimmer
from ..transcript import TranscriptLog
from .mailbox import Mailbox

__all__ = ["ChannelDelivery", "Delivery"]

OVERLAP_FINALS = 40
"""How many of the last finals are compared with the transcripts after a reconnect."""


class Delivery:
    """The delivery of a session's items, in order. After a reconnect it trims repeated words.

    ``tap`` is called with each item first, on the thread that delivers it. The caller
    asks the mailbox's target afterwards, once for all items.
    """

    __slots__ = ("_mailbox", "_overlap", "_tap", "finals", "log", "partials", "session_id")

    channel: Optional[str] = None
    """The name of the channel, if each channel of the source has its own session."""

    def __init__(self, mailbox: Mailbox, tap: Optional[Callable[[Any], None]] = None) -> None:
        self.log = TranscriptLog()
        self.session_id: Optional[str] = None
        self.partials = 0
        self.finals = 0
        self._mailbox = mailbox
        self._tap = tap
        self._overlap: Optional[OverlapTrimmer] = None

    def deliver(self, items: Iterable[Any]) -> bool:
        """Deliver transcripts and other items. Return whether a transcript was among them."""
        has_transcript = False
        for item in items:
            if isinstance(item, Transcript):
                has_transcript = True
                self._deliver_transcript(item)
                continue
            if isinstance(item, Ready):
                self.session_id = item.session_id
            self.put(item)
        return has_transcript

    def put(self, item: Any) -> None:
        """Deliver an event, an error or a message of the server."""
        if self._tap is not None:
            self._tap(item)
        self._mailbox.queue(item)

    def begin_overlap(self, begin: float) -> None:
        """Trim the transcripts of a new connection, whose audio begins at ``begin`` seconds."""
        finals = [self.log[at] for at in range(-min(OVERLAP_FINALS, len(self.log)), 0)]
        end = finals[-1].end if finals else None
        said = " ".join(final.text for final in finals).split()
        self._overlap = None if end is None else OverlapTrimmer(said, end=end, begin=begin)

    def _deliver_transcript(self, transcript: Transcript) -> None:
        rest = transcript if self._overlap is None else self._trimmed(self._overlap, transcript)
        if rest is not None:
            self.log.add(rest)
            self.finals += rest.is_final
            self.partials += not rest.is_final
            self.put(rest)

    def _trimmed(self, overlap: OverlapTrimmer, transcript: Transcript) -> Optional[Transcript]:
        """Return a transcript without the words that were final before, or None if it has no others."""
        rest = overlap.trim(transcript)
        if overlap.is_over:
            self._overlap = None
        return rest


class ChannelDelivery(Delivery):
    """The delivery of one channel's session. Each transcript carries the channel's name."""

    __slots__ = ("channel",)

    def __init__(self, channel: str, mailbox: Mailbox, tap: Optional[Callable[[Any], None]] = None) -> None:
        super().__init__(mailbox, tap)
        self.channel: str = channel

    def deliver(self, items: Iterable[Any]) -> bool:
        """Deliver transcripts and other items. Return whether a transcript was among them."""
        name = self.channel
        return super().deliver(
            replace(item, channel=name) if isinstance(item, Transcript) else item for item in items
        )

    def put(self, item: Any) -> None:
        """Deliver an event, an error or a frame, unless another channel's session delivers it too."""
        if not isinstance(item, Repeated):
            super().put(item)
