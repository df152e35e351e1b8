"""The contrastive loss of matched slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import HIGHEST, match, nonfinite, partners, reduced, unit, widened

OPERATOR = "matching_contrastive_loss"

__all__ = ["losses", "nonfinite", "results"]

BLOCK = 1 << 24  # elements of a block of cosines


def results(options: Any, slots: jax.Array) -> tuple[jax.Array, ...]:
    matching = match(slots, options.eps)
    each, is_right = _contrast(options, slots, matching)
    finite = ~jnp.isnan(each)
    return (
        reduced(each, options.reduction).astype(slots.dtype),
        matching,
        jnp.zeros((*each.shape, 2), jnp.int32),  # log_sum_exp: these formulas do not need it
        ((is_right & finite).sum() / finite.sum()).astype(jnp.float32),
    )


def losses(
    options: Any, slots: jax.Array, matching: jax.Array, log_sum_exp: jax.Array
) -> tuple[jax.Array]:
    each, _ = _contrast(options, slots, matching)
    return (reduced(each, options.reduction).astype(slots.dtype),)


def _contrast(options: Any, slots: jax.Array, matching: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``[2BS]``: the losses, and whether the match of a slot has its greatest cosine. Computed in
    blocks of rows: no N x N matrix is stored, not even for the backward pass."""
    within_images = options.candidates == "image"
    rows, count, _ = slots.shape
    images = rows // 2
    if rows * count == 0:
        return jnp.zeros(0, widened(slots).dtype), jnp.zeros(0, bool)
    is_masked = nonfinite(slots)
    units = unit(widened(jnp.where(is_masked, 0, slots)), options.eps)
    other_rows = jnp.roll(jnp.arange(rows), images)
    positives = (
        partners(matching)
        + ((other_rows // images if within_images else other_rows) * count)[:, None]
    )

    def grouped(x: jax.Array) -> jax.Array:  # [2B, S, ...] as [G, N, ...]
        if not within_images:
            return x.reshape(1, rows * count, *x.shape[2:])
        by_image = x.reshape(2, images, count, *x.shape[2:]).swapaxes(0, 1)
        return by_image.reshape(images, 2 * count, *x.shape[2:])

    def of_group(
        units: jax.Array, positives: jax.Array, masked: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        candidates = units.shape[0]

        @jax.checkpoint
        def of_row(row: jax.Array) -> tuple[jax.Array, jax.Array]:
            # Multiplies by the inverse: a large temperature may overflow this type, its inverse
            # does not.
            logits = jnp.matmul(units, units[row], precision=HIGHEST) * (1 / options.temperature)
            logits = jnp.where(masked | (jnp.arange(candidates) == row), -jnp.inf, logits)
            # The loss of a masked slot becomes NaN below; here it is finite.
            logits = jnp.where(masked[row], 0, logits)
            match = logits[positives[row]]
            others = jnp.where(jnp.arange(candidates) == positives[row], -jnp.inf, logits)
            return jax.nn.logsumexp(logits) - match, match > others.max()

        found: tuple[jax.Array, jax.Array] = _mapped(
            of_row, jnp.arange(candidates), candidates, elements=candidates
        )
        return found

    masked = jnp.broadcast_to(is_masked[..., 0], (rows, count))
    groups = (grouped(units), grouped(positives), grouped(masked))
    each, is_right = _mapped(
        lambda group: of_group(*group), groups, images, elements=(2 * count) ** 2
    )
    if within_images:
        each, is_right = (x.reshape(images, 2, count).swapaxes(0, 1) for x in (each, is_right))
    factor = jnp.where(masked.ravel(), jnp.nan, 1).astype(each.dtype)
    return each.ravel() * factor, is_right.ravel()


def _mapped(function: Callable[..., Any], over: Any, calls: int, *, elements: int) -> Any:
    """``function`` mapped over ``calls`` items of ``elements`` elements each: as many at once as
    fill a block, or one at a time if a size is symbolic."""
    if not isinstance(calls, int) or not isinstance(elements, int):
        return jax.lax.map(function, over)
    at_once = max(1, BLOCK // elements)
    if calls <= at_once:
        return jax.vmap(function)(over)
    return jax.lax.map(function, over, batch_size=at_once)
