"""osc.loss_objects.matching_similarity_loss_per_img on CPU tensors: values, gradients, layouts,
errors, autocast, threads and processes."""

import contextlib
import doctest
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
import torch_oracle
from codes import MEAN, NONE
from torch.autograd import gradcheck, gradgradcheck

import osc
import osc.loss_objects
from osc import _torch
from osc.loss_objects import matching_similarity_loss_per_img

TOLERANCES = {torch.float64: 1e-13, torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def random_slots(*shape, dtype=torch.float32, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def loss_and_gradient(f, p, reduction="mean", incoming=None, **options):
    p = p.detach().requires_grad_()
    loss = matching_similarity_loss_per_img(f, p, reduction, **options)
    (gradient,) = torch.autograd.grad(
        loss, p, torch.ones_like(loss) if incoming is None else incoming
    )
    return loss.detach(), gradient


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equals_the_specification(dtype, reduction):
    for number, (images, slots, channels) in enumerate(
        [(1, 1, 1), (3, 4, 8), (5, 11, 64), (2, 30, 7)]
    ):
        f, p = random_slots(2, 2 * images, slots, channels, dtype=dtype, seed=number)
        loss, gradient = loss_and_gradient(f, p, reduction)
        want, want_gradient = torch_oracle.loss_and_gradient(f, p, reduction)
        assert loss.dtype == gradient.dtype == dtype and loss.shape == want.shape
        scale = 2 * images * slots if reduction == "sum" else 1
        torch.testing.assert_close(
            loss.double(), want, atol=TOLERANCES[dtype] * scale, rtol=TOLERANCES[dtype]
        )
        # of whose difference a gradient is made
        terms = (1 / (2 * images * slots) if reduction == "mean" else 1) / p.double().norm(
            dim=-1
        ).min().item()
        torch.testing.assert_close(
            gradient.double(),
            want_gradient,
            atol=TOLERANCES[dtype] * terms,
            rtol=30 * TOLERANCES[dtype],
        )


def test_the_incoming_gradient_is_read_whatever_its_layout():
    f, p = random_slots(2, 6, 4, 8, dtype=torch.float64)
    weights = random_slots(24, 3, dtype=torch.float64)
    for incoming in (
        weights[:, 0].contiguous(),
        weights[:, 1],
        weights[:1, 0].expand(24),
        weights[:, 2].flip(0),
    ):
        _, gradient = loss_and_gradient(f, p, "none", incoming)
        torch.testing.assert_close(
            gradient, torch_oracle.loss_and_gradient(f, p, "none", incoming=incoming)[1]
        )
    q = p.clone().requires_grad_()
    matching_similarity_loss_per_img(f, q, "none").sum().backward()
    torch.testing.assert_close(q.grad, torch_oracle.loss_and_gradient(f, p, "sum")[1])


def test_no_gradient_flows_to_f_even_where_it_is_p():
    f = random_slots(4, 3, 5, dtype=torch.float64).requires_grad_()
    p = random_slots(4, 3, 5, dtype=torch.float64, seed=1).requires_grad_()
    matching_similarity_loss_per_img(f, p).backward()
    assert f.grad is None
    # so that backward() says so where p was forgotten
    assert not matching_similarity_loss_per_img(f, p.detach()).requires_grad
    (gradient,) = torch.autograd.grad(matching_similarity_loss_per_img(f, p), p, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), p, create_graph=True)
    assert torch.autograd.grad(second.square().sum(), f, allow_unused=True) == (None,)
    both = f.detach().requires_grad_()
    matching_similarity_loss_per_img(both, both).backward()
    torch.testing.assert_close(both.grad, torch_oracle.loss_and_gradient(f, f)[1])


LAYOUTS = {
    "contiguous": lambda x: x,
    "slots first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
    "some of the channels": lambda x: torch.cat([x, x], 2)[:, :, : x.shape[2]],
    "image-major": lambda x: (
        x.unflatten(0, (2, -1)).transpose(0, 1).contiguous().transpose(0, 1).flatten(0, 1)
    ),
    "channels first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "at an offset": lambda x: torch.cat([x[:1], x])[1:],
    "negated lazily": lambda x: torch._neg_view(-x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_layouts_give_the_same_bits_and_the_gradient_has_the_layout_of_p(layout, dtype):
    f, p = random_slots(2, 6, 4, 5, dtype=dtype)
    loss, gradient = loss_and_gradient(f, p)
    laid_out = LAYOUTS[layout](p)
    assert torch.equal(laid_out, p)
    got_loss, got_gradient = loss_and_gradient(LAYOUTS[layout](f), laid_out)
    assert torch.equal(got_loss, loss) and torch.equal(got_gradient, gradient)
    if laid_out.stride(2) == 1:
        assert got_gradient.stride() == torch.empty_like(laid_out).stride()


def test_one_slot_of_memory_may_be_all_slots():
    one = random_slots(1, 1, 5)
    f = random_slots(6, 4, 5)
    torch.testing.assert_close(
        loss_and_gradient(f, one.expand(6, 4, 5)),
        loss_and_gradient(f, one.expand(6, 4, 5).contiguous()),
        rtol=0,
        atol=0,
    )


def allocations(call):
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        outputs = call()  # kept, so that their memory is not given back
    del outputs
    return sorted(
        event.nbytes()
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )


@pytest.mark.parametrize(
    "layout",
    ["contiguous", "slots first", "every other row", "some of the channels", "at an offset"],
)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_nothing_is_allocated_but_the_outputs(layout, dtype):
    f, p = (LAYOUTS[layout](x) for x in random_slots(2, 64, 8, 32, dtype=dtype))

    def forward():
        return torch.ops.osc.matching_similarity_loss_per_img(f, p, None, MEAN, 1e-10, 0)

    loss, matching = forward()
    assert allocations(forward) == [loss.nbytes, matching.nbytes]
    assert allocations(
        lambda: torch.ops.osc.matching_similarity_loss_per_img_backward(
            loss, f, p, matching, MEAN, 1e-10
        )
    ) == [p.nbytes]


def test_a_non_finite_image_leaves_the_others_alone():
    for name, bad in (("f", float("nan")), ("p", float("inf")), ("p", float("-inf"))):
        f, p = random_slots(2, 6, 4, 5)
        clean, clean_gradient = loss_and_gradient(f, p, "none")
        {"f": f, "p": p}[name][4, 2, 1] = bad
        loss, gradient = loss_and_gradient(f, p, "none")
        for got, want in (
            (loss.view(2, 3, 4), clean.view(2, 3, 4)),
            (gradient.view(2, 3, 4, 5), clean_gradient.view(2, 3, 4, 5)),
        ):
            assert got[:, 1].isnan().all()
            assert torch.equal(got[:, [0, 2]], want[:, [0, 2]])
        with pytest.raises(ValueError, match=f"^{name}: image 1 of 3 holds a NaN or an infinity"):
            matching_similarity_loss_per_img(f, p, on_nonfinite="raise")


def test_zero_slots_and_the_floor_of_a_norm():
    f, p = random_slots(2, 4, 3, 5, dtype=torch.float64)
    p[0, 0] = 0
    p[1, 1] *= 1e-3
    f[2, 1] = 0
    for eps in (1e-10, 1e-2):
        loss, gradient = loss_and_gradient(f, p, "none", eps=eps)
        want, want_gradient = torch_oracle.loss_and_gradient(f, p, "none", eps)
        torch.testing.assert_close(loss, want)
        torch.testing.assert_close(gradient, want_gradient)


def test_empty():
    for shape, mean in (((0, 3, 4), float("nan")), ((4, 0, 3), float("nan")), ((4, 3, 0), 0.5)):
        slots = torch.zeros(shape)
        loss, gradient = loss_and_gradient(slots, slots)
        assert loss.item() == mean or (loss.isnan() and mean != mean)
        assert gradient.shape == shape
        assert matching_similarity_loss_per_img(slots, slots, "none").shape == (
            shape[0] * shape[1],
        )
    assert matching_similarity_loss_per_img(torch.zeros(0, 3, 4), torch.zeros(0, 3, 4), "sum") == 0


def test_bad_input_is_an_error_that_says_what_was_given():
    slots = torch.ones(4, 3, 2)
    for f, p, error, text in [
        (slots, slots[:, :2], ValueError, r"p has shape \[4, 2, 2\]"),
        (slots[:3], slots[:3], ValueError, r"f has shape \[3, 3, 2\]"),
        (slots[0], slots[0], ValueError, r"f has shape \[3, 2\]"),
        (slots, slots[0], ValueError, r"p has shape \[3, 2\]"),
        (slots, slots.double(), TypeError, "f is torch.float32 and p is torch.float64"),
        (slots.int(), slots.int(), TypeError, "torch.int32"),
        (slots.to(torch.complex64), slots, TypeError, "torch.complex64"),
        (slots.numpy(), slots, TypeError, "f is ndarray"),
        (slots, slots.to("meta"), ValueError, "f is on cpu and p on meta"),
        (
            slots.to_sparse(),
            slots.to_sparse(),
            TypeError,
            "f is a torch.sparse_coo tensor; wanted a dense one",
        ),
        (
            torch.nested.nested_tensor([slots, slots]),
            slots,
            TypeError,
            "f is a nested tensor; wanted a dense one",
        ),
        (slots, [slots], TypeError, "p is list; wanted a PyTorch tensor .*torch.stack"),
        (
            slots.view(2, 2, 3, 2),
            slots.view(2, 2, 3, 2),
            ValueError,
            r"f has shape \[2, 2, 3, 2\].*x\.transpose\(0, 1\)\.flatten\(0, 1\)",
        ),
    ]:
        with pytest.raises(error, match=text):
            matching_similarity_loss_per_img(f, p)
    with pytest.raises(ValueError, match="'average'"):
        matching_similarity_loss_per_img(slots, slots, "average")
    with pytest.raises(ValueError, match="on_nonfinite is 'ignore'"):
        matching_similarity_loss_per_img(slots, slots, on_nonfinite="ignore")
    for eps in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="eps"):
            matching_similarity_loss_per_img(slots, slots, eps=eps)
    for eps in ("1", None, torch.ones(()), True):
        with pytest.raises(TypeError, match=f"eps is {type(eps).__name__}; wanted a number"):
            matching_similarity_loss_per_img(slots, slots, eps=eps)
    for bad, text in (
        (slots.to_sparse(), "sparse"),
        (torch.nested.nested_tensor([slots, slots]), "nested"),
    ):
        for call in (osc.match_slots, osc.linear_sum_assignment):
            with pytest.raises(TypeError, match=f"{text}.* tensor; wanted a dense one"):
                call(bad)


def test_the_operators_check_what_the_public_function_would_not_let_through():
    f, p = random_slots(2, 4, 3, 2)
    loss, matching = torch.ops.osc.matching_similarity_loss_per_img(f, p, None, NONE, 1e-10, 0)
    backward = torch.ops.osc.matching_similarity_loss_per_img_backward
    for arguments, text in [
        ((loss[:3], f, p, matching, NONE), r"grad_output has shape \[3\]"),
        ((loss, f, p, matching, MEAN), r"grad_output has shape \[12\]"),
        ((loss.double(), f, p, matching, NONE), "grad_output is float64; wanted float32"),
        ((loss, f, p, matching[:1], NONE), r"matching has shape \[1, 3\]"),
        ((loss, f, p, matching.int(), NONE), "int64"),
        ((loss, f, p, matching.clamp_max(0), NONE), "matching: row 0 is neither"),
        ((loss, f[:2], p, matching, NONE), r"p has shape \[4, 3, 2\]"),
    ]:
        with pytest.raises(ValueError, match=text):
            backward(*arguments, 1e-10)
    with pytest.raises(ValueError, match="float64"):
        torch.ops.osc.match_slots(f.int(), 1e-10, 0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_derivatives_in_reverse_and_forward_mode(reduction):
    f, p = random_slots(2, 4, 3, 4, dtype=torch.float64)
    p[0, 0] *= 1e-11  # below the floor of a norm, where the loss is linear
    p.requires_grad_()
    eps = 1e-2
    p.data[0, 0] = torch.tensor([3e-3, 0, 1e-3, 0])

    def loss(p):
        return matching_similarity_loss_per_img(f, p, reduction, eps=eps)

    assert gradcheck(
        loss,
        (p,),
        eps=1e-7,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(loss, (p,), eps=1e-7, check_fwd_over_rev=True)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_backward_through_a_retained_graph_gives_the_same_bits(reduction):
    f, p = random_slots(2, 6, 5, 7)
    p.requires_grad_()
    for weight in (1, 0.1, -3):
        loss = weight * matching_similarity_loss_per_img(f, p, reduction)
        first, second, third = (
            torch.autograd.grad(loss, p, retain_graph=True)[0] for _ in range(3)
        )
        assert first.data_ptr() != second.data_ptr()
        first.zero_()  # whoever got it may write to it
        assert torch.equal(second, third) and second.abs().max() > 0
        differentiable = torch.autograd.grad(loss, p, create_graph=True)[0]
        torch.testing.assert_close(
            second, differentiable.detach(), rtol=0, atol=1e-6 * float(second.abs().max())
        )
        loss.backward()
        assert torch.equal(p.grad, second)
        p.grad = None


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("magnitude", [1e30, 1e36, 1e37])
def test_the_gradient_of_a_scaled_loss_loses_no_bits(reduction, magnitude):
    # 65536, with which mixed-precision training starts, keeps it far above the least float
    f, p = random_slots(2, 64, 7, 16)
    p *= magnitude
    _, want = torch_oracle.loss_and_gradient(f.double(), p.double(), reduction)
    want *= 65536
    p.requires_grad_()
    loss = 65536 * matching_similarity_loss_per_img(f, p, reduction).sum()
    for _ in range(2):  # the graph is retained
        (gradient,) = torch.autograd.grad(loss, p, retain_graph=True)
        error = (gradient.double() - want).norm(dim=-1) / want.norm(dim=-1)
        assert error.max() < 1e-6


@pytest.mark.parametrize("on_device", [False, True])
def test_losses_are_between_zero_and_one(on_device):
    f = random_slots(2000, 1, 16)
    swapped = f.roll(1000, 0)  # each slot's target
    with _torch.on_cpu_tensors() if on_device else contextlib.nullcontext():
        for factor in (3.1, -0.7):
            large = f.unsqueeze(1)
            for loss in (
                matching_similarity_loss_per_img(f, factor * swapped, "none"),
                osc.loss_objects.matching_similarity_loss_small_to_large(
                    large, factor * large, "none"
                )[0],
            ):
                assert loss.min() >= 0 and loss.max() <= 1


def test_a_third_derivative():
    f, p = random_slots(2, 2, 2, 3, dtype=torch.float64)
    direction = random_slots(2, 2, 3, dtype=torch.float64, seed=2)
    derivatives = []
    for loss in (matching_similarity_loss_per_img, torch_oracle.loss):
        q = p.clone().requires_grad_()
        value = loss(f, q)
        for _ in range(3):
            (gradient,) = torch.autograd.grad(value, q, create_graph=True)
            value = (gradient * direction).sum()
        derivatives.append(value)
    torch.testing.assert_close(*derivatives)


@pytest.mark.parametrize("under", [torch.float16, torch.bfloat16])
def test_autocast_computes_in_float32(under):
    f, p = random_slots(2, 6, 4, 8)
    with torch.autocast("cpu", under):
        loss, gradient = loss_and_gradient(f.to(under), p.to(under))
        mixed = matching_similarity_loss_per_img(f.to(under), p)
        double = matching_similarity_loss_per_img(f.double(), p.double())
        with pytest.raises(TypeError, match="float64"):
            matching_similarity_loss_per_img(f.to(under), p.double())
    assert (
        loss.dtype == mixed.dtype == torch.float32
        and gradient.dtype == under
        and double.dtype == torch.float64
    )
    want, want_gradient = loss_and_gradient(f.to(under).float(), p.to(under).float())
    assert torch.equal(loss, want) and torch.equal(gradient, want_gradient.to(under))


def test_deterministic_mode_and_any_number_of_threads_give_the_same_bits():
    f, p = random_slots(2, 200, 7, 33)
    want = loss_and_gradient(f, p)
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            assert all(torch.equal(a, b) for a, b in zip(loss_and_gradient(f, p), want))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_it_runs_on_pytorchs_threads_and_on_no_others():
    code = """
import os, torch
from osc.loss_objects import matching_similarity_loss_per_img
f = torch.randn(400, 8, 64)
threads = lambda: len(os.listdir("/proc/self/task"))
torch.set_num_threads(1)
before = threads()
matching_similarity_loss_per_img(f, f)
print(threads() - before)
torch.set_num_threads(3)
matching_similarity_loss_per_img(f, f)
print(threads() - before)
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("counts threads in /proc")
    result = run_python(code)
    assert result.stdout.split() == ["0", "2"], result.stdout + result.stderr


def test_the_interpreter_runs_on_meanwhile():
    f = random_slots(2 * 2, 500, 16)  # some milliseconds
    finished, counted, counted_during_calls = threading.Event(), 0, 0

    def work():
        nonlocal counted_during_calls
        for _ in range(20):
            before = counted
            osc.match_slots(f)
            counted_during_calls += counted - before
        finished.set()

    worker = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # the lock changes hands only where it is released
    try:
        worker.start()
        while not finished.is_set():
            counted += 1
            finished.wait(0.0005)
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    assert counted_during_calls > 0


def test_several_threads_at_once():
    # long enough to overlap
    problems = [random_slots(2, 200 + 2 * i, 12 + i, 16, seed=i) for i in range(4)]
    want = [loss_and_gradient(f, p) for f, p in problems]
    got = [[] for _ in problems]

    def work(i):
        got[i] = [loss_and_gradient(*problems[i]) for _ in range(30)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(problems))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want):
        assert len(results) == 30 and all(
            torch.equal(a, b) for result in results for a, b in zip(result, expected)
        )


class LossesOfSlots(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        f, p = random_slots(2, 100, 5, 8, seed=index)
        return loss_and_gradient(f, p)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_in_the_forked_workers_of_a_data_loader():
    # starts the threads, which the children will not have
    want = [LossesOfSlots()[i] for i in range(4)]
    loader = torch.utils.data.DataLoader(
        LossesOfSlots(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    for got, expected in zip(loader, want):
        assert all(torch.equal(a, b) for a, b in zip(got, expected))


def test_it_is_what_numpy_users_get():
    f, p = random_slots(2, 6, 4, 5)
    assert matching_similarity_loss_per_img(
        f, p
    ).item() == osc.numpy.matching_similarity_loss_per_img(f.numpy(), p.numpy())


def test_import_of_osc_loads_no_torch_and_takes_little_time():
    result = run_python("import sys, osc; print('torch' in sys.modules, 'jax' in sys.modules)")
    assert result.stdout.split() == ["False", "False"], result.stderr
    code = (
        "import time; start = time.perf_counter(); import osc; print(time.perf_counter() - start)"
    )
    assert min(float(run_python(code).stdout) for _ in range(3)) < 0.05


def test_without_the_operators_the_error_says_so(tmp_path):
    package = os.path.dirname(osc.__file__)
    (tmp_path / "osc").mkdir()
    for name in os.listdir(package):
        if name not in ("libosc_torch.so", "__pycache__"):
            os.symlink(os.path.join(package, name), tmp_path / "osc" / name)
    result = run_python("import osc.loss_objects", PYTHONPATH=str(tmp_path))
    assert "ImportError: this build of osc has no libosc_torch.so" in result.stderr


def test_docstring_examples():
    results = doctest.testmod(osc.loss_objects)
    assert results.attempted > 0 and results.failed == 0


def test_numpy_arrays_are_no_tensors():
    assert isinstance(osc.match_slots(np.ones((2, 2, 2))), np.ndarray)
