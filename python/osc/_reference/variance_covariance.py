"""The variance and the covariance term of ``x [..., N, D]``."""

from __future__ import annotations

from typing import Any

import torch

from . import refuse_nonfinite, wide

OPERATOR = "variance_covariance_loss"

Tensor = torch.Tensor


def solve(options: Any, x: Tensor) -> tuple[()]:
    if options.on_nonfinite == "raise":
        refuse_nonfinite("x", ~x.isfinite().flatten(-2).all(-1).flatten(), "group")
    return ()


def loss(options: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    if 0 in x.shape:
        nothing = wide(x).sum() * float("nan")
        return nothing.to(x.dtype), nothing.to(x.dtype)
    _, covariance, deviation = _moments(x)
    variance = (1 - deviation).relu().mean(-1).mean()
    squares = _off_diagonal(covariance).square().sum((-1, -2))
    # The covariance of one feature is 0 / 0, NaN.
    return variance.to(x.dtype), (squares / (x.shape[-1] * (x.shape[-1] - 1))).mean().to(x.dtype)


def gradient(options: Any, grads: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    centred, covariance, deviation = _moments(x)
    weights = _weights(grads, x, -0.5 / deviation * (deviation < 1), covariance)
    return (centred @ weights * _rate(x)).to(x.dtype)


def jvp(options: Any, v: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    centred, covariance, deviation = _moments(x)
    moved = _moved_covariance(v, centred)
    of_deviation = (deviation < 1) * moved.diagonal(dim1=-2, dim2=-1) / (-2 * deviation)
    off_diagonal = (2 * _off_diagonal(covariance) * moved).sum((-1, -2)) / _pairs(x)
    return of_deviation.mean(-1).mean().to(x.dtype), off_diagonal.mean().to(x.dtype)


def hvp(options: Any, v: Tensor, grads: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    centred, covariance, deviation = _moments(x)
    moved = _moved_covariance(v, centred)
    weights = _weights(grads, x, -0.5 / deviation * (deviation < 1), covariance)
    diagonal = moved.diagonal(dim1=-2, dim2=-1) / (4 * deviation**3) * (deviation < 1)
    moved_weights = _weights(grads, x, diagonal, moved)
    v = wide(v)
    moved_centred = v - v.mean(-2, keepdim=True)
    return ((moved_centred @ weights + centred @ moved_weights) * _rate(x)).to(x.dtype)


def _moved_covariance(v: Tensor, centred: Tensor) -> Tensor:
    """The derivative of the covariance along ``v``."""
    moved = wide(v).transpose(-1, -2) @ centred / (centred.shape[-2] - 1)
    return moved + moved.transpose(-1, -2)


def _weights(
    grads: tuple[Tensor, Tensor], x: Tensor, diagonal: Tensor, off_diagonal: Tensor
) -> Tensor:
    """The gradient with respect to the covariance, up to a factor."""
    groups = x.shape[:-2].numel()
    of_variance = (diagonal * (wide(grads[0]) / (groups * x.shape[-1]))).diag_embed()
    return of_variance + _off_diagonal(off_diagonal) * (2 * wide(grads[1]) / (groups * _pairs(x)))


def _rate(x: Tensor) -> float:
    # One sample has no covariance.
    return 2 / (x.shape[-2] - 1) if x.shape[-2] > 1 else float("nan")


def _pairs(x: Tensor) -> int:
    return max(x.shape[-1] * (x.shape[-1] - 1), 1)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The centred samples, their covariance, and the standard deviation of each feature."""
    x = wide(x)
    centred = x - x.mean(-2, keepdim=True)
    covariance = centred.transpose(-1, -2) @ centred / (x.shape[-2] - 1)
    return centred, covariance, (covariance.diagonal(dim1=-2, dim2=-1) + 1e-4).sqrt()


def _off_diagonal(matrix: Tensor) -> Tensor:
    is_diagonal = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(is_diagonal, 0)
