"""The losses of matched object slots and of whole images, and the assignments, on JAX arrays, under
``jit``, ``vmap`` and ``grad``.

On the CPU they are XLA custom calls (python/native/jax_handlers.cpp), which run on XLA's own
threads. On other platforms the cosines and the losses are computed there by JAX, and the
assignments on the host, through one callback.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("osc.jax needs JAX: pip install jax") from error

from . import _arrays, _assignment, _library, _options
from ._library import matching_contrastive_loss_best_worst

__all__ = [
    "contrastive_loss",
    "cosine_sim_loss",
    "linear_sum_assignment",
    "match_slots",
    "matching_contrastive_loss",
    "matching_contrastive_loss_best_worst",
    "matching_contrastive_loss_per_img",
    "matching_similarity_loss_per_img",
    "matching_similarity_loss_small_to_large",
    "variance_covariance_loss",
]

ArrayLike: TypeAlias = jax.Array | npt.NDArray[Any]

_DTYPES = ("float64", "float32", "float16", "bfloat16")
_CALLBACK_EVERYWHERE = False  # the tests set it, to try on the CPU what other platforms do
_BLOCK = 1 << 24  # elements of a block of cosines on other platforms

_pycapsule: Any = jax.ffi.pycapsule  # JAX leaves these two without types
_Shape: Any = jax.ShapeDtypeStruct

_library_of_handlers = ctypes.CDLL(str(_library.companion("libosc_jax.so")))


def matching_similarity_loss_per_img(
    f: ArrayLike, p: ArrayLike, reduction: _options.Reduction = "mean", *, eps: float = 1e-10
) -> jax.Array:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The
    loss of a slot is ``(1 - cosine) / 2`` of its `p` and the `f` of its match.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots before the projection head. Rows ``i`` and ``i + B`` are the two views of image ``i``.
        Its gradient is zero.
    p : array, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype: float64 (with
        ``jax_enable_x64``), float32, float16 or bfloat16 (both computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of
        them in the order (view, image, slot). Static under ``jit``.
    eps : float
        Floor of a slot's norm, positive and finite. Static under ``jit``.

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        In the dtype of `p`.

    Raises
    ------
    TypeError
        When traced, where a dtype is none of those above, or the two differ, an argument is no
        array, or `eps` no number.
    ValueError
        When traced, where a shape or an option is not as above.

    Notes
    -----
    An image that holds a NaN or an infinity has NaN losses and gradients and leaves the other
    images alone. The matching is done once, in the forward pass, and kept for the backward pass;
    `vmap` makes one call of the whole batch. O(S² C + S³) an image forward and O(SC) backward, in
    parallel over images on XLA's threads, and the same bits with any number of threads.
    Differentiable in reverse as often as wanted (from the second derivative on by JAX's own
    operations, the matching held fixed); forward mode (``jax.jvp``, ``jax.hessian``) is refused by
    JAX. Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
    object-centric representations", 2022 (arXiv 2203.05997), whose code returns ``(1 - Σ cosines) /
    2`` for ``"sum"`` and an array ``[2, B, S]`` for ``"none"``.

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
    loss: jax.Array = _similarity_loss("f", _slots("f", f), "p", _slots("p", p), reduction, eps)
    return loss


def cosine_sim_loss(
    feats: ArrayLike,
    projs: ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> jax.Array:
    """Similarity loss of each image to its other view, as in SimSiam: ``(1 - cosine) / 2`` of its
    `projs` and the other view's `feats`.

    `matching_similarity_loss_per_img`, which says the rest, with one slot.

    Parameters
    ----------
    feats, projs : array, shape [2B, C]
        Features before and after the projection head, of one dtype. Rows ``i`` and ``i + B`` are
        the two views of image ``i``. The gradient for `feats` is zero.
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2B of
        them in the order (view, image). Static under ``jit``.
    eps : float
        Floor of a norm, positive and finite. Static under ``jit``.

    Returns
    -------
    loss : array, scalar or of shape [2B]
        In the dtype of `projs`.

    Raises
    ------
    TypeError, ValueError
        As there.

    Notes
    -----
    Source: X. Chen and K. He, "Exploring simple Siamese representation learning", CVPR 2021, in the
    form of F. Baldassarre and H. Azizpour, 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> feats = jnp.array([[1.0, 0.0], [0.0, 2.0]])     # orthogonal views of one image
    >>> float(osc.jax.cosine_sim_loss(feats, feats))
    0.5
    """
    loss: jax.Array = _similarity_loss(
        "feats", _features("feats", feats), "projs", _features("projs", projs), reduction, eps
    )
    return loss


def matching_contrastive_loss(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> jax.Array:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of the batch.

    The slots of the two views are matched so that the sum of their cosines is greatest. The loss of
    a slot is the cross entropy of its match among all 2BS slots but itself, by their cosines over
    `temperature`.

    Parameters
    ----------
    slots : array, shape [2B, S, C]
        Slots of float64 (with ``jax_enable_x64``), float32, float16 or bfloat16 (both computed in
        float32). Rows ``i`` and ``i + B`` are the two views of image ``i``. The gradient flows to
        every slot, also as a candidate of others, and not through the matching.
    temperature : float
        Positive and finite; a number, static under ``jit``: none is learned.
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of
        them in the order (view, image, slot). Static under ``jit``.
    eps : float
        Floor of a slot's norm, positive and finite. Static under ``jit``.

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        In the dtype of `slots`.

    Raises
    ------
    TypeError
        When traced, where the dtype is none of those above, or an argument is no array, or no
        number.
    ValueError
        When traced, where a shape or an option is not as above.

    Notes
    -----
    An image that holds a NaN or an infinity has NaN losses and gradients, and its slots are
    nobody's candidates, so that the other images have what they would have without it. With N =
    2BS, N² C / 2 multiplications forward and 3 N² C / 2 backward; no N x N matrix is stored.
    Differentiable in reverse as often as wanted (from the second derivative on by JAX's own
    operations, the matching held fixed); forward mode is refused by JAX. Source: F. Baldassarre and
    H. Azizpour, "Towards self-supervised learning of global and object-centric representations",
    2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> slots = jnp.ones((4, 3, 8))                     # all equal, the worst case: log(2BS - 1)
    >>> round(float(osc.jax.matching_contrastive_loss(slots)), 4)
    2.3979
    """
    return _contrastive_loss(_slots("slots", slots), False, temperature, reduction, eps)[0]


