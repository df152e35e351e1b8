"""What is peculiar to PyTorch's door: its memory, threads and processes, its errors, and the path
of tensors outside the CPU's memory."""

import contextlib
import doctest
import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
import torch
from conformance import CASES, FLOATS, PyTorch, as_tensor, gaussian
from operator_calls import MEAN

import osc
from osc import _torch, loss_global, loss_objects
from osc._reference import similarity
from osc.loss_objects import matching_similarity_loss_per_img

ACCELERATORS = (
    [torch.accelerator.current_accelerator().type] if torch.accelerator.is_available() else []
)


def random_slots(*shape, dtype=torch.float32, seed=0):
    return as_tensor(gaussian(*shape, seed=seed)).to(dtype)


def loss_and_gradient(f, p, reduction="mean"):
    p = p.detach().requires_grad_()
    loss = matching_similarity_loss_per_img(f, p, reduction)
    return loss.detach(), torch.autograd.grad(loss.sum(), p)[0]


def allocations(call):
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        outputs = call()  # referenced until the profile ends, so that nothing is freed
    del outputs
    return sorted(
        event.nbytes()
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_nothing_is_allocated_but_the_outputs(dtype):
    for layout in (
        lambda x: x,
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x.repeat_interleave(2, 0)[::2],
        lambda x: torch.cat([x, x], 2)[:, :, : x.shape[2]],
        lambda x: torch.cat([x[:1], x])[1:],
    ):
        f, p = map(layout, random_slots(2, 64, 8, 32, dtype=getattr(torch, dtype)))
        forward, backward = (
            getattr(torch.ops.osc, "matching_similarity_loss_per_img" + suffix)
            for suffix in ("", "_backward")
        )
        loss, matching = forward(f, p, None, MEAN, 1e-10, 0)
        got = allocations(lambda f=f, p=p: forward(f, p, None, MEAN, 1e-10, 0))
        assert got == [loss.nbytes, matching.nbytes]
        arguments = loss, f, p, matching, MEAN, 1e-10
        assert allocations(lambda arguments=arguments: backward(*arguments)) == [p.nbytes]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("magnitude", [1e30, 1e36, 1e37])
def test_the_gradient_of_a_scaled_loss_loses_no_bits(reduction, magnitude):
    # With the factor 65536, the initial loss scale of mixed-precision training, the gradient is far
    # above the least float.
    f, p = random_slots(2, 64, 7, 16)
    p *= magnitude
    want = 65536 * loss_and_gradient(f.double(), p.double(), reduction)[1]
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
                loss_objects.matching_similarity_loss_small_to_large(large, factor * large, "none")[
                    0
                ],
            ):
                assert loss.min() >= 0 and loss.max() <= 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_no_dense_tensor_of_one_device_is_named(case):
    function, tensors = PyTorch().function(case), list(map(as_tensor, case.arrays()))
    *constants, last = tensors
    name = case.inputs[-1]
    for bad, text in [
        (last.to_sparse(), "is a torch.sparse_coo tensor; wanted a dense one"),
        (torch.nested.nested_tensor(list(last)), "is a nested tensor; wanted a dense one"),
        (last.numpy(), "is ndarray; wanted a PyTorch tensor"),
        (list(last), r"is list; wanted a PyTorch tensor \(torch.stack makes one of a list\)"),
    ]:
        with pytest.raises(TypeError, match=f"^{name} {text}"):
            function(*constants, bad)
    if constants:
        with pytest.raises(ValueError, match=f"^{case.inputs[0]} is on cpu and {name} on meta"):
            function(*constants, last.to("meta"))


def test_other_arguments_are_named():
    slots = random_slots(4, 3, 2)
    for bad in (slots.to_sparse(), torch.nested.nested_tensor([slots, slots])):
        for call in (osc.match_slots, osc.linear_sum_assignment):
            with pytest.raises(TypeError, match="tensor; wanted a dense one"):
                call(bad)
    for eps in (torch.ones(()), True):
        with pytest.raises(TypeError, match=f"eps is {type(eps).__name__}; wanted a number"):
            matching_similarity_loss_per_img(slots, slots, eps=eps)
    with pytest.raises(TypeError, match="temperature is Tensor"):
        loss_objects.matching_contrastive_loss(slots, torch.ones(()))
    for loss in (loss_objects.matching_contrastive_loss, loss_global.contrastive_loss):
        with pytest.raises(TypeError, match="group is str; wanted a process group"):
            loss(slots, group="world")


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


def test_without_the_operators_the_error_says_so(tmp_path):
    package = os.path.dirname(osc.__file__)
    (tmp_path / "osc").mkdir()
    for name in os.listdir(package):
        if name not in ("libosc_torch.so", "__pycache__"):
            os.symlink(os.path.join(package, name), tmp_path / "osc" / name)
    result = run_python("import osc.loss_objects", PYTHONPATH=str(tmp_path))
    assert "ImportError: this build of osc has no libosc_torch.so" in result.stderr


@pytest.mark.parametrize("module", [loss_objects, loss_global])
def test_docstring_examples(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0


def test_numpy_arrays_are_no_tensors():
    assert type(osc.match_slots(gaussian(2, 2, 2))).__name__ == "ndarray"


# The path of other devices, which CPU tensors take here, and those of every accelerator there is.


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


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("device", ACCELERATORS)
def test_an_accelerator_equals_the_cpu(case, device):
    tensors = [as_tensor(x).to(device).requires_grad_() for x in case.arrays(0, "float32")]
    got = PyTorch().function(case)(*tensors)
    got = got[case.result] if isinstance(got, tuple) else got
    (gradient,) = torch.autograd.grad(got, tensors[-1])
    assert got.device.type == gradient.device.type == device
    reduction = "mean" if case.takes_reduction else "none"
    [want] = PyTorch()(case, case.arrays(0, "float32"), (reduction,))
    torch.testing.assert_close(gradient.cpu(), torch.from_numpy(want.gradient))


def test_one_copy_to_the_host_for_all_images(monkeypatch):
    copied, to_host = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copied.append(tuple(x.shape)) or to_host(x))
    f, p = random_slots(2, 10, 4, 6)
    with _torch.on_cpu_tensors():
        matching_similarity_loss_per_img(f, p.requires_grad_()).backward()
    assert copied == [(5, 4, 4)]


def test_zero_and_non_finite_slots_are_matched_as_by_the_kernels():
    f = random_slots(10, 4, 6)
    f[0, 1], f[3] = 0, 1e30 * f[3]
    f[4, 0, 0] = float("nan")
    for eps in (1e-10, 1e-35, 1e-300, 1e2):
        want = osc.match_slots(f, eps=eps)
        with _torch.on_cpu_tensors():
            assert torch.equal(osc.match_slots(f, eps=eps), want)
            with pytest.raises(ValueError, match="^f: image 4 of 5 holds a NaN or an infinity"):
                osc.match_slots(f, on_nonfinite="raise")


def test_the_solver_of_another_device():
    cost = random_slots(2, 3, 4, 6)
    want = osc.linear_sum_assignment(cost)
    for got in (
        _torch._linear_sum_assignment(cost, False, 1),
        *(osc.linear_sum_assignment(cost.to(device)) for device in ACCELERATORS),
    ):
        assert all(torch.equal(a.cpu(), b) for a, b in zip(got, want))
    with pytest.raises(ValueError, match=r"cost has shape \[4\]"):
        _torch._linear_sum_assignment(cost[0, 0, :, 0], False, 1)
