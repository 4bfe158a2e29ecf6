"""TranscriptLog: everything that was said in one stream, in order, and what it can be saved as.

Text, SRT, WebVTT, JSON, HTML. One thread adds, any number of threads read. How speech becomes
subtitles stands in ``subtitles.py``.
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
    """The finals of a stream in the order they came, and the partial that is still open.

    Iterating and ``len()`` are over the finals. ``str(log)`` is the text; ``repr(log)`` only counts,
    so that no spoken word gets into a log file. Every method may be called from any thread, while the
    session is still adding. It can be pickled, so it can come back from a process pool.
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
        """Append a final, which replaces the open partial; or replace the open partial by a newer one."""
        if not transcript.is_final:
            # A partial without text says that nothing is open any more.
            self._partial = transcript if transcript.text else None
            return
        with self._lock:
            # A user who looks at the words of his transcript does not make this one larger.
            self._finals.append(replace(transcript, words=copy.copy(transcript.words)))
            self._duration = max(self._duration, transcript.end or 0.0)
            self._partial = None

    @property
    def finals(self) -> Tuple[Transcript, ...]:
        """The finals so far. A copy: to look at the newest one only, ``log[-1]`` is cheaper."""
        return self._snapshot()[0]

    @property
    def partial(self) -> Optional[Transcript]:
        """What is being said and not final yet; None when nothing is open."""
        return self._partial

    @property
    def text(self) -> str:
        """The text of the finals, joined by blanks; a change of speaker or channel begins a new line."""
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
        """The words of all finals; none for a final that the server sent without words."""
        return tuple(word for final in self.finals for word in final.words)

    @property
    def duration(self) -> float:
        """Where the last final ends, in seconds on the session's clock; 0 while nothing tells it."""
        return self._duration

    def to_srt(self, *, translation: bool = False) -> str:
        """SubRip subtitles; ``translation=True`` shows the translation of each final that has one."""
        from .subtitles import to_srt

        return to_srt(self.finals, translation=translation)

    def to_vtt(self, *, translation: bool = False) -> str:
        """WebVTT subtitles, with a voice for each speaker; ``translation`` as in `to_srt`."""
        from .subtitles import to_vtt

        return to_vtt(self.finals, translation=translation)

    def to_json(self) -> str:
        """The finals as JSON text: what was not told is left out, times are seconds.

        ::

            {"version": 1, "duration": 2.5, "finals": [
                {"text": "Hello there.", "complete": true, "start": 0.5, "end": 1.2, "confidence": 0.9,
                 "language": "en", "speaker": "1", "translation": {"text": "Hallo.", "language": "de"},
                 "words": [{"text": "Hello", "start": 0.5, "end": 0.8, "confidence": 0.9, ...}, ...]}]}

        ``complete`` is false for a partial that was kept because the server never finished it; a
        ``"channel"`` stands beside the speaker where channels were heard apart. A newer
        version of this library may add keys; ``version`` changes when the meaning of one does.
        """
        finals = [_final_fields(final) for final in self.finals]
        document = {"version": JSON_VERSION, "duration": self.duration, "finals": finals}
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

    def to_html(self) -> str:
        """A page of its own: one paragraph per final, with times and speakers."""
        head = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Transcript</title></head>'
        return f"{head}\n<body>\n{_html(self.finals, None)}</body></html>\n"

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Write the finals in the format that the suffix names: .txt, .srt, .vtt, .json or .html.

        UTF-8. The file appears, or is replaced, in one step: who reads it meanwhile finds the old
        text or the new one, so it can be saved again after each final. Raises `OSError` if it can't
        be written.
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
        # Both at once, so that nobody sees a final beside the partial it has replaced.
        with self._lock:
            return tuple(self._finals), self._partial


def _final_fields(final: Transcript) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"text": final.text, "complete": final.complete}
    fields.update(_told(final, "start", "end", "confidence", "language", "speaker", "channel"))
    if final.translation is not None:
        fields["translation"] = {"text": final.translation.text, **_told(final.translation, "language")}
    if final.words:
        names = ("start", "end", "confidence", "speaker", "language")
        fields["words"] = [{"text": word.text, **_told(word, *names)} for word in final.words]
    return fields


def _told(value: object, *names: str) -> Dict[str, Any]:
    return {name: getattr(value, name) for name in names if getattr(value, name) is not None}


def _html(finals: Tuple[Transcript, ...], partial: Optional[Transcript]) -> str:
    lines = ['<div class="slng-transcript">']
    lines.extend(_paragraph(final) for final in finals if final.text)
    if partial is not None:
        lines.append(_paragraph(partial, ' style="color: gray; font-style: italic"'))
    return "\n".join([*lines, "</div>", ""])


def _paragraph(transcript: Transcript, style: str = "") -> str:
    import html

    from .subtitles import speaker_name, voice

    time = "" if transcript.start is None else f"<small>{_clock(transcript.start)}</small> "
    speaker = voice(transcript.channel, transcript.speaker)
    name = f"<b>{html.escape(speaker_name(speaker))}:</b> " if speaker else ""
    return f'<p dir="auto"{style}>{time}{name}{html.escape(transcript.text)}</p>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _write(path: Union[str, "os.PathLike[str]"], text: str) -> None:
    """Put the text there in one step: written beside the file, then moved over it."""
    import secrets
    import shutil

    # Through a symbolic link to the file it means, or the link would become a file.
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # JSON from a server can hold half of a surrogate pair; that must not cost the transcript.
        with open(beside, "x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        # Not the one beside it, which nobody knows of.
        error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        beside.unlink(missing_ok=True)
