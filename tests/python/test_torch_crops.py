"""osc.loss_objects.matching_similarity_loss_small_to_large on CPU tensors, by the kernels and by
the path of other devices."""

import numpy as np
import oracle
import pytest
import torch
from codes import MEAN, NONE
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import osc
from osc import _torch
from osc.loss_objects import matching_similarity_loss_small_to_large

TOLERANCES = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture(params=["kernels", "device path"])
def each_way(request):
    if request.param == "kernels":
        yield
        return
    with _torch.on_cpu_tensors():
        yield


def crops(
    images=3,
    large=2,
    large_slots=5,
    small=4,
    small_slots=3,
    channels=8,
    dtype=torch.float64,
    seed=0,
):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in (
            (images, large, large_slots, channels),
            (images, small, small_slots, channels),
        )
    ]


def loss(f_large, p_small, *arguments, **options):
    return matching_similarity_loss_small_to_large(f_large, p_small, *arguments, **options)[0]


def value_and_gradient(f_large, p_small, *arguments, **options):
    p_small = p_small.detach().requires_grad_()
    value = loss(f_large, p_small, *arguments, **options)
    # also where it is NaN
    (gradient,) = torch.autograd.grad(value, p_small, torch.ones_like(value))
    return value.detach(), gradient


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, reduction, each_way):
    for number, sizes in enumerate([(1, 1, 1, 1, 1, 1), (3, 2, 5, 4, 3, 8), (2, 3, 4, 2, 9, 33)]):
        f, p = crops(*sizes, dtype=dtype, seed=number)
        value, ratio = matching_similarity_loss_small_to_large(f, p, reduction)
        want, want_ratio = oracle.small_to_large_loss(
            f.double().numpy(), p.double().numpy(), reduction
        )
        assert (
            value.dtype == dtype
            and ratio.dtype == torch.float32
            and not ratio.requires_grad
            and float(ratio) == pytest.approx(want_ratio)
        )
        scale = p.shape[0] * p.shape[1] * f.shape[1] if reduction == "sum" else 1
        torch.testing.assert_close(
            value.double(),
            torch.as_tensor(want),
            atol=TOLERANCES[dtype] * scale,
            rtol=TOLERANCES[dtype],
        )
        _, gradient = value_and_gradient(f, p, reduction)
        assert gradient.dtype == dtype
        direction = np.random.default_rng(number).standard_normal(p.shape)
        slope = oracle.slope(
            lambda p: np.nansum(oracle.small_to_large_loss(f.double().numpy(), p, reduction)[0]),
            p.double().numpy(),
            direction,
        )
        assert (gradient.double().numpy() * direction).sum() == pytest.approx(
            slope,
            rel=max(30 * TOLERANCES[dtype], 1e-6),
            abs=100 * scale * max(TOLERANCES[dtype], 1e-9),
        )


def test_a_slot_counts_where_the_two_are_each_others_best_and_the_first_of_equals_is(each_way):
    axes = torch.eye(4, dtype=torch.float64)
    f = axes[[0, 0, 1]].view(1, 1, 3, 4)
    # the second is not the first's equal's best; the third, of cosine 0 with all, goes to the
    # first, which has a better one
    p = axes[[0, 0, 3, 1]].view(1, 1, 4, 4)
    assert torch.ops.osc.matching_similarity_loss_small_to_large(f, p, None, MEAN, 1e-10, 0)[
        1
    ].flatten().tolist() == [0, -1, -1, 2]
    assert [float(x) for x in matching_similarity_loss_small_to_large(f, p)] == [0, 0.5]


def test_a_non_finite_image(each_way):
    for name in ("f", "p"):
        f, p = crops()
        clean, clean_gradient = value_and_gradient(f, p, "none")
        {"f": f, "p": p}[name][1, 0, 0, 0] = float("nan")
        value, gradient = value_and_gradient(f, p, "none")
        assert value[1].isnan().all() and gradient[1].isnan().all()
        torch.testing.assert_close(
            (value[::2], gradient[::2]), (clean[::2], clean_gradient[::2]), rtol=0, atol=0
        )
        value, gradient = value_and_gradient(f, p, "mean")
        _, want = value_and_gradient(f[::2], p[::2], "mean")
        assert value.isnan() and loss(f, p, "sum").isnan() and gradient[1].isnan().all()
        torch.testing.assert_close(gradient[::2], want)
        assert float(matching_similarity_loss_small_to_large(f, p)[1]) == pytest.approx(
            oracle.small_to_large_loss(f.numpy(), p.numpy(), "mean")[1]
        )
        with pytest.raises(ValueError, match="image 1 of 3 holds a NaN or an infinity"):
            loss(f, p, on_nonfinite="raise")


@pytest.mark.parametrize(
    "sizes",
    [
        (0, 2, 3, 2, 3, 4),
        (2, 0, 3, 2, 3, 4),
        (2, 2, 0, 2, 3, 4),
        (2, 2, 3, 0, 3, 4),
        (2, 2, 3, 2, 0, 4),
        (2, 2, 3, 2, 3, 0),
    ],
)
def test_empty(sizes, each_way):
    f, p = crops(*sizes)
    for reduction in ("none", "mean", "sum"):
        value, gradient = value_and_gradient(f, p, reduction)
        want, want_ratio = (
            oracle.small_to_large_loss(f, p, reduction)
            if sizes[-1]
            else (0.5 * np.ones((2, 2, 2)), 1 / 3)
        )
        if sizes[-1] == 0 and reduction != "none":
            want = want.mean() if reduction == "mean" else want.sum()
        torch.testing.assert_close(
            value, torch.as_tensor(want, dtype=torch.float64), equal_nan=True
        )
        assert gradient.shape == p.shape and not gradient.any()
        np.testing.assert_allclose(
            float(matching_similarity_loss_small_to_large(f, p, reduction)[1]),
            want_ratio,
            rtol=1e-6,
        )


