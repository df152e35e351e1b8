"""The losses of matched object slots on JAX arrays, under ``jit``, ``vmap`` and ``grad``.

On the CPU they are XLA custom calls (python/native/jax_handlers.cpp), which run on XLA's own threads. On other platforms the cosines and the loss are computed there by JAX,
and the assignment on the host, through one callback.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("osc.jax needs JAX: pip install jax") from error

from . import _assignment, _library

__all__ = ["matching_similarity_loss_per_img"]

_DTYPES = ("float64", "float32", "float16", "bfloat16")
_HANDLERS = ("osc_jax_similarity_loss", "osc_jax_similarity_gradient")
_CALLBACK_EVERYWHERE = False  # the tests set it, to try on the CPU what other platforms do

_pycapsule: Any = jax.ffi.pycapsule  # JAX leaves these two without types
_Shape: Any = jax.ShapeDtypeStruct

_library_of_handlers = ctypes.CDLL(str(_library.companion("libosc_jax.so")))
for _name in _HANDLERS:
    jax.ffi.register_ffi_target(_name, _pycapsule(getattr(_library_of_handlers, _name)), platform="cpu")


def matching_similarity_loss_per_img(f: jax.Array | npt.NDArray[Any], p: jax.Array | npt.NDArray[Any], reduction: str = "mean", *, eps: float = 1e-10) -> jax.Array:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The loss of a slot is ``(1 - cosine) / 2`` of its `p` and the
    `f` of its match.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots before the projection head. Rows ``i`` and ``i + B`` are the two views of image ``i``. Its gradient is zero.
    p : array, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype: float64 (with ``jax_enable_x64``), float32, float16 or bfloat16 (both computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of them in the order (view, image, slot). Static under ``jit``.
    eps : float
        Floor of a slot's norm, positive and finite. Static under ``jit``.

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        In the dtype of `p`.

    Raises
    ------
    TypeError
        When traced, where a dtype is none of those above, or the two differ, or an argument is no array.
    ValueError
        When traced, where a shape or an option is not as above.

    Notes
    -----
    An image that holds a NaN or an infinity has NaN losses and gradients and leaves the other images alone. The matching is done once, in the forward pass, and kept for
    the backward pass; `vmap` makes one call of the whole batch. O(S² C + S³) an image forward and O(SC) backward, in parallel over images on XLA's threads, and the same
    bits with any number of threads. Differentiable in reverse as often as wanted (from the second derivative on by JAX's own operations, the matching held fixed);
    forward mode (``jax.jvp``, ``jax.hessian``) is refused by JAX. Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
    object-centric representations", 2022 (arXiv 2203.05997), whose code returns ``(1 - Σ cosines) / 2`` for ``"sum"`` and an array ``[2, B, S]`` for ``"none"``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, osc.jax
    >>> view = jnp.eye(3)
    >>> slots = jnp.stack([view, view[jnp.array([2, 0, 1])]])
    >>> float(osc.jax.matching_similarity_loss_per_img(slots, slots))
    0.0
    >>> step = jax.jit(jax.value_and_grad(osc.jax.matching_similarity_loss_per_img, argnums=1))
    >>> loss, gradient = step(slots, slots + 0.5)
    >>> gradient.shape
    (2, 3, 3)
    """
    before, after = _slots("f", f), _slots("p", p)
    if before.shape != after.shape:
        raise ValueError(f"f {before.shape} and p {after.shape} must have the same shape")
    if before.dtype != after.dtype:
        raise TypeError(f"f is {before.dtype} and p is {after.dtype}; wanted the same dtype")
    _library.reduction(reduction)
    floor = float(eps)
    if not (floor > 0 and math.isfinite(floor)):
        raise ValueError(f"eps is {eps}; wanted a positive, finite number")
    loss: jax.Array = _loss_alone(before, after, reduction, floor)
    return loss


def _slots(name: str, value: Any) -> jax.Array:
    if not isinstance(value, (jax.Array, np.ndarray)):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a JAX array")
    array = jnp.asarray(value)
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"{name} is {array.dtype}; wanted float64, float32, float16 or bfloat16")
    if array.ndim != 3 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted [2B, S, C], in which rows i and i + B are the views of image i")
    return array


# Compiled, since JAX takes some 400 µs to go through a custom_vjp call by call.
@functools.partial(jax.jit, static_argnums=(2, 3))
def _loss_alone(f: jax.Array, p: jax.Array, reduction: str, eps: float) -> jax.Array:
    return _loss(jax.lax.stop_gradient(f), p, reduction, eps)[0]  # so that no zeros are sent back through the network that f comes from


