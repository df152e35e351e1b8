"""osc.loss_objects.matching_contrastive_loss, its variant within images, and
osc.loss_global.contrastive_loss and cosine_sim_loss: on CPU tensors, by the kernels and by the path
of other devices."""

import contextlib
import math
import subprocess
import sys
import threading

import numpy as np
import oracle
import pytest
import torch
from codes import MEAN, NONE, REDUCTIONS
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import osc
from osc import _torch, loss_global
from osc._reference import contrastive
from osc.loss_objects import (
    matching_contrastive_loss,
    matching_contrastive_loss_best_worst,
    matching_contrastive_loss_per_img,
    matching_similarity_loss_per_img,
)

TOLERANCES = {torch.float64: 1e-13, torch.float32: 3e-6, torch.float16: 3e-3, torch.bfloat16: 3e-2}
LOSSES = {"batch": matching_contrastive_loss, "image": matching_contrastive_loss_per_img}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


@pytest.fixture(params=["kernels", "device path", "device path in small blocks"])
def each_way(request, monkeypatch):
    if request.param == "kernels":
        yield
        return
    if "blocks" in request.param:
        monkeypatch.setattr(contrastive, "BLOCK", 40)
    with _torch.on_cpu_tensors():
        yield


def gaussian(*shape, dtype=torch.float64, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def of_oracle(loss, slots, reduction="mean", temperature=1.0, eps=1e-10):
    return oracle.contrastive_loss(
        slots.double().numpy(),
        reduction,
        temperature,
        eps,
        loss is matching_contrastive_loss_per_img,
    )[0]


def value_and_gradient(loss, slots, *arguments, incoming=None, **options):
    slots = slots.detach().requires_grad_()
    value = loss(slots, *arguments, **options)
    (gradient,) = torch.autograd.grad(
        value, slots, torch.ones_like(value) if incoming is None else incoming
    )
    return value.detach(), gradient


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, reduction, loss, each_way):
    for number, (images, slots, channels, temperature) in enumerate(
        [(1, 1, 1, 1), (3, 4, 8, 0.5), (2, 7, 33, 0.1)]
    ):
        x = gaussian(2 * images, slots, channels, dtype=dtype, seed=number)
        value, gradient = value_and_gradient(loss, x, temperature, reduction)
        want = torch.as_tensor(of_oracle(loss, x, reduction, temperature))
        assert value.dtype == gradient.dtype == dtype and value.shape == want.shape
        scale = (2 * images * slots if reduction == "sum" else 1) / temperature
        torch.testing.assert_close(
            value.double(), want, atol=TOLERANCES[dtype] * scale, rtol=TOLERANCES[dtype]
        )
        wide = x.double().numpy()
        direction = np.random.default_rng(number).standard_normal(wide.shape)
        slope = oracle.slope(
            lambda x: np.sum(of_oracle(loss, torch.from_numpy(x), reduction, temperature)),
            wide,
            direction,
        )
        got = (gradient.double().numpy() * direction).sum()
        assert got == pytest.approx(
            slope,
            rel=max(30 * TOLERANCES[dtype], 1e-6),
            abs=10 * scale * max(TOLERANCES[dtype], 1e-8),
        )


def test_simclr_and_simsiam_equal_the_specification(each_way):
    for temperature in (1.0, 0.2):
        projs = gaussian(10, 7)
        for reduction in ("none", "mean", "sum"):
            value, accuracy = loss_global.contrastive_loss(projs, temperature, reduction)
            want, want_accuracy = oracle.contrastive_loss(
                projs.unsqueeze(1).numpy(), reduction, temperature
            )
            torch.testing.assert_close(value, torch.as_tensor(want))
            assert (
                accuracy.dtype == torch.float32
                and not accuracy.requires_grad
                and float(accuracy) == pytest.approx(want_accuracy)
            )
    views = torch.cat([projs[:5], projs[:5] + 0.1 * projs[5:]])
    assert float(loss_global.contrastive_loss(views)[1]) == 1
    feats = gaussian(10, 7, seed=1)
    for reduction in ("none", "mean", "sum"):
        got = value_and_gradient(
            lambda projs: loss_global.cosine_sim_loss(feats, projs, reduction), projs
        )
        want, gradient = oracle.loss_and_gradient(feats.unsqueeze(1), projs.unsqueeze(1), reduction)
        torch.testing.assert_close(
            got, (torch.as_tensor(want), torch.from_numpy(gradient).squeeze(1))
        )


