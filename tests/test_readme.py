"""What the README shows is what there is."""

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
    """A program without comments, layout, and the docstring at its top."""
    body = ast.parse(program).body
    is_docstring = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return [ast.dump(each) for each in (body[1:] if is_docstring else body)]


def test_the_whole_program_is_the_sample() -> None:
    """The sample is executed by a test of its own, with a microphone."""
    sample = (ROOT / "samples" / "microphone.py").read_text(encoding="utf-8")
    assert statements(programs()[0]) == statements(sample)


def test_the_program_for_tests_runs() -> None:
    """The lines about the local gateway, with a little audio put in."""
    program = next(each for each in programs() if "LocalGateway" in each)
    heard: Dict[str, Any] = {}
    exec(program + "    log = client.transcribe(bytes(32000 * 4), sample_rate=16000, speed=50)\n", heard)
    assert heard["log"].text == "turn on the light."


@pytest.mark.parametrize("command", ["samples/first_run.sh", "tests/run.sh"])
def test_the_two_commands_can_be_typed(command: str) -> None:
    """They stand in the README by themselves, and are programs."""
    assert f"\n    {command}\n" in README
    assert os.access(ROOT / command, os.X_OK)


def test_the_names_in_the_table_exist() -> None:
    """Every error that the README draws is one of the package's."""
    drawn = re.findall(r"^ +(\w+(?:Error|Lost|Closed|Found|Timeout))\b", README, re.MULTILINE)
    assert len(drawn) >= 10
    assert all(hasattr(slng_sync, name) for name in drawn)


def test_what_is_linked_is_there() -> None:
    """Links to files of the project lead somewhere."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
