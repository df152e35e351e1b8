"""What the functions of osc.jax demand of their arguments, checked when JAX traces them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _arrays, _library

_DTYPES = ("float64", "float32", "float16", "bfloat16")


def floats(name: str, value: Any) -> jax.Array:
    if not isinstance(value, (jax.Array, np.ndarray)):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a JAX array")
    array = jnp.asarray(value)
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"{name} is {array.dtype}; wanted float64, float32, float16 or bfloat16")
    return array


def slots(name: str, value: Any) -> jax.Array:
    array = floats(name, value)
    if array.ndim != 3 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {_arrays.SLOTS}")
    return array


def features(name: str, value: Any) -> jax.Array:
    """``value`` ``[2B, C]`` as slots of one each, ``[2B, 1, C]``."""
    array = floats(name, value)
    if array.ndim != 2 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {_arrays.FEATURES}")
    return array[:, None]


def check_same_dtype(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} is {x.dtype} and {other_name} is {other.dtype}; wanted the same dtype"
        )


def loss_options(reduction: str, eps: Any) -> tuple[tuple[str, Any], ...]:
    _library.reduction(reduction)
    return ("reduction", reduction), ("eps", _library.positive("eps", eps))
