"""A call keeps no memory: 20,000 of them, of every operator and of every loss with its gradient,
leave the heap as they found it."""

import ctypes
import gc
import os
import pathlib

import pytest
import torch
from operator_calls import MEAN, every_call, operators

import osc
from osc import loss_global, loss_objects

CALLS = 20_000
# Half of malloc's smallest block per call: the interpreter itself allocates some.
HEAP_BYTES = 12 * CALLS
RESIDENT_BYTES = 8 << 20


class Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        )
    ]


try:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
except (AttributeError, OSError):
    pytest.skip("needs mallinfo2 of glibc 2.33", allow_module_level=True)

OPERATORS = every_call()


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


slots = random(4, 3, 4).requires_grad_()
crops = random(1, 2, 3, 4).requires_grad_()
LOSSES = {
    "similarity": lambda: loss_objects.matching_similarity_loss_per_img(slots, slots),
    "similarity of each": (
        lambda: loss_objects.matching_similarity_loss_per_img(slots, slots, "none").sum()
    ),
    "contrastive": lambda: loss_objects.matching_contrastive_loss(slots),
    "contrastive of an image": lambda: loss_objects.matching_contrastive_loss_per_img(slots),
    "small to large": (
        lambda: loss_objects.matching_similarity_loss_small_to_large(crops, crops)[0]
    ),
    "SimSiam": lambda: loss_global.cosine_sim_loss(slots[:, 0], slots[:, 0]),
    "SimCLR": lambda: loss_global.contrastive_loss(slots[:, 0])[0],
    "variance and covariance": lambda: sum(loss_global.variance_covariance_loss(slots)),
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def heap():
    gc.collect()
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def resident():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def assert_keeps_nothing(call):
    for _ in range(200):  # warm up: caches are filled once
        call()
    heap_before, resident_before = heap(), resident()
    for _ in range(CALLS):
        call()
    leaked = heap() - heap_before
    assert leaked < HEAP_BYTES, f"{leaked / CALLS:.1f} bytes a call"
    assert resident() - resident_before < RESIDENT_BYTES


def test_every_operator_is_here_and_takes_no_string():
    schemas = [x for x in torch._C._jit_get_all_schemas() if x.name.startswith("osc::")]
    assert {"osc::" + name for name in OPERATORS} == {x.name for x in schemas}
    for schema in schemas:
        assert not [x.name for x in schema.arguments if "str" in str(x.type)], schema


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator(name):
    operator = getattr(operators, name).default
    arguments = OPERATORS[name]
    with torch.no_grad():
        assert_keeps_nothing(lambda: operator(*arguments))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient(name):
    def call():
        slots.grad = crops.grad = None
        LOSSES[name]().backward()

    assert_keeps_nothing(call)


def test_costs_that_are_copied_and_integers():
    for cost in (random(4, 3, 4).transpose(0, 1)[:, ::2], torch.arange(24).view(2, 3, 4)):
        assert_keeps_nothing(lambda cost=cost: osc.linear_sum_assignment(cost))


def test_calls_that_fail():
    def fail():
        with pytest.raises(ValueError, match="2B"):
            operators.matching_contrastive_loss(slots[:3], None, 0, 1.0, MEAN, 1e-10, 0)

    assert_keeps_nothing(fail)