def test_ties_with_the_match_are_not_right(each_way):
    projs = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    assert float(loss_global.contrastive_loss(projs)[1]) == 1
    # row 0 resembles its match, row 1 and nobody more: a tie; row 4 is right no more, row 3 has
    # rows 0 and 1
    projs[1] = projs[0]
    assert float(loss_global.contrastive_loss(projs)[1]) == pytest.approx(2 / 6)
    assert oracle.contrastive_loss(projs.unsqueeze(1).numpy(), "mean")[1] == 2 / 6


@pytest.mark.parametrize("images, slots", [(1, 1), (1, 5), (3, 4)])
@pytest.mark.parametrize("temperature", [1.0, 0.07])
def test_best_and_worst(images, slots, temperature, each_way):
    best, worst = matching_contrastive_loss_best_worst(images, slots, temperature)
    others = 2 * images * slots - 2
    assert best == pytest.approx(
        math.log(math.exp(1 / temperature) + others) - 1 / temperature, rel=1e-6, abs=1e-15
    ) and worst == pytest.approx(math.log(others + 1))
    view = torch.eye(images * slots, dtype=torch.float64).view(images, slots, -1)
    assert float(
        matching_contrastive_loss(torch.cat([view, view.flip(1)]), temperature)
    ) == pytest.approx(best, rel=1e-6, abs=1e-13)
    value, gradient = value_and_gradient(
        matching_contrastive_loss, torch.ones(2 * images, slots, 8), temperature
    )
    assert float(value) == pytest.approx(worst, abs=1e-6)
    # along the slot there is none
    assert gradient.isfinite().all() and (gradient.sum(-1).abs() < 1e-5).all()
    value, _ = value_and_gradient(
        matching_contrastive_loss_per_img, torch.ones(2 * images, slots, 8), temperature
    )
    assert float(value) == pytest.approx(math.log(2 * slots - 1), abs=1e-6)


def test_the_gradient_is_orthogonal_to_the_slot(loss, each_way):
    x = gaussian(6, 4, 5)
    _, gradient = value_and_gradient(loss, x, 0.1)
    assert (gradient * x).sum(-1).abs().max() < 1e-14


LAYOUTS = {
    "slots first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
    "some of the channels": lambda x: torch.cat([x, x], 2)[:, :, : x.shape[2]],
    "image-major": lambda x: (
        x.unflatten(0, (2, -1)).transpose(0, 1).contiguous().transpose(0, 1).flatten(0, 1)
    ),
    "channels first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "negated lazily": lambda x: torch._neg_view(-x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits_and_the_gradient_has_the_layout_of_the_slots(
    layout, loss, each_way
):
    x = gaussian(6, 4, 5, dtype=torch.float32)
    laid_out = LAYOUTS[layout](x)
    got, want = value_and_gradient(loss, laid_out), value_and_gradient(loss, x)
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
    if laid_out.stride(2) == 1:
        assert got[1].stride() == torch.empty_like(laid_out).stride()


def test_one_slot_of_memory_may_be_all_slots_and_features_are_read_in_place(loss):
    one = gaussian(1, 1, 5)
    torch.testing.assert_close(
        value_and_gradient(loss, one.expand(6, 4, 5)),
        value_and_gradient(loss, one.expand(6, 4, 5).contiguous()),
        rtol=0,
        atol=0,
    )
    projs = gaussian(6, 10)[:, ::2]
    assert (
        loss_global.contrastive_loss(projs)[0]
        == loss_global.contrastive_loss(projs.contiguous())[0]
    )


