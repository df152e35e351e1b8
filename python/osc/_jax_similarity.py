"""The operator of the similarity loss of matched slots: what it demands and gives, its formulas."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import _jax_checks, _jax_formulas
from ._jax_operators import Arrays, Derivative, Operator, Shape, call


def loss(
    name_f: str, f: jax.Array, name_p: str, p: jax.Array, reduction: str, eps: Any
) -> jax.Array:
    if f.shape != p.shape:
        raise ValueError(f"{name_f} {f.shape} and {name_p} {p.shape} must have the same shape")
    _jax_checks.check_same_dtype(name_f, f, name_p, p)
    value, _ = call(_OPERATOR, _jax_checks.loss_options(reduction, eps), f, p)
    return value


def _shapes(f: jax.Array, p: jax.Array, *, reduction: str, eps: float) -> tuple[Any, ...]:
    rows, slots, _ = p.shape
    return (
        Shape((rows * slots,) if reduction == "none" else (), p.dtype),
        _jax_formulas.index_shape(rows // 2, slots),
    )


def _formula(f: jax.Array, p: jax.Array, *, reduction: str, eps: float) -> Arrays:
    matching = _jax_formulas.match(f, eps)
    return *_losses(f, p, matching, reduction=reduction, eps=eps), matching


def _losses(
    f: jax.Array, p: jax.Array, matching: jax.Array, *, reduction: str, eps: float
) -> Arrays:
    images = f.shape[0] // 2
    target = jnp.take_along_axis(
        jnp.concatenate([f[images:], f[:images]]),
        _jax_formulas.partners(matching)[..., None],
        1,
    )
    unit_p, unit_target = (_jax_formulas.unit(_jax_formulas.widened(x), eps) for x in (p, target))
    cosines = (unit_p * unit_target).sum(-1)
    factor = jnp.where(_jax_formulas.non_finite_images(f, p)[:, 0], jnp.nan, 1)
    losses = ((1 - cosines) / 2 * factor.astype(cosines.dtype)).ravel()
    return (_jax_formulas.reduced(losses, reduction).astype(p.dtype),)


_OPERATOR = Operator(
    "similarity_loss",
    _shapes,
    _formula,
    Derivative(losses=1, residuals=1, formula=_losses, non_finite=_jax_formulas.non_finite_images),
)
