"""The similarity loss of small crops ``p_small [B, As, S, C]`` to large ones ``f_large [B, Al, L,
C]``: a loss for each pair of crops ``[B, Al, As]``, and the matching ``[B, Al, As, S]``, -1 for a
slot that is not counted."""

from __future__ import annotations

from typing import Any

import torch

from . import Unit, refuse_nonfinite, unit, unit_and_norm, wide

OPERATOR = "matching_similarity_loss_small_to_large"

Tensor = torch.Tensor


def solve(options: Any, f_large: Tensor, p_small: Tensor) -> tuple[Tensor, Tensor]:
    if options.on_nonfinite == "raise":
        for name, crops in (("f_large", f_large), ("p_small", p_small)):
            refuse_nonfinite(name, ~crops.isfinite().flatten(1).all(1))
    small, large, nonfinite = _units(f_large, p_small, options.eps)
    matching = _match(_cosines(small.value, large, f_large), nonfinite)
    return matching, (matching >= 0).float().mean()


def loss(
    options: Any, f_large: Tensor, p_small: Tensor, matching: Tensor, counted_ratio: Any = None
) -> tuple[Tensor]:
    small, large, nonfinite = _units(f_large, p_small, options.eps)
    counts = (matching >= 0).sum(-1)
    positives = _positives(small.value, large, f_large, matching).clamp(-1, 1).sum(-1)
    losses = (counts - positives) / 2 / counts  # 0 / 0, NaN, if no slot counts
    return (_reduced(losses, counts, nonfinite, options.reduction).to(p_small.dtype),)


def gradient(
    options: Any, grads: tuple[Tensor], f_large: Tensor, p_small: Tensor, matching: Tensor
) -> Tensor:
    small, large, nonfinite = _units(f_large, p_small, options.eps)
    grad_unit = _grad_of_units(wide(grads[0]), large, f_large, matching, options.reduction)
    grad_p = small.vjp(grad_unit).masked_fill(nonfinite.view(-1, 1, 1, 1), float("nan"))
    return grad_p.to(p_small.dtype)


def jvp(
    options: Any, v: Tensor, f_large: Tensor, p_small: Tensor, matching: Tensor
) -> tuple[Tensor]:
    small, large, nonfinite = _units(f_large, p_small, options.eps)
    moved = small.jvp(wide(v).masked_fill(nonfinite.view(-1, 1, 1, 1), 0))
    counts = (matching >= 0).sum(-1)
    losses = _positives(moved, large, f_large, matching).sum(-1) / counts.clamp_min(1) / -2
    return (_reduced(losses, counts, nonfinite, options.reduction).to(p_small.dtype),)


def hvp(
    options: Any,
    v: Tensor,
    grads: tuple[Tensor],
    f_large: Tensor,
    p_small: Tensor,
    matching: Tensor,
) -> Tensor:
    small, large, nonfinite = _units(f_large, p_small, options.eps)
    grad_unit = _grad_of_units(wide(grads[0]), large, f_large, matching, options.reduction)
    moved = small.hvp(wide(v), grad_unit)
    return moved.masked_fill(nonfinite.view(-1, 1, 1, 1), float("nan")).to(p_small.dtype)


def _units(f_large: Tensor, p_small: Tensor, eps: float) -> tuple[Unit, Tensor, Tensor]:
    """The units of the small slots, those of the large ones ``[B, Al L, C]``, and which images hold
    a NaN or an infinity; their slots count as zeros."""
    f_large = f_large.detach()
    nonfinite = ~(f_large.isfinite().flatten(1).all(1) & p_small.isfinite().flatten(1).all(1))
    f_large, p_small = (x.masked_fill(nonfinite.view(-1, 1, 1, 1), 0) for x in (f_large, p_small))
    large, _ = unit_and_norm(wide(f_large).flatten(1, 2), eps)
    return unit(p_small, eps), large, nonfinite


def _cosines(small: Tensor, large: Tensor, f_large: Tensor) -> Tensor:
    """``[B, Al, As, S, L]``: one matrix product of the image."""
    images, small_crops, small_slots, _ = small.shape
    # Not flatten, which has no rule for batched tangents.
    rows = small.reshape(images, small_crops * small_slots, small.shape[-1])
    products = torch.bmm(rows, large.transpose(1, 2))
    shaped = products.view(images, small_crops, small_slots, *f_large.shape[1:3])
    return shaped.permute(0, 3, 1, 2, 4)


def _match(cosines: Tensor, nonfinite: Tensor) -> Tensor:
    if cosines.numel() == 0:
        return torch.full(cosines.shape[:-1], -1, device=cosines.device)
    best_large, best_small = cosines.argmax(-1), cosines.argmax(-2)
    is_mutual = best_small.gather(-1, best_large) == torch.arange(
        cosines.shape[3], device=cosines.device
    )
    return best_large.masked_fill(~is_mutual | nonfinite.view(-1, 1, 1, 1), -1)


def _positives(small: Tensor, large: Tensor, f_large: Tensor, matching: Tensor) -> Tensor:
    """``[B, Al, As, S]``: the cosine of each small slot and its match; 0 if it is not counted."""
    cosines = _cosines(small, large, f_large)
    if cosines.shape[-1] == 0:
        return cosines.sum(-1)
    positives = cosines.gather(-1, matching.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    return positives.masked_fill(matching < 0, 0)


def _reduced(losses: Tensor, counts: Tensor, nonfinite: Tensor, reduction: str) -> Tensor:
    """The losses, reduced over the pairs in which a slot counts."""
    losses = losses.masked_fill(nonfinite.view(-1, 1, 1), float("nan"))
    if reduction == "none":
        return losses
    total = losses.masked_fill((counts == 0) & ~nonfinite.view(-1, 1, 1), 0).sum()
    return total / (counts > 0).sum() if reduction == "mean" else total


def _grad_of_units(
    grad: Tensor, large: Tensor, f_large: Tensor, matching: Tensor, reduction: str
) -> Tensor:
    """The gradient with respect to the units of the small slots."""
    images, large_crops, small_crops, small_slots = matching.shape
    counts = (matching >= 0).sum(-1)
    if reduction == "mean":
        grad = grad / (counts > 0).sum().clamp_min(1)
    of_pair = (grad / counts.clamp_min(1) / -2).expand(images, large_crops, small_crops)
    of_slot = of_pair.unsqueeze(-1).expand(matching.shape).masked_fill(matching < 0, 0)
    weights = of_slot.new_zeros((*matching.shape, f_large.shape[2]))
    if f_large.shape[2] > 0:
        weights = weights.scatter(-1, matching.clamp_min(0).unsqueeze(-1), of_slot.unsqueeze(-1))
    rows = weights.permute(0, 2, 3, 1, 4).flatten(3, 4).flatten(1, 2)  # [B, As S, Al L]
    return torch.bmm(rows, large).view(images, small_crops, small_slots, large.shape[-1])
