"""What the operators demand of their arguments, and the memory of a gradient, for the implementations that are written in Python."""

from __future__ import annotations

import math

import torch

Tensor = torch.Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_call(f: Tensor, p: Tensor, reduction: str, eps: float) -> None:
    for name, slots in (("f", f), ("p", p)):
        if slots.layout != torch.strided:
            raise TypeError(f"{name} is a {slots.layout} tensor; wanted a dense one")
        if slots.dtype not in FLOATS:
            raise TypeError(f"{name} is {slots.dtype}; wanted float64, float32, float16 or bfloat16")
        if slots.dim() != 3 or slots.shape[0] % 2:
            raise ValueError(f"{name} has shape {list(slots.shape)}; wanted [2B, S, C], in which rows i and i + B are the views of image i")
    if f.shape != p.shape:
        raise ValueError(f"f {list(f.shape)} and p {list(p.shape)} must have the same shape")
    if f.dtype != p.dtype:
        raise TypeError(f"f is {f.dtype} and p is {p.dtype}; wanted the same dtype")
    if f.device != p.device:
        raise ValueError(f"f is on {f.device} and p on {p.device}; wanted the same device")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f'unknown reduction "{reduction}": it must be "none", "mean" or "sum"')
    if not (eps > 0 and math.isfinite(eps)):
        raise ValueError(f"eps is {eps}: it must be positive and finite")


def check_cost(cost: Tensor) -> None:
    if cost.layout != torch.strided or cost.dtype not in FLOATS:
        raise TypeError(f"cost is a {cost.layout} tensor of {cost.dtype}; wanted a dense one of float64, float32, float16 or bfloat16")
    if cost.dim() < 2:
        raise ValueError(f"cost has shape {list(cost.shape)}; wanted [..., R, K]")


def empty_gradient(p: Tensor) -> Tensor:
    """Of the layout of p, as torch.empty_like has it; contiguous where the kernels could not write that."""
    gradient = torch.empty_like(p)
    is_writable = p.shape[2] <= 1 or gradient.stride(2) == 1 or p.numel() == 0
    return gradient if is_writable else torch.empty_like(p, memory_format=torch.contiguous_format)
