"""The operator ``matching_similarity_loss_per_img``: what it demands and gives, its formulas, and
what it is outside the CPU's memory."""

from __future__ import annotations

import torch

from . import _library, _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor


def results(
    f: Tensor, p: Tensor, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor]:
    """Without their values, as PyTorch's tracers want them; likewise `gradient_result`."""
    check_call(f, p, reduction, eps)
    loss = p.new_empty(p.shape[0] * p.shape[1] if reduction == _library.NONE else ())
    return loss, p.new_empty((p.shape[0] // 2, p.shape[1]), dtype=torch.int64)


def gradient_result(
    grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: int, eps: float
) -> Tensor:
    check_call(f, p, reduction, eps)
    return _torch_checks.empty_gradient(p)


def check_call(f: Tensor, p: Tensor, reduction: int, eps: float) -> None:
    _torch_checks.check_slots("f", f)
    _torch_checks.check_slots("p", p)
    if f.shape != p.shape:
        raise ValueError(f"f {list(f.shape)} and p {list(p.shape)} must have the same shape")
    _torch_checks.check_alike("f", f, "p", p)
    _torch_checks.check_reduction(reduction)
    _torch_checks.check_positive(eps=eps)


@_torch_device.implementation
def matching_similarity_loss_per_img(
    f: Tensor, p: Tensor, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor]:
    check_call(f, p, reduction, eps)
    matching = _torch_device.match({"f": f, "p": p}, eps, raise_nonfinite)
    return _torch_formulas.reduced(losses(f, p, matching, eps), reduction).to(p.dtype), matching


@_torch_device.implementation
def matching_similarity_loss_per_img_with_gradient(
    f: Tensor, p: Tensor, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor, Tensor]:
    loss, matching = matching_similarity_loss_per_img(f, p, reduction, eps, raise_nonfinite)
    return (
        loss,
        matching,
        matching_similarity_loss_per_img_backward(
            torch.ones_like(loss), f, p, matching, reduction, eps
        ),
    )


@_torch_device.implementation
def matching_similarity_loss_per_img_backward(
    grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: int, eps: float
) -> Tensor:
    check_call(f, p, reduction, eps)
    return _torch_checks.laid_out(
        gradient((grad_loss,), f, p, matching, reduction, eps), _torch_checks.empty_gradient(p)
    )


def losses(f: Tensor, p: Tensor, matching: Tensor, eps: float) -> Tensor:
    """``[2BS]``, in the precision that they are computed in."""
    unit, _ = _torch_formulas.unit_and_norm(_torch_formulas.wide(p), eps)
    cosine = (unit * _targets(f, matching, eps)).sum(-1).clamp(-1, 1)
    loss = (1 - cosine) / 2
    return loss.masked_fill(_torch_formulas.spoilt(matching), float("nan")).flatten()


def slope(
    v: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: int, eps: float
) -> tuple[Tensor]:
    each = (
        _torch_formulas.direction(p, eps).push(_torch_formulas.wide(v)) * _targets(f, matching, eps)
    ).sum(-1, keepdim=True) / -2
    return (
        _torch_formulas.reduced(
            _torch_formulas.with_nan(each, matching).reshape(p.shape[0] * p.shape[1]), reduction
        ).to(p.dtype),
    )


def gradient(
    grad_losses: tuple[Tensor], f: Tensor, p: Tensor, matching: Tensor, reduction: int, eps: float
) -> Tensor:
    pull = _torch_formulas.incoming(grad_losses[0], p, reduction) / -2 * _targets(f, matching, eps)
    return _torch_formulas.with_nan(_torch_formulas.direction(p, eps).push(pull), matching).to(
        p.dtype
    )


def curvature(
    v: Tensor,
    grad_losses: tuple[Tensor],
    f: Tensor,
    p: Tensor,
    matching: Tensor,
    reduction: int,
    eps: float,
) -> Tensor:
    pull = _torch_formulas.incoming(grad_losses[0], p, reduction) / -2 * _targets(f, matching, eps)
    return _torch_formulas.with_nan(
        _torch_formulas.direction(p, eps).bend(_torch_formulas.wide(v), pull), matching
    ).to(p.dtype)


def _targets(f: Tensor, matching: Tensor, eps: float) -> Tensor:
    """The direction of what each slot is compared with, ``[2B, S, C]``."""
    unit, _ = _torch_formulas.unit_and_norm(_torch_formulas.wide(f.detach()), eps)
    images = matching.shape[0]
    return torch.cat([unit[images:], unit[:images]]).gather(
        1, _torch_formulas.order(matching).unsqueeze(-1).expand_as(unit)
    )
