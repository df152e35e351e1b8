"""The similarity loss of matched slots, ``f`` and ``p`` ``[2B, S, C]``, ``matching [B, S]``."""

from __future__ import annotations

from typing import Any

import torch

from . import grad_of_each, match, partners, reduced, unit, unit_and_norm, wide, with_nan

OPERATOR = "matching_similarity_loss_per_img"

Tensor = torch.Tensor


def solve(options: Any, f: Tensor, p: Tensor) -> tuple[Tensor]:
    return (match({"f": f, "p": p}, options.eps, options.on_nonfinite == "raise"),)


def loss(options: Any, f: Tensor, p: Tensor, matching: Tensor) -> tuple[Tensor]:
    units, _ = unit_and_norm(wide(p), options.eps)
    cosines = (units * _targets(f, matching, options.eps)).sum(-1, keepdim=True).clamp(-1, 1)
    losses = with_nan((1 - cosines) / 2, matching).flatten()
    return (reduced(losses, options.reduction).to(p.dtype),)


def gradient(options: Any, grads: tuple[Tensor], f: Tensor, p: Tensor, matching: Tensor) -> Tensor:
    grad_unit = grad_of_each(grads[0], p, options.reduction) / -2
    grad_p = unit(p, options.eps).vjp(grad_unit * _targets(f, matching, options.eps))
    return with_nan(grad_p, matching).to(p.dtype)


def jvp(options: Any, v: Tensor, f: Tensor, p: Tensor, matching: Tensor) -> tuple[Tensor]:
    moved = unit(p, options.eps).jvp(wide(v)) * _targets(f, matching, options.eps)
    losses = with_nan(moved.sum(-1, keepdim=True) / -2, matching)
    losses = losses.reshape(p.shape[0] * p.shape[1])  # flatten has no rule for batched tangents
    return (reduced(losses, options.reduction).to(p.dtype),)


def hvp(
    options: Any, v: Tensor, grads: tuple[Tensor], f: Tensor, p: Tensor, matching: Tensor
) -> Tensor:
    grad_unit = grad_of_each(grads[0], p, options.reduction) / -2
    moved = unit(p, options.eps).hvp(wide(v), grad_unit * _targets(f, matching, options.eps))
    return with_nan(moved, matching).to(p.dtype)


def _targets(f: Tensor, matching: Tensor, eps: float) -> Tensor:
    """The unit of each slot's partner, ``[2B, S, C]``."""
    units, _ = unit_and_norm(wide(f.detach()), eps)
    images = matching.shape[0]
    others = torch.cat([units[images:], units[:images]])
    return others.gather(1, partners(matching).unsqueeze(-1).expand_as(units))
