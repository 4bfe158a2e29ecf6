import ast
import importlib
from pathlib import Path
from typing import Iterator

import pytest

PACKAGE = Path(__file__).parent.parent / "slng_sync"


def modules() -> Iterator[str]:
    """Every module that says what is public in it."""
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
