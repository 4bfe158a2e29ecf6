"""Where the words go: lines of text as they come, or a document that is complete at the end."""

import os
import sys
from pathlib import Path
from typing import IO, Callable, Dict, List, Optional, Protocol, Sequence

from ..errors import ConfigurationError
from ..events import Transcript
from ..progress import plain
from ..subtitles import voice
from ..transcript import TranscriptLog
from .terminal import Screen

__all__ = ["FORMATS", "Output", "chosen_format", "open_output", "targets"]

FORMATS = ("text", "srt", "vtt", "json", "html")
SUFFIXES = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json", "html": ".html"}
STDIN = "-"


class Output(Protocol):
    """Takes the finals of one stream. ``on_screen``: each stands as a line on the terminal."""

    on_screen: bool

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        """One more final; ``log`` has it already."""

    def end(self, log: TranscriptLog) -> None:
        """There will be no more."""


class Lines:
    """A line for each final, at once, on stdout."""

    def __init__(self, screen: Screen) -> None:
        self.on_screen = screen.prints_on_terminal
        self._screen = screen

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        if transcript.text:
            self._screen.line(_line(transcript))

    def end(self, log: TranscriptLog) -> None:
        pass


class LinesInFile:
    """The same in a file."""

    on_screen = False

    def __init__(self, path: Path) -> None:
        # Open until the stream ends, which is not where this block ends.
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
    """A document on stdout, at the end."""

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
    """A document in a file, complete after each final: what was said outlives whatever happens to us."""

    on_screen = False

    def __init__(self, path: Path) -> None:
        self._path = path
        TranscriptLog().save(path)

    def final(self, transcript: Transcript, log: TranscriptLog) -> None:
        log.save(self._path)

    def end(self, log: TranscriptLog) -> None:
        log.save(self._path)


def _line(final: Transcript) -> str:
    """What was said, behind the channel on which it was where there are several."""
    channel = voice(final.channel, None)
    return f"{channel}: {final.text}" if channel else final.text


def open_output(format_: str, path: Optional[Path], screen: Screen) -> Output:
    """Where the finals of one stream go; None is stdout. Raises OSError for what cannot be written."""
    if path is None:
        return Lines(screen) if format_ == "text" else Document(screen, format_)
    path.parent.mkdir(parents=True, exist_ok=True)
    return LinesInFile(path) if format_ == "text" else DocumentInFile(path)


def chosen_format(format_: Optional[str], output: Optional[str]) -> str:
    """What ``--format`` says, else the suffix of ``--output``; ConfigurationError where they disagree."""
    suffix = Path(output or "").suffix.lower()
    by_suffix = next((name for name, each in SUFFIXES.items() if each == suffix), None)
    if format_ is None:
        return by_suffix or "text"
    if output is None or _is_folder(output) or by_suffix == format_:
        return format_
    if by_suffix is not None or format_ != "text":
        raise ConfigurationError(
            f"--format {format_} does not fit --output {output}: let its name end in {SUFFIXES[format_]}."
        )
    return format_


def targets(files: Sequence[str], output: Optional[str], format_: str) -> List[Optional[Path]]:
    """The path for the result of each file, None for stdout.

    Raises ConfigurationError where two results would go to one path, or a result to the recording.
    """
    if output is None:
        if len(files) > 1 and format_ != "text":
            raise ConfigurationError(
                f"Several files as {format_} need --output FOLDER: one document for each of them."
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
            raise ConfigurationError(f"--output {path} is the recording itself.")
    if len(set(paths)) < len(paths):
        raise ConfigurationError("Two of the files have the same name: transcribe them one by one.")


def survive_odd_streams() -> None:
    """Print whatever is said, also where the locale has no letters for it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
