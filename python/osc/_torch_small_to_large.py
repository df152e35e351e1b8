"""The operator ``matching_similarity_loss_small_to_large``: what it demands and gives, its
formulas, and what it is outside the CPU's memory.

``f_large [B, Al, L, C]``, ``p_small [B, As, S, C]``, a loss for each pair of crops ``[B, Al, As]``,
and the matching ``[B, Al, As, S]`` with -1 for a slot that does not count. Cosines are ``[B, As, S,
Al, L]``; all of them are one matrix product of the image.
"""

from __future__ import annotations

import torch

from . import _library, _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor


def results(
    f_large: Tensor, p_small: Tensor, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Without their values, as PyTorch's tracers want them; likewise `gradient_result`."""
    check_call(f_large, p_small, reduction, eps)
    pairs = (f_large.shape[0], f_large.shape[1], p_small.shape[1])
    matching = p_small.new_empty((*pairs, p_small.shape[2]), dtype=torch.int64)
    return (
        p_small.new_empty(pairs if reduction == _library.NONE else ()),
        matching,
        p_small.new_empty((), dtype=torch.float32),
    )


def gradient_result(
    grad_loss: Tensor,
    f_large: Tensor,
    p_small: Tensor,
    matching: Tensor,
    reduction: int,
    eps: float,
) -> Tensor:
    check_call(f_large, p_small, reduction, eps)
    return _torch_checks.empty_gradient(p_small)


def check_call(f_large: Tensor, p_small: Tensor, reduction: int, eps: float) -> None:
    for name, crops, wanted in (
        ("f_large", f_large, "[B, Al, L, C]"),
        ("p_small", p_small, "[B, As, S, C]"),
    ):
        _torch_checks.check_tensor(name, crops)
        if crops.dim() != 4:
            raise ValueError(
                f"{name} has shape {list(crops.shape)}; wanted {wanted}: images, crops, slots, "
                "channels"
            )
    if f_large.shape[0] != p_small.shape[0] or f_large.shape[3] != p_small.shape[3]:
        raise ValueError(
            f"f_large {list(f_large.shape)} and p_small {list(p_small.shape)} must have as many "
            "images and channels"
        )
    _torch_checks.check_alike("f_large", f_large, "p_small", p_small)
    _torch_checks.check_reduction(reduction)
    _torch_checks.check_positive(eps=eps)


@_torch_device.implementation
def matching_similarity_loss_small_to_large(
    f_large: Tensor, p_small: Tensor, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor, Tensor]:
    check_call(f_large, p_small, reduction, eps)
    if raise_nonfinite:
        for name, crops in (("f_large", f_large), ("p_small", p_small)):
            _torch_device.refuse_spoilt(name, ~crops.isfinite().flatten(1).all(1))
    along, large, spoilt = _parts(f_large, p_small, eps)
    matching = _match(_cosines(along.unit, large, f_large), spoilt)
    # 0 / 0 where none counts
    each = (
        (
            (matching >= 0).sum(-1)
            - _of_matches(along.unit, large, f_large, matching).clamp(-1, 1).sum(-1)
        )
        / 2
        / (matching >= 0).sum(-1)
    )
    counted_ratio = (matching >= 0).float().mean()
    return (
        _reduced(
            each.masked_fill(spoilt.view(-1, 1, 1), float("nan")), matching, spoilt, reduction
        ).to(p_small.dtype),
        matching,
        counted_ratio,
    )


@_torch_device.implementation
def matching_similarity_loss_small_to_large_backward(
    grad_loss: Tensor,
    f_large: Tensor,
    p_small: Tensor,
    matching: Tensor,
    reduction: int,
    eps: float,
) -> Tensor:
    check_call(f_large, p_small, reduction, eps)
    return _torch_checks.laid_out(
        gradient((grad_loss,), f_large, p_small, matching, reduction, eps),
        _torch_checks.empty_gradient(p_small),
    )


def slope(
    v: Tensor, f_large: Tensor, p_small: Tensor, matching: Tensor, reduction: int, eps: float
) -> tuple[Tensor]:
    along, large, spoilt = _parts(f_large, p_small, eps)
    moved = along.push(_torch_formulas.wide(v).masked_fill(spoilt.view(-1, 1, 1, 1), 0))
    each = (
        _of_matches(moved, large, f_large, matching).sum(-1)
        / (matching >= 0).sum(-1).clamp_min(1)
        / -2
    )
    return (
        _reduced(
            each.masked_fill(spoilt.view(-1, 1, 1), float("nan")), matching, spoilt, reduction
        ).to(p_small.dtype),
    )


def gradient(
    grad_losses: tuple[Tensor],
    f_large: Tensor,
    p_small: Tensor,
    matching: Tensor,
    reduction: int,
    eps: float,
) -> Tensor:
    along, large, spoilt = _parts(f_large, p_small, eps)
    pull = _pull(grad_losses[0], large, f_large, matching, reduction)
    return along.push(pull).masked_fill(spoilt.view(-1, 1, 1, 1), float("nan")).to(p_small.dtype)


def curvature(
    v: Tensor,
    grad_losses: tuple[Tensor],
    f_large: Tensor,
    p_small: Tensor,
    matching: Tensor,
    reduction: int,
    eps: float,
) -> Tensor:
    along, large, spoilt = _parts(f_large, p_small, eps)
    pull = _pull(grad_losses[0], large, f_large, matching, reduction)
    return (
        along.bend(_torch_formulas.wide(v), pull)
        .masked_fill(spoilt.view(-1, 1, 1, 1), float("nan"))
        .to(p_small.dtype)
    )


def _parts(
    f_large: Tensor, p_small: Tensor, eps: float
) -> tuple[_torch_formulas.Direction, Tensor, Tensor]:
    """The directions of the small slots, the units ``[B, Al L, C]`` of the large ones, and which
    images hold a NaN or an infinity; their slots count as zeros."""
    f_large = f_large.detach()
    spoilt = ~(f_large.isfinite().flatten(1).all(1) & p_small.isfinite().flatten(1).all(1))
    f_large, p_small = (x.masked_fill(spoilt.view(-1, 1, 1, 1), 0) for x in (f_large, p_small))
    large, _ = _torch_formulas.unit_and_norm(_torch_formulas.wide(f_large).flatten(1, 2), eps)
    return _torch_formulas.direction(p_small, eps), large, spoilt


def _cosines(small: Tensor, large: Tensor, f_large: Tensor) -> Tensor:
    images, small_crops, small_slots, _ = small.shape
    return torch.bmm(small.flatten(1, 2), large.transpose(1, 2)).view(
        images, small_crops, small_slots, *f_large.shape[1:3]
    )


def _match(cosines: Tensor, spoilt: Tensor) -> Tensor:
    cosines = cosines.permute(0, 3, 1, 2, 4)  # [B, Al, As, S, L]
    if cosines.numel() == 0:
        return torch.full(cosines.shape[:-1], -1, device=cosines.device)
    best_large, best_small = cosines.argmax(-1), cosines.argmax(-2)
    is_mutual = best_small.gather(-1, best_large) == torch.arange(
        cosines.shape[3], device=cosines.device
    )
    return best_large.masked_fill(~is_mutual | spoilt.view(-1, 1, 1, 1), -1)


def _of_matches(small: Tensor, large: Tensor, f_large: Tensor, matching: Tensor) -> Tensor:
    """``[B, Al, As, S]``: the product of each small slot with its match, 0 for those that do not
    count."""
    products = _cosines(small, large, f_large).permute(0, 3, 1, 2, 4)
    if products.shape[-1] == 0:
        return products.sum(-1)
    return (
        products.gather(-1, matching.clamp_min(0).unsqueeze(-1))
        .squeeze(-1)
        .masked_fill(matching < 0, 0)
    )


def _reduced(each: Tensor, matching: Tensor, spoilt: Tensor, reduction: int) -> Tensor:
    if reduction == _library.NONE:
        return each
    counts = (matching >= 0).any(-1)
    total = each.masked_fill(~counts & ~spoilt.view(-1, 1, 1), 0).sum()
    return total / counts.sum() if reduction == _library.MEAN else total


def _pull(
    grad_loss: Tensor, large: Tensor, f_large: Tensor, matching: Tensor, reduction: int
) -> Tensor:
    """The gradient of the small slots' units."""
    images, large_crops, small_crops, small_slots = matching.shape
    incoming = _torch_formulas.wide(grad_loss)
    if reduction == _library.MEAN:
        incoming = incoming / (matching >= 0).any(-1).sum().clamp_min(1)
    share = (
        (incoming / (matching >= 0).sum(-1).clamp_min(1) / -2)
        .expand(images, large_crops, small_crops)
        .unsqueeze(-1)
    )
    # [B, As, S, Al, 1]
    shares = (
        share.expand(matching.shape).masked_fill(matching < 0, 0).permute(0, 2, 3, 1).unsqueeze(-1)
    )
    weights = shares.new_zeros((*shares.shape[:-1], f_large.shape[2]))
    if f_large.shape[2] > 0:
        weights = weights.scatter(
            -1, matching.clamp_min(0).permute(0, 2, 3, 1).unsqueeze(-1), shares
        )
    return torch.bmm(weights.flatten(3, 4).flatten(1, 2), large).view(
        images, small_crops, small_slots, large.shape[-1]
    )