def test_the_incoming_gradient_is_read_whatever_its_layout(loss, each_way):
    x, weights = gaussian(6, 4, 8), gaussian(24, 3)
    for incoming in (weights[:, 1], weights[:1, 0].expand(24), weights[:, 2].flip(0)):
        _, gradient = value_and_gradient(loss, x, 1.0, "none", incoming=incoming)
        _, want = value_and_gradient(lambda x: (incoming * loss(x, 1.0, "none")).sum(), x)
        torch.testing.assert_close(gradient, want)
        direction = gaussian(6, 4, 8, seed=5).numpy()
        slope = oracle.slope(
            lambda x: (incoming.numpy() * of_oracle(loss, torch.from_numpy(x), "none")).sum(),
            x.numpy(),
            direction,
        )
        assert (gradient.numpy() * direction).sum() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_image_is_nobodys_candidate(bad, loss, each_way):
    x = gaussian(8, 3, 5)
    kept = [0, 2, 3]
    want, want_gradient = value_and_gradient(
        loss, x.view(2, 4, 3, 5)[:, kept].flatten(0, 1), 0.3, "none"
    )
    x[5, 2, 1] = bad
    value, gradient = value_and_gradient(loss, x, 0.3, "none")
    value, gradient = value.view(2, 4, 3), gradient.view(2, 4, 3, 5)
    assert value[:, 1].isnan().all() and gradient[:, 1].isnan().all()
    torch.testing.assert_close(value[:, kept].flatten(), want)
    torch.testing.assert_close(gradient[:, kept].flatten(0, 1), want_gradient)
    assert loss(x).isnan()
    with pytest.raises(ValueError, match="^slots: image 1 of 4 holds a NaN or an infinity"):
        loss(x, on_nonfinite="raise")
    projs = x[:, 2]
    torch.testing.assert_close(
        loss_global.contrastive_loss(projs)[1].double(),
        torch.tensor(oracle.contrastive_loss(projs.unsqueeze(1).numpy(), "mean")[1]),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize("shape", [(0, 3, 4), (4, 0, 3), (0, 0, 0)])
def test_empty(shape, loss, each_way):
    for reduction in ("none", "mean", "sum"):
        value, gradient = value_and_gradient(loss, torch.zeros(shape), 1.0, reduction)
        torch.testing.assert_close(
            value,
            torch.zeros(0)
            if reduction == "none"
            else torch.tensor(0.0 if reduction == "sum" else float("nan")),
            equal_nan=True,
        )
        assert gradient.shape == shape
    assert loss_global.contrastive_loss(torch.zeros(0, 3))[1].isnan()


def test_without_channels_all_cosines_are_zero(loss, each_way):
    value, gradient = value_and_gradient(loss, torch.zeros(4, 3, 0))
    assert float(value) == pytest.approx(
        math.log(11 if loss is matching_contrastive_loss else 5)
    ) and gradient.shape == (4, 3, 0)


def test_zero_extreme_and_short_slots(loss, each_way):
    x = gaussian(6, 4, 5)
    x[0, 0] = 0
    want = torch.from_numpy(of_oracle(loss, x, "none", 0.5))
    x[2], x[4] = 1e200 * x[2], 1e-200 * x[4]  # whose squares overflow and vanish
    torch.testing.assert_close(loss(x, 0.5, "none", eps=1e-250), want)
    short = 1e-3 * gaussian(6, 4, 5)
    value, gradient = value_and_gradient(loss, short, 0.5, "none", eps=1e-2)
    torch.testing.assert_close(value, torch.from_numpy(of_oracle(loss, short, "none", 0.5, 1e-2)))
    direction = gaussian(6, 4, 5, seed=1).numpy()
    slope = oracle.slope(
        lambda x: of_oracle(loss, torch.from_numpy(x), "none", 0.5, 1e-2).sum(),
        short.numpy(),
        direction,
        1e-8,
    )
    assert (gradient.numpy() * direction).sum() == pytest.approx(slope, rel=1e-5)


def test_tiny_temperatures_neither_overflow_nor_vanish(loss, each_way):
    x = gaussian(6, 4, 5, dtype=torch.float32)
    for temperature in (1e-4, 1e-20, 1e20):
        value, gradient = value_and_gradient(loss, x, temperature)
        assert value.isfinite() and gradient.isfinite().all()
    with pytest.raises(ValueError, match="temperature"):
        loss(x, 1e-40)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("device_path", [False, True])
def test_derivatives_in_reverse_and_forward_mode(reduction, device_path, loss):
    x = gaussian(4, 2, 3)
    x[0, 0] = torch.tensor([3e-3, 0, 1e-3])  # below the floor of a norm
    x.requires_grad_()
    function = lambda x: loss(x, 0.4, reduction, eps=1e-2)  # noqa: E731
    with _torch.on_cpu_tensors() if device_path else contextlib.nullcontext():
        assert gradcheck(
            function,
            (x,),
            eps=1e-7,
            check_forward_ad=True,
            check_batched_grad=True,
            check_batched_forward_grad=True,
        )
        assert gradgradcheck(function, (x,), eps=1e-7, check_fwd_over_rev=True)


def test_second_derivatives_beside_a_non_finite_image(loss, each_way):
    x = gaussian(6, 3, 4)
    x[1, 0, 0] = float("nan")

    def second(x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x, 0.4, "none").nansum(), x, create_graph=True)
        return torch.autograd.grad(gradient[gradient.isfinite()].square().sum(), x)[0]

    got = second(x)
    assert got[[1, 4]].isnan().all()
    torch.testing.assert_close(got[[0, 2, 3, 5]], second(x[[0, 2, 3, 5]]))