# What is differentiated. A matching is int32 [B, S, 2]: the 64-bit integers of the library, low half first, as JAX has no others unless told to.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _loss(f: jax.Array, p: jax.Array, reduction: str, eps: float) -> tuple[jax.Array, jax.Array]:
    rows, slots, _ = p.shape
    results = (
        _Shape((rows * slots,) if reduction == "none" else (), p.dtype),
        _Shape((rows // 2, slots, 2), jnp.int32),
    )
    in_jax = functools.partial(_loss_and_matching_by_callback, reduction=reduction, eps=eps)
    loss, matching = _by_platform(_handler("osc_jax_similarity_loss", results, reduction, eps), in_jax, f, p)
    return loss, matching


# Forward passes call the differentiable function, not what is inside it, so that they can be differentiated again.
def _loss_forward(f: jax.Array, p: jax.Array, reduction: str, eps: float) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
    loss, matching = _loss(f, p, reduction, eps)
    return (loss, matching), (f, p, matching)


def _loss_backward(reduction: str, eps: float, kept: tuple[jax.Array, ...], gradients: tuple[jax.Array, Any]) -> tuple[None, jax.Array]:
    f, p, matching = kept
    return None, _gradient(f, p, matching, gradients[0], reduction, eps)


_loss.defvjp(_loss_forward, _loss_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _gradient(f: jax.Array, p: jax.Array, matching: jax.Array, grad_loss: jax.Array, reduction: str, eps: float) -> jax.Array:
    handler = _handler("osc_jax_similarity_gradient", _Shape(p.shape, p.dtype), reduction, eps)
    grad_p: jax.Array = _by_platform(handler, functools.partial(_gradient_in_jax, reduction=reduction, eps=eps), f, p, matching, grad_loss)
    return grad_p


def _gradient_forward(
    f: jax.Array, p: jax.Array, matching: jax.Array, grad_loss: jax.Array, reduction: str, eps: float
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _gradient(f, p, matching, grad_loss, reduction, eps), (f, p, matching, grad_loss)


def _gradient_backward(reduction: str, eps: float, kept: tuple[jax.Array, ...], grad_grad_p: jax.Array) -> tuple[Any, ...]:
    f, p, matching, grad_loss = kept
    _, pull_back = jax.vjp(lambda p, grad_loss: _gradient_in_jax(f, p, matching, grad_loss, reduction=reduction, eps=eps), p, grad_loss)
    grad_p, grad_grad_loss = pull_back(grad_grad_p)
    return None, grad_p, None, grad_grad_loss


_gradient.defvjp(_gradient_forward, _gradient_backward)


# What computes them: the library where the arrays are the CPU's, JAX elsewhere.


def _by_platform(on_cpu: Callable[..., Any], elsewhere: Callable[..., Any], *arguments: jax.Array) -> Any:
    if _CALLBACK_EVERYWHERE:
        return elsewhere(*arguments)
    return jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)


def _handler(name: str, results: Any, reduction: str, eps: float) -> Callable[..., Any]:
    call: Any = jax.ffi.ffi_call(name, results, vmap_method="broadcast_all")
    attributes = {"reduction": np.int64(_library.reduction(reduction)), "eps": np.float64(eps)}
    return lambda *arrays: tuple(call(*arrays, **attributes)) if isinstance(results, tuple) else call(*arrays, **attributes)  # older JAX gives a list


# The same in JAX.


def _loss_and_matching_by_callback(f: jax.Array, p: jax.Array, *, reduction: str, eps: float) -> tuple[jax.Array, jax.Array]:
    rows, slots, _ = f.shape
    units = _unit(_widened(f), eps)
    cosines = jnp.einsum("isc,itc->ist", units[: rows // 2], units[rows // 2 :], precision=jax.lax.Precision.HIGHEST)
    matching = jax.pure_callback(_match_on_host, _Shape((rows // 2, slots, 2), jnp.int32), cosines, vmap_method="broadcast_all")
    return _loss_in_jax(f, p, matching, reduction=reduction, eps=eps), matching


def _match_on_host(cosines: npt.ArrayLike) -> npt.NDArray[np.int32]:
    matching, _ = _assignment.linear_sum_assignment(np.asarray(cosines), maximize=True, on_unsolvable="unmatched")
    indices: npt.NDArray[np.int32] = matching[..., None].view(np.int32)
    return indices


def _loss_in_jax(f: jax.Array, p: jax.Array, matching: jax.Array, *, reduction: str, eps: float) -> jax.Array:
    images = f.shape[0] // 2
    finite = jnp.isfinite(f).all((1, 2)) & jnp.isfinite(p).all((1, 2))
    spoilt = jnp.where(jnp.tile(finite[:images] & finite[images:], 2), 1, jnp.nan)  # a factor, so that gradients become NaN, too
    slot_of_second = matching[..., :1]
    slot_of_first = jnp.argsort(slot_of_second, axis=1)
    target = jnp.concatenate([jnp.take_along_axis(f[images:], slot_of_second, 1), jnp.take_along_axis(f[:images], slot_of_first, 1)])
    cosines = (_unit(_widened(p), eps) * _unit(_widened(target), eps)).sum(-1)
    losses = ((1 - cosines) / 2 * spoilt[:, None].astype(cosines.dtype)).ravel()
    reduced = losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
    return reduced.astype(p.dtype)


def _gradient_in_jax(f: jax.Array, p: jax.Array, matching: jax.Array, grad_loss: jax.Array, *, reduction: str, eps: float) -> jax.Array:
    _, pull_back = jax.vjp(lambda p: _loss_in_jax(f, p, matching, reduction=reduction, eps=eps), p)
    grad_p: jax.Array = pull_back(grad_loss)[0]
    return grad_p


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _unit(x: jax.Array, eps: float) -> jax.Array:
    """x / max(|x|, eps), the norm taken of x over its greatest element, so that it neither overflows nor vanishes; no gradient flows to that factor, which cancels."""
    greatest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), -1, keepdims=True, initial=0))
    scale = jnp.where(greatest > 0, greatest, 1)
    scaled = x / scale
    squares = (scaled * scaled).sum(-1, keepdims=True)
    norm = jnp.sqrt(jnp.where(squares > 0, squares, 1))
    floor = eps / scale
    return scaled / jnp.where((squares > 0) & (norm > floor), norm, floor)
