"""What is peculiar to JAX's door: its programs, vmap, derivatives and the assignments."""

import concurrent.futures

import numpy as np
import pytest
from jax_cases import LOSSES, NO_DEPRECATIONS, OPERATORS, calls_of, gaussian, jax, jnp

import osc

check_grads = pytest.importorskip("jax.test_util").check_grads
pytestmark = [pytest.mark.usefixtures("with_float64"), *NO_DEPRECATIONS]

similarity = osc.jax.matching_similarity_loss_per_img


def pair(*shape, dtype="float64"):
    return gaussian(*shape, dtype=dtype), gaussian(*shape, dtype=dtype, seed=1)


@pytest.mark.parametrize("name", LOSSES)
def test_higher_derivatives_equal_central_differences(name):
    loss, shape = LOSSES[name]
    x = 0.8 * gaussian(*shape)
    weights = jnp.cos(jnp.arange(float(np.size(loss(x, "none"))))).reshape(loss(x, "none").shape)
    check_grads(jax.jit(lambda x: (weights * loss(x, "none")).sum()), (x,), order=2, modes=["rev"])


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_third_derivative(reduction, each_way):
    f, p = pair(4, 3, 5)
    weights = jnp.cos(jnp.arange(12.0))
    loss = jax.jit(lambda p: (weights * similarity(f, p, reduction)).sum())
    check_grads(loss, (p,), order=3, modes=["rev"])


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("batch", [0, 5])
def test_vmap_equals_a_loop(name, batch, each_way):
    loss, shape = LOSSES[name]
    x = gaussian(batch, *shape)
    for reduction in ("none", "mean"):
        weights = jnp.cos(jnp.arange(float(np.size(loss(gaussian(*shape), reduction)))))
        value_and_grad = jax.jit(
            jax.value_and_grad(
                lambda x, reduction=reduction, weights=weights: (
                    weights * loss(x, reduction).ravel()
                ).sum()
            )
        )
        values, gradients = jax.jit(jax.vmap(value_and_grad))(x)
        assert values.shape == (batch,) and gradients.shape == x.shape
        for n in range(batch):
            np.testing.assert_allclose(values[n], value_and_grad(x[n])[0], rtol=1e-12, atol=1e-14)
            want = value_and_grad(x[n])[1]
            np.testing.assert_allclose(gradients[n], want, rtol=1e-10, atol=1e-14)


def test_vmap_of_vmap_along_other_axes_and_of_one_argument(each_way):
    f, p = pair(2, 4, 6, 3, 5)
    got = jax.vmap(jax.vmap(similarity, in_axes=1), in_axes=0)(
        f.transpose(0, 2, 1, 3, 4), p.transpose(0, 2, 1, 3, 4)
    )
    want = [[similarity(f[a, b], p[a, b]) for b in range(4)] for a in range(2)]
    np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_allclose(
        jax.vmap(similarity, in_axes=(None, 0))(f[0, 0], p[0]),
        [similarity(f[0, 0], p[0, b]) for b in range(4)],
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        jax.vmap(similarity, in_axes=(0, None))(f[0], p[0, 0]),
        [similarity(f[0, b], p[0, 0]) for b in range(4)],
        rtol=1e-14,
    )
    gradient = jax.grad(lambda p: jax.vmap(similarity)(f[0], p).sum())(p[0])
    np.testing.assert_allclose(
        gradient[2], jax.grad(similarity, argnums=1)(f[0, 2], p[0, 2]), rtol=1e-12
    )


def test_a_batch_is_one_call_and_the_matching_is_done_once():
    f, p = pair(9, 4, 3, 5)
    program = jax.jit(jax.vmap(jax.value_and_grad(similarity, argnums=1))).lower(f, p).as_text()
    assert calls_of("matching_similarity_loss_per_img", program) == [False, True]
    assert "stablehlo.while" not in program


def test_no_matrix_of_all_pairs_is_there():
    x = gaussian(9, 64, 4, 5)
    step = jax.jit(jax.vmap(jax.value_and_grad(osc.jax.matching_contrastive_loss)))
    program = step.lower(x).as_text()
    assert calls_of("matching_contrastive_loss", program) == [False, True]
    assert "256x256" not in program


def test_other_platforms_wait_for_the_host_once():
    f, p = pair(9, 4, 3, 5)
    program = str(jax.make_jaxpr(jax.vmap(jax.value_and_grad(similarity, argnums=1)))(f, p))
    # two custom calls for the CPU, one callback for other platforms
    assert program.count(" ffi_call[") == 2 and program.count(" pure_callback[") == 1


def test_what_is_constant_has_no_gradient(each_way):
    f, p = pair(6, 4, 5)
    large, small = gaussian(3, 2, 5, 6), gaussian(3, 4, 3, 6, seed=1)
    of_crops = osc.jax.matching_similarity_loss_small_to_large
    assert not jax.grad(similarity)(f, p).any()
    assert not jax.grad(lambda f: of_crops(f, small)[0])(large).any()
    assert not jax.grad(lambda p: of_crops(large, p)[1].astype(p.dtype))(small).any()
    assert not jax.grad(lambda x: osc.jax.contrastive_loss(x)[1].astype(x.dtype))(p[:, 0]).any()
    both = jax.grad(lambda x: similarity(x, x))(p)
    np.testing.assert_array_equal(both, jax.grad(similarity, argnums=1)(p, p))


