"""osc.jax where arrays are divided among devices, each of which computes a loss of its own: against
the same loss of each part, without the division. Run by test_jax_sharding.py."""

import warnings

import numpy as np
import pytest
from jax_cases import LOSSES, NO_DEPRECATIONS, gaussian, jax, jnp

import osc

pytestmark = [pytest.mark.usefixtures("with_float64"), *NO_DEPRECATIONS]

DEVICES = jax.device_count()
MESH = jax.sharding.Mesh(np.array(jax.devices()), ("i",))
P = jax.sharding.PartitionSpec
DIVIDED = P("i")
VERSION = tuple(int(part) for part in jax.__version__.split(".")[:2])

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the older of the two, from 0.8 on
    try:
        from jax.experimental.shard_map import shard_map as experimental_shard_map
    except ImportError:
        experimental_shard_map = None


def sharded(function, in_specs=DIVIDED, out_specs=DIVIDED):
    """``function`` under the defaults of `shard_map`, which check how its results vary."""
    shard_map = getattr(jax, "shard_map", experimental_shard_map)
    return shard_map(function, mesh=MESH, in_specs=in_specs, out_specs=out_specs)


def of_each(function):
    """``function`` of each device's part of ``[DEVICES, ...]``, which is what ``sharded`` gets."""
    return lambda parts: jax.tree.map(lambda x: x[None], function(parts[0]))


def stacked(function, parts):
    return jax.tree.map(lambda *x: jnp.stack(x), *[function(part) for part in parts])


def assert_close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), got, want)


def test_there_are_several_devices():
    assert DEVICES > 1


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_inside(name, each_way):
    if each_way == "formulas" and name in ("SimSiam", "SimCLR", "covariance"):
        pytest.skip("the operator of another")
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)

    @jax.jit
    def function(x):
        return loss(x, "none"), *jax.value_and_grad(lambda x: loss(x, "mean"))(x)

    assert_close(jax.jit(sharded(of_each(function)))(parts), stacked(function, parts))


@pytest.mark.parametrize("name", LOSSES)
def test_without_jit(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)
    value_and_grad = jax.value_and_grad(lambda x: loss(x, "mean"))
    assert_close(sharded(of_each(value_and_grad))(parts), stacked(value_and_grad, parts))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_from_outside(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)
    total = sharded(lambda parts: jax.lax.psum(loss(parts[0], "mean"), "i"), out_specs=P())
    want = stacked(jax.jit(jax.grad(lambda x: loss(x, "mean"))), parts)
    assert_close(jax.jit(jax.grad(total))(parts), want)


@pytest.mark.skipif(VERSION < (0, 10), reason="JAX cannot differentiate integers there")
@pytest.mark.parametrize("name", ["similarity", "contrastive", "small to large", "variance"])
def test_second_derivatives(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)

    def norm_of_gradient(x):
        return (jax.grad(lambda x: loss(x, "mean"))(x) ** 2).sum()

    second = jax.jit(jax.grad(norm_of_gradient))
    want = stacked(second, parts)
    assert_close(jax.jit(sharded(of_each(second)))(parts), want)
    if name == "similarity":  # the longest to compile are left out
        each = sharded(of_each(norm_of_gradient))
        assert_close(jax.jit(jax.grad(lambda parts: each(parts).sum()))(parts), want)


@pytest.mark.skipif(VERSION < (0, 6), reason="JAX does not know there that a result is everywhere")
@pytest.mark.parametrize("name", LOSSES)
def test_an_array_that_every_device_has(name):
    loss, shape = LOSSES[name]
    x = gaussian(*shape)
    value_and_grad = jax.value_and_grad(lambda x: loss(x, "mean"))
    assert_close(sharded(value_and_grad, P(), P())(x), value_and_grad(x))


def test_two_arrays_of_which_one_is_everywhere():
    f, p = gaussian(DEVICES, 6, 4, 5), gaussian(6, 4, 5, seed=1)
    loss = osc.jax.matching_similarity_loss_per_img
    want = sum(jax.grad(loss, 1)(part, p) for part in f)  # the gradient of the sum over devices
    total = sharded(lambda f, p: jax.lax.psum(loss(f[0], p), "i"), (DIVIDED, P()), P())
    assert_close(jax.grad(total, 1)(f, p), want)
    got = sharded(lambda f, p: jax.grad(loss, 1)(p, f[0])[None], (DIVIDED, P()))(f, p)
    assert_close(got, stacked(lambda part: jax.grad(loss, 1)(p, part), f))