def test_a_third_derivative_and_torch_func(loss):
    x, direction = gaussian(4, 2, 3), gaussian(4, 2, 3, seed=1)

    def third(x):
        value = loss(x, 0.7)
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            value = (gradient * direction).sum()
        return value

    assert gradcheck(third, (x.requires_grad_(),))
    x = x.detach()
    hessian = torch.autograd.functional.hessian(loss, x)
    for derivative in (
        torch.func.hessian(loss),
        torch.func.jacrev(torch.func.jacrev(loss)),
        torch.func.jacrev(torch.func.jacfwd(loss)),
    ):
        torch.testing.assert_close(derivative(x), hessian)
    with pytest.raises(NotImplementedError, match="forward mode over forward mode"):
        torch.func.jacfwd(torch.func.jacfwd(loss))(x)


def test_vmap_is_a_loop(loss, each_way):
    x = gaussian(5, 4, 3, 6)
    for function in (
        loss,
        lambda x: loss(x, 0.5, "none"),
        lambda x: torch.func.grad(loss)(x),
        lambda x: loss_global.contrastive_loss(x[:, 0])[1],
    ):
        torch.testing.assert_close(
            torch.func.vmap(function)(x),
            torch.stack([function(item) for item in x]),
            rtol=0,
            atol=0,
        )
        torch.testing.assert_close(
            torch.func.vmap(function, in_dims=2)(x.movedim(0, 2)),
            torch.stack([function(item) for item in x]),
            rtol=0,
            atol=0,
        )
    assert torch.func.vmap(loss)(x[:0]).shape == (0,)


@pytest.mark.parametrize("under", [torch.float16, torch.bfloat16])
def test_autocast_computes_in_float32(under, loss, each_way):
    x = gaussian(6, 4, 8, dtype=under)
    with torch.autocast("cpu", under):
        value, gradient = value_and_gradient(loss, x)
        double = loss(x.double())
    want, want_gradient = value_and_gradient(loss, x.float())
    assert (
        value.dtype == torch.float32 and double.dtype == torch.float64 and gradient.dtype == under
    )
    assert torch.equal(value, want) and torch.equal(gradient, want_gradient.to(under))


