"""What is peculiar to NumPy's door: what it reads as an array, and integers of any length."""

import math

import numpy as np
import pytest

import osc


def test_the_migration_page_gives_the_research_codes_numbers():
    f, p = np.random.default_rng(9).standard_normal((2, 6, 4, 5))
    losses = osc.numpy.matching_similarity_loss_per_img(f, p, "none")
    cosines = 1 - 2 * losses
    assert losses.sum() - (losses.size - 1) / 2 == pytest.approx((1 - cosines.sum()) / 2, rel=1e-14)


def test_a_loss_without_its_gradient_is_the_same():
    x = np.random.default_rng(1).standard_normal((6, 4, 5))
    for loss in (
        lambda **k: osc.numpy.matching_similarity_loss_per_img(x, x + 1, **k),
        lambda **k: osc.numpy.cosine_sim_loss(x[:, 0], x[:, 1], **k),
        lambda **k: osc.numpy.matching_contrastive_loss(x, **k),
        lambda **k: osc.numpy.matching_contrastive_loss_per_img(x, **k),
        lambda **k: osc.numpy.contrastive_loss(x[:, 0], **k),
        lambda **k: osc.numpy.matching_similarity_loss_small_to_large(x[None], x[None, 1:], **k),
        lambda **k: osc.numpy.variance_covariance_loss(x, **k),
    ):
        without, results = np.atleast_1d(loss()), loss(with_grad=True)
        np.testing.assert_array_equal(without, results[: len(without)])


def test_bfloat16_is_matched_and_assigned_in_float32():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(6)
    f, cost = (rng.standard_normal(shape).astype(bfloat16) for shape in ((10, 7, 32), (3, 6, 6)))
    np.testing.assert_array_equal(osc.match_slots(f), osc.match_slots(f.astype(np.float32)))
    want = osc.linear_sum_assignment(cost.astype(np.float64))[0]
    np.testing.assert_array_equal(osc.linear_sum_assignment(cost)[0], want)


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
    # would reuse the memory if it were free
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
            match=r"in memory of another device \(DLPack's device type 2\); "
            "wanted memory of the host",
        ):
            call(OnAnAccelerator())


def test_a_tensor_that_requires_a_gradient_is_refused():
    f, p = torch_tensors("float32")
    with pytest.raises(BufferError, match="detach"):
        osc.numpy.matching_similarity_loss_per_img(f, p.requires_grad_())


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
    # An empty array has no elements that strides could lead to.
    assert osc.match_slots(beyond[:, :, :0]).shape == (4, 1)


def test_a_list_of_tensors_is_no_array():
    torch = pytest.importorskip("torch")
    for call in (osc.match_slots, osc.linear_sum_assignment, osc.numpy.matching_contrastive_loss):
        with pytest.raises(TypeError, match="is a list of Tensor; wanted one array"):
            call([torch.ones(3, 2), torch.ones(3, 2)])


def test_longer_floats_are_refused():
    slots = np.ones((4, 3, 2))
    with pytest.raises(TypeError, match="^f is (longdouble|float128)"):
        osc.numpy.matching_similarity_loss_per_img(slots.astype(np.longdouble), slots)
