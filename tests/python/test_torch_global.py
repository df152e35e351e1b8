"""osc.loss_global.variance_covariance_loss on CPU tensors, by the kernels and by the path of other
devices. The other losses of whole images are those of one slot: test_torch_contrastive.py."""

import doctest

import numpy as np
import oracle
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import osc
from osc import _torch, loss_global
from osc.loss_global import variance_covariance_loss

TOLERANCES = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture(params=["kernels", "device path"])
def each_way(request):
    if request.param == "kernels":
        yield
        return
    with _torch.on_cpu_tensors():
        yield


def samples(*shape, dtype=torch.float64, seed=0):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    # deviations below and above 1, and a mean
    return (x * torch.linspace(0.2, 1.6, shape[-1], dtype=torch.float64) + 3).to(dtype)


def gradients(x):
    x = x.detach().requires_grad_()
    return [
        torch.autograd.grad(term, x, retain_graph=True)[0] for term in variance_covariance_loss(x)
    ]


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_equals_the_specification(dtype, each_way):
    for number, shape in enumerate([(6, 4), (3, 20, 5), (2, 3, 7, 33), (1, 200, 3)]):
        x = samples(*shape, dtype=dtype, seed=number)
        terms, wide = variance_covariance_loss(x), x.double().numpy()
        assert all(term.dtype == dtype and term.shape == () for term in terms)
        np.testing.assert_allclose(
            [float(term) for term in terms],
            oracle.variance_covariance_loss(wide),
            rtol=10 * TOLERANCES[dtype],
            atol=TOLERANCES[dtype],
        )
        direction = np.random.default_rng(number).standard_normal(shape)
        slopes = oracle.slope(
            lambda x: np.array(oracle.variance_covariance_loss(x)), wide, direction
        )
        got = [(gradient.double().numpy() * direction).sum() for gradient in gradients(x)]
        np.testing.assert_allclose(
            got,
            slopes,
            rtol=max(30 * TOLERANCES[dtype], 1e-6),
            atol=max(10 * TOLERANCES[dtype], 1e-8),
        )


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 4), (3, 0), (2, 1, 4), (1, 4), (5, 1)])
def test_sizes_without_a_covariance(shape, each_way):
    variance, covariance = variance_covariance_loss(samples(*shape))
    assert covariance.isnan() and (variance.isnan() or shape == (5, 1))
    for gradient in gradients(samples(*shape)):
        assert gradient.shape == shape and (
            gradient.isnan().all() if shape[-2] == 1 else gradient.isfinite().all()
        )


def test_a_non_finite_group(each_way):
    x = samples(3, 6, 4)
    want = gradients(x)
    x[1, 2, 3] = float("inf")
    assert all(term.isnan() for term in variance_covariance_loss(x))
    for got, clean in zip(gradients(x), want):
        assert got[1].isnan().all()
        torch.testing.assert_close(got[::2], clean[::2])
    with pytest.raises(ValueError, match="1 of 3 holds a NaN or an infinity"):
        variance_covariance_loss(x, on_nonfinite="raise")


