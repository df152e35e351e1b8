"""osc.numpy.matching_similarity_loss_per_img against the specification in oracle.py."""

import numpy as np
import pytest
from oracle import loss_and_gradient

import osc


@pytest.mark.parametrize(
    "dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-6), (np.float16, 1e-3)]
)
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
        np.testing.assert_array_equal(
            loss, osc.numpy.matching_similarity_loss_per_img(f, p, reduction)
        )
        # the zero slot's gradient is about 1 / (2 eps)
        finite = np.abs(want_gradient) < np.finfo(dtype).max
        np.testing.assert_allclose(
            gradient[finite], want_gradient[finite], rtol=30 * tolerance, atol=30 * tolerance
        )


def test_the_migration_page_gives_the_research_codes_numbers():
    f, p = np.random.default_rng(9).standard_normal((2, 6, 4, 5))
    losses = osc.numpy.matching_similarity_loss_per_img(f, p, "none")
    cosines = 1 - 2 * losses
    assert losses.sum() - (losses.size - 1) / 2 == pytest.approx((1 - cosines.sum()) / 2, rel=1e-14)


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
    for layout in layouts:
        layout.flags.writeable = False
    for number, layout in enumerate(layouts):
        got_loss, got_gradient = osc.numpy.matching_similarity_loss_per_img(
            f.astype(layout.dtype), layout, with_grad=True
        )
        assert got_loss == loss, number
        np.testing.assert_array_equal(got_gradient, gradient, err_msg=str(number))
    assert (
        osc.numpy.matching_similarity_loss_per_img(f, layouts[0], with_grad=True)[1].strides
        == layouts[0].strides
    )


def test_a_broadcast_input_has_the_gradient_of_its_copy():
    rng = np.random.default_rng(5)
    f, one = rng.standard_normal((6, 4, 5)), rng.standard_normal((6, 1, 5))
    for p in (np.broadcast_to(one, f.shape), np.broadcast_to(one[:1], f.shape)):
        got, want = (
            osc.numpy.matching_similarity_loss_per_img(f, x, "none", with_grad=True)
            for x in (p, p.copy())
        )
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(6)
    f, p = rng.standard_normal((2, 10, 7, 32)).astype(bfloat16)
    for reduction in ("none", "mean", "sum"):
        loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, reduction, with_grad=True)
        want, want_gradient = loss_and_gradient(f, p, reduction)
        assert loss.dtype == gradient.dtype == bfloat16
        # half a unit in the last of 8 bits, and a little more
        np.testing.assert_allclose(np.float64(loss), want, rtol=2**-8, atol=2**-8)
        np.testing.assert_allclose(np.float64(gradient), want_gradient, rtol=2**-7, atol=1e-3)
    np.testing.assert_array_equal(osc.match_slots(f), osc.match_slots(f.astype(np.float32)))
    cost = rng.standard_normal((3, 6, 6)).astype(bfloat16)
    np.testing.assert_array_equal(
        osc.linear_sum_assignment(cost)[0], osc.linear_sum_assignment(cost.astype(np.float64))[0]
    )


def torch_tensors(dtype):
    torch = pytest.importorskip("torch")
    return [
        torch.from_numpy(x).to(getattr(torch, dtype))
        for x in np.random.default_rng(7).standard_normal((2, 6, 4, 5))
    ]


