"""Each example runs, and its own assertions hold."""

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = sorted((pathlib.Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example):
    for module in re.findall(r"^(?:import|from) (\w+)", example.read_text(), re.MULTILINE):
        pytest.importorskip(module)
    result = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout, result.stderr
