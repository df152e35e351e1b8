"""What is peculiar to one loss, by PyTorch's kernels and by the path of other devices."""

import math
import subprocess
import sys

import oracle
import pytest
import torch
from conformance import PyTorch, as_tensor
from conformance import gaussian as gaussian_array
from operator_calls import MEAN, NONE

import osc
from osc import _torch, loss_global
from osc._reference import contrastive
from osc.loss_global import variance_covariance_loss
from osc.loss_objects import (
    matching_contrastive_loss,
    matching_contrastive_loss_best_worst,
    matching_contrastive_loss_per_img,
    matching_similarity_loss_small_to_large,
)

LOSSES = {"batch": matching_contrastive_loss, "image": matching_contrastive_loss_per_img}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


@pytest.fixture(params=["kernels", "device path"])
def each_way(request):
    with PyTorch(request.param).switched_on():
        yield


def gaussian(*shape, dtype=torch.float64, seed=0):
    return as_tensor(gaussian_array(*shape, seed=seed)).to(dtype)


def value_and_gradient(loss, slots, *arguments):
    slots = slots.detach().requires_grad_()
    value = loss(slots, *arguments)
    return value.detach(), torch.autograd.grad(value, slots, torch.ones_like(value))[0]


# The contrastive losses.


def test_ties_with_the_match_are_not_right(each_way):
    projs = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    assert float(loss_global.contrastive_loss(projs)[1]) == 1
    # Row 0 equals its match and row 1: a tie, which is not counted as right.
    projs[1] = projs[0]
    assert float(loss_global.contrastive_loss(projs)[1]) == pytest.approx(2 / 6)
    assert oracle.contrastive(projs.unsqueeze(1).numpy())[1] == 2 / 6


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
    # The gradient is orthogonal to the slots, which are all ones.
    assert gradient.isfinite().all() and (gradient.sum(-1).abs() < 1e-5).all()
    value, _ = value_and_gradient(
        matching_contrastive_loss_per_img, torch.ones(2 * images, slots, 8), temperature
    )
    assert float(value) == pytest.approx(math.log(2 * slots - 1), abs=1e-6)


def test_the_gradient_is_orthogonal_to_the_slot(loss, each_way):
    x = gaussian(6, 4, 5)
    _, gradient = value_and_gradient(loss, x, 0.1)
    assert (gradient * x).sum(-1).abs().max() < 1e-14


def test_tiny_temperatures_neither_overflow_nor_vanish(loss, each_way):
    x = gaussian(6, 4, 5, dtype=torch.float32)
    for temperature in (1e-4, 1e-20, 1e20):
        value, gradient = value_and_gradient(loss, x, temperature)
        assert value.isfinite() and gradient.isfinite().all()
    with pytest.raises(ValueError, match="temperature"):
        loss(x, 1e-40)


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
        assert not copied  # one slot needs no matching
    torch.testing.assert_close(got, want)


