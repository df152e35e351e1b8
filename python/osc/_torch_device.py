"""The operators on tensors outside the CPU's memory (CUDA, ROCm, XPU, MPS, ...): cosines, loss and
gradient on the device, the assignments on the CPU.

A call waits for the device once, for the costs of all its images: [B, S, S] cosines go to the host,
[B, S] indices come back. What a loss adds to this is in the module of that loss.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from . import _torch_checks, _torch_formulas

Tensor = torch.Tensor

IMPLEMENTATIONS: list[Callable[..., Any]] = []  # by the operators' names


def implementation(function: Callable[..., Any]) -> Callable[..., Any]:
    function = _torch_formulas.in_full_precision(function)
    IMPLEMENTATIONS.append(function)
    return function


@implementation
def match_slots(f: Tensor, eps: float, raise_nonfinite: bool) -> Tensor:
    _torch_checks.check_slots("f", f)
    _torch_checks.check_positive(eps=eps)
    return match({"slots": f}, eps, raise_nonfinite)


@implementation
def linear_sum_assignment(
    cost: Tensor, maximize: bool, raise_unsolvable: bool
) -> tuple[Tensor, Tensor]:
    _torch_checks.check_cost(cost)
    # waits for the device
    col4row, row4col = torch.ops.osc.linear_sum_assignment.default(
        cost.cpu(), maximize, raise_unsolvable
    )
    return _to(cost.device, col4row), _to(cost.device, row4col)


@contextlib.contextmanager
def on_cpu_tensors() -> Iterator[None]:
    """For tests: meanwhile, CPU tensors take this path, too."""
    with torch.library._scoped_library("osc", "IMPL") as library, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the kernels are overridden
        for function in IMPLEMENTATIONS:
            if function is not linear_sum_assignment:  # which this path calls
                library.impl(function.__name__, function, "CPU", allow_override=True)
        yield


def spoilt_images(slots: Tensor) -> Tensor:
    """``[B]``: whether an image of ``[2B, S, C]`` holds a NaN or an infinity."""
    return ~slots.isfinite().flatten(1).all(1).view(2, slots.shape[0] // 2).all(0)


def match(slots: dict[str, Tensor], eps: float, raise_nonfinite: bool) -> Tensor:
    """The matching by the first of these, -1 for an image that is spoilt in any of them."""
    f = next(iter(slots.values()))
    images, count = f.shape[0] // 2, f.shape[1]
    spoilt = torch.stack([spoilt_images(x) for x in slots.values()])
    anything = spoilt.any(0).view(images, 1, 1)
    if count == 1:  # nothing to choose, and nothing to wait for
        matching = anything.squeeze(-1).long().neg()
    else:
        costs = _torch_formulas.cosines(f, eps).masked_fill(anything, float("nan"))
        # the one wait for the device
        matching, _ = torch.ops.osc.linear_sum_assignment.default(costs.cpu(), True, False)
    if raise_nonfinite and bool((matching < 0).any()):
        for name, bad in zip(slots, spoilt):
            refuse_spoilt(name, bad)
    return _to(f.device, matching)


def refuse_spoilt(name: str, bad: Tensor, what: str = "image") -> None:
    if bool(bad.any()):  # waits for the device
        raise ValueError(
            f"{name}: {what} {int(bad.nonzero()[0])} of {len(bad)} holds a NaN or an infinity"
        )


def _to(device: torch.device, indices: Tensor) -> Tensor:
    # To CUDA and ROCm, memory that is not pinned has been read when the call returns: no wait.
    return indices.to(device, non_blocking=device.type == "cuda")
