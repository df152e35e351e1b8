"""The path of tensors outside the CPU's memory, taken by CPU tensors here and by those of every
accelerator that this machine has, against the kernels and the specification."""

import pytest
import torch
import torch_oracle

import osc
from osc import _torch
from osc._reference import similarity
from osc.loss_objects import matching_similarity_loss_per_img

ACCELERATORS = (
    [torch.accelerator.current_accelerator().type] if torch.accelerator.is_available() else []
)
TOLERANCES = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture(params=["cpu", *ACCELERATORS])
def device(request):
    if request.param == "cpu":
        with _torch.on_cpu_tensors():
            yield "cpu"
    else:
        yield request.param


def random_slots(*shape, dtype=torch.float32, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def loss_and_gradient(f, p, reduction="mean", **options):
    p = p.detach().requires_grad_()
    loss = matching_similarity_loss_per_img(f, p, reduction, **options)
    (gradient,) = torch.autograd.grad(loss.sum(), p)
    assert loss.device == gradient.device == p.device
    return loss.detach().cpu(), gradient.cpu()


def test_the_switch_turns_the_path_on_and_off_again(monkeypatch):
    calls = []
    formula = similarity.loss
    monkeypatch.setattr(similarity, "loss", lambda *a: calls.append(1) or formula(*a))
    f = random_slots(2, 3, 4)
    kernel = matching_similarity_loss_per_img(f, f)
    assert not calls
    with _torch.on_cpu_tensors():
        matching_similarity_loss_per_img(f, f)
    assert len(calls) == 1
    assert matching_similarity_loss_per_img(f, f) == kernel and len(calls) == 1


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, reduction, device):
    for number, (images, slots, channels) in enumerate([(1, 1, 1), (3, 4, 8), (5, 11, 64)]):
        f, p = random_slots(2, 2 * images, slots, channels, dtype=dtype, seed=number)
        loss, gradient = loss_and_gradient(f.to(device), p.to(device), reduction)
        want, want_gradient = torch_oracle.loss_and_gradient(f, p, reduction)
        assert loss.dtype == gradient.dtype == dtype
        scale = 2 * images * slots if reduction == "sum" else 1
        torch.testing.assert_close(
            loss.double(), want, atol=TOLERANCES[dtype] * scale, rtol=TOLERANCES[dtype]
        )
        terms = (1 / (2 * images * slots) if reduction == "mean" else 1) / p.double().norm(
            dim=-1
        ).min().item()
        torch.testing.assert_close(
            gradient.double(),
            want_gradient,
            atol=TOLERANCES[dtype] * terms,
            rtol=30 * TOLERANCES[dtype],
        )


