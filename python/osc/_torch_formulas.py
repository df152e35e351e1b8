"""The loss in PyTorch's own operations: what derivatives of higher order are made of, and what tensors outside the CPU's memory run through.

Every function is a composition of differentiable operations on any device. ``f`` is constant throughout. 16-bit tensors are computed in float32. An image without a
matching (-1) is one that holds a NaN or an infinity, and gets NaN throughout.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def unit_and_norm(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x / max(|x|, eps)`` and ``|x|``, of ``[..., C]`` and ``[..., 1]``. Scaled by the largest element first, so that no square overflows or vanishes."""
    if x.shape[-1] == 0:
        return x, x.sum(-1, keepdim=True)
    largest = x.detach().abs().amax(-1, keepdim=True)
    scale = largest.masked_fill(largest == 0, 1)
    scaled = x / scale
    is_zero = largest == 0
    length = torch.linalg.vector_norm(scaled.masked_fill(is_zero, 1), dim=-1, keepdim=True)  # of a zero slot, anything: its derivative is not defined
    unit = scaled / torch.maximum(length, eps / scale)
    return unit, (length * scale).masked_fill(is_zero, 0)


def cosines(f: Tensor, eps: float) -> Tensor:
    """``[B, S, S]``: the similarity of each slot of view 0 with each of view 1."""
    unit, _ = unit_and_norm(wide(f.detach()), eps)
    images = f.shape[0] // 2
    return torch.bmm(unit[:images], unit[images:].transpose(1, 2))


def losses(f: Tensor, p: Tensor, matching: Tensor, eps: float) -> Tensor:
    """``[2BS]``, in the precision that they are computed in."""
    unit, _ = unit_and_norm(wide(p), eps)
    loss = (1 - (unit * _targets(f, matching, eps)).sum(-1)) / 2
    return loss.masked_fill(_spoilt(matching), float("nan")).flatten()


def reduced(per_slot: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return per_slot.mean()
    return per_slot.sum() if reduction == "sum" else per_slot


def gradient(grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Tensor:
    """With respect to ``p``: -g (u - c d) / (2n), where d is the direction of p, n its norm, u the target's direction and c = <d, u>; -g u / (2 eps) where n <= eps."""
    target, direction, norm, is_short = _parts(f, p, matching, eps)
    cosine = (direction * target).sum(-1, keepdim=True)
    slope_of_cosine = torch.where(is_short, target / eps, (target - cosine * direction) / norm)
    return _with_nan(-_incoming(grad_loss, p, reduction) / 2 * slope_of_cosine, matching).to(p.dtype)


def slope(v: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Tensor:
    """The derivative of the loss along ``v``, of the loss's shape."""
    target, direction, norm, is_short = _parts(f, p, matching, eps)
    v = wide(v)
    a, b = (v * target).sum(-1, keepdim=True), (v * direction).sum(-1, keepdim=True)
    cosine = (direction * target).sum(-1, keepdim=True)
    per_slot = torch.where(is_short, a / eps, (a - b * cosine) / norm) / -2
    return reduced(_with_nan(per_slot, matching).reshape(p.shape[0] * p.shape[1]), reduction).to(p.dtype)


def curvature(v: Tensor, grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Tensor:
    """The derivative of `gradient` along ``v`` in ``p``, which is also the derivative of <v, gradient> by ``p``: the second derivative is symmetric."""
    target, direction, norm, is_short = _parts(f, p, matching, eps)
    v = wide(v)
    a, b = (v * target).sum(-1, keepdim=True), (v * direction).sum(-1, keepdim=True)
    cosine = (direction * target).sum(-1, keepdim=True)
    along = ((a - 3 * b * cosine) * direction + b * target + cosine * v) / (norm * norm)
    along = torch.where(is_short, torch.zeros_like(along), along)
    return _with_nan(_incoming(grad_loss, p, reduction) / 2 * along, matching).to(p.dtype)


def _parts(f: Tensor, p: Tensor, matching: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    direction, norm = unit_and_norm(wide(p), eps)
    is_short = ~(norm > eps)
    return _targets(f, matching, eps), direction, norm.masked_fill(is_short, 1), is_short


def _targets(f: Tensor, matching: Tensor, eps: float) -> Tensor:
    """The direction of what each slot is compared with, ``[2B, S, C]``."""
    unit, _ = unit_and_norm(wide(f.detach()), eps)
    images = matching.shape[0]
    order = torch.cat([matching.clamp_min(0), matching.argsort(1)])  # the inverse of a permutation sorts it
    return torch.cat([unit[images:], unit[:images]]).gather(1, order.unsqueeze(-1).expand_as(unit))


def _spoilt(matching: Tensor) -> Tensor:
    return (matching < 0).repeat(2, 1)


def _with_nan(x: Tensor, matching: Tensor) -> Tensor:
    return x.masked_fill(_spoilt(matching).unsqueeze(-1), float("nan"))


def _incoming(grad_loss: Tensor, p: Tensor, reduction: str) -> Tensor:
    """The gradient that comes in for each slot, ``[2B, S, 1]`` or ``[]``."""
    incoming = wide(grad_loss)
    if reduction == "none":
        return incoming.reshape(p.shape[0], p.shape[1], 1)
    return incoming / (p.shape[0] * p.shape[1]) if reduction == "mean" else incoming
