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
    if value.dtype.name not in _DTYPES or not value.dtype.isnative:
        raise TypeError(f"{name} is {value.dtype}; wanted float64, float32, float16 or bfloat16")
    array = value if isinstance(value, jax.Array) else jnp.asarray(value)
    if array.dtype == np.float64 and jnp.result_type(float) != np.float64:
        raise TypeError(f"{name} is float64, which takes jax_enable_x64; wanted that or float32")
    return _gathered(array)


def slots(name: str, value: Any) -> jax.Array:
    array = floats(name, value)
    _check_views(name, array, 3, _arrays.SLOTS)
    return array


def features(name: str, value: Any) -> jax.Array:
    """``value`` ``[2B, C]`` as slots of one each, ``[2B, 1, C]``."""
    array = floats(name, value)
    _check_views(name, array, 2, _arrays.FEATURES)
    return jnp.expand_dims(array, 1)


def check_same_dtype(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} is {x.dtype} and {other_name} is {other.dtype}; wanted the same dtype"
        )


def loss_options(reduction: str, eps: Any) -> tuple[tuple[str, Any], ...]:
    _library.reduction(reduction)
    return ("reduction", reduction), ("eps", _library.positive("eps", eps))


def _gathered(array: jax.Array) -> jax.Array:
    """``array``, whole on every device where its type says that axes of a mesh divide it: a loss
    compares all of its elements. (Where its type does not say so, XLA gathers it.)"""
    sharding = jax.typeof(array).sharding if hasattr(jax, "typeof") else None  # before JAX 0.6
    if sharding is None or not any(sharding.spec):
        return array
    in_jax: Any = jax.sharding  # JAX leaves this without types
    whole: jax.Array = in_jax.reshard(
        array, in_jax.NamedSharding(sharding.mesh, in_jax.PartitionSpec())
    )
    return whole


def _check_views(name: str, array: jax.Array, dimensions: int, wanted: str) -> None:
    # A symbolic remainder, of a size that may be odd, is true.
    if array.ndim != dimensions or array.shape[0] % 2:
        symbolic = array.ndim > 0 and not isinstance(array.shape[0], int)
        hint = "; a symbolic number of rows is written as 2*b" if symbolic else ""
        raise ValueError(f"{name} has shape {array.shape}; wanted {wanted}{hint}")
