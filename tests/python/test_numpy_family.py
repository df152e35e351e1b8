"""osc.numpy's losses beyond the similarity loss, against the loops in oracle.py. What PyTorch's
tests compare with these bit for bit is not compared again."""

import math

import numpy as np
import oracle
import pytest

import osc

LOSSES = {
    "batch": osc.numpy.matching_contrastive_loss,
    "image": osc.numpy.matching_contrastive_loss_per_img,
}


@pytest.mark.parametrize(
    "dtype, tolerance",
    [("float64", 1e-13), ("float32", 3e-6), ("float16", 3e-3), ("bfloat16", 3e-2)],
)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equal_the_specification(dtype, tolerance, reduction):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(0)

    def check(got, function, x):
        """``got``: a loss, perhaps another result, and the gradient."""
        x = np.float64(x)
        want = function(x)
        scale = max(np.size(want[0]), 1 if reduction != "sum" else 24)
        assert got[0].dtype == got[-1].dtype == dtype and np.shape(got[0]) == np.shape(want[0])
        np.testing.assert_allclose(
            np.float64(got[0]), want[0], rtol=tolerance, atol=tolerance * scale
        )
        if len(got) == 3:
            assert type(got[1]) is float and got[1] == pytest.approx(want[1])
        direction = rng.standard_normal(x.shape)
        slope = oracle.slope(lambda x: np.nansum(function(x)[0]), x, direction)
        assert (np.float64(got[-1]) * direction).sum() == pytest.approx(
            slope, rel=max(30 * tolerance, 1e-6), abs=100 * scale * max(tolerance, 1e-9)
        )

    x = rng.standard_normal((6, 4, 5)).astype(dtype)
    for loss in LOSSES.values():
        within = loss is LOSSES["image"]
        check(
            loss(x, 0.5, reduction, with_grad=True),
            lambda x: oracle.contrastive_loss(x, reduction, 0.5, within_images=within),
            x,
        )
        assert np.array_equal(loss(x, 0.5, reduction), loss(x, 0.5, reduction, with_grad=True)[0])
    check(
        osc.numpy.contrastive_loss(x[:, 0], 0.5, reduction, with_grad=True),
        lambda x: oracle.contrastive_loss(x[:, None], reduction, 0.5),
        x[:, 0],
    )
    feats = rng.standard_normal((6, 5)).astype(dtype)
    check(
        osc.numpy.cosine_sim_loss(feats, x[:, 0], reduction, with_grad=True),
        lambda x: oracle.loss_and_gradient(feats[:, None], x[:, None], reduction),
        x[:, 0],
    )
    f, p = (
        rng.standard_normal((2, 2, 5, 6)).astype(dtype),
        rng.standard_normal((2, 3, 4, 6)).astype(dtype),
    )
    check(
        osc.numpy.matching_similarity_loss_small_to_large(f, p, reduction, with_grad=True),
        lambda p: oracle.small_to_large_loss(np.float64(f), p, reduction),
        p,
    )
    for term in range(2):
        check(
            osc.numpy.variance_covariance_loss(x, with_grad=True)[term::2],
            lambda x: (oracle.variance_covariance_loss(x)[term],),
            x,
        )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_non_finite_empty_and_equal_slots(loss):
    x = np.random.default_rng(1).standard_normal((8, 3, 5))
    x[5, 0, 0] = np.nan
    np.testing.assert_allclose(
        loss(x, 0.4, "none"),
        oracle.contrastive_loss(x, "none", 0.4, within_images=loss is LOSSES["image"])[0],
    )
    gradient = loss(x, with_grad=True)[1].reshape(2, 4, 3, 5)
    assert np.isnan(gradient[:, 1]).all() and np.isfinite(gradient[:, [0, 2, 3]]).all()
    with pytest.raises(ValueError, match="slots: image 1 of 4"):
        loss(x, on_nonfinite="raise")
    assert (
        np.isnan(loss(np.zeros((0, 3, 4))))
        and loss(np.zeros((4, 0, 3)), reduction="sum") == 0
        and loss(np.zeros((0, 3, 4)), reduction="none").shape == (0,)
    )
    value, gradient = loss(np.ones((4, 3, 5)), with_grad=True)
    assert (
        value == pytest.approx(math.log(11 if loss is LOSSES["batch"] else 5))
        and np.abs(gradient.sum(-1)).max() < 1e-12
    )


