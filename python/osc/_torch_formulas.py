"""What the losses' formulas in PyTorch's own operations share: these are what derivatives of higher
order are made of, and what tensors outside the CPU's memory run through.

Every function is a composition of differentiable operations on any device. Matchings are constant
throughout. 16-bit tensors are computed in float32. An image without a matching (-1) is one that
holds a NaN or an infinity, and gets NaN throughout.

Of each loss there are three formulas, in a module of its own: `slope` is the loss's derivative
along ``v``; `gradient`, with the gradients that come in for the losses; and `curvature`, the
derivative of `gradient` along ``v``, which is also the derivative of <v, gradient>: the second
derivative is symmetric. Each takes the tensors of the operator, what its forward pass kept, and its
options.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from . import _library

Tensor = torch.Tensor


_AUTOCAST = functools.reduce(
    lambda keys, name: keys | torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, name)),
    ("AutocastCUDA", "AutocastXPU", "AutocastMPS", "AutocastHPU", "AutocastPrivateUse1"),
    torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU),
)


def in_full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with autocast off, which would give its matrix products 16 bits: a backward pass
    may run under it, too."""

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return function(*arguments)

    return wrapped


def wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def unit_and_norm(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x / max(|x|, eps)`` and ``|x|``, of ``[..., C]`` and ``[..., 1]``. Scaled by the largest
    element first, so that no square overflows or vanishes."""
    if x.shape[-1] == 0:
        return x, x.sum(-1, keepdim=True)
    largest = x.detach().abs().amax(-1, keepdim=True)
    scale = largest.masked_fill(largest == 0, 1)
    scaled = x / scale
    is_zero = largest == 0
    # of a zero slot, anything: its derivative is not defined
    length = torch.linalg.vector_norm(scaled.masked_fill(is_zero, 1), dim=-1, keepdim=True)
    unit = scaled / torch.maximum(length, eps / scale)
    return unit, (length * scale).masked_fill(is_zero, 0)


class Direction(NamedTuple):
    """``x / max(|x|, eps)``, and what its derivatives take."""

    unit: Tensor
    norm: Tensor  # 1 where it is not above eps
    is_short: Tensor
    eps: float

    def push(self, v: Tensor) -> Tensor:
        """The derivative of the unit along ``v``; also, as it is symmetric, the gradient of the
        slot for the gradient ``v`` of its unit."""
        return torch.where(
            self.is_short,
            v / self.eps,
            (v - (v * self.unit).sum(-1, keepdim=True) * self.unit) / self.norm,
        )

    def bend(self, v: Tensor, g: Tensor) -> Tensor:
        """The derivative of ``push(g)`` along ``v``."""
        a, b, c = (
            (x * y).sum(-1, keepdim=True) for x, y in ((v, g), (v, self.unit), (g, self.unit))
        )
        bent = ((3 * b * c - a) * self.unit - b * g - c * v) / (self.norm * self.norm)
        return torch.where(self.is_short, torch.zeros_like(bent), bent)


def direction(x: Tensor, eps: float) -> Direction:
    unit, norm = unit_and_norm(wide(x), eps)
    is_short = ~(norm > eps)
    return Direction(unit, norm.masked_fill(is_short, 1), is_short, eps)


def cosines(f: Tensor, eps: float) -> Tensor:
    """``[B, S, S]``: the similarity of each slot of view 0 with each of view 1."""
    unit, _ = unit_and_norm(wide(f.detach()), eps)
    images = f.shape[0] // 2
    return torch.bmm(unit[:images], unit[images:].transpose(1, 2))


def reduced(each: Tensor, reduction: int) -> Tensor:
    if reduction == _library.MEAN:
        return each.mean()
    return each.sum() if reduction == _library.SUM else each


def spoilt(matching: Tensor) -> Tensor:
    return (matching < 0).repeat(2, 1)


def with_nan(x: Tensor, matching: Tensor) -> Tensor:
    return x.masked_fill(spoilt(matching).unsqueeze(-1), float("nan"))


def incoming(grad_loss: Tensor, slots: Tensor, reduction: int) -> Tensor:
    """The gradient that comes in for each slot, ``[2B, S, 1]`` or ``[]``."""
    arriving = wide(grad_loss)
    if reduction == _library.NONE:
        return arriving.reshape(slots.shape[0], slots.shape[1], 1)
    return arriving / (slots.shape[0] * slots.shape[1]) if reduction == _library.MEAN else arriving


def order(matching: Tensor) -> Tensor:
    """``[2B, S]``: the slot of the other view that each slot is matched to."""
    # the inverse of a permutation sorts it
    return torch.cat([matching.clamp_min(0), matching.argsort(1)])
