"""osc.jax.matching_similarity_loss_per_img against the specification in oracle.py, under jit, vmap
and grad; both by the library and by the way of other platforms."""

import concurrent.futures

import numpy as np
import pytest
from jax_cases import NO_DEPRECATIONS, calls_of, jax, jnp
from oracle import loss_and_gradient

import osc

check_grads = pytest.importorskip("jax.test_util").check_grads
pytestmark = [pytest.mark.usefixtures("with_float64"), *NO_DEPRECATIONS]


def loss(*arguments, **options):
    return osc.jax.matching_similarity_loss_per_img(*arguments, **options)


def gaussian(*shape, dtype="float64", seed=0):
    f, p = np.random.default_rng(seed).standard_normal((2, *shape))
    return jnp.asarray(f, dtype), jnp.asarray(p, dtype)


@pytest.mark.parametrize(
    "dtype, tolerance",
    [("float64", 1e-14), ("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 1e-2)],
)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, tolerance, reduction, each_way):
    for images, slots, channels in (
        [(3, 4, 8)] if each_way == "formulas" else [(1, 1, 1), (3, 4, 8), (5, 11, 64), (2, 30, 7)]
    ):
        f, p = gaussian(2 * images, slots, channels, dtype=dtype, seed=slots)
        want, want_gradient = loss_and_gradient(f, p, reduction)

        @jax.jit
        def loss_and_pull_back(f, p):
            got, pull_back = jax.vjp(lambda p: loss(f, p, reduction), p)
            return got, pull_back(jnp.ones_like(got))[0]

        got, gradient = loss_and_pull_back(f, p)
        assert got.dtype == p.dtype and got.shape == np.shape(want)
        np.testing.assert_allclose(
            np.float64(got), want, atol=tolerance * (want if reduction == "sum" else 1), rtol=0
        )
        if each_way == "library":
            np.testing.assert_array_equal(got, loss(f, p, reduction))
        assert gradient.dtype == p.dtype and gradient.shape == p.shape
        np.testing.assert_allclose(
            np.float64(gradient), want_gradient, rtol=30 * tolerance, atol=3 * tolerance
        )


def test_the_incoming_gradient_is_each_slots_own(each_way):
    f, p = gaussian(6, 4, 5)
    incoming = np.random.default_rng(1).standard_normal(24)
    _, unscaled = loss_and_gradient(f, p, "none")
    gradient = jax.vjp(lambda p: loss(f, p, "none"), p)[1](jnp.asarray(incoming))[0]
    np.testing.assert_allclose(
        gradient, unscaled * incoming.reshape(6, 4, 1), rtol=1e-12, atol=1e-14
    )


def test_f_has_no_gradient_even_where_it_is_p(each_way):
    f, p = gaussian(6, 4, 5)
    assert not jax.grad(loss)(f, p).any()
    np.testing.assert_array_equal(
        jax.grad(lambda x: loss(x, x))(p), jax.grad(loss, argnums=1)(p, p)
    )


def test_same_bits_as_from_numpy():
    f, p = gaussian(802, 7, 33, dtype="float32")
    for reduction in ("none", "mean", "sum"):
        want, want_gradient = osc.numpy.matching_similarity_loss_per_img(
            f, p, reduction, with_grad=True
        )
        np.testing.assert_array_equal(loss(f, p, reduction), want)
        np.testing.assert_array_equal(
            jax.grad(lambda p: loss(f, p, reduction).sum())(p), want_gradient
        )


@pytest.mark.parametrize("batch", [0, 1, 3, 50])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_vmap_equals_a_loop(batch, reduction, each_way):
    f, p = gaussian(batch, 4, 3, 5)
    weights = jnp.cos(jnp.arange(batch * 12.0)).reshape(batch, 12)
    value_and_grad = jax.value_and_grad(
        lambda f, p, weights: (
            weights[: 12 if reduction == "none" else 1] * loss(f, p, reduction)
        ).sum(),
        argnums=1,
    )
    losses, gradients = jax.jit(jax.vmap(value_and_grad))(f, p, weights)
    assert losses.shape == (batch,) and gradients.shape == p.shape
    for n in range(batch):
        value, gradient = value_and_grad(f[n], p[n], weights[n])
        np.testing.assert_allclose(losses[n], value, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(gradients[n], gradient, rtol=1e-12, atol=1e-15)


def test_vmap_of_vmap_along_other_axes_and_of_one_argument(each_way):
    f, p = gaussian(2, 4, 6, 3, 5)
    got = jax.vmap(jax.vmap(loss, in_axes=1), in_axes=0)(
        f.transpose(0, 2, 1, 3, 4), p.transpose(0, 2, 1, 3, 4)
    )
    want = [[loss(f[a, b], p[a, b]) for b in range(4)] for a in range(2)]
    np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_allclose(
        jax.vmap(loss, in_axes=(None, 0))(f[0, 0], p[0]),
        [loss(f[0, 0], p[0, b]) for b in range(4)],
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        jax.vmap(loss, in_axes=(0, None))(f[0], p[0, 0]),
        [loss(f[0, b], p[0, 0]) for b in range(4)],
        rtol=1e-14,
    )
    gradient = jax.grad(lambda p: jax.vmap(loss)(f[0], p).sum())(p[0])
    np.testing.assert_allclose(gradient[2], jax.grad(loss, argnums=1)(f[0, 2], p[0, 2]), rtol=1e-12)


def test_a_batch_is_one_call_and_the_matching_is_done_once():
    f, p = gaussian(9, 4, 3, 5)
    program = jax.jit(jax.vmap(jax.value_and_grad(loss, argnums=1))).lower(f, p).as_text()
    assert calls_of("matching_similarity_loss_per_img", program) == [False, True]
    assert "stablehlo.while" not in program


def test_other_platforms_wait_for_the_host_once():
    f, p = gaussian(9, 4, 3, 5)
    program = str(jax.make_jaxpr(jax.vmap(jax.value_and_grad(loss, argnums=1)))(f, p))
    # those of the CPU, and that of the others
    assert program.count(" ffi_call[") == 2 and program.count(" pure_callback[") == 1


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_higher_derivatives_equal_central_differences(reduction, each_way):
    f, p = gaussian(4, 3, 5)
    weights = jnp.cos(jnp.arange(12.0))
    check_grads(lambda p: (weights * loss(f, p, reduction)).sum(), (p,), order=3, modes=["rev"])


def test_forward_mode_is_refused():
    f, p = gaussian(4, 3, 5)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda p: loss(f, p), (p,), (p,))


def test_non_finite_images_are_nan_and_leave_the_others_alone(each_way):
    f, p = gaussian(6, 4, 5)
    clean = loss(f, p, "none").reshape(2, 3, 4)
    for spoilt_f, spoilt_p in [
        (f.at[4, 1, 2].set(jnp.nan), p),
        (f, p.at[1, 0, 0].set(jnp.inf)),
        (f.at[1, 3, 4].set(-jnp.inf), p),
    ]:
        got, pull_back = jax.vjp(lambda p: loss(spoilt_f, p, "none"), spoilt_p)
        gradient = pull_back(jnp.ones(24))[0].reshape(2, 3, 4, 5)
        assert np.isnan(got.reshape(2, 3, 4)[:, 1]).all() and np.isnan(gradient[:, 1]).all()
        np.testing.assert_array_equal(got.reshape(2, 3, 4)[:, ::2], clean[:, ::2])
        assert np.isfinite(gradient[:, ::2]).all()


def test_zero_and_extreme_slots(each_way):
    f, p = gaussian(4, 3, 5)
    p = p.at[1, 2].set(0)
    assert loss(f, p, "none").reshape(4, 3)[1, 2] == 0.5
    p = p.at[0].multiply(1e-4)  # below the floor, but not zero
    want, want_gradient = loss_and_gradient(f, p, "mean", eps=1e-3)
    np.testing.assert_allclose(loss(f, p, eps=1e-3), want, rtol=1e-14)
    np.testing.assert_allclose(
        jax.grad(loss, argnums=1)(f, p, eps=1e-3), want_gradient, rtol=1e-12, atol=1e-15
    )
    for scale in (1e300, 1e-300):
        np.testing.assert_allclose(
            loss(f * scale, p * scale, eps=1e-307), loss(f, p, eps=1e-307), rtol=1e-12
        )


def test_subnormal_numbers_are_no_zeros_on_xlas_threads():
    f, p = gaussian(802, 7, 33)
    f, p = np.asarray(f) * 1e-310, np.asarray(p) * 1e-310
    np.testing.assert_array_equal(
        loss(f, p, eps=1e-315), osc.numpy.matching_similarity_loss_per_img(f, p, eps=1e-315)
    )


@pytest.mark.parametrize(
    "shape, total, mean", [((0, 3, 4), 0, np.nan), ((4, 0, 3), 0, np.nan), ((4, 3, 0), 6, 0.5)]
)
def test_empty(shape, total, mean, each_way):
    x = jnp.zeros(shape)
    assert loss(x, x, "sum") == total
    np.testing.assert_equal(float(loss(x, x)), mean)
    assert loss(x, x, "none").shape == (shape[0] * shape[1],)
    assert jax.grad(lambda p: loss(x, p, "sum"))(x).shape == shape


def test_without_float64_numpys_arrays_become_float32():
    jax.config.update("jax_enable_x64", False)
    f, p = np.random.default_rng(0).standard_normal((2, 4, 3, 5))
    got, gradient = jax.jit(jax.value_and_grad(loss, argnums=1))(f, p)
    want, want_gradient = loss_and_gradient(f, p, "mean")
    assert got.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, atol=1e-7)


