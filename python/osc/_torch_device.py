"""The operators on tensors outside the CPU's memory (CUDA, ROCm, XPU, MPS, ...): cosines, loss and gradient on the device, the assignments on the CPU.

A call waits for the device once, for the costs of all its images: [B, S, S] cosines go to the host, [B, S] indices come back.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch

from . import _torch_checks, _torch_formulas

Tensor = torch.Tensor


def matching_similarity_loss_per_img(f: Tensor, p: Tensor, reduction: str, eps: float, raise_nonfinite: bool) -> tuple[Tensor, Tensor]:
    _torch_checks.check_call(f, p, reduction, eps)
    matching = _match({"f": f, "p": p}, eps, raise_nonfinite)
    losses = _torch_formulas.losses(f, p, matching, eps)
    return _torch_formulas.reduced(losses, reduction).to(p.dtype), matching


def matching_similarity_loss_per_img_backward(grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Tensor:
    _torch_checks.check_call(f, p, reduction, eps)
    gradient = _torch_formulas.gradient(grad_loss, f, p, matching, reduction, eps)
    wanted = _torch_checks.empty_gradient(p)
    return gradient if gradient.stride() == wanted.stride() else wanted.copy_(gradient)


def match_slots(f: Tensor, eps: float, raise_nonfinite: bool) -> Tensor:
    _torch_checks.check_call(f, f, "none", eps)
    return _match({"slots": f}, eps, raise_nonfinite)


def linear_sum_assignment(cost: Tensor, maximize: bool, raise_unsolvable: bool) -> tuple[Tensor, Tensor]:
    _torch_checks.check_cost(cost)
    col4row, row4col = torch.ops.osc.linear_sum_assignment.default(cost.cpu(), maximize, raise_unsolvable)  # waits for the device
    return _to(cost.device, col4row), _to(cost.device, row4col)


IMPLEMENTATIONS = (matching_similarity_loss_per_img, matching_similarity_loss_per_img_backward, match_slots, linear_sum_assignment)


@contextlib.contextmanager
def on_cpu_tensors() -> Iterator[None]:
    """For tests: meanwhile, CPU tensors of slots take this path, too."""
    with torch.library._scoped_library("osc", "IMPL") as library, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the kernels are overridden
        for implementation in IMPLEMENTATIONS[:3]:  # not the solver, which this path calls
            library.impl(implementation.__name__, implementation, "CPU", allow_override=True)
        yield


def _match(slots: dict[str, Tensor], eps: float, raise_nonfinite: bool) -> Tensor:
    f = next(iter(slots.values()))
    images = f.shape[0] // 2
    spoilt = torch.stack([~x.isfinite().flatten(1).all(1) for x in slots.values()]).view(len(slots), 2, images).any(1)  # [of f and p, B]
    costs = _torch_formulas.cosines(f, eps).masked_fill(spoilt.any(0).view(images, 1, 1), float("nan"))
    matching, _ = torch.ops.osc.linear_sum_assignment.default(costs.cpu(), True, False)  # the one wait for the device
    if raise_nonfinite and bool((matching < 0).any()):
        name, image = next((name, int(bad.nonzero()[0])) for name, bad in zip(slots, spoilt) if bad.any())
        raise ValueError(f"{name}: image {image} of {images} holds a NaN or an infinity")
    return _to(f.device, matching)


def _to(device: torch.device, indices: Tensor) -> Tensor:
    # To CUDA and ROCm, memory that is not pinned has been read when the call returns: no wait.
    return indices.to(device, non_blocking=device.type == "cuda")
