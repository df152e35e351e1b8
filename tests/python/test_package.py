"""What `import osc` does and does not do; the examples of its docstrings; its types."""

import doctest
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import osc


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_import_loads_neither_numpy_nor_torch_nor_the_library():
    result = run_python(
        "import sys, osc; print([m for m in ('numpy', 'torch', 'ctypes', 'jax') if m in "
        "sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_numpy_users_load_neither_torch_nor_jax():
    result = run_python(
        "import sys, osc; osc.numpy.matching_similarity_loss_per_img; "
        "osc.linear_sum_assignment([[1]]); print([m for m in ('torch', 'jax') if m in "
        "sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_without_jax_the_error_says_what_to_install():
    result = run_python("import sys; sys.modules['jax'] = None; import osc; osc.jax")
    assert "pip install jax" in result.stderr


@pytest.mark.parametrize("module", ["loss_objects", "loss_global"])
def test_without_torch_the_error_says_what_to_install(module):
    result = run_python(f"import sys; sys.modules['torch'] = None; import osc.{module}")
    assert (
        f"ImportError: osc.{module} needs PyTorch 2.10 or later: pip install torch" in result.stderr
    )


def test_version_is_that_of_the_library():
    assert [int(part) >= 0 for part in osc.__version__.split(".")] == [True] * 3


def test_public_names():
    assert set(osc.__all__) <= set(dir(osc))
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = osc.missing


@pytest.mark.parametrize("module", ["osc._assignment", "osc._library", "osc.numpy", "osc.jax"])
def test_docstring_examples(module):
    if module == "osc.jax":
        pytest.importorskip("jax")
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0 and results.failed == 0


def test_works_in_a_forked_child():
    result = run_python(
        """
import os, numpy, osc
slots = numpy.random.default_rng(0).standard_normal((400, 8, 32))
want = osc.match_slots(slots)  # starts the threads, which the child will not have
child = os.fork()
if child == 0:
    os._exit(0 if (osc.match_slots(slots) == want).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert result.stdout.strip() == "0", result.stderr


PROGRAM = """
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import torch

import osc
import osc.jax
import osc.loss_global
import osc.loss_objects
import osc.numpy


def objective(f: npt.NDArray[np.float32], p: npt.NDArray[np.float32]) -> float:
    loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, with_grad=True)
    columns: npt.NDArray[np.int64] = osc.linear_sum_assignment([[1.0, 2.0]])[0]
    matching: npt.NDArray[np.int64] = osc.match_slots(f, on_nonfinite="raise")
    shape: tuple[int, ...] = gradient.shape + columns.shape + matching.shape
    return float(loss) + len(shape) + len(osc.__version__) + len(osc.instruction_set())


def in_jax(f: jax.Array, p: jax.Array) -> jax.Array:
    return osc.jax.matching_similarity_loss_per_img(f, p, "sum", eps=1e-8)


def on_tensors(f: torch.Tensor, p: torch.Tensor, configured: str) -> torch.Tensor:
    col4row, row4col = osc.linear_sum_assignment(f, on_unsolvable="unmatched")
    matching: torch.Tensor = osc.match_slots(f)
    loss = osc.loss_objects.matching_similarity_loss_per_img(f, p, configured)
    loss = loss + osc.loss_objects.matching_contrastive_loss(p, 0.1, "sum")
    similarity, accuracy = osc.loss_global.contrastive_loss(p[:, 0])
    return loss + similarity + accuracy + col4row.sum() + row4col.sum() + matching.sum()


def on_arrays(f: npt.NDArray[np.float32]) -> float:
    col4row, row4col = osc.linear_sum_assignment(f)
    arrays: list[npt.NDArray[np.int64]] = [col4row, row4col, osc.match_slots(f)]
    loss, accuracy, gradient = osc.numpy.contrastive_loss(f[:, 0], with_grad=True)
    return float(loss) + accuracy + float(gradient.sum()) + len(arrays)
"""


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("mypy")
    package = pathlib.Path(osc.__file__).parent
    environment = dict(os.environ)
    if "site-packages" not in package.parts:
        environment["MYPYPATH"] = str(package.parent)

    def check(*arguments, program=None):
        if program is not None:
            (folder / "program.py").write_text(program)
            arguments += ("program.py",)
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            folder / "cache",
            *arguments,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=folder, env=environment
        ).stdout

    return check


def test_the_package_passes_mypy_strict(mypy):
    assert mypy(pathlib.Path(osc.__file__).parent).startswith("Success")


def test_a_users_program_passes_mypy_strict(mypy):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    text = mypy(program=PROGRAM)
    assert text.startswith("Success"), text


def test_wrong_types_do_not(mypy):
    text = mypy(
        program="import osc.numpy\n"
        "osc.linear_sum_assignment([[1]], 'maximize')\n"
        "osc.numpy.matching_similarity_loss_per_img([], [], eps='small', with_grad=True)\n"
        "osc.match_slots([], on_nonfinite='ignore')\n"
    )
    assert "program.py:2" in text and "program.py:3" in text and "program.py:4" in text
