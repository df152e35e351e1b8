"""The losses of osc.jax beyond the similarity loss, and its assignments, under jit, vmap and grad:
against oracle.py and osc.numpy; by the library and by the way of other platforms."""

import math

import numpy as np
import oracle
import pytest
from jax_cases import F_LARGE, LOSSES, NO_DEPRECATIONS, calls_of, gaussian, jax, jnp

import osc

check_grads = pytest.importorskip("jax.test_util").check_grads
pytestmark = [pytest.mark.usefixtures("with_float64"), *NO_DEPRECATIONS]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "dtype, tolerance", [("float64", 1e-13), ("float32", 3e-6), ("bfloat16", 3e-2)]
)
def test_equals_numpys(name, dtype, tolerance, each_way):
    if each_way == "formulas" and dtype == "float32":
        pytest.skip("between the other two")
    loss, in_numpy, shape = LOSSES[name]
    x = gaussian(*shape, dtype=dtype)

    @jax.jit
    def value_and_gradient(x):
        values, pull_back = jax.vjp(lambda x: (loss(x, "none"), loss(x, "mean")), x)
        return values, [
            pull_back((jnp.full_like(values[0], a), jnp.asarray(b, dtype)))[0]
            for a, b in ((1, 0), (0, 1))
        ]

    for value, gradient, reduction in zip(*value_and_gradient(x), ("none", "mean")):
        want = in_numpy(np.asarray(x), reduction)
        assert value.dtype == gradient.dtype == dtype
        if each_way == "library":
            np.testing.assert_array_equal(value, want[0])
            np.testing.assert_array_equal(gradient, want[-1])
        else:
            np.testing.assert_allclose(
                np.float64(value), np.float64(want[0]), rtol=tolerance, atol=tolerance
            )
            np.testing.assert_allclose(
                np.float64(gradient), np.float64(want[-1]), rtol=30 * tolerance, atol=3 * tolerance
            )


@pytest.mark.parametrize("name", LOSSES)
def test_higher_derivatives_equal_central_differences(name):
    loss, _, shape = LOSSES[name]
    x = 0.8 * gaussian(*shape)
    weights = jnp.cos(jnp.arange(float(np.size(loss(x, "none"))))).reshape(
        np.shape(loss(x, "none"))
    )
    check_grads(jax.jit(lambda x: (weights * loss(x, "none")).sum()), (x,), order=2, modes=["rev"])


@pytest.mark.parametrize(
    "name", ["contrastive", "contrastive, image", "small to large", "variance"]
)
@pytest.mark.parametrize("batch", [0, 5])
def test_vmap_equals_a_loop(name, batch, each_way):
    loss, _, shape = LOSSES[name]
    x = gaussian(batch, *shape)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: loss(x, "mean")))
    values, gradients = jax.jit(jax.vmap(value_and_grad))(x)
    assert values.shape == (batch,) and gradients.shape == x.shape
    for n in range(batch):
        np.testing.assert_allclose(values[n], value_and_grad(x[n])[0], rtol=1e-12)
        np.testing.assert_allclose(gradients[n], value_and_grad(x[n])[1], rtol=1e-10, atol=1e-14)


def test_the_second_results(each_way):
    projs = gaussian(12, 3)
    accuracy = jax.jit(osc.jax.contrastive_loss)(projs)[1]
    assert accuracy.dtype == jnp.float32 and float(accuracy) == pytest.approx(
        oracle.contrastive_loss(projs[:, None], "mean")[1]
    )
    p = gaussian(3, 4, 3, 6)
    ratio = osc.jax.matching_similarity_loss_small_to_large(jnp.asarray(F_LARGE), p)[1]
    assert float(ratio) == pytest.approx(oracle.small_to_large_loss(F_LARGE, p, "mean")[1])
    assert not jax.grad(lambda x: osc.jax.contrastive_loss(x)[1].astype(x.dtype))(projs).any()
    assert not jax.grad(lambda f: osc.jax.matching_similarity_loss_small_to_large(f, p)[0])(
        jnp.asarray(F_LARGE)
    ).any()


@pytest.mark.parametrize("within_images", [False, True])
def test_a_non_finite_image_is_nobodys_candidate(within_images, each_way):
    loss = (
        osc.jax.matching_contrastive_loss_per_img
        if within_images
        else osc.jax.matching_contrastive_loss
    )
    x = gaussian(8, 3, 5).at[5, 2, 1].set(jnp.nan)
    value, pull_back = jax.vjp(lambda x: loss(x, 0.3, "none"), x)
    gradient = pull_back(jnp.ones(24))[0].reshape(2, 4, 3, 5)
    want, _ = oracle.contrastive_loss(x, "none", 0.3, within_images=within_images)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    kept = np.array([0, 2, 3])
    clean = jax.grad(lambda x: loss(x, 0.3, "sum"))(x.reshape(2, 4, 3, 5)[:, kept].reshape(6, 3, 5))
    np.testing.assert_allclose(gradient[:, kept].reshape(6, 3, 5), clean, rtol=1e-10, atol=1e-14)
    assert np.isnan(gradient[:, 1]).all()
    projs = x[:, 2]
    assert float(osc.jax.contrastive_loss(projs)[1]) == pytest.approx(
        oracle.contrastive_loss(projs[:, None], "mean")[1]
    )


