"""Conversion of finals to SRT and WebVTT subtitles. Pure: takes transcripts, returns text.

A cue has at most two lines of 42 columns and lasts at most 6 seconds. It lasts at least one second unless the
next cue begins earlier. A new cue begins when the speaker changes, after a pause and after a sentence. Cues
never overlap and their times always increase, even if the server's times do not.

If the server sent no times for the words of a final, the final's duration is divided among them by length.
A final without times begins at the end of the previous one. Its duration is estimated at 15 characters a
second, limited by the next known time.
"""

import re
import unicodedata
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .events import Transcript, Word

__all__ = ["Cue", "cut", "speaker_label", "speaker_name", "to_srt", "to_vtt"]

LINE_COLUMNS = 42
LINES = 2
LONGEST = 6.0
SHORTEST = 1.0
PAUSE = 0.8
CHARACTERS_PER_SECOND = 15.0
SENTENCE_END = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")


class Cue(NamedTuple):
    """One subtitle. ``start`` and ``end`` are in milliseconds. ``label`` names the speaker after a change."""

    start: int
    end: int
    lines: Tuple[str, ...]
    speaker: Optional[str]
    label: str


class _Piece(NamedTuple):
    """A part of the text that is not broken: a word with its punctuation and the following blank, if any."""

    text: str
    start: float
    end: float
    speaker: Optional[str]
    ends_sentence: bool


