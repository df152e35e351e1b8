"""What the operators demand of their arguments, and the memory of a gradient, for what is written
in Python."""

from __future__ import annotations

import math
from typing import Any

import torch

from . import _library

Tensor = torch.Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_tensor(name: str, value: Any) -> None:
    check_dense(name, value)
    if value.dtype not in FLOATS:
        raise TypeError(f"{name} is {value.dtype}; wanted float64, float32, float16 or bfloat16")


def check_dense(name: str, value: Any) -> None:
    """Before the dispatcher sees it, whose own words for these say little."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{name} is {type(value).__name__}; wanted a PyTorch tensor"
            + (" (torch.stack makes one of a list)" if isinstance(value, (list, tuple)) else "")
        )
    if value.is_nested:
        raise TypeError(f"{name} is a nested tensor; wanted a dense one")
    if value.layout != torch.strided:
        raise TypeError(f"{name} is a {value.layout} tensor; wanted a dense one")


def check_pair(name: str, x: Any, other_name: str, other: Any) -> None:
    """Two tensors that must have one dtype. Under autocast 16 bits and float32 may meet: it brings
    them to float32."""
    check_tensor(name, x)
    check_tensor(other_name, other)
    if x.dtype != other.dtype and (
        not torch._C._is_any_autocast_enabled() or torch.float64 in (x.dtype, other.dtype)
    ):
        raise TypeError(
            f"{name} is {x.dtype} and {other_name} is {other.dtype}; wanted the same dtype"
        )


def check_slots(name: str, slots: Tensor) -> None:
    check_tensor(name, slots)
    if slots.dim() != 3 or slots.shape[0] % 2:
        raise ValueError(
            f"{name} has shape {list(slots.shape)}; wanted [2B, S, C], in which rows i and i + "
            "B are the views of image i"
            " (x [B, 2, S, C] becomes that by x.transpose(0, 1).flatten(0, 1))"
        )


def check_alike(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} is {x.dtype} and {other_name} is {other.dtype}; wanted the same dtype"
        )
    if x.device != other.device:
        raise ValueError(
            f"{name} is on {x.device} and {other_name} on {other.device}; wanted the same device"
        )


def check_reduction(code: int) -> None:
    if code not in (_library.NONE, _library.MEAN, _library.SUM):
        raise ValueError(f"reduction is {code}; wanted 0 (none), 1 (mean) or 2 (sum)")


def check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value}: it must be positive and finite")


def check_cost(cost: Tensor) -> None:
    """Of any real numbers. Whether integers are too large for float64 is seen where their values
    are."""
    check_dense("cost", cost)
    if cost.is_complex():
        raise TypeError(f"cost is {cost.dtype}; wanted real numbers")
    if cost.dim() < 2:
        raise ValueError(f"cost has shape {list(cost.shape)}; wanted [..., R, K]")


def empty_gradient(p: Tensor) -> Tensor:
    """Of the layout of p, as torch.empty_like has it; contiguous where the kernels could not write
    that."""
    gradient = torch.empty_like(p)
    is_writable = p.shape[-1] <= 1 or gradient.stride(-1) == 1 or p.numel() == 0
    return gradient if is_writable else torch.empty_like(p, memory_format=torch.contiguous_format)


def laid_out(gradient: Tensor, wanted: Tensor) -> Tensor:
    """``gradient`` in the layout of ``wanted``, whose values do not count."""
    return gradient if gradient.stride() == wanted.stride() else wanted.copy_(gradient)


def constant(x: Tensor) -> Tensor:
    """That no gradient flows to: a loss of which nothing else needs one does not either."""
    return x.detach() if x.requires_grad else x