def test_many_at_once_neither_deadlock_nor_mix():
    f, p = gaussian(12, 64, 16, 32, dtype="float32")

    @jax.jit
    def several(f, p):  # independent of each other, so that XLA may run them side by side
        return [jax.value_and_grad(loss, argnums=1)(f[n], p[n]) for n in range(len(f))]

    want = several(f, p)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for got in threads.map(lambda _: several(f, p), range(40), timeout=120):
            for (a, da), (b, db) in zip(got, want):
                np.testing.assert_array_equal(a, b)
                np.testing.assert_array_equal(da, db)


def test_bad_input_is_an_error_when_traced():
    x = jnp.ones((4, 3, 2))
    for f, p, error, text in [
        (x, x[:, :2], ValueError, r"p has shape \[4, 2, 2\]; wanted \[2B, S, C\] = \[4, 3, 2\]"),
        (x[:3], x[:3], ValueError, r"f has shape \[3, 3, 2\]; wanted \[2B, S, C\]"),
        (x[0], x[0], ValueError, r"f has shape \[3, 2\]"),
        (x, x.astype("float32"), TypeError, "f is float64 and p is float32"),
        (x.astype(int), x.astype(int), TypeError, "f is int64"),
        ([[[1.0]], [[1.0]]], x, TypeError, "f is list; wanted a JAX array"),
    ]:
        with pytest.raises(error, match=text):
            loss(f, p)
        if not isinstance(f, list):
            with pytest.raises(error, match=text):
                jax.eval_shape(loss, f, p)
    with pytest.raises(ValueError, match="'average'"):
        loss(x, x, "average")
    for eps in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="eps"):
            loss(x, x, eps=eps)
    with pytest.raises(TypeError):
        jax.jit(lambda eps: loss(x, x, eps=eps))(1e-10)