def test_layouts_and_what_speaks_dlpack():
    rng = np.random.default_rng(2)
    x, f, p = (
        rng.standard_normal((6, 4, 6)),
        rng.standard_normal((2, 2, 5, 6)),
        rng.standard_normal((2, 3, 4, 6)),
    )
    calls = {
        "contrastive": (lambda x: osc.numpy.matching_contrastive_loss(x, with_grad=True), x),
        "SimCLR": (lambda x: osc.numpy.contrastive_loss(x, with_grad=True), x[:, 0]),
        "small to large": (
            lambda p: osc.numpy.matching_similarity_loss_small_to_large(f, p, with_grad=True),
            p,
        ),
        "covariance": (lambda x: osc.numpy.variance_covariance_loss(x, with_grad=True), p),
    }
    for name, (call, x) in calls.items():
        want = call(x.copy())
        layouts = [
            np.asfortranarray(x),
            x[::-1].copy()[::-1],
            np.concatenate([x, x], -1)[..., : x.shape[-1]],
            x.astype(">f8"),
            np.swapaxes(np.swapaxes(x, 0, 1).copy(), 0, 1),
        ]
        for layout in layouts:
            layout.flags.writeable = False
            for a, b in zip(call(layout), want):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15, err_msg=name)
        one = np.broadcast_to(x[:1], x.shape)
        for a, b in zip(call(one), call(one.copy())):
            np.testing.assert_array_equal(a, b, err_msg=name)
        try:
            import torch
        except ImportError:
            continue
        for a, b in zip(call(torch.from_numpy(x.copy())), want):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_bad_input_is_an_error_that_says_what_was_given():
    x = np.ones((4, 3, 2))
    for call, error, text in [
        (
            lambda: osc.numpy.matching_contrastive_loss(x[:3]),
            ValueError,
            r"slots has shape \[3, 3, 2\]; wanted \[2B, S, C\], in which rows i and i \+ B",
        ),
        (
            lambda: osc.numpy.matching_contrastive_loss(x.reshape(2, 2, 3, 2)),
            ValueError,
            r"\[2, 2, 3, 2\].*x\.swapaxes\(0, 1\)\.reshape",
        ),
        (
            lambda: osc.numpy.matching_contrastive_loss_per_img(x.astype(int)),
            TypeError,
            "slots is int64",
        ),
        (lambda: osc.numpy.matching_contrastive_loss(x, 0), ValueError, "temperature is 0"),
        (lambda: osc.numpy.matching_contrastive_loss(x, "1"), TypeError, "temperature is str"),
        (lambda: osc.numpy.matching_contrastive_loss(x, eps=None), TypeError, "eps is NoneType"),
        (lambda: osc.numpy.matching_contrastive_loss(x, reduction="avg"), ValueError, "'avg'"),
        (
            lambda: osc.numpy.contrastive_loss(x),
            ValueError,
            r"projs has shape \[4, 3, 2\]; wanted \[2B, C\]",
        ),
        (
            lambda: osc.numpy.cosine_sim_loss(x[:, 0], x[:2, 0]),
            ValueError,
            r"projs has shape \[2, 2\]; wanted \[2B, C\] = \[4, 2\]",
        ),
        (
            lambda: osc.numpy.matching_similarity_loss_small_to_large(x, x),
            ValueError,
            r"f_large has shape \[4, 3, 2\]; wanted \[B, Al, L, C\]",
        ),
        (
            lambda: osc.numpy.matching_similarity_loss_small_to_large(x[None], x[None, :, :, :1]),
            ValueError,
            r"p_small has shape \[1, 4, 3, 1\]; wanted \[B, As, S, C\] = \[1, As, S, 2\]",
        ),
        (
            lambda: osc.numpy.matching_similarity_loss_small_to_large(
                x[None], x[None].astype("f4")
            ),
            TypeError,
            "f_large is float64 and p_small is float32",
        ),
        (
            lambda: osc.numpy.variance_covariance_loss(x[0, 0]),
            ValueError,
            r"x has shape \[2\]; wanted \[..., N, D\]",
        ),
        (lambda: osc.numpy.matching_contrastive_loss_best_worst(0, 1), ValueError, "B = 0"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_a_size_that_is_no_integer_of_64_bits_is_refused():
    best_worst = osc.numpy.matching_contrastive_loss_best_worst
    for size, error, text in [
        (2**64 + 2, ValueError, "18446744073709551618; wanted an integer of 64 bits"),
        (2**63, ValueError, "9223372036854775808; wanted an integer of 64 bits"),
        (np.uint64(2**63), ValueError, "9223372036854775808; wanted an integer of 64 bits"),
        (-(2**64) + 2, ValueError, "-18446744073709551614; wanted an integer of 64 bits"),
        (10**5000, ValueError, "an integer of 16610 bits; wanted an integer of 64 bits"),
        (True, TypeError, "bool; wanted an integer"),
        (2.0, TypeError, "float; wanted an integer"),
    ]:
        with pytest.raises(error, match=f"^B is {text}"):
            best_worst(size, 3, 0.1)
        with pytest.raises(error, match=f"^S is {text}"):
            best_worst(2, size, 0.1)
    assert best_worst(np.int32(2), 3, 0.1) == best_worst(2, 3, 0.1)
    assert best_worst(2**63 - 1, 1)[1] == pytest.approx(64 * math.log(2), rel=1e-12)


def test_a_number_too_long_to_write_out_is_refused():
    with pytest.raises(ValueError, match="^eps is an integer of 16610 bits; wanted a positive"):
        osc.match_slots(np.ones((2, 1, 1)), eps=10**5000)


def test_strides_beyond_64_bits_are_refused_before_they_are_followed():
    beyond = np.lib.stride_tricks.as_strided(
        np.zeros((8, 1, 1), np.float16), (8, 1, 1), (2**63 - 2, 2, 2)
    )
    with pytest.raises(ValueError, match=r"f has strides \[\d+, 1, 1\] that overflow"):
        osc.match_slots(beyond)
    assert osc.match_slots(beyond[:, :, :0]).shape == (4, 1)  # nothing is there to follow


def test_a_list_of_tensors_is_no_array():
    torch = pytest.importorskip("torch")
    for call in (osc.match_slots, osc.linear_sum_assignment, osc.numpy.matching_contrastive_loss):
        with pytest.raises(TypeError, match="is a list of Tensor; wanted one array"):
            call([torch.ones(3, 2), torch.ones(3, 2)])