def test_non_finite_crops_and_groups(each_way):
    f, p = jnp.asarray(F_LARGE), gaussian(3, 4, 3, 6)
    bad = p.at[1, 0, 0, 0].set(jnp.inf)
    value, clean = (
        osc.jax.matching_similarity_loss_small_to_large(f, x, "none")[0] for x in (bad, p)
    )
    gradient, want = (
        jax.grad(lambda x: osc.jax.matching_similarity_loss_small_to_large(f, x, "sum")[0])(x)
        for x in (bad, p)
    )
    assert np.isnan(value[1]).all() and np.isnan(gradient[1]).all()
    np.testing.assert_array_equal(value[::2], clean[::2])
    np.testing.assert_array_equal(gradient[::2], want[::2])
    x = gaussian(3, 6, 4)
    gradient, want = (
        jax.grad(lambda x: sum(osc.jax.variance_covariance_loss(x)))(x)
        for x in (x.at[1, 0, 0].set(jnp.nan), x)
    )
    assert np.isnan(gradient[1]).all()
    np.testing.assert_allclose(gradient[::2], want[::2], rtol=1e-12, atol=1e-15)


def test_empty_and_equal(each_way):
    for shape in ((0, 3, 4), (4, 0, 3)):
        x = jnp.zeros(shape)
        assert osc.jax.matching_contrastive_loss(x, reduction="sum") == 0 and np.isnan(
            osc.jax.matching_contrastive_loss_per_img(x)
        )
        assert jax.grad(osc.jax.matching_contrastive_loss)(x).shape == shape
    assert float(osc.jax.matching_contrastive_loss(jnp.ones((4, 3, 8)))) == pytest.approx(
        math.log(11)
    )
    assert (
        np.isnan(osc.jax.variance_covariance_loss(jnp.ones((1, 4)))).all()
        and np.isnan(osc.jax.variance_covariance_loss(jnp.ones((3, 0)))).all()
    )
    assert np.isnan(osc.jax.variance_covariance_loss(jnp.ones((5, 1)))[1])
    for sizes in ((0, 2, 3, 2, 3), (2, 0, 3, 2, 3), (2, 2, 0, 2, 3), (2, 2, 3, 2, 0)):
        value, ratio = osc.jax.matching_similarity_loss_small_to_large(
            jnp.ones((*sizes[:3], 4)), jnp.ones((sizes[0], *sizes[3:], 4)), "sum"
        )
        want, want_ratio = oracle.small_to_large_loss(
            np.ones((*sizes[:3], 4)), np.ones((sizes[0], *sizes[3:], 4)), "sum"
        )
        np.testing.assert_equal((float(value), float(ratio)), (np.nan_to_num(want), want_ratio))


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


def test_a_batch_is_one_call_and_no_matrix_of_all_pairs_is_there():
    x = gaussian(9, 64, 4, 5)
    program = (
        jax.jit(jax.vmap(jax.value_and_grad(osc.jax.matching_contrastive_loss))).lower(x).as_text()
    )
    assert calls_of("matching_contrastive_loss", program) == [False, True]
    assert "256x256" not in program


def test_bad_input_is_an_error_when_traced():
    x = jnp.ones((4, 3, 2))
    for call, error, text in [
        (
            lambda: osc.jax.matching_contrastive_loss(x[:3]),
            ValueError,
            r"slots has shape \[3, 3, 2\]; wanted \[2B, S, C\]",
        ),
        (lambda: osc.jax.matching_contrastive_loss(x, 0), ValueError, "temperature is 0"),
        (lambda: osc.jax.matching_contrastive_loss(x, "1"), TypeError, "temperature is str"),
        (
            lambda: osc.jax.matching_contrastive_loss(x.astype(np.float32), 5e-39),
            ValueError,
            "temperature is 5e-39",
        ),
        (
            lambda: jax.jit(osc.jax.matching_contrastive_loss)(x, 0.5),
            TypeError,
            "temperature.*static_argnames",
        ),
        (
            lambda: osc.jax.matching_contrastive_loss_per_img(x, reduction="average"),
            ValueError,
            "'average'",
        ),
        (
            lambda: osc.jax.contrastive_loss(x),
            ValueError,
            r"projs has shape \[4, 3, 2\]; wanted \[2B, C\]",
        ),
        (
            lambda: osc.jax.cosine_sim_loss(x[:, 0], x[:2, 0]),
            ValueError,
            r"projs has shape \[2, 2\]; wanted \[2B, C\] = \[4, 2\]",
        ),
        (
            lambda: osc.jax.matching_similarity_loss_small_to_large(x, x),
            ValueError,
            r"f_large has shape \[4, 3, 2\]; wanted \[B, Al, L, C\]",
        ),
        (
            lambda: osc.jax.matching_similarity_loss_small_to_large(
                x[None], x[None].astype("float32")
            ),
            TypeError,
            "wanted the same dtype",
        ),
        (
            lambda: osc.jax.variance_covariance_loss(x[0, 0]),
            ValueError,
            r"x has shape \[2\]; wanted \[..., N, D\]",
        ),
        (lambda: osc.jax.linear_sum_assignment(x.astype(int)), TypeError, "cost is int64"),
        (lambda: osc.jax.linear_sum_assignment(x, "max"), TypeError, "maximize is 'max'"),
        (lambda: osc.jax.match_slots(x, eps=0), ValueError, "eps is 0"),
    ]:
        with pytest.raises(error, match=text):
            call()
