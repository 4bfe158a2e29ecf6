"""Run the command as users and scripts do: in a separate process, with pipes or on a terminal."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "samples" / "speech"
KEY = "sk-never-to-be-seen-1234"
LIMIT = 40.0

OURS = re.compile(r"SLNG_.*|.*_proxy|.*_PROXY|NO_COLOR|TERM|COLUMNS|LC_.*|LANG|PYTHON.*")


def environment(**settings: str) -> Dict[str, str]:
    """Return the environment with ``settings`` and without variables that affect the command."""
    kept = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
    return {**kept, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "TERM": "xterm", **settings}


def python(*arguments: str) -> List[str]:
    # Warnings are errors in the child process too, for example about a socket left open.
    return [sys.executable, "-W", "error", *arguments]


def slng_sync(*arguments: object) -> List[str]:
    return python("-m", "slng_sync", *map(str, arguments))


def run(
    *arguments: object, env: Optional[Mapping[str, str]] = None, stdin: bytes = b"", **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with pipes; keywords are environment variables."""
    full = {**environment(**settings), **(env or {})}
    done = subprocess.run(
        slng_sync(*arguments),
        env=full,
        input=stdin,
        capture_output=True,
        timeout=LIMIT,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    )


@contextmanager
def started(command: List[str], env: Optional[Mapping[str, str]] = None, **streams: Any) -> Iterator[Any]:
    """Start a command and clean up at the end. stdin, stdout and stderr are pipes unless given."""
    pipes: Dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    # Unbuffered, because communicate() loses lines that readline() has left in the buffer of a pipe.
    process = subprocess.Popen(command, bufsize=0, env=dict(env or environment()), **{**pipes, **streams})
    # No test may wait for the process for ever.
    killer = threading.Timer(LIMIT, process.kill)
    killer.start()
    try:
        yield process
    finally:
        killer.cancel()
        killer.join()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass


def interrupt(process: Any) -> None:
    process.send_signal(signal.SIGINT)


def shadow(folder: Path, name: str, text: str = "raise ImportError('not installed')\n") -> Dict[str, str]:
    """Return an environment in which ``import name`` imports this module instead."""
    (folder / f"{name}.py").write_text(text, "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