LAYOUTS = {
    "crops first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other slot": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "some of the channels": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "channels first": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, each_way):
    f, p = crops(dtype=torch.float32)
    laid_out = LAYOUTS[layout](p)
    got, want = value_and_gradient(LAYOUTS[layout](f), laid_out), value_and_gradient(f, p)
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
    if laid_out.stride(3) == 1:
        assert got[1].stride() == torch.empty_like(laid_out).stride()

    def run(f, p):
        value, matching, ratio = torch.ops.osc.matching_similarity_loss_small_to_large(
            f, p, None, NONE, 1e-10, 0
        )
        gradient = torch.ops.osc.matching_similarity_loss_small_to_large_backward(
            value, f, p, matching, NONE, 1e-10
        )
        return [(x.shape, x.stride(), x.dtype) for x in (value, matching, ratio, gradient)]

    with torch._subclasses.FakeTensorMode() as mode:
        fake = run(mode.from_tensor(f), mode.from_tensor(laid_out))
    assert fake == run(f, laid_out)
    one = torch.randn(1, 1, 1, 8)
    torch.testing.assert_close(
        value_and_gradient(f, one.expand(3, 4, 3, 8)),
        value_and_gradient(f, one.expand(3, 4, 3, 8).contiguous()),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_derivatives(reduction, each_way):
    f, p = crops(2, 2, 3, 2, 2, 4)
    p[0, 0, 0] = torch.tensor([3e-3, 0, 1e-3, 0])  # below the floor of a norm
    p.requires_grad_()
    function = lambda p: loss(f, p, reduction, eps=1e-2)  # noqa: E731
    assert gradcheck(function, (p,), eps=1e-7, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, (p,), eps=1e-7, check_fwd_over_rev=True)
    assert torch.autograd.grad(loss(f.requires_grad_(), p), f, allow_unused=True) == (None,)


def test_compile_vmap_autocast_and_opcheck(each_way):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda f, p: loss(2 * f, p * p, "none").nansum(),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for sizes in ((3, 2, 5, 4, 3, 8), (2, 3, 4, 2, 6, 5)):
        f, p = crops(*sizes)
        q = p.clone().requires_grad_()
        torch.testing.assert_close(
            torch.autograd.grad(compiled(f, q), q),
            torch.autograd.grad(loss(2 * f, q * q, "none").nansum(), q),
        )
    items = [crops(seed=i) for i in range(3)]
    f, p = (torch.stack(x) for x in zip(*items))
    torch.testing.assert_close(
        torch.func.vmap(loss)(f, p), torch.stack([loss(*item) for item in items]), rtol=0, atol=0
    )
    f, p = crops(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(f, p)
    want, want_gradient = value_and_gradient(f.float(), p.float())
    assert torch.equal(value, want) and torch.equal(gradient, want_gradient.bfloat16())
    f, p = crops(dtype=torch.float32)
    p.requires_grad_()
    opcheck(torch.ops.osc.matching_similarity_loss_small_to_large, (f, p, None, NONE, 1e-10, 0))
    value, matching, _ = torch.ops.osc.matching_similarity_loss_small_to_large(
        f, p.detach(), None, MEAN, 1e-10, 0
    )
    opcheck(
        torch.ops.osc.matching_similarity_loss_small_to_large_backward,
        (torch.ones_like(value).requires_grad_(), f, p, matching, MEAN, 1e-10),
    )


def test_same_bits_with_any_number_of_threads_and_from_numpy():
    f, p = crops(40, 2, 7, 6, 5, 33, torch.float32)
    want = value_and_gradient(f, p)
    threads = torch.get_num_threads()
    try:
        for count in (1, 5):
            torch.set_num_threads(count)
            assert all(torch.equal(a, b) for a, b in zip(value_and_gradient(f, p), want))
    finally:
        torch.set_num_threads(threads)
    value, _, gradient = osc.numpy.matching_similarity_loss_small_to_large(
        f.numpy(), p.numpy(), with_grad=True
    )
    assert value == want[0].item() and np.array_equal(gradient, want[1].numpy())


def test_bad_input(each_way):
    f, p = crops()
    for bad_f, bad_p, error, text in [
        (f[0], p, ValueError, r"f_large has shape \[2, 5, 8\]; wanted \[B, Al, L, C\]"),
        (f, p[0], ValueError, r"p_small has shape \[4, 3, 8\]; wanted \[B, As, S, C\]"),
        (f[:2], p, ValueError, "p_small has shape"),
        (f[..., :4], p, ValueError, "p_small has shape"),
        (f, p.float(), TypeError, "f_large is torch.float64 and p_small is torch.float32"),
        (f, [p], TypeError, "p_small is list"),
        (f.to_sparse(), p, TypeError, "sparse"),
    ]:
        with pytest.raises(error, match=text):
            loss(bad_f, bad_p)
    for options, error in (
        ({"eps": 0}, ValueError),
        ({"eps": "1"}, TypeError),
        ({"reduction": "avg"}, ValueError),
        ({"on_nonfinite": "no"}, ValueError),
    ):
        with pytest.raises(error, match=next(iter(options))):
            loss(f, p, **options)


def test_the_operators_check_what_the_public_function_would_not_let_through():
    f, p = crops()
    with pytest.raises(ValueError, match="matching"):
        value, matching, _ = torch.ops.osc.matching_similarity_loss_small_to_large(
            f, p, None, MEAN, 1e-10, 0
        )
        torch.ops.osc.matching_similarity_loss_small_to_large_backward(
            value, f, p, matching.int(), MEAN, 1e-10
        )