def to_srt(finals: Sequence[Transcript], *, translation: bool = False) -> str:
    """Return the finals as SubRip. The first cue of each turn begins with the speaker's name."""
    blocks = []
    for number, cue in enumerate(cut(finals, translation=translation), 1):
        # A parser would take an arrow in the text for a line of times.
        text = (cue.label + "\n".join(cue.lines)).replace("-->", "->")
        blocks.append(f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(finals: Sequence[Transcript], *, translation: bool = False) -> str:
    """Return the finals as WebVTT. Each cue names its speaker in a voice tag."""
    blocks = ["WEBVTT\n"]
    for cue in cut(finals, translation=translation):
        voice = "" if cue.speaker is None else f"<v {_escaped(speaker_name(cue.speaker))}>"
        text = _escaped("\n".join(cue.lines))
        blocks.append(f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{voice}{text}\n")
    return "\n".join(blocks)


def speaker_name(speaker: Optional[str]) -> str:
    """Return the displayed name of a speaker: "Speaker 1" for the number "1", otherwise the name itself."""
    name = " ".join((speaker or "").split())
    return f"Speaker {name}" if name.isdigit() else name


def speaker_label(channel: Optional[str], speaker: Optional[str]) -> Optional[str]:
    """Return the speaker's label with the channel, if channels are transcribed separately.

    The label names the channel, followed by the speaker if the server distinguishes speakers on it.
    """
    if channel is None:
        return speaker
    name = f"Channel {channel}" if channel.isdigit() else channel
    return f"{name}, {speaker_name(speaker)}" if speaker else name


def cut(finals: Sequence[Transcript], *, translation: bool = False) -> List[Cue]:
    """Return the finals as cues. Takes time linear in the number of words."""
    drafts: List[_Draft] = []
    speaker: Optional[str] = None
    for piece in _pieces(finals, translation):
        if not drafts or not drafts[-1].take(piece):
            label = f"{speaker_name(piece.speaker)}: " if piece.speaker and piece.speaker != speaker else ""
            drafts.append(_Draft(piece, label))
            speaker = piece.speaker
    return _timed(drafts)


class _Draft:
    """A cue that may still grow."""

    def __init__(self, piece: _Piece, label: str) -> None:
        self.start = piece.start
        self.last = piece
        self.lines = [piece.text]
        self.label = label
        self._column = _columns(label + piece.text)

    def take(self, piece: _Piece) -> bool:
        """Add the piece and return True, or return False if it has to begin a new cue."""
        if self._ends_before(piece):
            return False
        if self._column + _columns(piece.text.rstrip()) <= LINE_COLUMNS:
            self.lines[-1] += piece.text
            self._column += _columns(piece.text)
        elif len(self.lines) < LINES:
            self.lines.append(piece.text)
            self._column = _columns(piece.text)
        else:
            return False
        self.last = piece
        return True

    def _ends_before(self, piece: _Piece) -> bool:
        return (
            piece.speaker != self.last.speaker
            or piece.start - self.last.end > PAUSE
            or piece.end - self.start > LONGEST
            or (self.last.ends_sentence and self.last.end - self.start >= SHORTEST)
        )


def _timed(drafts: Sequence[_Draft]) -> List[Cue]:
    starts: List[int] = []
    for draft in drafts:
        starts.append(max(_milliseconds(draft.start), starts[-1] + 1 if starts else 0))
    cues = []
    for index, draft in enumerate(drafts):
        start = starts[index]
        end = max(_milliseconds(draft.last.end), start + _milliseconds(SHORTEST))
        end = min(end, start + _milliseconds(LONGEST), *starts[index + 1 : index + 2])
        lines = tuple(line.strip() for line in draft.lines)
        cues.append(Cue(start, end, lines, draft.last.speaker, draft.label))
    return cues


def _pieces(finals: Sequence[Transcript], translation: bool) -> Iterator[_Piece]:
    """Yield the displayed text in order, with times. The end of a final counts as the end of a sentence."""
    for final, (start, end) in zip(finals, _spans(finals)):
        translated = final.translation if translation else None
        text = " ".join((translated.text if translated else final.text).split())
        timed = () if translated else final.words
        speaker = speaker_label(final.channel, final.speaker)
        pieces = _pieces_of_words(text, timed, final) or list(_spread(text, start, end, speaker))
        if pieces:
            pieces[-1] = pieces[-1]._replace(text=pieces[-1].text.rstrip() + " ", ends_sentence=True)
        yield from pieces


def _pieces_of_words(text: str, words: Sequence[Word], final: Transcript) -> List[_Piece]:
    """Cut the text before each word and give each piece the times of its word.

    Returns an empty list if the words do not match the text or lack times. Joining the pieces gives the text
    again, whatever separates the words: punctuation, blanks, or nothing, as in Chinese.
    """
    cuts = _cuts_before_words(text, words)
    if not cuts:
        return []
    pieces: List[_Piece] = []
    for word, begin, stop in zip(words, [0, *cuts[1:]], [*cuts[1:], len(text)]):
        if word.start is None or word.end is None:
            return []
        speaker = speaker_label(final.channel, word.speaker or final.speaker)
        pieces.extend(_spread(text[begin:stop], word.start, word.end, speaker))
    return pieces


def _cuts_before_words(text: str, words: Sequence[Word]) -> List[int]:
    """Return where to cut the text before each word, or an empty list if a word is not in the text."""
    # A server may write "Hello" in the text and "hello" in the list of words.
    searched = text.lower() if len(text.lower()) == len(text) else text
    cuts: List[int] = []
    position = 0
    for word in words:
        sought = " ".join(word.text.split())
        found = searched.find(sought.lower(), position)
        if found < 0 or not sought:
            return []
        # An opening quotation mark belongs to its word, so cut after the blank that precedes it.
        cuts.append(
            max(position, text.rfind(" ", position, found) + 1) if " " in text[position:found] else found
        )
        position = found + len(sought)
    return cuts


def _spread(text: str, start: float, end: float, speaker: Optional[str]) -> Iterator[_Piece]:
    """Cut the text at blanks and words longer than a line anywhere. Divide the time by length."""
    scale = (end - start) / max(1, len(text))
    for match in re.finditer(r"\S+\s*", text):
        for begin, part in _line_lengths(match.group()):
            at = start + (match.start() + begin) * scale
            shown = part.rstrip()
            ends = SENTENCE_END.search(shown) is not None
            yield _Piece(part, at, at + len(shown) * scale, speaker, ends)


def _line_lengths(text: str) -> Iterator[Tuple[int, str]]:
    begin = column = 0
    for position, character in enumerate(text):
        column += _columns(character)
        if column > LINE_COLUMNS and not character.isspace():
            yield begin, text[begin:position]
            begin, column = position, _columns(character)
    yield begin, text[begin:]


def _spans(finals: Sequence[Transcript]) -> List[Tuple[float, float]]:
    """Return the start and end of each final: the known ones, or estimates from its neighbours and length."""
    known = [_known_span(final) for final in finals]
    limits: List[Optional[float]] = []
    following: Optional[float] = None
    for start, _ in reversed(known):
        limits.append(following)
        following = following if start is None else start
    spans: List[Tuple[float, float]] = []
    previous = 0.0
    for final, span, limit in zip(finals, known, reversed(limits)):
        spans.append(_span(span, len(final.text) / CHARACTERS_PER_SECOND, previous, limit))
        previous = spans[-1][1]
    return spans


def _span(
    known: Tuple[Optional[float], Optional[float]], estimate: float, previous: float, limit: Optional[float]
) -> Tuple[float, float]:
    start, end = known
    if start is None:
        start = previous if end is None else max(previous, end - estimate)
    if end is None:
        # A limit before the start comes from times that go backwards. Ignore it.
        end = start + estimate if limit is None or limit <= start else min(start + estimate, limit)
    return start, max(start, end)


def _known_span(final: Transcript) -> Tuple[Optional[float], Optional[float]]:
    starts: Iterable[Optional[float]] = (final.start, *(word.start for word in final.words))
    ends: Iterable[Optional[float]] = (final.end, *(word.end for word in reversed(final.words)))
    return next((x for x in starts if x is not None), None), next((x for x in ends if x is not None), None)


def _columns(text: str) -> int:
    """Return the width of the text in columns. Chinese and Japanese characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _time(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
