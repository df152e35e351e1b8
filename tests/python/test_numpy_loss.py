"""osc.numpy.matching_similarity_loss_per_img against loops over images with scipy's matching."""

import numpy as np
import osc
import pytest
from scipy.optimize import linear_sum_assignment


def loss_and_gradient(f, p, reduction, eps=1e-10):
    """The specification, in double, one image after another."""
    f, p = np.asarray(f, np.float64), np.asarray(p, np.float64)
    images = len(f) // 2

    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), eps)

    target = np.empty_like(f)
    for i in range(images):
        matching = linear_sum_assignment(unit(f[i]) @ unit(f[i + images]).T, maximize=True)[1]
        target[i] = f[i + images][matching]
        target[i + images][matching] = f[i]
    cosine = (unit(p) * unit(target)).sum(-1, keepdims=True)
    norm = np.linalg.norm(p, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        gradient = np.where(norm > eps, -(unit(target) - cosine * p / norm) / (2 * norm), -unit(target) / (2 * eps))
    losses = ((1 - cosine) / 2).ravel()
    if reduction == "mean":
        return losses.mean(), gradient / losses.size
    return (losses.sum() if reduction == "sum" else losses), gradient


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-6), (np.float16, 1e-3)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, tolerance, reduction):
    rng = np.random.default_rng(1)
    for images, slots, channels in [(1, 1, 1), (3, 4, 8), (5, 11, 64), (2, 30, 7)]:
        f, p = rng.standard_normal((2, 2 * images, slots, channels)).astype(dtype)
        p[0, 0] = 0
        want, want_gradient = loss_and_gradient(f, p, reduction)
        loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, reduction, with_grad=True)
        assert loss.dtype == gradient.dtype == dtype and np.shape(loss) == np.shape(want)
        scale = 2 * images * slots if reduction == "sum" else 1
        np.testing.assert_allclose(loss, want, atol=tolerance * scale, rtol=0)
        np.testing.assert_array_equal(loss, osc.numpy.matching_similarity_loss_per_img(f, p, reduction))
        finite = np.abs(want_gradient) < np.finfo(dtype).max  # the zero slot's gradient is about 1 / (2 eps)
        np.testing.assert_allclose(gradient[finite], want_gradient[finite], rtol=30 * tolerance, atol=30 * tolerance)


def test_layouts_give_the_same_bits_and_the_gradient_has_the_layout_of_p():
    rng = np.random.default_rng(2)
    f, p = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, with_grad=True)
    in_a_record = np.zeros(p.shape, [("tag", "u1"), ("p", "f4")])
    in_a_record["p"] = p
    layouts = [
        p.transpose(1, 0, 2).copy().transpose(1, 0, 2),
        np.concatenate([p, p], 2)[:, :, :5],
        np.asfortranarray(p),
        p[::-1, ::-1].copy()[::-1, ::-1],
        p.astype(">f4"),
        in_a_record["p"],
    ]
    for number, layout in enumerate(layouts):
        got_loss, got_gradient = osc.numpy.matching_similarity_loss_per_img(f.astype(layout.dtype), layout, with_grad=True)
        assert got_loss == loss, number
        np.testing.assert_array_equal(got_gradient, gradient, err_msg=str(number))
    assert osc.numpy.matching_similarity_loss_per_img(f, layouts[0], with_grad=True)[1].strides == layouts[0].strides


def test_non_finite_and_empty():
    rng = np.random.default_rng(3)
    f, p = rng.standard_normal((2, 6, 4, 5))
    clean = osc.numpy.matching_similarity_loss_per_img(f, p, "none").reshape(2, 3, 4)
    p[4, 1, 2] = np.nan
    spoilt = osc.numpy.matching_similarity_loss_per_img(f, p, "none").reshape(2, 3, 4)
    assert np.isnan(spoilt[:, 1]).all()
    np.testing.assert_array_equal(spoilt[:, [0, 2]], clean[:, [0, 2]])
    with pytest.raises(ValueError, match="p: image 1 of 3 holds a NaN or an infinity"):
        osc.numpy.matching_similarity_loss_per_img(f, p, on_nonfinite="raise")
    empty = np.zeros((0, 3, 4))
    assert np.isnan(osc.numpy.matching_similarity_loss_per_img(empty, empty))
    assert osc.numpy.matching_similarity_loss_per_img(empty, empty, "sum") == 0
    assert osc.numpy.matching_similarity_loss_per_img(empty, empty, "none").shape == (0,)
    assert osc.numpy.matching_similarity_loss_per_img(np.zeros((4, 3, 0)), np.zeros((4, 3, 0))) == 0.5


def test_bad_input_is_an_error_that_says_what_was_given():
    slots = np.ones((4, 3, 2))
    loss = osc.numpy.matching_similarity_loss_per_img
    for f, p, error, text in [
        (slots, slots[:, :2], ValueError, r"f \(4, 3, 2\) and p \(4, 2, 2\)"),
        (slots[:3], slots[:3], ValueError, r"f has shape \(3, 3, 2\)"),
        (slots[0], slots[0], ValueError, r"f has shape \(3, 2\)"),
        (slots, slots.astype(np.float32), TypeError, "f is float64 and p is float32"),
        (slots.astype(int), slots.astype(int), TypeError, "int64"),
        (slots.astype(np.longdouble), slots, TypeError, "longdouble|float128"),
        ("text", slots, TypeError, "f is <U4"),
    ]:
        with pytest.raises(error, match=text):
            loss(f, p)
    with pytest.raises(ValueError, match="'average'"):
        loss(slots, slots, "average")
    with pytest.raises(ValueError, match="on_nonfinite"):
        loss(slots, slots, on_nonfinite="ignore")
    for eps in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="eps"):
            loss(slots, slots, eps=eps)
