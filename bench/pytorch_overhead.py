"""What the PyTorch binding adds to the kernels, where a batch is so small that it shows: forward
and backward of (B, S, C) = (4, 3, 8), float32, one thread.

    .venv/bin/python bench/pytorch_overhead.py

In turns of 200 calls: the kernels through the C interface (memory kept, some 1 µs of ctypes a call
included), the loss, PyTorch's own sum of the same tensor, and an autograd.Function that does
nothing. Microseconds for forward and backward, median and minimum over 61 turns.
"""

import ctypes
import statistics
import time

import torch

import osc
from osc import _arrays, _library
from osc.loss_objects import matching_similarity_loss_per_img

IMAGES, SLOTS, CHANNELS = 4, 3, 8
CALLS, TURNS = 200, 61


def kernels(f, p):
    library, null = _library._library, ctypes.c_void_p()
    pool, workspace = ctypes.c_void_p(), ctypes.c_void_p()
    library.osc_pool_create(1, ctypes.byref(pool))
    library.osc_workspace_create(ctypes.byref(workspace))
    loss, one, matching = (
        torch.zeros(()),
        torch.ones(()),
        torch.zeros(IMAGES, SLOTS, dtype=torch.int64),
    )
    gradient = torch.empty_like(p)
    pointer = lambda x: ctypes.c_void_p(x.data_ptr())  # noqa: E731
    sizes, strides = (
        _arrays.int64s(IMAGES, SLOTS, CHANNELS),
        _arrays.int64s(IMAGES * SLOTS * CHANNELS, SLOTS * CHANNELS, CHANNELS),
    )
    backward = library.osc_matching_similarity_loss_per_img_backward
    backward.argtypes = (
        [ctypes.c_int32]
        + [ctypes.c_void_p] * 6
        + [ctypes.c_int32, ctypes.c_double, ctypes.c_int32]
        + [ctypes.c_void_p] * 5
    )
    slots = (1, sizes, pointer(f), strides, pointer(p), strides)
    forward_arguments = (
        *slots,
        1,
        1e-10,
        0,
        pool,
        workspace,
        pointer(loss),
        null,
        null,
        null,
        pointer(matching),
        null,
    )
    backward_arguments = (
        *slots,
        pointer(matching),
        1,
        1e-10,
        0,
        pool,
        workspace,
        pointer(one),
        pointer(gradient),
        strides,
    )

    def call():
        assert (
            library.osc_matching_similarity_loss_per_img(*forward_arguments) == 0
            and backward(*backward_arguments) == 0
        )

    call.keeps = (loss, one, matching, gradient)
    return call


class Nothing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, p):
        ctx.save_for_backward(f)
        return f.new_empty(())

    @staticmethod
    def backward(ctx, grad_loss):
        return None, ctx.saved_tensors[0]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    f, p = torch.randn(2, 2 * IMAGES, SLOTS, CHANNELS)
    p.requires_grad_()

    def with_backward(function):
        def call():
            p.grad = None
            function().backward()

        return call

    ways = {
        "kernels": kernels(f, p.detach()),
        "osc.loss_objects": with_backward(lambda: matching_similarity_loss_per_img(f, p)),
        "torch.sum": with_backward(lambda: torch.sum(p)),
        "Function of nothing": with_backward(lambda: Nothing.apply(f, p)),
    }
    times = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                way()
            times[name].append((time.perf_counter() - start) / CALLS * 1e6)
    print(f"osc {osc.__version__}, PyTorch {torch.__version__}, {osc.instruction_set()}")
    for name, values in times.items():
        print(
            f"{name:20} median {statistics.median(values):6.1f} µs   minimum {min(values):6.1f} µs"
        )
    added = [loss - kernel for loss, kernel in zip(times["osc.loss_objects"], times["kernels"])]
    print(
        f"{'added by the binding':20} median {statistics.median(added):6.1f} µs   minimum {min(added):6.1f} µs"
    )


if __name__ == "__main__":
    main()