def jax_arrays(dtype):
    jnp = pytest.importorskip("jax").numpy
    return [
        jnp.asarray(x).astype(dtype)
        for x in np.random.default_rng(7).standard_normal((2, 6, 4, 5)).astype(np.float32)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("make", [torch_tensors, jax_arrays])
def test_what_speaks_dlpack_is_read_in_place(make, dtype):
    f, p = make(dtype)
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    for tensor in (f, f[:, 1:], f[..., :3], f[..., ::2]):
        array = osc._arrays.on_host("f", tensor)
        assert array.dtype.name == dtype
        values = (
            tensor.float().numpy()
            if make is torch_tensors
            else np.asarray(tensor).astype(np.float32)
        )
        np.testing.assert_array_equal(array.astype(np.float32), values)
        if make is torch_tensors:  # a slice of a JAX array is a copy
            assert array.__array_interface__["data"][0] == tensor.data_ptr()
    loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, with_grad=True)
    want = osc.numpy.matching_similarity_loss_per_img(
        *(osc._arrays.on_host("x", x).copy() for x in (f, p)), with_grad=True
    )
    assert loss == want[0]
    np.testing.assert_array_equal(gradient, want[1])
    col4row = osc.linear_sum_assignment(f)[0]
    np.testing.assert_array_equal(
        col4row, osc.linear_sum_assignment(osc._arrays.on_host("f", f).astype(np.float64))[0]
    )


def test_a_tensor_outlives_the_reading_of_its_memory():
    pytest.importorskip("ml_dtypes")
    f, _ = torch_tensors("bfloat16")
    values = f.float().numpy()
    array = osc._arrays.on_host("f", f)
    del f
    # takes the memory, were it free
    rubbish = [torch_tensors("bfloat16")[0].fill_(7) for _ in range(100)]
    np.testing.assert_array_equal(array.astype(np.float32), values)
    del rubbish


def test_memory_of_a_device_is_refused():
    class OnAnAccelerator:
        dtype = "float32"

        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self):
            raise AssertionError("read what is not on the host")

    for call in (
        osc.linear_sum_assignment,
        osc.match_slots,
        lambda x: osc.numpy.matching_similarity_loss_per_img(x, x),
    ):
        with pytest.raises(
            TypeError,
            match=r"in memory of another device \(DLPack's device type 2\); wanted memory of the host",
        ):
            call(OnAnAccelerator())


def test_a_tensor_that_requires_a_gradient_is_refused():
    f, p = torch_tensors("float32")
    with pytest.raises(BufferError, match="detach"):
        osc.numpy.matching_similarity_loss_per_img(f, p.requires_grad_())


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
    assert (
        osc.numpy.matching_similarity_loss_per_img(np.zeros((4, 3, 0)), np.zeros((4, 3, 0))) == 0.5
    )


def test_bad_input_is_an_error_that_says_what_was_given():
    slots = np.ones((4, 3, 2))
    loss = osc.numpy.matching_similarity_loss_per_img
    for f, p, error, text in [
        (
            slots,
            slots[:, :2],
            ValueError,
            r"p has shape \[4, 2, 2\]; wanted \[2B, S, C\] = \[4, 3, 2\]",
        ),
        (slots[:3], slots[:3], ValueError, r"f has shape \[3, 3, 2\]; wanted \[2B, S, C\]"),
        (slots[0], slots[0], ValueError, r"f has shape \[3, 2\]"),
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


def test_a_memory_map_is_read_as_the_array_it_is(tmp_path):
    slots = np.random.default_rng(5).standard_normal((4, 3, 8))
    np.save(tmp_path / "slots.npy", slots.astype(">f4"))
    mapped = np.load(tmp_path / "slots.npy", mmap_mode="r")
    assert (osc.match_slots(mapped) == osc.match_slots(slots.astype(np.float32))).all()


def test_a_negated_view_of_pytorch_is_what_it_stands_for():
    torch = pytest.importorskip("torch")
    f = torch.randn(4, 3, 8, dtype=torch.complex64).conj().imag
    p = torch.randn(4, 3, 8)
    assert f.is_neg()
    assert osc.numpy.matching_similarity_loss_per_img(
        f, p
    ) == osc.numpy.matching_similarity_loss_per_img(f.resolve_neg(), p)


@pytest.mark.parametrize("bad", [["sum"], None, 1, b"mean"])
def test_a_reduction_that_is_no_name_says_so(bad):
    with pytest.raises(ValueError, match="reduction is"):
        osc.numpy.matching_similarity_loss_per_img(np.ones((2, 1, 1)), np.ones((2, 1, 1)), bad)
