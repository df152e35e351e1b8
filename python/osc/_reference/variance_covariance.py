"""The variance and the covariance term of ``x [..., N, D]``."""

from __future__ import annotations

from typing import Any

import torch

from . import refuse_nonfinite, wide

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
    # Of one feature, 0 / 0.
    return variance.to(x.dtype), (squares / (x.shape[-1] * (x.shape[-1] - 1))).mean().to(x.dtype)


def gradient(options: Any, grads: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    centred, covariance, deviation = _moments(x)
    groups, samples, features = x.shape[:-2].numel(), *x.shape[-2:]
    of_variance = -0.5 / deviation * (deviation < 1) * (wide(grads[0]) / (groups * features))
    pairs = max(features * (features - 1), 1)
    of_covariance = _off_diagonal(covariance) * (2 * wide(grads[1]) / (groups * pairs))
    # One sample has no covariance.
    rate = 2 / (samples - 1) if samples > 1 else float("nan")
    return (centred @ (of_variance.diag_embed() + of_covariance) * rate).to(x.dtype)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The centred samples, their covariance, and the standard deviation of each feature."""
    x = wide(x)
    centred = x - x.mean(-2, keepdim=True)
    covariance = centred.transpose(-1, -2) @ centred / (x.shape[-2] - 1)
    return centred, covariance, (covariance.diagonal(dim1=-2, dim2=-1) + 1e-4).sqrt()


def _off_diagonal(matrix: Tensor) -> Tensor:
    is_diagonal = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(is_diagonal, 0)
