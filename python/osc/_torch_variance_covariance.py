"""The operator ``variance_covariance_loss`` of ``x [..., N, D]``: what it demands and gives, its
formulas, and what it is outside the CPU's memory."""

from __future__ import annotations

import torch

from . import _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor


def results(x: Tensor, raise_nonfinite: bool) -> tuple[Tensor, Tensor]:
    """Without their values, as PyTorch's tracers want them; likewise `gradient_result`."""
    check_call(x)
    return x.new_empty(()), x.new_empty(())


def gradient_result(grad_variance: Tensor, grad_covariance: Tensor, x: Tensor) -> Tensor:
    check_call(x)
    return empty_gradient(x)


def check_call(x: Tensor) -> None:
    _torch_checks.check_tensor("x", x)
    if x.dim() < 2:
        raise ValueError(
            f"x has shape {list(x.shape)}; wanted [..., N, D], N samples of D features"
        )


def empty_gradient(x: Tensor) -> Tensor:
    """Of the layout of x; contiguous where the kernels could not write that: features must be
    adjacent, and the groups evenly spaced."""
    gradient = _torch_checks.empty_gradient(x)
    expected = None
    for size, stride in reversed(list(zip(gradient.shape[:-2], gradient.stride()[:-2]))):
        if size != 1:
            if expected is not None and stride != expected:
                return torch.empty_like(x, memory_format=torch.contiguous_format)
            expected = stride * size
    return gradient


@_torch_device.implementation
def variance_covariance_loss(x: Tensor, raise_nonfinite: bool) -> tuple[Tensor, Tensor]:
    check_call(x)
    if raise_nonfinite:
        _torch_device.refuse_spoilt("x", ~x.isfinite().flatten(-2).all(-1).flatten(), "group")
    return losses(x)


@_torch_device.implementation
def variance_covariance_loss_backward(
    grad_variance: Tensor, grad_covariance: Tensor, x: Tensor
) -> Tensor:
    check_call(x)
    return _torch_checks.laid_out(gradient((grad_variance, grad_covariance), x), empty_gradient(x))


# The formulas.


def losses(x: Tensor) -> tuple[Tensor, Tensor]:
    if 0 in x.shape:
        return x.new_full((), float("nan")), x.new_full((), float("nan"))
    _, covariance, deviation = _parts(x)
    variance = (1 - deviation).relu().mean(-1).mean()
    squares = _off_diagonal(covariance).square().sum((-1, -2))
    # 0 / 0 of one feature
    return variance.to(x.dtype), (squares / (x.shape[-1] * (x.shape[-1] - 1))).mean().to(x.dtype)


def slope(v: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    centred, covariance, deviation = _parts(x)
    moved = _covariance_moved(v, centred)
    variance = (
        ((deviation < 1) * moved.diagonal(dim1=-2, dim2=-1) / (-2 * deviation)).mean(-1).mean()
    )
    off_diagonal = (2 * _off_diagonal(covariance) * moved).sum((-1, -2)) / _pairs(x)
    return variance.to(x.dtype), off_diagonal.mean().to(x.dtype)


def gradient(grad_losses: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    centred, covariance, deviation = _parts(x)
    weights = _weights(grad_losses, x, -0.5 / deviation * (deviation < 1), covariance)
    return (centred @ weights * _rate(x)).to(x.dtype)


def curvature(v: Tensor, grad_losses: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    centred, covariance, deviation = _parts(x)
    moved = _covariance_moved(v, centred)
    weights = _weights(grad_losses, x, -0.5 / deviation * (deviation < 1), covariance)
    weights_moved = _weights(
        grad_losses,
        x,
        moved.diagonal(dim1=-2, dim2=-1) / (4 * deviation**3) * (deviation < 1),
        moved,
    )
    v = _torch_formulas.wide(v)
    return (((v - v.mean(-2, keepdim=True)) @ weights + centred @ weights_moved) * _rate(x)).to(
        x.dtype
    )


def _parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The centred samples, their covariance, and the standard deviation of each feature."""
    x = _torch_formulas.wide(x)
    centred = x - x.mean(-2, keepdim=True)
    covariance = centred.transpose(-1, -2) @ centred / (x.shape[-2] - 1)
    return centred, covariance, (covariance.diagonal(dim1=-2, dim2=-1) + 1e-4).sqrt()


def _covariance_moved(v: Tensor, centred: Tensor) -> Tensor:
    moved = _torch_formulas.wide(v).transpose(-1, -2) @ centred / (centred.shape[-2] - 1)
    return moved + moved.transpose(-1, -2)


def _weights(
    grad_losses: tuple[Tensor, Tensor], x: Tensor, diagonal: Tensor, off_diagonal: Tensor
) -> Tensor:
    groups = x.shape[:-2].numel()
    for_variance = (
        diagonal * (_torch_formulas.wide(grad_losses[0]) / (groups * x.shape[-1]))
    ).diag_embed()
    return for_variance + _off_diagonal(off_diagonal) * (
        2 * _torch_formulas.wide(grad_losses[1]) / (groups * _pairs(x))
    )


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix.masked_fill(
        torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device), 0
    )


def _rate(x: Tensor) -> float:
    # of one sample there is no covariance
    return 2 / (x.shape[-2] - 1) if x.shape[-2] > 1 else float("nan")


def _pairs(x: Tensor) -> int:
    return max(x.shape[-1] * (x.shape[-1] - 1), 1)
