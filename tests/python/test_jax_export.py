"""Programs of osc.jax that jax.export writes, with sizes that are only known when they run."""

import subprocess
import sys

import numpy as np
import pytest
from jax_cases import NO_DEPRECATIONS, gaussian, jax, jnp

import osc

export = pytest.importorskip("jax.export")

pytestmark = NO_DEPRECATIONS

VIEWS = "2*b, s, c"
# By name: the function, the symbolic shapes of its arrays, and the same for sizes b, s and c.
FUNCTIONS = {
    "similarity": (
        osc.jax.matching_similarity_loss_per_img,
        [VIEWS, VIEWS],
        lambda b, s, c: [(2 * b, s, c), (2 * b, s, c)],
    ),
    "SimSiam": (
        osc.jax.cosine_sim_loss,
        ["2*b, c", "2*b, c"],
        lambda b, s, c: [(2 * b, c), (2 * b, c)],
    ),
    "contrastive": (
        osc.jax.matching_contrastive_loss,
        [VIEWS],
        lambda b, s, c: [(2 * b, s, c)],
    ),
    "contrastive, image": (
        lambda x: osc.jax.matching_contrastive_loss_per_img(x, 0.3, "none"),
        [VIEWS],
        lambda b, s, c: [(2 * b, s, c)],
    ),
    "SimCLR": (osc.jax.contrastive_loss, ["2*b, c"], lambda b, s, c: [(2 * b, c)]),
    "small to large": (
        lambda f, p: osc.jax.matching_similarity_loss_small_to_large(f, p, "none"),
        ["b, a, l, c", "b, m, s, c"],
        lambda b, s, c: [(b, 2, s + 2, c), (b, 3, s, c)],
    ),
    "variance": (osc.jax.variance_covariance_loss, ["b, s, c"], lambda b, s, c: [(b, s, c)]),
    "match_slots": (osc.jax.match_slots, [VIEWS], lambda b, s, c: [(2 * b, s, c)]),
    "linear_sum_assignment": (
        osc.jax.linear_sum_assignment,
        ["b, s, c"],
        lambda b, s, c: [(b, s, c)],
    ),
}
SIZES = [(2, 3, 4), (5, 2, 7)]


def exported(function, shapes, **options):
    scope = export.SymbolicScope()
    arrays = [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), "float32")
        for shape in shapes
    ]
    options = {"disabled_checks": osc.jax.export_checks(), **options}
    return export.export(jax.jit(function), **options)(*arrays)


def arrays_of(shapes):
    return [gaussian(*shape, dtype="float32", seed=i) for i, shape in enumerate(shapes)]


def first_sum(function):
    """The sum of the first result, which can be differentiated."""
    return lambda *arrays: jax.tree.leaves(function(*arrays))[0].sum()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_runs_with_other_sizes(name):
    function, shapes, of_sizes = FUNCTIONS[name]
    program = exported(function, shapes)
    for sizes in SIZES:
        arrays = arrays_of(of_sizes(*sizes))
        jax.tree.map(np.testing.assert_array_equal, program.call(*arrays), function(*arrays))


@pytest.mark.parametrize("name", list(FUNCTIONS)[:7])
def test_gradients_run_with_other_sizes(name):
    function, shapes, of_sizes = FUNCTIONS[name]
    gradient = jax.grad(first_sum(function), len(shapes) - 1)
    program = exported(gradient, shapes)
    for sizes in SIZES:
        arrays = arrays_of(of_sizes(*sizes))
        np.testing.assert_array_equal(program.call(*arrays), gradient(*arrays))


@pytest.mark.parametrize("name", ["similarity", "contrastive", "small to large", "variance"])
def test_what_was_written_can_be_read_and_differentiated_twice(name):
    pytest.importorskip("flatbuffers")  # in which JAX writes it
    function, shapes, of_sizes = FUNCTIONS[name]
    program = export.deserialize(exported(function, shapes).serialize(vjp_order=2))
    last = len(shapes) - 1

    def second(function):
        gradient = jax.grad(first_sum(function), last)
        return jax.grad(lambda *arrays: (gradient(*arrays) ** 2).sum(), last)

    arrays = arrays_of(of_sizes(*SIZES[1]))
    np.testing.assert_allclose(
        second(program.call)(*arrays), second(function)(*arrays), rtol=1e-4, atol=1e-6
    )


def test_vmap_of_so_many_as_come():
    function, _, of_sizes = FUNCTIONS["similarity"]
    program = exported(jax.vmap(function), ["n, 2*b, s, c"] * 2)
    for calls in (1, 3):
        arrays = arrays_of([(calls, *shape) for shape in of_sizes(*SIZES[0])])
        np.testing.assert_array_equal(program.call(*arrays), jax.vmap(function)(*arrays))


def test_another_process_needs_but_the_import(tmp_path):
    pytest.importorskip("flatbuffers")
    function, shapes, of_sizes = FUNCTIONS["contrastive"]
    (tmp_path / "program").write_bytes(exported(function, shapes).serialize())
    (slots,) = arrays_of(of_sizes(*SIZES[0]))
    np.save(tmp_path / "slots.npy", slots)
    code = """
import numpy, osc.jax
from jax import export
with open("program", "rb") as file:
    program = export.deserialize(file.read())
print(float(program.call(numpy.load("slots.npy"))))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == float(function(slots))


def test_a_number_of_rows_that_may_be_odd_is_an_error():
    for function in (osc.jax.matching_contrastive_loss, osc.jax.match_slots):
        with pytest.raises(ValueError, match=r"has shape \[n, s, c\].*is written as 2\*b"):
            exported(function, ["n, s, c"])
    with pytest.raises(ValueError, match=r"projs has shape \[n, c\].*is written as 2\*b"):
        exported(osc.jax.contrastive_loss, ["n, c"])


def test_the_checks_are_those_of_all_custom_calls():
    with pytest.raises(ValueError, match="osc_call"):
        exported(osc.jax.match_slots, [VIEWS], disabled_checks=[])
    assert len(osc.jax.export_checks()) == 1
    assert jnp.shape(exported(osc.jax.match_slots, [VIEWS]).call(jnp.ones((4, 3, 2)))) == (2, 3)