LAYOUTS = {
    "samples first": lambda x: x.movedim(2, 0).contiguous().movedim(0, 2),
    "groups exchanged": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other sample": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "some of the features": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "features first": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "negated lazily": lambda x: torch._neg_view(-x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, each_way):
    x = samples(2, 3, 6, 5, dtype=torch.float32)
    laid_out = LAYOUTS[layout](x)
    torch.testing.assert_close(variance_covariance_loss(laid_out), variance_covariance_loss(x))
    torch.testing.assert_close(gradients(laid_out), gradients(x))

    def run(x):
        terms = torch.ops.osc.variance_covariance_loss(x, 0)
        return [
            (y.shape, y.stride(), y.dtype)
            for y in (*terms, torch.ops.osc.variance_covariance_loss_backward(*terms, x))
        ]

    with torch._subclasses.FakeTensorMode() as mode:
        fake = run(mode.from_tensor(laid_out))
    assert fake == run(laid_out)
    torch.testing.assert_close(
        gradients(x[:1, :1].expand(2, 3, 6, 5)),
        gradients(x[:1, :1].expand(2, 3, 6, 5).contiguous()),
    )


def test_derivatives(each_way):
    x = samples(2, 5, 3).requires_grad_()
    assert gradcheck(variance_covariance_loss, (x,), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(variance_covariance_loss, (x,), check_fwd_over_rev=True)
    assert gradgradcheck(lambda x: variance_covariance_loss(x)[1], (x,))  # of one term alone


def test_compile_vmap_autocast_and_opcheck(each_way):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x: sum(variance_covariance_loss(x * x)),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for shape in ((3, 6, 4), (2, 5, 7)):
        x = samples(*shape).requires_grad_()
        torch.testing.assert_close(
            torch.autograd.grad(compiled(x), x),
            torch.autograd.grad(sum(variance_covariance_loss(x * x)), x),
        )
    x = samples(4, 6, 3)
    torch.testing.assert_close(
        torch.func.vmap(variance_covariance_loss)(x)[0],
        torch.stack([variance_covariance_loss(item)[0] for item in x]),
        rtol=0,
        atol=0,
    )
    x = samples(2, 6, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        got = *variance_covariance_loss(x), *gradients(x)
    want = *variance_covariance_loss(x.float()), *(y.bfloat16() for y in gradients(x.float()))
    assert got[0].dtype == torch.float32 and all(torch.equal(a, b) for a, b in zip(got, want))
    x = samples(2, 6, 3, dtype=torch.float32).requires_grad_()
    opcheck(torch.ops.osc.variance_covariance_loss, (x, 0))
    one = torch.ones((), requires_grad=True)
    opcheck(torch.ops.osc.variance_covariance_loss_backward, (one, one, x))


def test_same_bits_with_any_number_of_threads_and_from_numpy():
    x = samples(3, 300, 40, dtype=torch.float32)
    want = *variance_covariance_loss(x), *gradients(x)
    threads = torch.get_num_threads()
    try:
        for count in (1, 5):
            torch.set_num_threads(count)
            assert all(
                torch.equal(a, b)
                for a, b in zip((*variance_covariance_loss(x), *gradients(x)), want)
            )
    finally:
        torch.set_num_threads(threads)
    for got, expected in zip(osc.numpy.variance_covariance_loss(x, with_grad=True), want):
        assert np.array_equal(got, expected.numpy())


def test_bad_input(each_way):
    for x, error, text in [
        (torch.ones(3), ValueError, r"x has shape \[3\]; wanted \[..., N, D\]"),
        ([torch.ones(2, 2)], TypeError, "x is list"),
        (torch.ones(2, 2).int(), TypeError, "torch.int32"),
    ]:
        with pytest.raises(error, match=text):
            variance_covariance_loss(x)
    with pytest.raises(ValueError, match="on_nonfinite"):
        variance_covariance_loss(torch.ones(2, 2), on_nonfinite="no")


def test_what_is_not_finite_has_the_caller_s_name(each_way):
    good = torch.ones(4, 3)
    bad = good.clone()
    bad[3, 1] = torch.inf
    for module, as_array in ((loss_global, lambda x: x), (osc.numpy, lambda x: x.numpy())):
        for name, loss, arguments in [
            ("projs", "contrastive_loss", (bad,)),
            ("feats", "cosine_sim_loss", (bad, good)),
            ("projs", "cosine_sim_loss", (good, bad)),
        ]:
            with pytest.raises(
                ValueError, match=f"^{name}: image 1 of 2 holds a NaN or an infinity"
            ):
                getattr(module, loss)(*map(as_array, arguments), on_nonfinite="raise")


def test_docstring_examples():
    results = doctest.testmod(loss_global)
    assert results.attempted > 0 and results.failed == 0
