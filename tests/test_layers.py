"""Imports point one way, and importing the package loads nothing heavy."""

import ast
import functools
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, Set, Tuple

import pytest

PACKAGE = Path(__file__).parent.parent / "slng_sync"

# From the ground up. A module imports only from levels below its own, or from the same one. One that is not
# named here, nor its package, stands as high as the highest that it imports.
LEVELS: List[Set[str]] = [
    {"_version"},
    {"errors"},
    {"events", "subtitles", "transcript", "audio.format"},
    {"clock", "send_queue", "dialects"},
    {"exchange"},
    {"audio", "connection", "dispatch"},
    {"session"},
    {"client"},
    {"gui", "notebook", "batch"},
    {"cli"},
]
# The gateway is a program of its own: a test server that shared the client's code would share its mistakes.
GATEWAY = {"gateway", "errors", "audio.format"}
ONLY_IN = {"websocket": "connection", "pyaudio": "audio.portaudio"}
HEAVY = ("numpy", "pyaudio", "websockets", "rich", "soundfile", "soxr", "pocketsphinx")
FOR_FEW = (
    "audio.microphone",
    "audio.file",
    "audio.ear",
    "recording",
    "sessions",
    "spill",
    "subtitles",
    "trace",
)

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """`audio/format.py` is `audio.format`, `cli/__init__.py` is `cli`, and the package itself is ``."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Tuple[bool, str]]:
    """Every module that a file imports, wherever in it: (is it ours?, its name)."""
    package = list(path.parts[:-1])
    known = {name_of(each) for each in MODULES}
    for node in ast.walk(ast.parse((PACKAGE / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                own = alias.name.split(".")[0] == "slng_sync"
                yield own, alias.name[len("slng_sync.") :] if own else alias.name
        elif isinstance(node, ast.ImportFrom):
            absolute = (node.module or "").split(".")
            own = bool(node.level) or absolute[0] == "slng_sync"
            if not own:
                yield False, node.module or ""
                continue
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + ((node.module or "").split(".") if node.level else absolute[1:])
            for alias in node.names:
                deeper = ".".join(filter(None, [*base, alias.name]))
                yield True, deeper if deeper in known else ".".join(filter(None, base))


@functools.lru_cache(maxsize=None)
def level(name: str, importers: Tuple[str, ...] = ()) -> int:
    """The level of a module: of its own name, of the package it is in, or of what it imports."""
    assert name not in importers, f"imports in a circle: {' > '.join((*importers, name))}"
    known = name
    while known:
        for height, names in enumerate(LEVELS):
            if known in names:
                return height
        known = known.rpartition(".")[0]
    path = next((each for each in MODULES if name_of(each) == name), None)
    assert path, f"there is no module {name}"
    below = {imported for ours, imported in imports(path) if ours and imported}
    return max((level(each, (*importers, name)) for each in below), default=0)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    name = name_of(path)
    for ours, imported in imports(path):
        if not ours:
            owner = ONLY_IN.get(imported.split(".")[0])
            assert owner in (None, name), f"only {owner} may import {imported}"
        elif name.split(".")[0] == "gateway":
            allowed = imported in GATEWAY or imported.startswith("gateway.")
            assert allowed, f"the gateway may not import {imported}"
        elif name and imported.split(".")[0] == "gateway":
            assert level(name) >= level("gui"), f"{name} may not import {imported}"
        elif name and imported != "_version":
            assert level(imported) <= level(name), f"{name} may not import {imported}, which is above it"


def test_importing_the_package_loads_nothing_heavy_and_nothing_for_few() -> None:
    unwanted = [*HEAVY, *(f"slng_sync.{name}" for name in FOR_FEW)]
    assert all((PACKAGE / f"{name.replace('.', '/')}.py").exists() for name in FOR_FEW)
    loaded_of = f"[each for each in {unwanted!r} if each in sys.modules]"
    program = f"import sys; from slng_sync import Client; print({loaded_of})"
    loaded = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=30)
    assert loaded.stdout.decode().strip() == "[]"
