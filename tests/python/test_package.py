"""What `import osc` does and does not do; the examples of its docstrings."""

import doctest
import importlib
import subprocess
import sys

import osc
import pytest


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_import_loads_neither_numpy_nor_torch_nor_the_library():
    result = run_python("import sys, osc; print([m for m in ('numpy', 'torch', 'ctypes', 'jax') if m in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_numpy_users_never_load_torch():
    result = run_python("import sys, osc; osc.numpy.matching_similarity_loss_per_img; osc.linear_sum_assignment([[1]]); print('torch' in sys.modules)")
    assert result.stdout.strip() == "False", result.stderr


def test_version_is_that_of_the_library():
    assert [int(part) >= 0 for part in osc.__version__.split(".")] == [True] * 3


def test_public_names():
    assert set(osc.__all__) <= set(dir(osc))
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        osc.missing


@pytest.mark.parametrize("module", ["osc._assignment", "osc.numpy"])
def test_docstring_examples(module):
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
