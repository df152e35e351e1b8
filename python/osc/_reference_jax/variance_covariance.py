"""The variance and covariance terms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from . import HIGHEST, widened

OPERATOR = "variance_covariance_loss"


def results(options: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, samples, features = x.shape
    if x.size == 0 or samples == 1:
        nan = x.astype(jnp.float32).sum() * jnp.nan  # the gradient is NaN as well
        return nan.astype(x.dtype), nan.astype(x.dtype)
    wide = widened(x)
    centred = wide - wide.mean(1, keepdims=True)
    products = jnp.einsum("gnd,gne->gde", centred, centred, precision=HIGHEST)
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


losses = results  # there are no residuals


def nonfinite(x: jax.Array) -> jax.Array:
    return ~jnp.isfinite(x).all((1, 2), keepdims=True)