def test_memory_grows_with_the_slots_and_not_with_their_square():
    code = """
import resource, torch
from osc.loss_objects import matching_contrastive_loss
x = torch.randn(2 * 1000, 8, 4, requires_grad=True)  # all pairs: a gigabyte
matching_contrastive_loss(x[:4]).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
matching_contrastive_loss(x).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert int(result.stdout) < 100_000, result.stderr  # KiB


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gathered_ranks_are_the_joined_batch(reduction, each_way):
    ranks = gaussian(3, 4, 2, 5)  # of two images each
    joined = ranks.unflatten(1, (2, 2)).transpose(0, 1).flatten(0, 2)
    ops, codes = torch.ops.osc, {"mean": MEAN, "sum": 1, "none": NONE}
    options = 0.3, codes[reduction], 1e-10
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
            torch.ones_like(losses), ranks, results[rank][1], log_sums, rank, *options
        )
        for rank in range(3)
    ]
    torch.testing.assert_close(
        torch.stack(gradients).unflatten(1, (2, 2)).transpose(0, 1).flatten(0, 2) / share, gradient
    )


def test_gathered_ranks_of_which_one_is_not_finite(each_way):
    ranks = gaussian(2, 4, 2, 5)
    ranks[1, 2, 0, 0] = float("nan")  # image 0 of rank 1
    finite = torch.cat([ranks[0, :2], ranks[1, 1:2], ranks[0, 2:], ranks[1, 3:]])
    want, want_gradient = value_and_gradient(matching_contrastive_loss, finite, 0.3, "none")
    results = [
        torch.ops.osc.matching_contrastive_loss_gathered(ranks, None, rank, 0.3, NONE, 1e-10, 0)
        for rank in range(2)
    ]
    torch.testing.assert_close(results[0][0].view(2, 4), want.view(2, 6)[:, :4])
    assert results[1][0].view(2, 2, 2)[:, 0].isnan().all()
    log_sums, grad_output = (
        torch.stack([result[2] for result in results]),
        torch.ones(2, 8, dtype=torch.float64),
    )
    gradient = torch.ops.osc.matching_contrastive_loss_gathered_backward(
        grad_output, ranks, results[0][1], log_sums, 0, 0.3, NONE, 1e-10
    )
    torch.testing.assert_close(gradient.view(2, 2, 2, 5), want_gradient.view(2, 3, 2, 5)[:, :2])
    for rank in range(2):
        with pytest.raises(ValueError, match="image 0 of 2 holds a NaN"):
            torch.ops.osc.matching_contrastive_loss_gathered(ranks, None, rank, 0.3, NONE, 1e-10, 1)


def test_sizes_of_the_best_and_worst_loss():
    for arguments, error, text in [
        ((0, 3), ValueError, "B = 0"),
        ((2, 3, -1), ValueError, "temperature"),
        ((2.5, 3), TypeError, "B is float"),
        ((2, 3, "1"), TypeError, "temperature is str"),
    ]:
        with pytest.raises(error, match=text):
            matching_contrastive_loss_best_worst(*arguments)


# Small crops and large ones.


def test_a_slot_counts_where_the_two_are_each_others_best_and_the_first_of_equals_is(each_way):
    axes = torch.eye(4, dtype=torch.float64)
    f = axes[[0, 0, 1]].view(1, 1, 3, 4)
    # Small slot 1 equals slot 0, which comes first and is the best of large slot 0. Small slot 2
    # has cosine 0 with all. Its best is large slot 0, which has a better slot.
    p = axes[[0, 0, 3, 1]].view(1, 1, 4, 4)
    assert torch.ops.osc.matching_similarity_loss_small_to_large(f, p, None, MEAN, 1e-10, 0)[
        1
    ].flatten().tolist() == [0, -1, -1, 2]
    assert [float(x) for x in matching_similarity_loss_small_to_large(f, p)] == [0, 0.5]


# Variance and covariance.


def gradients(x):
    x = x.detach().requires_grad_()
    terms = variance_covariance_loss(x)
    return [torch.autograd.grad(term, x, retain_graph=True)[0] for term in terms]


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 4), (3, 0), (2, 1, 4), (1, 4), (5, 1)])
def test_sizes_without_a_covariance(shape, each_way):
    variance, covariance = variance_covariance_loss(gaussian(*shape))
    assert covariance.isnan() and (variance.isnan() or shape == (5, 1))
    for gradient in gradients(gaussian(*shape)):
        assert gradient.shape == shape and (
            gradient.isnan().all() if shape[-2] == 1 else gradient.isfinite().all()
        )


def test_a_non_finite_group(each_way):
    x = gaussian(3, 6, 4)
    want = gradients(x)
    x[1, 2, 3] = float("inf")
    assert all(term.isnan() for term in variance_covariance_loss(x))
    for got, clean in zip(gradients(x), want):
        assert got[1].isnan().all()
        torch.testing.assert_close(got[::2], clean[::2])
    with pytest.raises(ValueError, match="1 of 3 holds a NaN or an infinity"):
        variance_covariance_loss(x, on_nonfinite="raise")


def test_deviations_above_1_have_no_part_in_the_variance(each_way):
    x = gaussian(2, 20, 4) * torch.tensor([0.2, 0.7, 1.5, 3]) + 3
    terms, _ = oracle.variance_covariance(x.numpy())
    torch.testing.assert_close(torch.stack(variance_covariance_loss(x)), torch.from_numpy(terms))
    assert not gradients(x)[0][..., 2:].any()
