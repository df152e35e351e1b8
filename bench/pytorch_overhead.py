"""What the PyTorch binding adds to the kernels, where a batch is so small that it shows: forward
and backward of (B, S, C) = (4, 3, 8), float32, one thread.

    .venv/bin/python bench/pytorch_overhead.py

In turns of 200 calls: the kernels through the C interface (in a workspace; some 1 µs of ctypes a
call is included), the loss, PyTorch's own sum of the same tensor, and an autograd.Function that
does nothing. Microseconds for forward and backward, median and minimum over 61 turns."""

import ctypes
import statistics
import time

import torch
from prepared_call import prepared

import osc
from osc import _library
from osc.loss_objects import matching_similarity_loss_per_img

IMAGES, SLOTS, CHANNELS = 4, 3, 8
CALLS, TURNS = 200, 61


def kernels(f, p):
    """Forward and backward, with a matching between them, as the operators do it."""
    name, shape = "matching_similarity_loss_per_img", tuple(f.shape)
    tensors = {
        "f": f,
        "p": p,
        "loss": torch.zeros(()),
        "matching": torch.zeros(IMAGES, SLOTS, dtype=torch.int64),
        "grad_output": torch.ones(()),
        "grad_p": torch.empty_like(p),
    }
    tensors["given_matching"] = tensors["matching"]
    workspace = ctypes.c_void_p()
    create = _library.function("osc_workspace_create", ctypes.c_void_p)
    assert create(ctypes.byref(workspace)) == 0

    def call_with(*names):
        addresses = {name: tensors[name].data_ptr() for name in names}
        shapes = {x: shape for x in ("f", "p", "grad_p")} | {"given_matching": (IMAGES, SLOTS)}
        return prepared(name, addresses, shapes, workspace=workspace.value)

    forward = call_with("f", "p", "loss", "matching")
    backward = call_with("f", "p", "given_matching", "grad_output", "grad_p")

    def call():
        forward()
        backward()

    call.keeps = tensors
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
        f"{'added by the binding':20} median {statistics.median(added):6.1f} µs   minimum "
        f"{min(added):6.1f} µs"
    )


if __name__ == "__main__":
    main()
