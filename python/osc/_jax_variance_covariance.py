"""The operator of the variance and covariance terms: what it demands and gives, its formula."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from . import _jax_checks, _jax_formulas
from ._jax_operators import Arrays, Derivative, Operator, Shape, call


def terms(x: Any) -> tuple[jax.Array, jax.Array]:
    samples = _jax_checks.floats("x", x)
    if samples.ndim < 2:
        raise ValueError(
            f"x has shape {samples.shape}; wanted [..., N, D], N samples of D features"
        )
    groups = math.prod(samples.shape[:-2])
    variance, covariance = call(_OPERATOR, (), samples.reshape(groups, *samples.shape[-2:]))
    return variance, covariance


def _shapes(x: jax.Array) -> tuple[Any, ...]:
    return Shape((), x.dtype), Shape((), x.dtype)


def _formula(x: jax.Array) -> Arrays:
    groups, samples, features = x.shape
    if x.size == 0 or samples == 1:
        nan = x.astype(jnp.float32).sum() * jnp.nan  # so is its gradient
        return nan.astype(x.dtype), nan.astype(x.dtype)
    wide = _jax_formulas.widened(x)
    centred = wide - wide.mean(1, keepdims=True)
    products = jnp.einsum("gnd,gne->gde", centred, centred, precision=_jax_formulas.HIGHEST)
    covariance = products / (samples - 1)
    deviation = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2) + 1e-4)
    squares = jnp.where(jnp.eye(features, dtype=bool), 0, covariance) ** 2
    pairs = features * (features - 1)
    covariance_term = (
        squares.sum((1, 2)).mean() / pairs
        if pairs
        else jax.lax.stop_gradient(squares.sum() * jnp.nan)
    )
    return jnp.maximum(1 - deviation, 0).mean().astype(x.dtype), covariance_term.astype(x.dtype)


def _non_finite_groups(x: jax.Array) -> jax.Array:
    return ~jnp.isfinite(x).all((1, 2), keepdims=True)


_OPERATOR = Operator(
    "variance_covariance_loss",
    _shapes,
    _formula,
    Derivative(losses=2, residuals=0, formula=_formula, non_finite=_non_finite_groups),
)