def test_non_finite_groups(each_way):
    x = gaussian(3, 6, 4)
    gradient = jax.grad(lambda x: sum(osc.jax.variance_covariance_loss(x)))
    got, want = gradient(x.at[1, 0, 0].set(jnp.nan)), gradient(x)
    assert np.isnan(got[1]).all()
    np.testing.assert_allclose(got[::2], want[::2], rtol=1e-12, atol=1e-15)


def test_sizes_without_a_covariance(each_way):
    for shape in ((1, 4), (3, 0), (0, 3, 4)):
        assert np.isnan(osc.jax.variance_covariance_loss(jnp.ones(shape))).all()
    assert np.isnan(osc.jax.variance_covariance_loss(jnp.ones((5, 1)))[1])


def test_subnormal_numbers_are_no_zeros_on_xlas_threads():
    f, p = pair(802, 7, 33)
    f, p = np.asarray(f) * 1e-310, np.asarray(p) * 1e-310
    np.testing.assert_array_equal(
        similarity(f, p, eps=1e-315), osc.numpy.matching_similarity_loss_per_img(f, p, eps=1e-315)
    )


def test_without_float64_numpys_arrays_become_float32():
    jax.config.update("jax_enable_x64", False)
    f, p = np.random.default_rng(0).standard_normal((2, 4, 3, 5))
    got, gradient = jax.jit(jax.value_and_grad(similarity, argnums=1))(f, p)
    want, want_gradient = osc.numpy.matching_similarity_loss_per_img(f, p, with_grad=True)
    assert got.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, atol=1e-7)


def test_many_at_once_neither_deadlock_nor_mix():
    f, p = pair(12, 64, 16, 32, dtype="float32")

    @jax.jit
    def several(f, p):  # independent of each other, so that XLA may run them side by side
        return [jax.value_and_grad(similarity, argnums=1)(f[n], p[n]) for n in range(len(f))]

    want = several(f, p)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for got in threads.map(lambda _: several(f, p), range(40), timeout=120):
            for (a, da), (b, db) in zip(got, want):
                np.testing.assert_array_equal(a, b)
                np.testing.assert_array_equal(da, db)


def test_assignments_under_jit_and_vmap(each_way):
    cost = gaussian(2, 5, 4, 6)
    for maximize in (False, True):
        solve = lambda cost: osc.jax.linear_sum_assignment(cost, maximize)  # noqa: E731
        want = osc.linear_sum_assignment(np.asarray(cost), maximize)
        for got in (
            solve(cost),
            jax.jit(solve)(cost),
            jax.vmap(solve)(cost),
            jax.jit(jax.vmap(jax.vmap(solve), in_axes=1, out_axes=1))(cost),
        ):
            for a, b in zip(got, want):
                assert a.dtype == np.int64
                np.testing.assert_array_equal(a, b)
    bad = cost.at[0, 1, 0, 0].set(jnp.nan)
    np.testing.assert_array_equal(
        osc.jax.linear_sum_assignment(bad)[0],
        osc.linear_sum_assignment(np.asarray(bad), on_unsolvable="unmatched")[0],
    )
    f = gaussian(3, 8, 5, 7)
    want = np.stack([osc.match_slots(np.asarray(x)) for x in f])
    np.testing.assert_array_equal(jax.jit(jax.vmap(osc.jax.match_slots))(f), want)
    np.testing.assert_array_equal(osc.jax.match_slots(f[0].at[0, 0, 0].set(jnp.nan))[0], [-1] * 5)
    assert not jax.grad(lambda f: osc.jax.match_slots(f).sum() + f.sum() - f.sum())(f[0]).any()
    jax.config.update("jax_enable_x64", False)
    assert osc.jax.match_slots(jnp.ones((2, 3, 4))).dtype == np.int32
    assert osc.jax.linear_sum_assignment(jnp.zeros((0, 3)))[1].tolist() == [-1] * 3


def test_traced_arrays_are_sent_to_osc_jax():
    for call in (osc.match_slots, osc.linear_sum_assignment):
        with pytest.raises(TypeError, match="traced by JAX.*osc.jax"):
            jax.jit(call)(jnp.ones((2, 3, 3)))


def test_bad_input_is_an_error_when_traced():
    x = jnp.ones((4, 3, 2))
    for call, error, text in [
        (lambda: jax.eval_shape(similarity, x[:3], x[:3]), ValueError, r"f has shape \[3, 3, 2\]"),
        (lambda: similarity([[[1.0]]], x), TypeError, "f is list; wanted a JAX array"),
        (lambda: osc.jax.linear_sum_assignment(x.astype(int)), TypeError, "cost is int64"),
        (lambda: osc.jax.linear_sum_assignment(x, "max"), TypeError, "maximize is 'max'"),
        (lambda: osc.jax.linear_sum_assignment(x[0, 0]), ValueError, r"cost has shape \[2\]"),
        (lambda: osc.jax.match_slots(x, eps=0), ValueError, "eps is 0"),
        (
            lambda: jax.jit(lambda e: similarity(x, x, eps=e))(1.0),
            TypeError,
            "eps.*static_argnames",
        ),
        (
            lambda: jax.jit(osc.jax.matching_contrastive_loss)(x, 0.5),
            TypeError,
            "temperature.*static_argnames",
        ),
    ]:
        with pytest.raises(error, match=text):
            call()