def test_equals_the_kernels_at_the_edges():
    torch.manual_seed(0)
    f, p = random_slots(2, 10, 4, 6)
    f[0, 1], p[1, 2], p[2, 0] = 0, 0, 1e-12 * p[2, 0]
    f[3], p[3] = 1e30 * f[3], 1e-30 * p[3]  # whose squares overflow and vanish
    f[4, 0, 0], p[7, 1, 2] = float("nan"), float("inf")
    for eps in (1e-10, 1e-35, 1e-300, 1e2):
        want = loss_and_gradient(f, p, "none", eps=eps), osc.match_slots(f, eps=eps)
        with _torch.on_cpu_tensors():
            got = loss_and_gradient(f, p, "none", eps=eps), osc.match_slots(f, eps=eps)
        torch.testing.assert_close(got[0], want[0], equal_nan=True, rtol=1e-4, atol=1e-6)
        assert torch.equal(got[1], want[1])
    assert want[0][0].view(2, 5, 4).isnan().any(2).any(0).tolist() == [
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("shape", [(0, 3, 4), (4, 0, 3), (4, 3, 0)])
def test_empty(shape, device):
    slots = torch.zeros(shape, device=device)
    for reduction in ("none", "mean", "sum"):
        loss, gradient = loss_and_gradient(slots, slots, reduction)
        want = 0.5 * torch.ones(shape[0] * shape[1])
        torch.testing.assert_close(
            loss, want if reduction == "none" else getattr(want, reduction)(), equal_nan=True
        )
        assert gradient.shape == shape
    assert osc.match_slots(slots).shape == (shape[0] // 2, shape[1])


@pytest.mark.parametrize("name", ["f", "p"])
def test_a_non_finite_image(name, device):
    f, p = random_slots(2, 6, 4, 5)
    clean = matching_similarity_loss_per_img(f.to(device), p.to(device), "none").cpu().view(2, 3, 4)
    {"f": f, "p": p}[name][4, 2, 1] = float("nan")
    f, p = f.to(device), p.to(device)
    loss, gradient = loss_and_gradient(f, p, "none")
    assert loss.view(2, 3, 4)[:, 1].isnan().all() and gradient.view(2, 3, 4, 5)[:, 1].isnan().all()
    assert (
        torch.equal(loss.view(2, 3, 4)[:, [0, 2]], clean[:, [0, 2]])
        and gradient.view(2, 3, 4, 5)[:, [0, 2]].isfinite().all()
    )
    with pytest.raises(ValueError, match=f"^{name}: image 1 of 3 holds a NaN or an infinity"):
        matching_similarity_loss_per_img(f, p, on_nonfinite="raise")
    if name == "f":
        assert osc.match_slots(f).cpu()[1].eq(-1).all()
        with pytest.raises(ValueError, match="^f: image 1 of 3"):
            osc.match_slots(f, on_nonfinite="raise")


def test_the_gradient_has_the_layout_of_p(device):
    f, p = random_slots(2, 6, 4, 5).to(device)
    _, want = loss_and_gradient(f, p)
    for laid_out in (
        p.transpose(0, 1).contiguous().transpose(0, 1),
        torch.cat([p, p], 2)[:, :, :5],
        p.transpose(1, 2).contiguous().transpose(1, 2),
    ):
        _, gradient = loss_and_gradient(f, laid_out)
        torch.testing.assert_close(gradient, want)
        if laid_out.stride(2) == 1:
            assert gradient.stride() == torch.empty_like(laid_out).stride()


def test_derivatives_of_higher_order(device):
    if device == "mps":
        pytest.skip("has no float64")
    f, p = random_slots(2, 4, 3, 4, dtype=torch.float64).to(device)
    p.requires_grad_()
    for reduction in ("none", "mean"):
        loss = lambda p: matching_similarity_loss_per_img(f, p, reduction)  # noqa: E731
        assert torch.autograd.gradcheck(loss, (p,), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(loss, (p,))


def test_compiles_and_vmaps(device):
    torch._dynamo.reset()
    f, p = random_slots(2, 3, 6, 4, 5).to(device)
    compiled = torch.compile(
        matching_similarity_loss_per_img, fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for a, b in zip(loss_and_gradient(f[0], p[0]), loss_and_gradient(f[0], p[0])):
        torch.testing.assert_close(
            compiled(f[0], p[0]), matching_similarity_loss_per_img(f[0], p[0])
        )
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        torch.func.vmap(matching_similarity_loss_per_img)(f, p)[1],
        matching_similarity_loss_per_img(f[1], p[1]),
    )


def test_one_copy_to_the_host_for_all_images(monkeypatch):
    copied = []
    to_host = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copied.append(tuple(x.shape)) or to_host(x))
    f, p = random_slots(2, 10, 4, 6)
    with _torch.on_cpu_tensors():
        p.requires_grad_()
        matching_similarity_loss_per_img(f, p).backward()
    assert copied == [(5, 4, 4)]


def test_bad_input(device):
    slots = torch.ones(4, 3, 2, device=device)
    for f, p, error, text in [
        (slots, slots[:, :2], ValueError, r"p has shape \[4, 2, 2\]"),
        (slots[:3], slots[:3], ValueError, r"f has shape \[3, 3, 2\]"),
        (slots[0], slots[0], ValueError, r"f has shape \[3, 2\]"),
        (slots, slots.half(), TypeError, "f is torch.float32 and p is torch.float16"),
    ]:
        with pytest.raises(error, match=text):
            matching_similarity_loss_per_img(f, p)
    with pytest.raises(ValueError, match="'average'"):
        matching_similarity_loss_per_img(slots, slots, "average")
    with pytest.raises(ValueError, match="eps is 0"):
        matching_similarity_loss_per_img(slots, slots, eps=0)


def test_the_solver():
    cost = random_slots(2, 3, 4, 6)
    for got, want in zip(
        _torch._linear_sum_assignment(cost, False, True), osc.linear_sum_assignment(cost)
    ):
        assert torch.equal(got, want)
    for accelerator in ACCELERATORS:
        for got, want in zip(
            osc.linear_sum_assignment(cost.to(accelerator)), osc.linear_sum_assignment(cost)
        ):
            assert got.device.type == accelerator and torch.equal(got.cpu(), want)
    with pytest.raises(ValueError, match=r"cost has shape \[4\]"):
        _torch._linear_sum_assignment(cost[0, 0, :, 0], False, True)
