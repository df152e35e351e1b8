"""Each example runs, and its own assertions hold."""

import ast
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
    for line in ast.parse(example.read_text()).body:
        if isinstance(line, ast.Import | ast.ImportFrom):
            module = getattr(line, "module", None) or line.names[0].name
            if not (example.parent / f"{module}.py").exists():
                pytest.importorskip(module)
    result = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout, result.stderr


def test_one_line_makes_the_difference_in_pytorch():
    pytest.importorskip("torch")
    examples = [EXAMPLES[0].parent / f"pytorch_step_{name}.py" for name in ("before", "after")]
    before, after = (example.read_text().splitlines() for example in examples)
    assert len(before) == len(after) and sum(a != b for a, b in zip(before, after)) == 1
    outputs = [
        subprocess.run(
            [sys.executable, example], capture_output=True, text=True, timeout=300, check=True
        ).stdout
        for example in examples
    ]
    losses = [
        [float(number) for number in re.findall(r"loss ([0-9.]+)", output)] for output in outputs
    ]
    assert len(losses[0]) == 5 and losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][-1] < losses[0][0]
