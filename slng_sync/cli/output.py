"""Output of transcripts: lines of text, one for each final, or a document."""

import os
import sys
from pathlib import Path
from typing import IO, Callable, Dict, List, Optional, Protocol, Sequence

from ..errors import ConfigurationError
from ..events import Transcript
from ..progress import plain
from ..subtitles import speaker_label
from ..transcript import TranscriptLog
from .terminal import Screen

__all__ = ["FORMATS", "Output", "chosen_format", "open_output", "targets"]

FORMATS = ("text", "srt", "vtt", "json", "html")
SUFFIXES = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json", "html": ".html"}
STDIN = "-"


class Output(Protocol):
    """The output of one transcript. ``on_screen`` says whether each final is a line on the terminal."""

    on_screen: bool

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        """Write a final. ``log`` already contains it."""

    def end(self, log: TranscriptLog) -> None:
        """Write what is left and close the output."""


class Lines:
    """A line on stdout for each final, written at once."""

    def __init__(self, screen: Screen) -> None:
        self.on_screen = screen.prints_on_terminal
        self._screen = screen

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        if transcript.text:
            self._screen.line(_line(transcript))

    def end(self, log: TranscriptLog) -> None:
        pass


class LinesInFile:
    """A line in a file for each final, written at once."""

    on_screen = False

    def __init__(self, path: Path) -> None:
        # No ``with`` block: the file stays open until ``end``.
        self._file: IO[str] = open(  # noqa: SIM115
            path, "w", encoding="utf-8", errors="replace", newline="\n"
        )

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        if transcript.text:
            self._file.write(plain(_line(transcript)) + "\n")
            self._file.flush()

    def end(self, log: TranscriptLog) -> None:
        self._file.close()


class Document:
    """A document on stdout, written at the end."""

    on_screen = False

    def __init__(self, screen: Screen, format_: str) -> None:
        self._screen = screen
        self._format = format_

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        pass

    def end(self, log: TranscriptLog) -> None:
        formats: Dict[str, Callable[[], str]] = {
            "srt": log.to_srt,
            "vtt": log.to_vtt,
            "json": log.to_json,
            "html": log.to_html,
        }
        self._screen.clear()
        self._screen.document(formats[self._format]())


class DocumentInFile:
    """A document in a file, complete after each final, so that a crash loses nothing."""

    on_screen = False

    def __init__(self, path: Path) -> None:
        self._path = path
        TranscriptLog().save(path)

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        log.save(self._path)

    def end(self, log: TranscriptLog) -> None:
        log.save(self._path)


def _line(final: Transcript) -> str:
    """Return the text of a final, after the name of its channel if there are several."""
    channel = speaker_label(final.channel, None)
    return f"{channel}: {final.text}" if channel else final.text


def open_output(format_: str, path: Optional[Path], screen: Screen) -> Output:
    """Return the output for one transcript. ``path`` is None for stdout. Raises OSError if not writable."""
    if path is None:
        return Lines(screen) if format_ == "text" else Document(screen, format_)
    path.parent.mkdir(parents=True, exist_ok=True)
    return LinesInFile(path) if format_ == "text" else DocumentInFile(path)


def chosen_format(format_: Optional[str], output: Optional[str]) -> str:
    """Return ``--format``, or the format of the suffix of ``--output``.

    Raises ``ConfigurationError`` if they disagree.
    """
    suffix = Path(output or "").suffix.lower()
    by_suffix = next((name for name, each in SUFFIXES.items() if each == suffix), None)
    if format_ is None:
        return by_suffix or "text"
    if output is None or _is_folder(output) or by_suffix == format_:
        return format_
    if by_suffix is not None or format_ != "text":
        raise ConfigurationError(
            f"--format {format_} does not match --output {output}: use a name that ends in "
            f"{SUFFIXES[format_]}."
        )
    return format_


def targets(files: Sequence[str], output: Optional[str], format_: str) -> List[Optional[Path]]:
    """Return the path of the result for each file, None for stdout.

    Raises ``ConfigurationError`` if two results have the same path or a result would overwrite a recording.
    """
    if output is None:
        if len(files) > 1 and format_ != "text":
            raise ConfigurationError(
                f"Several files with --format {format_} need --output FOLDER, for one document per file."
            )
        return [None] * len(files)
    if len(files) == 1 and not _is_folder(output):
        paths = [Path(output)]
    else:
        paths = [Path(output) / _name(file, SUFFIXES[format_]) for file in files]
    _check_distinct(files, paths)
    return list(paths)


def _name(file: str, suffix: str) -> str:
    return ("stdin" if file == STDIN else Path(file).stem) + suffix


def _is_folder(output: str) -> bool:
    return os.path.isdir(output) or output.endswith(("/", os.sep))


def _check_distinct(files: Sequence[str], paths: Sequence[Path]) -> None:
    recordings = {os.path.realpath(file) for file in files if file != STDIN}
    for path in paths:
        if os.path.realpath(path) in recordings:
            raise ConfigurationError(
                f"--output {path} would overwrite the recording: choose another name or folder."
            )
    if len(set(paths)) < len(paths):
        raise ConfigurationError(
            "Two files have the same name, so their results would too: transcribe them one by one."
        )


def replace_unprintable() -> None:
    """Replace characters that the encoding of stdout or stderr does not have, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
