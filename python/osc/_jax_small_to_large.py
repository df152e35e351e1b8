"""The operator of the similarity loss of small crops against large ones: what it demands and gives,
its formulas."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import _jax_checks, _jax_formulas
from ._jax_operators import Arrays, Derivative, Operator, Shape, call


def loss_and_counted_ratio(
    f_large: Any, p_small: Any, reduction: str, eps: Any
) -> tuple[jax.Array, jax.Array]:
    large, small = _jax_checks.floats("f_large", f_large), _jax_checks.floats("p_small", p_small)
    for name, crops, wanted in (
        ("f_large", large, "[B, Al, L, C]"),
        ("p_small", small, "[B, As, S, C]"),
    ):
        if crops.ndim != 4:
            raise ValueError(
                f"{name} has shape {crops.shape}; wanted {wanted}: images, crops, slots, channels"
            )
    if large.shape[0] != small.shape[0] or large.shape[3] != small.shape[3]:
        raise ValueError(
            f"f_large {large.shape} and p_small {small.shape} must have as many images and channels"
        )
    _jax_checks.check_same_dtype("f_large", large, "p_small", small)
    loss, _, counted_ratio = call(_OPERATOR, _jax_checks.loss_options(reduction, eps), large, small)
    return loss, counted_ratio


def _shapes(
    f_large: jax.Array, p_small: jax.Array, *, reduction: str, eps: float
) -> tuple[Any, ...]:
    pairs = (f_large.shape[0], f_large.shape[1], p_small.shape[1])
    return (
        Shape(pairs if reduction == "none" else (), p_small.dtype),
        _jax_formulas.index_shape(*pairs, p_small.shape[2]),
        Shape((), jnp.float32),
    )


def _non_finite_images(f_large: jax.Array, p_small: jax.Array) -> jax.Array:
    """``[B, 1, 1, 1]``"""
    return ~(
        jnp.isfinite(f_large).all((1, 2, 3), keepdims=True)
        & jnp.isfinite(p_small).all((1, 2, 3), keepdims=True)
    )


def _cosines(f_large: jax.Array, p_small: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    """``[B, Al, As, S, L]``, and which images hold a NaN or an infinity, whose slots count as
    zeros."""
    non_finite = _non_finite_images(f_large, p_small)
    large, small = (
        _jax_formulas.unit(_jax_formulas.widened(jnp.where(non_finite, 0, x)), eps)
        for x in (f_large, p_small)
    )
    cosines = jnp.einsum("ialc,ibsc->iabsl", large, small, precision=_jax_formulas.HIGHEST)
    return cosines, non_finite


def _formula(f_large: jax.Array, p_small: jax.Array, *, reduction: str, eps: float) -> Arrays:
    cosines, non_finite = _cosines(f_large, p_small, eps)
    if cosines.size == 0:
        index = jnp.full(cosines.shape[:-1], -1, jnp.int32)
    else:
        best_large, best_small = cosines.argmax(-1), cosines.argmax(-2)
        is_mutual = jnp.take_along_axis(best_small, best_large, -1) == jnp.arange(cosines.shape[3])
        index = jnp.where(is_mutual & ~non_finite, best_large, -1).astype(jnp.int32)
    matching = jnp.stack([index, jnp.where(index < 0, -1, 0)], -1)
    loss = _losses(f_large, p_small, matching, reduction=reduction, eps=eps)
    return *loss, matching, (index >= 0).astype(jnp.float32).mean()


def _losses(
    f_large: jax.Array, p_small: jax.Array, matching: jax.Array, *, reduction: str, eps: float
) -> Arrays:
    cosines, non_finite = _cosines(f_large, p_small, eps)
    index = matching[..., 0]
    counted = index >= 0
    of_matches = (
        jnp.take_along_axis(cosines, jnp.maximum(index, 0)[..., None], -1)[..., 0]
        if cosines.shape[-1]
        else cosines.sum(-1)
    )
    count = counted.sum(-1)
    each = jnp.where(counted, (1 - of_matches) / 2, 0).sum(-1) / jnp.maximum(count, 1)
    each = each * jnp.where(non_finite[..., 0], jnp.nan, 1).astype(each.dtype)
    if reduction == "none":
        losses = jnp.where((count == 0) & ~non_finite[..., 0], jnp.nan, each)
    else:
        losses = each.sum() / (count > 0).sum() if reduction == "mean" else each.sum()
    return (losses.astype(p_small.dtype),)


_OPERATOR = Operator(
    "small_to_large_loss",
    _shapes,
    _formula,
    Derivative(losses=1, residuals=1, formula=_losses, non_finite=_non_finite_images),
)