def matching_contrastive_loss_per_img(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> jax.Array:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of that image.

    As `matching_contrastive_loss`, which says the rest, with the 2S slots of the slot's own image
    as candidates: ``log(2S - 1)`` where all slots are equal.

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> slots = jnp.broadcast_to(jnp.eye(3), (4, 3, 3))  # equal to their matches and orthogonal to
    the others: the best case
    >>> round(float(osc.jax.matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    return _contrastive_loss(_slots("slots", slots), True, temperature, reduction, eps)[0]


def contrastive_loss(
    projs: ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> tuple[jax.Array, jax.Array]:
    """Contrastive loss of each image, as in SimCLR: to tell its other view from all other images of
    the batch; and how often that succeeds.

    `matching_contrastive_loss`, which says the rest, with one slot.

    Parameters
    ----------
    projs : array, shape [2B, C]
        Features. Rows ``i`` and ``i + B`` are the two views of image ``i``.
    temperature, reduction, eps
        As there; ``"none"`` gives 2B losses in the order (view, image).

    Returns
    -------
    loss : array, scalar or of shape [2B]
        In the dtype of `projs`.
    accuracy : array, float32 scalar
        The share of (finite) rows that resemble their other view strictly more than every other
        candidate; NaN where there are none. Its gradient is zero.

    Raises
    ------
    TypeError, ValueError
        As there.

    Notes
    -----
    Source: T. Chen, S. Kornblith, M. Norouzi and G. Hinton, "A simple framework for contrastive
    learning of visual representations", ICML 2020, in the form of F. Baldassarre and H. Azizpour,
    2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> projs = jnp.tile(jnp.eye(2), (2, 1))            # two images, each with two equal views
    >>> loss, accuracy = osc.jax.contrastive_loss(projs, temperature=0.5)
    >>> round(float(loss), 4), float(accuracy)
    (0.2395, 1.0)
    """
    return _contrastive_loss(_features("projs", projs), False, temperature, reduction, eps)


def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> tuple[jax.Array, jax.Array]:
    """Similarity loss of the slots of small crops to those of large crops of the same image, where
    the two resemble each other most.

    For each image and each pair of a large and a small crop: a slot of the small crop counts where
    it and its best slot of the large crop, by their cosine, are each other's best. The loss of the
    pair is the mean over the slots that count of ``(1 - cosine) / 2``.

    Parameters
    ----------
    f_large : array, shape [B, Al, L, C]
        Slots of Al large crops of each image before the projection head, L of each. Its gradient is
        zero.
    p_small : array, shape [B, As, S, C]
        Slots of As small crops after the projection head, S of each, of the same dtype: float64
        (with ``jax_enable_x64``), float32, float16 or bfloat16 (both computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean over the pairs in which a slot counts (NaN where there are none), their sum, or the
        losses of all pairs, NaN where no slot counts. Static under ``jit``.
    eps : float
        Floor of a slot's norm, positive and finite. Static under ``jit``.

    Returns
    -------
    loss : array, scalar or of shape [B, Al, As]
        In the dtype of `p_small`.
    counted_ratio : array, float32 scalar
        The share of the B Al As S slots that count; NaN where there are none. Its gradient is zero.

    Raises
    ------
    TypeError
        When traced, where a dtype is none of those above, or the two differ, an argument is no
        array, or `eps` no number.
    ValueError
        When traced, where a shape or an option is not as above.

    Notes
    -----
    An image that holds a NaN or an infinity has NaN losses and gradients, as have the mean and the
    sum. Al L As S C multiplications an image; of equal cosines the first is the greatest.
    Derivatives as of `matching_contrastive_loss`. Source: F. Baldassarre and H. Azizpour, "Towards
    self-supervised learning of global and object-centric representations", 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> large = jnp.broadcast_to(jnp.eye(4), (1, 2, 4, 4))                      # an image with two
    large crops of four slots
    >>> small = jnp.broadcast_to(jnp.eye(4)[jnp.array([2, 0])], (1, 3, 2, 4))   # and three small
    ones, of two of them
    >>> loss, counted_ratio = osc.jax.matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), float(counted_ratio)
    (0.0, 1.0)
    """
    large, small = _floats("f_large", f_large), _floats("p_small", p_small)
    for name, crops, wanted in (
        ("f_large", large, "[B, Al, L, C]"),
        ("p_small", small, "[B, As, S, C]"),
    ):
        if crops.ndim != 4:
            raise ValueError(
                f"{name} has shape {crops.shape}; wanted {wanted}: images, crops, slots, channels"
            )
    if large.shape[0] != small.shape[0] or large.shape[3] != small.shape[3]:
        raise ValueError(
            f"f_large {large.shape} and p_small {small.shape} must have as many images and channels"
        )
    _check_same_dtype("f_large", large, "p_small", small)
    loss, _, counted_ratio = _call(
        _SMALL_TO_LARGE, _loss_options(reduction, eps), jax.lax.stop_gradient(large), small
    )
    return loss, counted_ratio


def variance_covariance_loss(x: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """How little the features of samples vary, and how much they vary together: two regularisers of
    embeddings.

    With K the unbiased covariance of the D features over the N samples of a group: the variance
    term is the mean over features of ``max(0, 1 - sqrt(K[d, d] + 1e-4))``, the covariance term the
    mean over pairs of different features of ``K[d, e]²``; each averaged over groups.

    Parameters
    ----------
    x : array, shape [..., N, D]
        Groups of N samples of D features, of float64 (with ``jax_enable_x64``), float32, float16 or
        bfloat16 (both computed in float32).

    Returns
    -------
    variance, covariance : arrays, scalars
        In the dtype of `x`. NaN of one sample, or where a size is 0; the covariance also of one
        feature.

    Raises
    ------
    TypeError
        When traced, where the dtype is none of those above, or `x` is no array.
    ValueError
        When traced, where there are fewer than two dimensions.

    Notes
    -----
    A group that holds a NaN or an infinity makes both terms NaN and has a gradient of NaN, which
    leaves that of other groups alone. N D² / 2 multiplications a group forward, three times as many
    backward. Derivatives as of `matching_contrastive_loss`. Source: A. Bardes, J. Ponce and Y.
    LeCun, "VICReg", ICLR 2022, in the form of F. Baldassarre and H. Azizpour, 2022 (arXiv
    2203.05997).

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> x = jnp.array([[1.0, 1.0], [-1.0, -1.0]])       # two features that say the same
    >>> variance, covariance = osc.jax.variance_covariance_loss(x)
    >>> float(variance), float(covariance)
    (0.0, 4.0)
    """
    samples = _floats("x", x)
    if samples.ndim < 2:
        raise ValueError(
            f"x has shape {samples.shape}; wanted [..., N, D], N samples of D features"
        )
    groups = int(np.prod(samples.shape[:-2]))
    variance, covariance = _call(
        _VARIANCE_COVARIANCE, (), samples.reshape(groups, *samples.shape[-2:])
    )
    return variance, covariance


def match_slots(f: ArrayLike, *, eps: float = 1e-10) -> jax.Array:
    """Match the slots of two views of each image, so that the sum of their cosines is greatest;
    under ``jit`` and ``vmap``, too.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots of float64 (with ``jax_enable_x64``), float32, float16 or bfloat16. Rows ``i`` and ``i
        + B`` are the two views of image ``i``.
    eps : float
        Floor of a slot's norm, positive and finite. Static under ``jit``.

    Returns
    -------
    int32 array (int64 with ``jax_enable_x64``), shape [B, S]
        Slot ``s`` of view 0 of image ``i`` is matched to slot ``result[i, s]`` of view 1; -1
        throughout for an image that holds a NaN or an infinity. No gradient flows.

    Raises
    ------
    TypeError, ValueError
        When traced, where a dtype, a shape or `eps` is not as above.

    Notes
    -----
    As `osc.match_slots`, which says the rest.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, osc.jax
    >>> view = jnp.eye(3)
    >>> jax.jit(osc.jax.match_slots)(jnp.stack([view, view[jnp.array([2, 0, 1])]])).tolist()
    [[1, 2, 0]]
    """
    slots = jax.lax.stop_gradient(_slots("f", f))
    rows, count, _ = slots.shape
    options = (("eps", _library.positive("eps", eps)),)
    handler = _handler("match_slots", (_pairs_shape(rows // 2, count),), options)
    (matching,) = _by_platform(
        handler, lambda f: (_matching_by_callback(f, **dict(options)),), slots
    )
    return _indices(matching)


def linear_sum_assignment(cost: ArrayLike, maximize: bool = False) -> tuple[jax.Array, jax.Array]:
    """Solve a batch of linear sum assignment problems exactly; under ``jit`` and ``vmap``, too.

    Parameters
    ----------
    cost : array, shape [..., R, K]
        Costs of pairing each of R rows with each of K columns: float64 (with ``jax_enable_x64``),
        float32, float16 or bfloat16. ``+inf`` forbids a pair (``-inf`` where one maximises).
    maximize : bool
        Find the greatest total, not the least. Static under ``jit``.

    Returns
    -------
    col4row : int32 array (int64 with ``jax_enable_x64``), shape [..., R]
        The column that each row is assigned to, -1 for none: all of a problem that has no answer,
        since no error can be raised from inside a compiled program. No gradient flows.
    row4col : the same, shape [..., K]
        The row that each column is assigned to, -1 for none.

    Raises
    ------
    TypeError, ValueError
        When traced, where the dtype, the shape or `maximize` is not as above.

    Notes
    -----
    As `osc.linear_sum_assignment`, which says the rest.

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> col4row, row4col = osc.jax.linear_sum_assignment(jnp.array([[4.0, 1, 3], [2, 0, 5], [3, 2,
    2]]))
    >>> col4row.tolist()
    [1, 0, 2]
    """
    costs = jax.lax.stop_gradient(_floats("cost", cost))
    if costs.ndim < 2:
        raise ValueError(f"cost has shape {costs.shape}; wanted [..., R, K]")
    if not isinstance(maximize, (bool, np.bool_)):
        raise TypeError(
            f"maximize is {maximize!r}; wanted True or False{_library.static_hint(maximize)}"
        )
    *batch, rows, columns = costs.shape
    shapes = (_pairs_shape(*batch, rows), _pairs_shape(*batch, columns))
    handler = _handler("linear_sum_assignment", shapes, (("maximize", bool(maximize)),))

    def by_callback(costs: jax.Array) -> Any:
        return jax.pure_callback(
            functools.partial(_assign_on_host, maximize=bool(maximize)),
            shapes,
            costs,
            vmap_method="broadcast_all",
        )

    col4row, row4col = _by_platform(handler, by_callback, costs)
    return _indices(col4row), _indices(row4col)


# Arguments.


def _floats(name: str, value: Any) -> jax.Array:
    if not isinstance(value, (jax.Array, np.ndarray)):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a JAX array")
    array = jnp.asarray(value)
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"{name} is {array.dtype}; wanted float64, float32, float16 or bfloat16")
    return array


def _slots(name: str, value: Any) -> jax.Array:
    array = _floats(name, value)
    if array.ndim != 3 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {_arrays.SLOTS}")
    return array


def _features(name: str, value: Any) -> jax.Array:
    array = _floats(name, value)
    if array.ndim != 2 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {_arrays.FEATURES}")
    return array[:, None]


def _check_same_dtype(name: str, x: jax.Array, other_name: str, other: jax.Array) -> None:
    if x.dtype != other.dtype:
        raise TypeError(
            f"{name} is {x.dtype} and {other_name} is {other.dtype}; wanted the same dtype"
        )


def _loss_options(reduction: str, eps: Any) -> tuple[tuple[str, Any], ...]:
    _library.reduction(reduction)
    return ("reduction", reduction), ("eps", _library.positive("eps", eps))


def _similarity_loss(
    name_f: str, f: jax.Array, name_p: str, p: jax.Array, reduction: str, eps: Any
) -> Any:
    if f.shape != p.shape:
        raise ValueError(f"{name_f} {f.shape} and {name_p} {p.shape} must have the same shape")
    _check_same_dtype(name_f, f, name_p, p)
    # so that no zeros are sent back through the network that f comes from
    return _call(_SIMILARITY, _loss_options(reduction, eps), jax.lax.stop_gradient(f), p)[0]


def _contrastive_loss(
    slots: jax.Array, within_images: bool, temperature: Any, reduction: str, eps: Any
) -> tuple[jax.Array, jax.Array]:
    number = _library.positive("temperature", temperature)
    _library.check_temperature(number, slots.dtype == np.float64)
    options = (
        ("within_images", within_images),
        ("temperature", number),
        *_loss_options(reduction, eps),
    )
    loss, _, _, accuracy = _call(_CONTRASTIVE, options, slots)
    return loss, accuracy


# What is differentiated: the last array of an operator, with respect to its losses. A matching is
# int32 [..., 2]: the 64-bit integers of the library, low half first, as JAX has no others unless
# told to; likewise the log_sums, which are float64.


@dataclasses.dataclass(frozen=True)
class _Operator:
    name: str  # its handlers are <name>_loss and <name>_gradient
    losses: int  # the first of its results
    kept: int  # the next, which the gradient takes
    results: Callable[..., tuple[Any, ...]]  # their shapes
    in_jax: Callable[..., tuple[Any, ...]]  # the operator on other platforms
    # the losses by the arrays and what was kept, differentiable
    losses_in_jax: Callable[..., tuple[jax.Array, ...]]
    # where the last array's gradient is NaN, for want of finite numbers
    spoilt: Callable[..., jax.Array]


# Compiled, since JAX takes some 400 µs to go through a custom_vjp call by call.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _call(
    operator: _Operator, options: tuple[tuple[str, Any], ...], *arrays: jax.Array
) -> tuple[jax.Array, ...]:
    results: tuple[jax.Array, ...] = _results(operator, options, arrays)
    return results


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _results(
    operator: _Operator, options: tuple[tuple[str, Any], ...], arrays: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    handler = _handler(operator.name + "_loss", operator.results(*arrays, **dict(options)), options)
    results: tuple[jax.Array, ...] = _by_platform(
        handler, functools.partial(operator.in_jax, **dict(options)), *arrays
    )
    return results


# Forward passes call the differentiable function, not what is inside it, so that they can be
# differentiated again.
def _results_forward(
    operator: _Operator, options: tuple[tuple[str, Any], ...], arrays: tuple[jax.Array, ...]
) -> tuple[tuple[jax.Array, ...], Any]:
    results = _results(operator, options, arrays)
    return results, (arrays, results[operator.losses : operator.losses + operator.kept])


def _results_backward(
    operator: _Operator,
    options: tuple[tuple[str, Any], ...],
    saved: Any,
    gradients: tuple[Any, ...],
) -> Any:
    arrays, kept = saved
    return (
        (
            *(None for _ in arrays[:-1]),
            _gradient(operator, options, arrays, kept, gradients[: operator.losses]),
        ),
    )


_results.defvjp(_results_forward, _results_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gradient(
    operator: _Operator,
    options: tuple[tuple[str, Any], ...],
    arrays: tuple[jax.Array, ...],
    kept: tuple[jax.Array, ...],
    incoming: tuple[jax.Array, ...],
) -> jax.Array:
    handler = _handler(
        operator.name + "_gradient", (_Shape(arrays[-1].shape, arrays[-1].dtype),), options
    )

    def in_jax(*flat: jax.Array) -> tuple[jax.Array]:
        return (
            _gradient_in_jax(
                operator,
                options,
                flat[: len(arrays)],
                flat[len(arrays) : len(arrays) + len(kept)],
                flat[len(arrays) + len(kept) :],
            ),
        )

    gradient: jax.Array = _by_platform(handler, in_jax, *arrays, *kept, *incoming)[0]
    return gradient


def _gradient_forward(
    operator: _Operator, options: tuple[tuple[str, Any], ...], *saved: Any
) -> tuple[jax.Array, Any]:
    return _gradient(operator, options, *saved), saved


def _gradient_backward(
    operator: _Operator, options: tuple[tuple[str, Any], ...], saved: Any, grad_gradient: jax.Array
) -> Any:
    arrays, kept, incoming = saved
    _, pull_back = jax.vjp(
        lambda last, incoming: _gradient_in_jax(
            operator, options, (*arrays[:-1], last), kept, incoming
        ),
        arrays[-1],
        incoming,
    )
    grad_last, grad_incoming = pull_back(grad_gradient)
    return (*(None for _ in arrays[:-1]), grad_last), tuple(None for _ in kept), grad_incoming


_gradient.defvjp(_gradient_forward, _gradient_backward)


def _gradient_in_jax(
    operator: _Operator, options: tuple[tuple[str, Any], ...], arrays: Any, kept: Any, incoming: Any
) -> jax.Array:
    _, pull_back = jax.vjp(
        lambda last: operator.losses_in_jax(*arrays[:-1], last, *kept, **dict(options)), arrays[-1]
    )
    return jnp.where(operator.spoilt(*arrays), jnp.nan, pull_back(tuple(incoming))[0])


# What computes them: the library where the arrays are the CPU's, JAX elsewhere.


def _by_platform(
    on_cpu: Callable[..., Any], elsewhere: Callable[..., Any], *arrays: jax.Array
) -> Any:
    if _CALLBACK_EVERYWHERE:
        return elsewhere(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def _handler(
    name: str, results: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> Callable[..., tuple[jax.Array, ...]]:
    target = f"osc_jax_{name}"
    _register(target)
    call: Any = jax.ffi.ffi_call(target, results, vmap_method="broadcast_all")
    attributes = {
        key: np.int64(_library.reduction(value))
        if key == "reduction"
        else np.bool_(value)
        if isinstance(value, bool)
        else np.float64(value)
        for key, value in options
    }
    return lambda *arrays: tuple(call(*arrays, **attributes))  # older JAX gives a list


@functools.cache
def _register(target: str) -> None:
    jax.ffi.register_ffi_target(
        target, _pycapsule(getattr(_library_of_handlers, target)), platform="cpu"
    )


def _pairs_shape(*shape: int) -> Any:
    return _Shape((*shape, 2), jnp.int32)


def _indices(pairs: jax.Array) -> jax.Array:
    # the low half has the sign, too
    return pairs[..., 0].astype(jax.dtypes.canonicalize_dtype(np.int64))


# The same in JAX.


def _match_on_host(cosines: npt.ArrayLike) -> npt.NDArray[np.int32]:
    return _assign_on_host(cosines, maximize=True)[0]


def _assign_on_host(
    costs: npt.ArrayLike, *, maximize: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    col4row, row4col = _assignment.linear_sum_assignment(
        np.asarray(costs), maximize=maximize, on_unsolvable="unmatched"
    )
    return _as_pairs(col4row), _as_pairs(row4col)


def _as_pairs(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    pairs: npt.NDArray[np.int32] = indices[..., None].view(np.int32)
    return pairs


def _matching_by_callback(f: jax.Array, *, eps: float) -> jax.Array:
    rows, slots, _ = f.shape
    units = _unit(_widened(f), eps)
    cosines = jnp.einsum(
        "isc,itc->ist", units[: rows // 2], units[rows // 2 :], precision=jax.lax.Precision.HIGHEST
    )
    matching: jax.Array = jax.pure_callback(
        _match_on_host, _pairs_shape(rows // 2, slots), cosines, vmap_method="broadcast_all"
    )
    return matching


def _reduced(losses: jax.Array, reduction: str) -> jax.Array:
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _partners(matching: jax.Array) -> jax.Array:
    """``[2B, S]``: the slot of the other view that each slot is matched to."""
    slot_of_second = matching[..., 0]
    return jnp.concatenate([slot_of_second, jnp.argsort(slot_of_second, axis=1)])


def _spoilt_slots(*slots: jax.Array) -> jax.Array:
    """``[2B, 1, 1]``: whether an image of ``[2B, S, C]`` holds a NaN or an infinity in any of
    these."""
    images = slots[0].shape[0] // 2
    finite = functools.reduce(
        jnp.logical_and, (jnp.isfinite(x).all((1, 2), keepdims=True) for x in slots)
    )
    return jnp.tile(~(finite[:images] & finite[images:]), (2, 1, 1))


def _similarity_results(
    f: jax.Array, p: jax.Array, *, reduction: str, eps: float
) -> tuple[Any, ...]:
    rows, slots, _ = p.shape
    return _Shape((rows * slots,) if reduction == "none" else (), p.dtype), _pairs_shape(
        rows // 2, slots
    )


def _similarity_in_jax(
    f: jax.Array, p: jax.Array, *, reduction: str, eps: float
) -> tuple[jax.Array, ...]:
    matching = _matching_by_callback(f, eps=eps)
    return *_similarity_losses_in_jax(f, p, matching, reduction=reduction, eps=eps), matching


def _similarity_losses_in_jax(
    f: jax.Array, p: jax.Array, matching: jax.Array, *, reduction: str, eps: float
) -> tuple[jax.Array]:
    images = f.shape[0] // 2
    spoilt = jnp.where(_spoilt_slots(f, p)[:, 0], jnp.nan, 1)
    target = jnp.take_along_axis(
        jnp.concatenate([f[images:], f[:images]]), _partners(matching)[..., None], 1
    )
    cosines = (_unit(_widened(p), eps) * _unit(_widened(target), eps)).sum(-1)
    losses = ((1 - cosines) / 2 * spoilt.astype(cosines.dtype)).ravel()
    return (_reduced(losses, reduction).astype(p.dtype),)


_SIMILARITY = _Operator(
    "similarity",
    1,
    1,
    _similarity_results,
    _similarity_in_jax,
    _similarity_losses_in_jax,
    _spoilt_slots,
)


def _contrastive_results(
    slots: jax.Array, *, within_images: bool, temperature: float, reduction: str, eps: float
) -> tuple[Any, ...]:
    rows, count, _ = slots.shape
    loss = _Shape((rows * count,) if reduction == "none" else (), slots.dtype)
    return loss, _pairs_shape(rows // 2, count), _pairs_shape(rows * count), _Shape((), jnp.float32)


def _contrastive_in_jax(
    slots: jax.Array, *, within_images: bool, temperature: float, reduction: str, eps: float
) -> tuple[jax.Array, ...]:
    rows, count, _ = slots.shape
    matching = _matching_by_callback(slots, eps=eps)
    losses, is_right = _contrast(slots, matching, within_images, temperature, eps)
    finite = ~jnp.isnan(losses)
    accuracy = (is_right & finite).sum() / finite.sum()
    return (
        _reduced(losses, reduction).astype(slots.dtype),
        matching,
        jnp.zeros((rows * count, 2), jnp.int32),
        accuracy.astype(jnp.float32),
    )


def _contrastive_losses_in_jax(
    slots: jax.Array,
    matching: jax.Array,
    log_sums: jax.Array,
    *,
    within_images: bool,
    temperature: float,
    reduction: str,
    eps: float,
) -> tuple[jax.Array]:
    losses, _ = _contrast(slots, matching, within_images, temperature, eps)
    return (_reduced(losses, reduction).astype(slots.dtype),)


def _contrast(
    slots: jax.Array, matching: jax.Array, within_images: bool, temperature: float, eps: float
) -> tuple[jax.Array, jax.Array]:
    """``[2BS]``: the losses, and whether a slot resembles its match most. Of N candidates a block
    of rows at a time, so that no N x N matrix is stored, nor for the backward pass."""
    rows, count, channels = slots.shape
    images = rows // 2
    if rows * count == 0:
        return jnp.zeros(0, _widened(slots).dtype), jnp.zeros(0, bool)
    spoilt = _spoilt_slots(slots)
    unit = _unit(_widened(jnp.where(spoilt, 0, slots)), eps)
    other_rows = jnp.roll(jnp.arange(rows), images)
    positives = (
        _partners(matching)
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
        unit: jax.Array, positives: jax.Array, gone: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        candidates = len(unit)

        @jax.checkpoint
        def of_row(row: jax.Array) -> tuple[jax.Array, jax.Array]:
            products = (
                jnp.matmul(unit, unit[row], precision=jax.lax.Precision.HIGHEST) / temperature
            )
            z = jnp.where(gone | (jnp.arange(candidates) == row), -jnp.inf, products)
            z = jnp.where(gone[row], 0, z)  # of nobody's interest, but finite
            match = z[positives[row]]
            return jax.nn.logsumexp(z) - match, match > jnp.where(
                jnp.arange(candidates) == positives[row], -jnp.inf, z
            ).max()

        found: tuple[jax.Array, jax.Array] = jax.lax.map(
            of_row, jnp.arange(candidates), batch_size=max(1, min(candidates, _BLOCK // candidates))
        )
        return found

    gone = jnp.broadcast_to(spoilt[..., 0], (rows, count))
    losses, is_right = jax.lax.map(
        lambda group: of_group(*group),
        (grouped(unit), grouped(positives), grouped(gone)),
        batch_size=max(1, min(images, _BLOCK // (2 * count) ** 2)),
    )
    if within_images:
        losses, is_right = (x.reshape(images, 2, count).swapaxes(0, 1) for x in (losses, is_right))
    return losses.ravel() * jnp.where(gone.ravel(), jnp.nan, 1).astype(
        losses.dtype
    ), is_right.ravel()


_CONTRASTIVE = _Operator(
    "contrastive",
    1,
    2,
    _contrastive_results,
    _contrastive_in_jax,
    _contrastive_losses_in_jax,
    _spoilt_slots,
)


def _small_to_large_results(
    f_large: jax.Array, p_small: jax.Array, *, reduction: str, eps: float
) -> tuple[Any, ...]:
    pairs = (f_large.shape[0], f_large.shape[1], p_small.shape[1])
    return (
        _Shape(pairs if reduction == "none" else (), p_small.dtype),
        _pairs_shape(*pairs, p_small.shape[2]),
        _Shape((), jnp.float32),
    )


def _spoilt_images(f_large: jax.Array, p_small: jax.Array) -> jax.Array:
    """``[B, 1, 1, 1]``"""
    return ~(
        jnp.isfinite(f_large).all((1, 2, 3), keepdims=True)
        & jnp.isfinite(p_small).all((1, 2, 3), keepdims=True)
    )


def _crop_cosines(
    f_large: jax.Array, p_small: jax.Array, eps: float
) -> tuple[jax.Array, jax.Array]:
    """``[B, Al, As, S, L]``, and which images hold a NaN or an infinity, whose slots count as
    zeros."""
    spoilt = _spoilt_images(f_large, p_small)
    large, small = (_unit(_widened(jnp.where(spoilt, 0, x)), eps) for x in (f_large, p_small))
    return jnp.einsum("ialc,ibsc->iabsl", large, small, precision=jax.lax.Precision.HIGHEST), spoilt


def _small_to_large_in_jax(
    f_large: jax.Array, p_small: jax.Array, *, reduction: str, eps: float
) -> tuple[jax.Array, ...]:
    cosines, spoilt = _crop_cosines(f_large, p_small, eps)
    if cosines.size == 0:
        index = jnp.full(cosines.shape[:-1], -1, jnp.int32)
    else:
        best_large, best_small = cosines.argmax(-1), cosines.argmax(-2)
        is_mutual = jnp.take_along_axis(best_small, best_large, -1) == jnp.arange(cosines.shape[3])
        index = jnp.where(is_mutual & ~spoilt, best_large, -1).astype(jnp.int32)
    matching = jnp.stack([index, jnp.where(index < 0, -1, 0)], -1)
    loss = _small_to_large_losses_in_jax(f_large, p_small, matching, reduction=reduction, eps=eps)
    return *loss, matching, (index >= 0).astype(jnp.float32).mean()


def _small_to_large_losses_in_jax(
    f_large: jax.Array, p_small: jax.Array, matching: jax.Array, *, reduction: str, eps: float
) -> tuple[jax.Array]:
    cosines, spoilt = _crop_cosines(f_large, p_small, eps)
    index = matching[..., 0]
    counted = index >= 0
    of_matches = (
        jnp.take_along_axis(cosines, jnp.maximum(index, 0)[..., None], -1)[..., 0]
        if cosines.shape[-1]
        else cosines.sum(-1)
    )
    count = counted.sum(-1)
    each = jnp.where(counted, (1 - of_matches) / 2, 0).sum(-1) / jnp.maximum(count, 1)
    each = each * jnp.where(spoilt[..., 0], jnp.nan, 1).astype(each.dtype)
    if reduction == "none":
        losses = jnp.where((count == 0) & ~spoilt[..., 0], jnp.nan, each)
    else:
        losses = each.sum() / (count > 0).sum() if reduction == "mean" else each.sum()
    return (losses.astype(p_small.dtype),)


_SMALL_TO_LARGE = _Operator(
    "small_to_large",
    1,
    1,
    _small_to_large_results,
    _small_to_large_in_jax,
    _small_to_large_losses_in_jax,
    _spoilt_images,
)


def _variance_covariance_results(x: jax.Array) -> tuple[Any, ...]:
    return _Shape((), x.dtype), _Shape((), x.dtype)


def _variance_covariance_in_jax(x: jax.Array) -> tuple[jax.Array, ...]:
    groups, samples, features = x.shape
    if x.size == 0 or samples == 1:
        nan = x.astype(jnp.float32).sum() * jnp.nan  # so is its gradient
        return nan.astype(x.dtype), nan.astype(x.dtype)
    wide = _widened(x)
    centred = wide - wide.mean(1, keepdims=True)
    covariance = jnp.einsum(
        "gnd,gne->gde", centred, centred, precision=jax.lax.Precision.HIGHEST
    ) / (samples - 1)
    deviation = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2) + 1e-4)
    squares = jnp.where(jnp.eye(features, dtype=bool), 0, covariance) ** 2
    pairs = features * (features - 1)
    covariance_term = (
        squares.sum((1, 2)).mean() / pairs
        if pairs
        else jax.lax.stop_gradient(squares.sum() * jnp.nan)
    )
    return jnp.maximum(1 - deviation, 0).mean().astype(x.dtype), covariance_term.astype(x.dtype)


def _spoilt_groups(x: jax.Array) -> jax.Array:
    return ~jnp.isfinite(x).all((1, 2), keepdims=True)


_VARIANCE_COVARIANCE = _Operator(
    "variance_covariance",
    2,
    0,
    _variance_covariance_results,
    _variance_covariance_in_jax,
    _variance_covariance_in_jax,
    _spoilt_groups,
)


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _unit(x: jax.Array, eps: float) -> jax.Array:
    """x / max(|x|, eps), the norm taken of x over its greatest element, so that it neither
    overflows nor vanishes; no gradient flows to that factor, which cancels."""
    greatest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), -1, keepdims=True, initial=0))
    scale = jnp.where(greatest > 0, greatest, 1)
    scaled = x / scale
    squares = (scaled * scaled).sum(-1, keepdims=True)
    norm = jnp.sqrt(jnp.where(squares > 0, squares, 1))
    floor = eps / scale
    return scaled / jnp.where((squares > 0) & (norm > floor), norm, floor)