def test_compile_in_one_graph_for_all_sizes():
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]

    def function(x):
        return (
            matching_contrastive_loss(2 * x, 0.5, "none").sum()
            + matching_contrastive_loss_per_img(x * x)
            + sum(loss_global.contrastive_loss(x[:, 0]))
            + loss_global.cosine_sim_loss(x[:, 0], x[:, 1])
        )

    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    for shape in ((6, 4, 8), (10, 4, 8), (4, 6, 5)):
        x = gaussian(*shape)
        torch.testing.assert_close(value_and_gradient(compiled, x), value_and_gradient(function, x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype):
    cases = [((8, 3, 8), NONE, True), ((6, 2, 5), MEAN, False)]
    for shape, reduction, within in cases[1:] if dtype == torch.float32 else cases[:1]:
        x = gaussian(shape[1], shape[0], shape[2], dtype=dtype).transpose(0, 1).requires_grad_()
        opcheck(
            torch.ops.osc.matching_contrastive_loss,
            (x, None, int(within), 0.5, reduction, 1e-10, 0),
        )
        value, matching, log_sums, _ = torch.ops.osc.matching_contrastive_loss(
            x.detach(), None, int(within), 0.5, reduction, 1e-10, 0
        )
        opcheck(
            torch.ops.osc.matching_contrastive_loss_backward,
            (
                torch.ones_like(value).requires_grad_(),
                x,
                matching,
                log_sums,
                within,
                0.5,
                reduction,
                1e-10,
            ),
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_are_known_without_data(layout, each_way):
    x = LAYOUTS[layout](gaussian(6, 4, 5))

    def run(x):
        value, matching, log_sums, accuracy = torch.ops.osc.matching_contrastive_loss(
            x, None, 0, 0.5, NONE, 1e-10, 0
        )
        gradient = torch.ops.osc.matching_contrastive_loss_backward(
            value, x, matching, log_sums, 0, 0.5, NONE, 1e-10
        )
        return [
            (y.shape, y.stride(), y.dtype) for y in (value, matching, log_sums, accuracy, gradient)
        ]

    with torch._subclasses.FakeTensorMode() as mode:
        fake = run(mode.from_tensor(x))
    assert fake == run(x) == run(x.to("meta"))


def test_the_path_of_other_devices_equals_the_kernels_and_waits_once(monkeypatch):
    x = gaussian(40, 6, 16, dtype=torch.float32)
    want = value_and_gradient(matching_contrastive_loss, x, 0.1), osc.match_slots(x)
    largest, copied, to_host, product = [], [], torch.Tensor.cpu, torch.bmm
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copied.append(tuple(x.shape)) or to_host(x))
    monkeypatch.setattr(
        torch,
        "bmm",
        lambda a, b: largest.append(a.shape[0] * a.shape[1] * b.shape[2]) or product(a, b),
    )
    monkeypatch.setattr(contrastive, "BLOCK", 2400)
    with _torch.on_cpu_tensors():
        got = value_and_gradient(matching_contrastive_loss, x, 0.1), osc.match_slots(x)
        assert copied == [(20, 6, 6)] * 2
        assert max(largest) <= 2400  # never the 240 x 240 of all pairs
        copied.clear()
        loss_global.contrastive_loss(x[:, 0])
        loss_global.cosine_sim_loss(x[:, 0], x[:, 1])
        assert not copied  # of one slot there is nothing to match
    torch.testing.assert_close(got, want)


def test_memory_grows_with_the_slots_and_not_with_their_square():
    code = """
import resource, torch
from osc.loss_objects import matching_contrastive_loss
x = torch.randn(2 * 1000, 8, 4, requires_grad=True)      # 16000 slots: a matrix of all pairs would be a gigabyte
matching_contrastive_loss(x[:4]).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
matching_contrastive_loss(x).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert int(result.stdout) < 100_000, result.stderr  # KiB


def test_any_number_of_threads_gives_the_same_bits(loss):
    x = gaussian(60, 7, 33, dtype=torch.float32)
    want = value_and_gradient(loss, x, 0.1)
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            assert all(torch.equal(a, b) for a, b in zip(value_and_gradient(loss, x, 0.1), want))
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def test_several_python_threads_at_once(loss):
    problems = [gaussian(40 + 2 * i, 6 + i, 16, seed=i) for i in range(4)]
    want = [value_and_gradient(loss, x) for x in problems]
    got = [[] for _ in problems]
    workers = [
        threading.Thread(
            target=lambda i=i: got[i].extend(
                value_and_gradient(loss, problems[i]) for _ in range(10)
            )
        )
        for i in range(len(problems))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want):
        assert len(results) == 10 and all(
            torch.equal(a, b) for result in results for a, b in zip(result, expected)
        )


def test_bad_input_is_an_error_that_says_what_was_given(loss, each_way):
    x = torch.ones(4, 3, 2)
    hint = r"x\.transpose\(0, 1\)\.flatten\(0, 1\)"
    for bad, error, text in [
        (x[:3], ValueError, rf"slots has shape \[3, 3, 2\].*{hint}"),
        (x.view(2, 2, 3, 2), ValueError, rf"slots has shape \[2, 2, 3, 2\].*{hint}"),
        (x.int(), TypeError, "slots is torch.int32"),
        (x.numpy(), TypeError, "slots is ndarray"),
        ([x, x], TypeError, "slots is list; wanted a PyTorch tensor .*torch.stack"),
        (x.to_sparse(), TypeError, "slots is a torch.sparse_coo tensor"),
        (torch.nested.nested_tensor([x, x[:2]]), TypeError, "slots is a nested tensor"),
    ]:
        with pytest.raises(error, match=text):
            loss(bad)
    for temperature, error, text in [
        (0, ValueError, "temperature is 0"),
        (10**400, ValueError, "temperature is 1000"),
        (5e-39, ValueError, "temperature is 5e-39"),
        (float("nan"), ValueError, "temperature"),
        ("1", TypeError, "temperature is str"),
        (torch.ones(()), TypeError, "temperature is Tensor"),
    ]:
        with pytest.raises(error, match=text):
            loss(x, temperature)
    for options, error, text in [
        ({"eps": -1}, ValueError, "eps is -1"),
        ({"eps": None}, TypeError, "eps is NoneType"),
        ({"reduction": "average"}, ValueError, "'average'"),
        ({"on_nonfinite": "no"}, ValueError, "'no'"),
    ]:
        with pytest.raises(error, match=text):
            loss(x, **options)


def test_bad_features_and_sizes():
    for bad, text in [
        (torch.ones(3, 2), r"has shape \[3, 2\]; wanted \[2B, C\]"),
        (torch.ones(4, 3, 2), r"has shape \[4, 3, 2\]; wanted \[2B, C\]"),
    ]:
        with pytest.raises(ValueError, match="projs " + text):
            loss_global.contrastive_loss(bad)
        with pytest.raises(ValueError, match="feats " + text):
            loss_global.cosine_sim_loss(bad, bad)
    with pytest.raises(ValueError, match=r"feats \[4, 2\] and projs \[4, 3\]"):
        loss_global.cosine_sim_loss(torch.ones(4, 2), torch.ones(4, 3))
    with pytest.raises(TypeError, match="group is str"):
        matching_contrastive_loss(torch.ones(2, 1, 1), group="world")
    for arguments, error, text in [
        ((0, 3), ValueError, "B = 0"),
        ((2, 3, -1), ValueError, "temperature"),
        ((2.5, 3), TypeError, "B is float"),
        ((2, 3, "1"), TypeError, "temperature is str"),
    ]:
        with pytest.raises(error, match=text):
            matching_contrastive_loss_best_worst(*arguments)


def test_the_operators_check_what_the_public_functions_would_not_let_through():
    x = gaussian(4, 3, 2)
    value, matching, log_sums, _ = torch.ops.osc.matching_contrastive_loss(
        x, None, 0, 0.5, NONE, 1e-10, 0
    )
    backward = torch.ops.osc.matching_contrastive_loss_backward
    for arguments, text in [
        ((value[:3], x, matching, log_sums, 0, 0.5, NONE), r"grad_output has shape \[3\]"),
        ((value, x, matching, log_sums, 0, 0.5, MEAN), r"grad_output has shape \[12\]"),
        (
            (value.float(), x, matching, log_sums, 0, 0.5, NONE),
            "grad_loss and slots have different dtypes",
        ),
        ((value, x, matching[:1], log_sums, 0, 0.5, NONE), r"matching has shape \[1, 3\]"),
        ((value, x, matching.clamp_max(0), log_sums, 0, 0.5, NONE), "matching: row 0"),
        ((value, x, matching, log_sums[1:], False, 0.5, NONE), r"log_sums has shape \[11\]"),
        ((value, x, matching, log_sums.float(), False, 0.5, NONE), "float64"),
    ]:
        with pytest.raises(ValueError, match=text):
            backward(*arguments, 1e-10)
    everyones = torch.stack([x, x])
    with pytest.raises(ValueError, match="more ranks than 2"):
        torch.ops.osc.matching_contrastive_loss_gathered(everyones, None, 2, 0.5, NONE, 1e-10, 0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gathered_ranks_are_the_joined_batch(reduction, each_way):
    ranks = gaussian(3, 4, 2, 5)  # of two images each
    joined = ranks.unflatten(1, (2, 2)).transpose(0, 1).flatten(0, 2)
    ops, options = torch.ops.osc, (0.3, REDUCTIONS[reduction], 1e-10)
    results = [
        ops.matching_contrastive_loss_gathered(ranks, None, rank, *options, 0) for rank in range(3)
    ]
    value, gradient = value_and_gradient(matching_contrastive_loss, joined, 0.3, reduction)
    losses = torch.stack([result[0] for result in results])
    share = 3 if reduction == "mean" else 1
    if reduction == "none":
        torch.testing.assert_close(losses.unflatten(1, (2, 2, 2)).transpose(0, 1).flatten(), value)
    else:
        torch.testing.assert_close(losses.sum() / share, value)
    log_sums = torch.stack([result[2] for result in results])
    gradients = [
        ops.matching_contrastive_loss_gathered_backward(
            torch.ones_like(losses), ranks, rank, results[rank][1], log_sums, *options
        )
        for rank in range(3)
    ]
    torch.testing.assert_close(
        torch.stack(gradients).unflatten(1, (2, 2)).transpose(0, 1).flatten(0, 2) / share, gradient
    )


def test_gathered_ranks_of_which_one_is_not_finite(each_way):
    ranks = gaussian(2, 4, 2, 5)
    ranks[1, 2, 0, 0] = float("nan")  # image 0 of rank 1
    kept = torch.cat([ranks[0, :2], ranks[1, 1:2], ranks[0, 2:], ranks[1, 3:]])
    want, want_gradient = value_and_gradient(matching_contrastive_loss, kept, 0.3, "none")
    results = [
        torch.ops.osc.matching_contrastive_loss_gathered(ranks, None, rank, 0.3, NONE, 1e-10, 0)
        for rank in range(2)
    ]
    torch.testing.assert_close(results[0][0].view(2, 4), want.view(2, 6)[:, :4])
    assert results[1][0].view(2, 2, 2)[:, 0].isnan().all()
    log_sums, incoming = (
        torch.stack([result[2] for result in results]),
        torch.ones(2, 8, dtype=torch.float64),
    )
    gradient = torch.ops.osc.matching_contrastive_loss_gathered_backward(
        incoming, ranks, 0, results[0][1], log_sums, 0.3, NONE, 1e-10
    )
    torch.testing.assert_close(gradient.view(2, 2, 2, 5), want_gradient.view(2, 3, 2, 5)[:, :2])
    for rank in range(2):
        with pytest.raises(ValueError, match="image 0 of 2 holds a NaN"):
            torch.ops.osc.matching_contrastive_loss_gathered(ranks, None, rank, 0.3, NONE, 1e-10, 1)


def test_it_is_what_numpy_users_get(loss):
    x = gaussian(6, 4, 5, dtype=torch.float32)
    value, gradient = value_and_gradient(loss, x, 0.2)
    got = getattr(osc.numpy, loss.__name__)(x.numpy(), 0.2, with_grad=True)
    assert got[0] == value.item() and np.array_equal(got[1], gradient.numpy())


def test_simsiam_is_the_similarity_loss_of_one_slot():
    feats, projs = gaussian(2, 6, 5)
    assert loss_global.cosine_sim_loss(feats, projs) == matching_similarity_loss_per_img(
        feats[:, None], projs[:, None]
    )
    assert torch.autograd.grad(
        loss_global.cosine_sim_loss(feats.requires_grad_(), projs.requires_grad_()),
        feats,
        allow_unused=True,
    ) == (None,)
