"""Imports point one way, and importing the package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, Set, Tuple

import pytest

PACKAGE = Path(__file__).parent.parent / "slng_sync"

# From the bottom up. A module imports from its own package and from lower levels, not from the same level.
LEVELS: List[Set[str]] = [
    {"_version"},
    {"errors", "log", "redaction", "waiting", "system_limits"},
    {"events", "validation"},
    {"audio", "transcript", "subtitles"},
    {"microphone", "dialects"},
    {"protocol"},
    {"transport"},
    {"storage", "callbacks"},
    {"session"},
    {"replay", "progress"},
    {"client"},
    {"gui", "notebook", "batch", "captions"},
    {"cli", "doctor"},
    {"__main__"},
]
# The few names that a level may import from its own level.
BESIDE = {("system_limits", "errors"), ("waiting", "errors"), ("transcript", "subtitles"), ("cli", "doctor")}
# The gateway is a separate program. A test server that shared the client's code would share its bugs.
GATEWAY = {"gateway", "errors", "audio.format"}
ONLY_IN = {"websocket": "transport.limited_websocket", "pyaudio": "microphone.portaudio"}
HEAVY = ("numpy", "pyaudio", "websockets", "rich", "soundfile", "soxr", "pocketsphinx")
FOR_FEW = (
    "microphone.microphone",
    "audio.file",
    "audio.voice_gate",
    "storage.recorder",
    "session.sessions",
    "storage.spill",
    "subtitles",
    "storage.trace_writer",
    "storage.writer",
)

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """`audio/format.py` is `audio.format`, `cli/__init__.py` is `cli`, and the package itself is ``."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Tuple[bool, str]]:
    """Return every module that a file imports, anywhere in it, as (is part of slng_sync, name)."""
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


def level(name: str) -> int:
    """Return the level of a module, which is that of its package."""
    room = name.split(".")[0]
    return next(height for height, names in enumerate(LEVELS) if room in names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    name = name_of(path)
    room = name.split(".")[0]
    for ours, imported in imports(path):
        if not ours:
            owner = ONLY_IN.get(imported.split(".")[0])
            assert owner in (None, name), f"only {owner} may import {imported}"
            continue
        other = imported.split(".")[0]
        if room == "gateway":
            allowed = imported in GATEWAY or other == "gateway"
            assert allowed, f"the gateway may not import {imported}"
        elif room and other == "gateway":
            assert level(name) >= level("gui"), f"{name} may not import {imported}"
        elif room and imported not in ("", "_version") and other != room:
            below = level(imported) < level(name) or (room, other) in BESIDE
            assert below, f"{name} may not import {imported}, which does not stand below it"


def test_no_module_imports_itself_in_a_circle() -> None:
    modules = {name_of(path): path for path in MODULES}
    finished: Set[str] = set()

    def visit(name: str, importers: Tuple[str, ...]) -> None:
        assert name not in importers, f"imports in a circle: {' > '.join((*importers, name))}"
        if name in finished:
            return
        for ours, imported in imports(modules[name]):
            if ours and imported and imported != name:
                visit(imported, (*importers, name))
        finished.add(name)

    for name in modules:
        if name:
            visit(name, ())


def test_importing_the_package_loads_nothing_heavy_and_nothing_for_few() -> None:
    unwanted = [*HEAVY, *(f"slng_sync.{name}" for name in FOR_FEW)]
    assert all((PACKAGE / f"{name.replace('.', '/')}.py").exists() for name in FOR_FEW)
    loaded_of = f"[each for each in {unwanted!r} if each in sys.modules]"
    program = f"import sys; from slng_sync import Client; print({loaded_of})"
    loaded = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=30)
    assert loaded.stdout.decode().strip() == "[]"
