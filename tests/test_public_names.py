import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

PACKAGE = Path(__file__).parent.parent / "slng_sync"


def modules() -> Iterator[str]:
    """Return every module with an ``__all__``."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        if any(isinstance(name, ast.Name) and name.id == "__all__" for name in names):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(modules()))
def test_all_can_be_imported_and_names_nothing_twice(name: str) -> None:
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    missing = [each for each in module.__all__ if not hasattr(module, each)]
    assert not missing


def test_the_package_itself_says_what_is_public() -> None:
    package = importlib.import_module("slng_sync")
    assert {"Client", "Microphone", "Reson8", "Soniox", "Transcript", "__version__"} <= set(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in set(package.__all__) - {"__version__"}:
        assert name in importlib.import_module(f"slng_sync.{package._HOME_OF[name]}").__all__


def test_what_was_only_named_is_loaded_when_it_is_asked_for() -> None:
    program = """if True:
        import sys, slng_sync
        print(sorted(each for each in sys.modules if each.startswith("slng_sync.")))
        print(slng_sync.errors.SlngError is slng_sync.SlngError, "slng_sync.client" in sys.modules)
        print(hasattr(slng_sync, "nothing"), hasattr(slng_sync, "__main__"))
        from slng_sync import *
        print(Client is slng_sync.client.Client, Microphone.__module__)
    """
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=30)
    assert done.stdout.decode().splitlines() == [
        "['slng_sync._version']",
        "True False",
        "False False",
        "True slng_sync.microphone.microphone",
    ]