@pytest.mark.parametrize("name", ["similarity", "contrastive", "small to large", "variance"])
def test_vmap_inside_and_outside(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, 3, *shape)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: loss(x, "mean")))
    want = stacked(lambda part: stacked(value_and_grad, part), parts)
    assert_close(jax.jit(sharded(of_each(jax.vmap(value_and_grad))))(parts), want)
    assert_close(jax.jit(jax.vmap(sharded(of_each(value_and_grad)), 1, 1))(parts), want)


def test_assignments(each_way):
    f, costs = gaussian(DEVICES, 6, 4, 5), gaussian(DEVICES, 3, 4, 6)
    for function, parts in (
        (osc.jax.match_slots, f),
        (osc.jax.linear_sum_assignment, costs),
        (lambda cost: osc.jax.linear_sum_assignment(cost, True), costs),
    ):
        want = stacked(function, parts)
        jax.tree.map(
            np.testing.assert_array_equal, jax.jit(sharded(of_each(function)))(parts), want
        )


@pytest.mark.skipif(experimental_shard_map is None, reason="this JAX has it no longer")
@pytest.mark.parametrize("name", LOSSES)
def test_experimental_shard_map_that_checks_replication(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)
    value_and_grad = jax.value_and_grad(lambda x: loss(x, "mean"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        got = jax.jit(
            experimental_shard_map(of_each(value_and_grad), MESH, DIVIDED, DIVIDED, check_rep=True)
        )(parts)
    assert_close(got, stacked(value_and_grad, parts))


@pytest.mark.parametrize("name", LOSSES)
def test_pmap_and_vmap_of_jit(name):
    loss, shape = LOSSES[name]
    parts = gaussian(DEVICES, *shape)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: loss(x, "mean")))
    want = stacked(value_and_grad, parts)
    assert_close(jax.vmap(value_and_grad)(parts), want)
    got = jax.pmap(jax.vmap(value_and_grad))(parts[:, None])
    assert_close(got, jax.tree.map(lambda x: x[:, None], want))


def test_arrays_that_are_divided_themselves():
    """The loss is that of the whole array, whether axes are left to XLA or part of the types."""
    f, p = gaussian(8, 4, 6, seed=1), gaussian(8, 4, 6)
    crops = gaussian(8, 2, 4, 6)
    cases = [
        (lambda f, p: osc.jax.matching_similarity_loss_per_img(f, p), (f, p)),
        (lambda f, p: osc.jax.cosine_sim_loss(f, p), (f[:, 0], p[:, 0])),
        (lambda p: osc.jax.matching_contrastive_loss(p), (p,)),
        (lambda p: osc.jax.matching_contrastive_loss_per_img(p), (p,)),
        (lambda p: osc.jax.contrastive_loss(p)[0], (p[:, 0],)),
        (
            lambda f, p: osc.jax.matching_similarity_loss_small_to_large(f, p)[0],
            (crops, crops[:, ::-1] + 1),
        ),
        (lambda p: sum(osc.jax.variance_covariance_loss(p)), (p,)),
    ]
    meshes = [MESH]
    if VERSION >= (0, 10):
        explicit = (jax.sharding.AxisType.Explicit,)
        meshes.append(jax.make_mesh((DEVICES,), ("i",), axis_types=explicit))
    for mesh in meshes:
        placement = jax.sharding.NamedSharding(mesh, DIVIDED)
        for loss, arrays in cases:
            divided = [jax.device_put(array, placement) for array in arrays]
            step = jax.jit(jax.value_and_grad(loss, len(arrays) - 1))
            want = step(*arrays)
            assert_close(step(*divided), want)
            assert_close(loss(*divided), want[0])
        for function in (osc.jax.match_slots, osc.jax.linear_sum_assignment):
            got = function(jax.device_put(p, placement))
            jax.tree.map(np.testing.assert_array_equal, got, function(p))
