"""The similarity loss of matched slots."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import match, nonfinite, partners, reduced, unit, widened

OPERATOR = "matching_similarity_loss_per_img"

__all__ = ["losses", "nonfinite", "results"]


def results(options: Any, f: jax.Array, p: jax.Array) -> tuple[jax.Array, ...]:
    matching = match(f, options.eps)
    return *losses(options, f, p, matching), matching


def losses(options: Any, f: jax.Array, p: jax.Array, matching: jax.Array) -> tuple[jax.Array]:
    images = f.shape[0] // 2
    other_view = jnp.concatenate([f[images:], f[:images]])
    target = jnp.take_along_axis(other_view, partners(matching)[..., None], 1)
    unit_p, unit_target = (unit(widened(x), options.eps) for x in (p, target))
    cosines = (unit_p * unit_target).sum(-1)
    factor = jnp.where(nonfinite(f, p)[:, 0], jnp.nan, 1)
    each = ((1 - cosines) / 2 * factor.astype(cosines.dtype)).ravel()
    return (reduced(each, options.reduction).astype(p.dtype),)
