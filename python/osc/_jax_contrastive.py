"""The operator of the contrastive losses of matched slots: what it demands and gives, its
formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _jax_checks, _jax_formulas, _library
from ._jax_operators import Arrays, Derivative, Operator, Shape, call

BLOCK = 1 << 24  # elements of a block of cosines


def loss_and_accuracy(
    slots: jax.Array, within_images: bool, temperature: Any, reduction: str, eps: Any
) -> tuple[jax.Array, jax.Array]:
    number = _library.positive("temperature", temperature)
    _library.check_temperature(number, slots.dtype == np.float64)
    options = (
        ("within_images", within_images),
        ("temperature", number),
        *_jax_checks.loss_options(reduction, eps),
    )
    loss, _, _, accuracy = call(_OPERATOR, options, slots)
    return loss, accuracy


def _shapes(
    slots: jax.Array, *, within_images: bool, temperature: float, reduction: str, eps: float
) -> tuple[Any, ...]:
    rows, count, _ = slots.shape
    return (
        Shape((rows * count,) if reduction == "none" else (), slots.dtype),
        _jax_formulas.index_shape(rows // 2, count),
        _log_sums_shape(slots),
        Shape((), jnp.float32),
    )


def _log_sums_shape(slots: jax.Array) -> Any:
    """float64, as pairs of int32. The formulas do without them."""
    return Shape((slots.shape[0] * slots.shape[1], 2), jnp.int32)


def _formula(
    slots: jax.Array, *, within_images: bool, temperature: float, reduction: str, eps: float
) -> Arrays:
    matching = _jax_formulas.match(slots, eps)
    losses, is_right = _contrast(slots, matching, within_images, temperature, eps)
    finite = ~jnp.isnan(losses)
    log_sums = _log_sums_shape(slots)
    return (
        _jax_formulas.reduced(losses, reduction).astype(slots.dtype),
        matching,
        jnp.zeros(log_sums.shape, log_sums.dtype),
        ((is_right & finite).sum() / finite.sum()).astype(jnp.float32),
    )


def _losses(
    slots: jax.Array,
    matching: jax.Array,
    log_sums: jax.Array,
    *,
    within_images: bool,
    temperature: float,
    reduction: str,
    eps: float,
) -> Arrays:
    losses, _ = _contrast(slots, matching, within_images, temperature, eps)
    return (_jax_formulas.reduced(losses, reduction).astype(slots.dtype),)


def _contrast(
    slots: jax.Array, matching: jax.Array, within_images: bool, temperature: float, eps: float
) -> tuple[jax.Array, jax.Array]:
    """``[2BS]``: the losses, and whether a slot resembles its match most. Of N candidates a block
    of rows at a time, so that no N x N matrix is stored, nor for the backward pass."""
    rows, count, channels = slots.shape
    images = rows // 2
    if rows * count == 0:
        return jnp.zeros(0, _jax_formulas.widened(slots).dtype), jnp.zeros(0, bool)
    inverse = 1 / temperature
    non_finite = _jax_formulas.non_finite_images(slots)
    unit = _jax_formulas.unit(_jax_formulas.widened(jnp.where(non_finite, 0, slots)), eps)
    other_rows = jnp.roll(jnp.arange(rows), images)
    positives = (
        _jax_formulas.partners(matching)
        + ((other_rows // images if within_images else other_rows) * count)[:, None]
    )

    def grouped(x: jax.Array) -> jax.Array:  # [2B, S, ...] as [G, N, ...]
        return (
            x.reshape(2, images, count, *x.shape[2:])
            .swapaxes(0, 1)
            .reshape(images, 2 * count, *x.shape[2:])
            if within_images
            else x.reshape(1, rows * count, *x.shape[2:])
        )

    def of_group(
        unit: jax.Array, positives: jax.Array, masked: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        candidates = unit.shape[0]

        @jax.checkpoint
        def of_row(row: jax.Array) -> tuple[jax.Array, jax.Array]:
            # Times the inverse, which check_temperature knows to be a number of this type.
            products = jnp.matmul(unit, unit[row], precision=_jax_formulas.HIGHEST) * inverse
            z = jnp.where(masked | (jnp.arange(candidates) == row), -jnp.inf, products)
            z = jnp.where(masked[row], 0, z)  # its loss becomes NaN below; here it is finite
            match = z[positives[row]]
            others = jnp.where(jnp.arange(candidates) == positives[row], -jnp.inf, z)
            return jax.nn.logsumexp(z) - match, match > others.max()

        found: tuple[jax.Array, jax.Array] = _mapped(
            of_row, jnp.arange(candidates), candidates, elements=candidates
        )
        return found

    masked = jnp.broadcast_to(non_finite[..., 0], (rows, count))
    groups = (grouped(unit), grouped(positives), grouped(masked))
    losses, is_right = _mapped(
        lambda group: of_group(*group), groups, images, elements=(2 * count) ** 2
    )
    if within_images:
        losses, is_right = (x.reshape(images, 2, count).swapaxes(0, 1) for x in (losses, is_right))
    factor = jnp.where(masked.ravel(), jnp.nan, 1).astype(losses.dtype)
    return losses.ravel() * factor, is_right.ravel()


def _mapped(function: Callable[..., Any], over: Any, calls: int, *, elements: int) -> Any:
    """``function`` for each of so many calls of so many elements, as many at once as fill a block;
    one at once where a size is symbolic."""
    if not isinstance(calls, int) or not isinstance(elements, int):
        return jax.lax.map(function, over)
    at_once = max(1, BLOCK // elements)
    # Without a remainder of no calls, in which JAX 0.5 cannot differentiate twice.
    if calls <= at_once:
        return jax.vmap(function)(over)
    return jax.lax.map(function, over, batch_size=at_once)


_OPERATOR = Operator(
    "contrastive_loss",
    _shapes,
    _formula,
    Derivative(losses=1, residuals=2, formula=_losses, non_finite=_jax_formulas.non_finite_images),
)
