"""The formulas of the losses in plain JAX, a module a loss.

A module has ``results`` (the losses and outputs of an operator), ``losses`` (the losses, given the
residuals, which are constant) and ``nonfinite`` (where gradients are NaN, broadcast to the last
input). They compute on platforms other than the CPU, and derivatives of the second order and above
are made of them.

16-bit arrays are computed in float32. An image that holds a NaN or an infinity has NaN losses and
gradients. Results of 64 bits are int32 ``[..., 2]``, low half first, since JAX has no 64-bit
numbers unless told to. This module holds what the losses share.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from .._assignment import linear_sum_assignment

HIGHEST = jax.lax.Precision.HIGHEST
_shape: Any = jax.ShapeDtypeStruct  # JAX leaves it without types


def widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def unit(x: jax.Array, eps: float) -> jax.Array:
    """``x / max(|x|, eps)``. The norm is taken of x over its greatest element, so that it neither
    overflows nor vanishes; no gradient flows to that factor, which cancels."""
    greatest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), -1, keepdims=True, initial=0))
    scale = jnp.where(greatest > 0, greatest, 1)
    scaled = x / scale
    squares = (scaled * scaled).sum(-1, keepdims=True)
    norm = jnp.sqrt(jnp.where(squares > 0, squares, 1))
    # Where the floor is not a number of this type, it is the nearest one.
    limits = np.finfo(x.dtype)
    floor = min(max(eps, float(limits.tiny)), float(limits.max)) / scale
    return scaled / jnp.where((squares > 0) & (norm > floor), norm, floor)


def reduced(losses: jax.Array, reduction: str) -> jax.Array:
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def nonfinite(*slots: jax.Array) -> jax.Array:
    """``[2B, 1, 1]``: whether an image of ``[2B, S, C]`` holds a NaN or an infinity in any of
    these."""
    images = slots[0].shape[0] // 2
    finite = functools.reduce(
        jnp.logical_and, (jnp.isfinite(x).all((1, 2), keepdims=True) for x in slots)
    )
    return jnp.tile(~(finite[:images] & finite[images:]), (2, 1, 1))


def match(f: jax.Array, eps: float) -> jax.Array:
    """``[B, S, 2]``: the slot of view 1 that each slot of view 0 is matched to, by a callback."""
    rows, slots, _ = f.shape
    units = unit(widened(f), eps)
    cosines = jnp.einsum("isc,itc->ist", units[: rows // 2], units[rows // 2 :], precision=HIGHEST)
    matching: jax.Array = jax.pure_callback(
        lambda cosines: assign_on_host(cosines, maximize=True)[0],
        index_shape(rows // 2, slots),
        cosines,
        vmap_method="broadcast_all",
    )
    return matching


def partners(matching: jax.Array) -> jax.Array:
    """``[2B, S]``: the slot of the other view that each slot is matched to."""
    slot_of_second = matching[..., 0]
    # the inverse of a permutation sorts it
    return jnp.concatenate([slot_of_second, jnp.argsort(slot_of_second, axis=1)])


def assign_on_host(
    costs: npt.ArrayLike, *, maximize: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    col4row, row4col = linear_sum_assignment(
        np.asarray(costs), maximize=maximize, on_unsolvable="unmatched"
    )
    return col4row[..., None].view(np.int32), row4col[..., None].view(np.int32)


def index_shape(*shape: int) -> Any:
    return _shape((*shape, 2), jnp.int32)
