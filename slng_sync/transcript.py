"""The transcript log of a session, and its output as text, SRT, WebVTT, JSON and HTML.

One thread adds transcripts, any number of threads read. ``subtitles`` makes the subtitles.
"""

import copy
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from .errors import ConfigurationError
from .events import Transcript, Word

__all__ = ["TranscriptLog"]

JSON_VERSION = 1


class TranscriptLog:
    """The finals of a session in the order of arrival, and the open partial.

    Iteration and ``len()`` are over the finals. ``str(log)`` is the text. ``repr(log)`` contains only counts,
    so that no spoken word gets into a log file. Any thread may call any method while the session adds
    transcripts. A log can be pickled, for instance to return it from a process pool.
    """

    __slots__ = ("_duration", "_finals", "_lock", "_partial")

    def __init__(self, transcripts: Iterable[Transcript] = ()) -> None:
        self._lock = threading.Lock()
        self._finals: List[Transcript] = []
        self._partial: Optional[Transcript] = None
        self._duration = 0.0
        for transcript in transcripts:
            self.add(transcript)

    def add(self, transcript: Transcript) -> None:
        """Append a final and drop the open partial, or replace the open partial by a newer one."""
        if not transcript.is_final:
            # A partial without text means that no partial is open any more.
            self._partial = transcript if transcript.text else None
            return
        with self._lock:
            # A copy: its words stay packed when the user reads the words of the delivered transcript.
            self._finals.append(replace(transcript, words=copy.copy(transcript.words)))
            self._duration = max(self._duration, transcript.end or 0.0)
            self._partial = None

    @property
    def finals(self) -> Tuple[Transcript, ...]:
        """A copy of the finals so far. For the newest one, ``log[-1]`` is cheaper."""
        return self._snapshot()[0]

    @property
    def partial(self) -> Optional[Transcript]:
        """The open partial, or None."""
        return self._partial

    @property
    def text(self) -> str:
        """The text of the finals, joined by blanks. A change of speaker or channel starts a new line."""
        parts: List[str] = []
        before: Tuple[Optional[str], Optional[str]] = (None, None)
        for final in self.finals:
            if not final.text:
                continue
            if parts:
                parts.append("\n" if (final.speaker, final.channel) != before else " ")
            parts.append(final.text)
            before = final.speaker, final.channel
        return "".join(parts)

    @property
    def words(self) -> Tuple[Word, ...]:
        """The words of all finals. Finals that the server sent without words contribute none."""
        return tuple(word for final in self.finals for word in final.words)

    @property
    def duration(self) -> float:
        """The end of the last final in seconds on the session's clock, 0 if unknown."""
        return self._duration

    def to_srt(self, *, translation: bool = False) -> str:
        """Return SubRip subtitles. ``translation=True`` shows the translation of each final that has one."""
        from .subtitles import to_srt

        return to_srt(self.finals, translation=translation)

    def to_vtt(self, *, translation: bool = False) -> str:
        """Return WebVTT subtitles with a voice tag for each speaker. ``translation`` is as in ``to_srt``."""
        from .subtitles import to_vtt

        return to_vtt(self.finals, translation=translation)

    def to_json(self) -> str:
        """Return the finals as JSON. Unknown values are left out, times are in seconds.

        ::

            {"version": 1, "duration": 2.5, "finals": [
                {"text": "Hello there.", "complete": true, "start": 0.5, "end": 1.2, "confidence": 0.9,
                 "language": "en", "speaker": "1", "translation": {"text": "Hallo.", "language": "de"},
                 "words": [{"text": "Hello", "start": 0.5, "end": 0.8, "confidence": 0.9, ...}, ...]}]}

        ``complete`` is false for a partial that was kept because the server sent no final for it. Finals of
        separate channels also have a ``"channel"``. A newer version of this library may add keys. ``version``
        changes if the meaning of a key changes.
        """
        finals = [_final_fields(final) for final in self.finals]
        document = {"version": JSON_VERSION, "duration": self.duration, "finals": finals}
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

    def to_html(self) -> str:
        """Return an HTML page with one paragraph per final, with times and speakers."""
        head = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Transcript</title></head>'
        return f"{head}\n<body>\n{_html(self.finals, None)}</body></html>\n"

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Write the finals in the format that the suffix names: .txt, .srt, .vtt, .json or .html.

        The encoding is UTF-8. The file is replaced atomically: a reader finds the old text or the new one, so
        a program can save again after each final. Raises ``ConfigurationError`` for another suffix and
        ``OSError`` if the file cannot be written.
        """
        formats: Dict[str, Callable[[], str]] = {
            ".html": self.to_html,
            ".json": self.to_json,
            ".srt": self.to_srt,
            ".txt": lambda: f"{self.text}\n",
            ".vtt": self.to_vtt,
        }
        suffix = Path(path).suffix.lower()
        if suffix not in formats:
            given = suffix or "a file without a suffix"
            raise ConfigurationError(f"A transcript can be saved as {', '.join(formats)}, not as {given}.")
        _write(path, formats[suffix]())

    def __len__(self) -> int:
        return len(self._finals)

    def __getitem__(self, index: int) -> Transcript:
        return self._finals[index]

    def __iter__(self) -> Iterator[Transcript]:
        return iter(self.finals)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        state = "a partial is open" if self._partial else "no partial"
        return f"<TranscriptLog: {len(self)} finals, {self._duration:.1f} s, {state}>"

    def _repr_html_(self) -> str:
        return _html(*self._snapshot())

    def __reduce__(self) -> Tuple[Any, ...]:
        finals, partial = self._snapshot()
        return TranscriptLog, (finals if partial is None else (*finals, partial),)

    def _snapshot(self) -> Tuple[Tuple[Transcript, ...], Optional[Transcript]]:
        # Copy both under the lock, so that no reader sees a final together with the partial that it replaced.
        with self._lock:
            return tuple(self._finals), self._partial


def _final_fields(final: Transcript) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"text": final.text, "complete": final.complete}
    fields.update(_known(final, "start", "end", "confidence", "language", "speaker", "channel"))
    if final.translation is not None:
        fields["translation"] = {"text": final.translation.text, **_known(final.translation, "language")}
    if final.words:
        names = ("start", "end", "confidence", "speaker", "language")
        fields["words"] = [{"text": word.text, **_known(word, *names)} for word in final.words]
    return fields


def _known(value: object, *names: str) -> Dict[str, Any]:
    return {name: getattr(value, name) for name in names if getattr(value, name) is not None}


def _html(finals: Tuple[Transcript, ...], partial: Optional[Transcript]) -> str:
    lines = ['<div class="slng-transcript">']
    lines.extend(_paragraph(final) for final in finals if final.text)
    if partial is not None:
        lines.append(_paragraph(partial, ' style="color: gray; font-style: italic"'))
    return "\n".join([*lines, "</div>", ""])


def _paragraph(transcript: Transcript, style: str = "") -> str:
    import html

    from .subtitles import speaker_label, speaker_name

    time = "" if transcript.start is None else f"<small>{_clock(transcript.start)}</small> "
    speaker = speaker_label(transcript.channel, transcript.speaker)
    name = f"<b>{html.escape(speaker_name(speaker))}:</b> " if speaker else ""
    return f'<p dir="auto"{style}>{time}{name}{html.escape(transcript.text)}</p>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _write(path: Union[str, "os.PathLike[str]"], text: str) -> None:
    """Write the text to a temporary file in the same folder, then move that over the target."""
    import secrets
    import shutil

    # Follow a symbolic link, or the file would replace the link.
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # JSON from a server can contain half of a surrogate pair. Replace it rather than fail.
        with open(beside, "x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        # Name the target in the error, not the temporary file, which the user does not know.
        error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        beside.unlink(missing_ok=True)
