"""The similarity loss of small crops against large ones."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import HIGHEST, unit, widened

OPERATOR = "matching_similarity_loss_small_to_large"


def results(options: Any, f_large: jax.Array, p_small: jax.Array) -> tuple[jax.Array, ...]:
    cosines = _cosines(options, f_large, p_small)
    if cosines.size == 0:
        index = jnp.full(cosines.shape[:-1], -1, jnp.int32)
    else:
        best_large, best_small = cosines.argmax(-1), cosines.argmax(-2)
        is_mutual = jnp.take_along_axis(best_small, best_large, -1) == jnp.arange(cosines.shape[3])
        is_counted = is_mutual & ~nonfinite(f_large, p_small)
        index = jnp.where(is_counted, best_large, -1).astype(jnp.int32)
    matching = jnp.stack([index, jnp.where(index < 0, -1, 0)], -1)
    loss = losses(options, f_large, p_small, matching)
    return *loss, matching, (index >= 0).astype(jnp.float32).mean()


def losses(
    options: Any, f_large: jax.Array, p_small: jax.Array, matching: jax.Array
) -> tuple[jax.Array]:
    cosines = _cosines(options, f_large, p_small)
    is_masked = nonfinite(f_large, p_small)[..., 0]
    index = matching[..., 0]
    counted = index >= 0
    of_matches = (
        jnp.take_along_axis(cosines, jnp.maximum(index, 0)[..., None], -1)[..., 0]
        if cosines.shape[-1]
        else cosines.sum(-1)
    )
    count = counted.sum(-1)
    each = jnp.where(counted, (1 - of_matches) / 2, 0).sum(-1) / jnp.maximum(count, 1)
    each = each * jnp.where(is_masked, jnp.nan, 1).astype(each.dtype)
    if options.reduction == "none":
        loss = jnp.where((count == 0) & ~is_masked, jnp.nan, each)
    else:
        loss = each.sum() / ((count > 0).sum() if options.reduction == "mean" else 1)
    return (loss.astype(p_small.dtype),)


def nonfinite(f_large: jax.Array, p_small: jax.Array) -> jax.Array:
    """``[B, 1, 1, 1]``"""
    large, small = (jnp.isfinite(x).all((1, 2, 3), keepdims=True) for x in (f_large, p_small))
    return ~(large & small)


def _cosines(options: Any, f_large: jax.Array, p_small: jax.Array) -> jax.Array:
    """``[B, Al, As, S, L]``. The slots of an image that holds a NaN or an infinity count as
    zeros."""
    is_masked = nonfinite(f_large, p_small)
    large, small = (
        unit(widened(jnp.where(is_masked, 0, x)), options.eps) for x in (f_large, p_small)
    )
    return jnp.einsum("ialc,ibsc->iabsl", large, small, precision=HIGHEST)
