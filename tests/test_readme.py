"""The README matches the package."""

import ast
import os
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

import slng_sync

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def programs() -> List[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def statements(program: str) -> List[str]:
    """Return the statements of a program, without comments, layout and module docstring."""
    body = ast.parse(program).body
    is_docstring = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return [ast.dump(each) for each in (body[1:] if is_docstring else body)]


def test_the_whole_program_is_the_sample() -> None:
    """Another test runs the sample with a microphone."""
    sample = (ROOT / "samples" / "microphone.py").read_text(encoding="utf-8")
    assert statements(programs()[0]) == statements(sample)


@pytest.mark.parametrize("program", programs())
def test_every_program_is_python(program: str) -> None:
    """Some need a window or a microphone, so they are only compiled."""
    ast.parse(program)


def test_the_program_for_tests_runs() -> None:
    """Run the lines about the local gateway, with some audio added."""
    program = next(each for each in programs() if "LocalGateway" in each)
    heard: Dict[str, Any] = {}
    exec(program + "    log = client.transcribe(bytes(32000 * 4), sample_rate=16000, speed=50)\n", heard)
    assert heard["log"].text == "turn on the light."


@pytest.mark.parametrize("command", ["samples/first_run.sh", "tests/run.sh"])
def test_the_two_commands_can_be_typed(command: str) -> None:
    """They are in the README on lines of their own, and are executable."""
    assert f"\n    {command}\n" in README
    assert os.access(ROOT / command, os.X_OK)


def test_the_names_in_the_table_exist() -> None:
    """Every error in the README's tree exists in the package."""
    drawn = re.findall(r"^ +(\w+(?:Error|Lost|Closed|Found|Timeout))\b", README, re.MULTILINE)
    assert len(drawn) >= 10
    assert all(hasattr(slng_sync, name) for name in drawn)


def test_what_is_linked_is_there() -> None:
    """Links to files of the project point to existing files."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
