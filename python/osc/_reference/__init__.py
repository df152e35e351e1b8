"""The formulas of the losses in plain PyTorch, a module a loss.

A module has ``solve`` (the outputs that are not differentiated), ``loss`` (the losses, given
those), and the derivatives of the losses with the residuals held fixed: ``gradient`` (the vjp),
``jvp`` and ``hvp``. They compute on devices other than the CPU, and higher derivatives on all of
them. The derivatives are written out, since torch.func cannot start a transform inside another's
rule.

This module holds what the losses share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

Tensor = torch.Tensor

_AUTOCAST = functools.reduce(
    lambda keys, key: keys | torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key)),
    (
        "AutocastCPU",
        "AutocastCUDA",
        "AutocastXPU",
        "AutocastMPS",
        "AutocastHPU",
        "AutocastPrivateUse1",
    ),
    torch._C.DispatchKeySet(torch._C.DispatchKey.Undefined),
)


def in_full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with autocast off: under autocast, matrix products would round to 16 bits."""

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return function(*arguments)

    return wrapped


def wide(x: Tensor) -> Tensor:
    """In the type that is computed in: 16 bits become float32."""
    return x if x.dtype == torch.float64 else x.float()


def unit_and_norm(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x / max(|x|, eps)`` and ``|x|``, of ``[..., C]`` and ``[..., 1]``. Scaled by the largest
    element first, so that no square overflows or vanishes."""
    if x.shape[-1] == 0:
        return x, x.sum(-1, keepdim=True)
    largest = x.detach().abs().amax(-1, keepdim=True)
    is_zero = largest == 0
    scale = largest.masked_fill(is_zero, 1)
    scaled = x / scale
    # The norm has no derivative at zero. A zero slot is replaced by ones here; its unit is zero all
    # the same.
    length = torch.linalg.vector_norm(scaled.masked_fill(is_zero, 1), dim=-1, keepdim=True)
    unit = scaled / torch.maximum(length, eps / scale)
    return unit, (length * scale).masked_fill(is_zero, 0)


class Unit(NamedTuple):
    """``x / max(|x|, eps)``, and what its derivative takes."""

    value: Tensor
    norm: Tensor  # 1 where it is not above eps
    is_short: Tensor  # whether the norm is not above eps
    eps: float

    def vjp(self, grad: Tensor) -> Tensor:
        """The gradient with respect to ``x``, from that with respect to the unit."""
        along = (grad * self.value).sum(-1, keepdim=True)
        return torch.where(self.is_short, grad / self.eps, (grad - along * self.value) / self.norm)

    def jvp(self, v: Tensor) -> Tensor:
        """The derivative of the unit along ``v``. The Jacobian is symmetric."""
        return self.vjp(v)

    def hvp(self, v: Tensor, grad: Tensor) -> Tensor:
        """The derivative of ``vjp(grad)`` along ``v``."""
        dots = ((v, grad), (v, self.value), (grad, self.value))
        vg, vu, gu = ((x * y).sum(-1, keepdim=True) for x, y in dots)
        moved = ((3 * vu * gu - vg) * self.value - vu * grad - gu * v) / (self.norm * self.norm)
        return torch.where(self.is_short, torch.zeros_like(moved), moved)


def unit(x: Tensor, eps: float) -> Unit:
    value, norm = unit_and_norm(wide(x), eps)
    is_short = ~(norm > eps)
    return Unit(value, norm.masked_fill(is_short, 1), is_short, eps)


def cosines(f: Tensor, eps: float) -> Tensor:
    """``[B, S, S]``: the similarity of each slot of view 0 with each of view 1."""
    units, _ = unit_and_norm(wide(f.detach()), eps)
    images = f.shape[0] // 2
    return torch.bmm(units[:images], units[images:].transpose(1, 2))


def reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def grad_of_each(grad_output: Tensor, slots: Tensor, reduction: str) -> Tensor:
    """The gradient of each slot's loss, ``[2B, S, 1]`` or ``[]``."""
    grad = wide(grad_output)
    if reduction == "none":
        return grad.reshape(slots.shape[0], slots.shape[1], 1)
    return grad / (slots.shape[0] * slots.shape[1]) if reduction == "mean" else grad


def nonfinite_images(slots: Tensor) -> Tensor:
    """``[B]``: whether an image of ``[2B, S, C]`` holds a NaN or an infinity."""
    return ~slots.isfinite().flatten(1).all(1).view(2, slots.shape[0] // 2).all(0)


def is_unmatched(matching: Tensor) -> Tensor:
    """``[2B, S]``: the slots of images that are not finite."""
    return (matching < 0).repeat(2, 1)


def with_nan(x: Tensor, matching: Tensor) -> Tensor:
    return x.masked_fill(is_unmatched(matching).unsqueeze(-1), float("nan"))


def partners(matching: Tensor) -> Tensor:
    """``[2B, S]``: the slot of the other view that each slot is matched to."""
    # Sorting a permutation gives its inverse.
    return torch.cat([matching.clamp_min(0), matching.argsort(1)])


def match(slots: dict[str, Tensor], eps: float, raises: bool) -> Tensor:
    """The matching by the first of these, -1 for an image that is not finite in any of them.

    Waits for the device once: ``[B, S, S]`` cosines go to the host, ``[B, S]`` indices come back.
    """
    f = next(iter(slots.values()))
    images, count = f.shape[0] // 2, f.shape[1]
    nonfinite = torch.stack([nonfinite_images(x) for x in slots.values()])
    is_masked = nonfinite.any(0).view(images, 1, 1)
    if count == 1:  # one slot: nothing to match
        matching = is_masked.squeeze(-1).long().neg()
    else:
        costs = cosines(f, eps).masked_fill(is_masked, float("nan"))
        matching, _ = torch.ops.osc.linear_sum_assignment.default(costs.cpu(), True, 1)
    if raises and bool((matching < 0).any()):
        for name, bad in zip(slots, nonfinite):
            refuse_nonfinite(name, bad)
    return to_device(matching, f.device)


def refuse_nonfinite(name: str, bad: Tensor, what: str = "image") -> None:
    if bool(bad.any()):  # waits for the device
        raise ValueError(
            f"{name}: {what} {int(bad.nonzero()[0])} of {len(bad)} holds a NaN or an infinity"
        )


def to_device(indices: Tensor, device: torch.device) -> Tensor:
    # To CUDA and ROCm, memory that is not pinned has been read when the call returns: no wait.
    return indices.to(device, non_blocking=device.type == "cuda")
