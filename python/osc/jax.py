"""The losses of matched object slots and of whole images, and the assignments, on JAX arrays, under
``jit``, ``vmap`` and ``grad``.

On the CPU they are XLA custom calls (python/native/jax_handlers.cpp), which run on XLA's own
threads. On other platforms the cosines and the losses are computed there by JAX, and the
assignments on the host, through one callback.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

try:
    import jax
except ImportError as error:
    raise ImportError("osc.jax needs JAX: pip install jax") from error

from . import (
    _jax_assignment,
    _jax_checks,
    _jax_contrastive,
    _jax_operators,
    _jax_similarity,
    _jax_small_to_large,
    _jax_variance_covariance,
    _options,
)
from ._library import matching_contrastive_loss_best_worst

__all__ = [
    "contrastive_loss",
    "cosine_sim_loss",
    "export_checks",
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
    slots = _jax_checks.slots
    return _jax_similarity.loss("f", slots("f", f), "p", slots("p", p), reduction, eps)


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
    features = _jax_checks.features
    return _jax_similarity.loss(
        "feats", features("feats", feats), "projs", features("projs", projs), reduction, eps
    )


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
    return _jax_contrastive.loss_and_accuracy(
        _jax_checks.slots("slots", slots), False, temperature, reduction, eps
    )[0]


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
    >>> slots = jnp.broadcast_to(jnp.eye(3), (4, 3, 3))  # the best case: matches are equal
    >>> round(float(osc.jax.matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    return _jax_contrastive.loss_and_accuracy(
        _jax_checks.slots("slots", slots), True, temperature, reduction, eps
    )[0]


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
    return _jax_contrastive.loss_and_accuracy(
        _jax_checks.features("projs", projs), False, temperature, reduction, eps
    )


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
    >>> large = jnp.broadcast_to(jnp.eye(4), (1, 2, 4, 4))  # two large crops of four slots
    >>> small = jnp.broadcast_to(jnp.eye(4)[jnp.array([2, 0])], (1, 3, 2, 4))  # three of two
    >>> loss, counted_ratio = osc.jax.matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), float(counted_ratio)
    (0.0, 1.0)
    """
    return _jax_small_to_large.loss_and_counted_ratio(f_large, p_small, reduction, eps)


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
    return _jax_variance_covariance.terms(x)


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
    return _jax_assignment.match_slots(f, eps)


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
    >>> cost = jnp.array([[4.0, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> col4row, row4col = osc.jax.linear_sum_assignment(cost)
    >>> col4row.tolist()
    [1, 0, 2]
    """
    return _jax_assignment.linear_sum_assignment(cost, maximize)


def export_checks() -> list[Any]:
    """What `jax.export.export` takes as ``disabled_checks``, to export programs with the functions
    of this module.

    JAX asks for it since it cannot know that custom calls of other libraries stay the same. A
    program runs where `osc.jax` of the version that exported it has been imported.

    Returns
    -------
    checks : list of jax.export.DisabledSafetyCheck
        One for each custom call.

    Examples
    --------
    >>> import jax, osc.jax
    >>> from jax import export
    >>> rows = jax.ShapeDtypeStruct(export.symbolic_shape("2*b, s, 8"), "float32")
    >>> exported = export.export(
    ...     jax.jit(osc.jax.match_slots), disabled_checks=osc.jax.export_checks()
    ... )(rows)
    >>> exported.call(jax.numpy.ones((6, 4, 8))).shape
    (3, 4)
    """
    from jax import export

    return [export.DisabledSafetyCheck.custom_call(name) for name in _jax_operators.custom_calls]
