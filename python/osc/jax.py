"""The losses of matched object slots and of whole images, and the assignments, on JAX arrays, under
``jit``, ``vmap`` and ``grad``.

On the CPU they are XLA custom calls, which run on XLA's own threads. On other platforms the cosines
and the losses are computed there by JAX, and the assignments on the host, through one callback.

Arrays are of float64 (with ``jax_enable_x64``), float32, float16 or bfloat16; 16 bits are computed
in float32. All is checked when a function is traced. Losses are differentiable in reverse as often
as wanted: from the second derivative on by JAX's own operations, with matchings held fixed. Forward
mode (``jax.jvp``, ``jax.hessian``) is refused by JAX. An image that holds a NaN or an infinity has
NaN losses and gradients and leaves the other images alone.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

try:
    import jax
except ImportError as error:
    raise ImportError("osc.jax needs JAX: pip install jax") from error

from . import _jax
from ._documentation import documented
from ._library import matching_contrastive_loss_best_worst
from ._operators import TABLE
from ._options import Reduction

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

_SIMILARITY = TABLE["matching_similarity_loss_per_img"]
_CONTRASTIVE = TABLE["matching_contrastive_loss"]
_SMALL_TO_LARGE = TABLE["matching_similarity_loss_small_to_large"]
_STATIC = "Static under ``jit``."


@documented("matching_similarity_loss_per_img", note=_STATIC)
def matching_similarity_loss_per_img(
    f: ArrayLike, p: ArrayLike, reduction: Reduction = "mean", *, eps: float = 1e-10
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
        Slots after the projection head, of the same shape and dtype.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        In the dtype of `p`; all losses in the order (view, image, slot). The mean of no loss is
        NaN.

    {raises}

    Notes
    -----
    The matching is solved once, in the forward pass, and is a residual; `vmap` makes one call of
    the whole batch. O(S² C + S³) per image forward and O(SC) backward, in parallel over images on
    XLA's threads, and the same bits with any number of threads.

    {paper}

    Its code returns ``(1 - Σ cosines) / 2`` for ``"sum"`` and an array ``[2, B, S]`` for
    ``"none"``.

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
    return _jax.call(_SIMILARITY, {"f": f, "p": p}, reduction=reduction, eps=eps)[0]


@documented("matching_similarity_loss_per_img", note=_STATIC)
def cosine_sim_loss(
    feats: ArrayLike,
    projs: ArrayLike,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> jax.Array:
    """Similarity loss of each image to its other view, as in SimSiam: ``(1 - cosine) / 2`` of its
    `projs` and the other view's `feats`.

    Parameters
    ----------
    feats, projs : array, shape [2B, C]
        Features before and after the projection head, of one dtype. Rows ``i`` and ``i + B`` are
        the two views of image ``i``. The gradient for `feats` is zero.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [2B]
        In the dtype of `projs`; all losses in the order (view, image). The mean of no loss is NaN.

    {raises}

    Notes
    -----
    O(C) per image.

    {SimSiam}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> feats = jnp.array([[1.0, 0.0], [0.0, 2.0]])     # orthogonal views of one image
    >>> float(osc.jax.cosine_sim_loss(feats, feats))
    0.5
    """
    arrays = {"feats": feats, "projs": projs}
    return _jax.call(_SIMILARITY.of_features, arrays, reduction=reduction, eps=eps)[0]


@documented("matching_contrastive_loss", note=_STATIC)
def matching_contrastive_loss(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
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
        Rows ``i`` and ``i + B`` are the two views of image ``i``. The gradient flows to every slot,
        also as a candidate of others, and not through the matching.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        In the dtype of `slots`; all losses in the order (view, image, slot). The mean of no loss is
        NaN.

    {raises}

    Notes
    -----
    Slots of a non-finite image are masked: they are no candidates of other slots. The losses of the
    other images are those of a batch without that image. With N = 2BS, N² C / 2 multiplications
    forward and 3 N² C / 2 backward; no N x N matrix is stored.

    {paper}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> slots = jnp.ones((4, 3, 8))                     # all equal, the worst case: log(2BS - 1)
    >>> round(float(osc.jax.matching_contrastive_loss(slots)), 4)
    2.3979
    """
    options = {"temperature": temperature, "reduction": reduction, "eps": eps}
    return _jax.call(_CONTRASTIVE, {"slots": slots}, **options)[0]


@documented("matching_contrastive_loss", note=_STATIC)
def matching_contrastive_loss_per_img(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> jax.Array:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of that image.

    The loss of `matching_contrastive_loss` with the 2S slots of the slot's own image as candidates:
    ``log(2S - 1)`` where all slots are equal. O(S² C + S³) per image, in parallel over images.

    Parameters
    ----------
    slots : array, shape [2B, S, C]
        Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [2BS]
        As of `matching_contrastive_loss`.

    {raises}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> slots = jnp.broadcast_to(jnp.eye(3), (4, 3, 3))  # the best case: matches are equal
    >>> round(float(osc.jax.matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    options = {"temperature": temperature, "reduction": reduction, "eps": eps}
    return _jax.call(_CONTRASTIVE, {"slots": slots}, candidates="image", **options)[0]


@documented("matching_contrastive_loss", note=_STATIC)
def contrastive_loss(
    projs: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
) -> tuple[jax.Array, jax.Array]:
    """Contrastive loss of each image, as in SimCLR: to tell its other view from all other images of
    the batch; and how often that succeeds.

    Parameters
    ----------
    projs : array, shape [2B, C]
        Features. Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [2B]
        In the dtype of `projs`; all losses in the order (view, image). The mean of no loss is NaN.
    accuracy : array, float32 scalar
        The share of (finite) rows that resemble their other view strictly more than every other
        candidate; NaN where there are none. Its gradient is zero.

    {raises}

    Notes
    -----
    {SimCLR}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> projs = jnp.tile(jnp.eye(2), (2, 1))            # two images, each with two equal views
    >>> loss, accuracy = osc.jax.contrastive_loss(projs, temperature=0.5)
    >>> round(float(loss), 4), float(accuracy)
    (0.2395, 1.0)
    """
    options = {"temperature": temperature, "reduction": reduction, "eps": eps}
    loss, _, _, accuracy = _jax.call(_CONTRASTIVE.of_features, {"projs": projs}, **options)
    return loss, accuracy


@documented("matching_similarity_loss_small_to_large", note=_STATIC)
def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: Reduction = "mean",
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
        Slots of As small crops after the projection head, S of each, of the same dtype.
    {options}

    Returns
    -------
    loss : array, scalar or of shape [B, Al, As]
        In the dtype of `p_small`. A pair in which no slot counts has NaN with ``"none"`` and is
        left out of the mean and the sum; the mean of no pair is NaN.
    counted_ratio : array, float32 scalar
        The share of the B Al As S slots that count; NaN where there are none. Its gradient is zero.

    {raises}

    Notes
    -----
    With an image that is not finite the mean and the sum are NaN. Al L As S C multiplications an
    image; of equal cosines the first is the greatest.

    {paper}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> large = jnp.broadcast_to(jnp.eye(4), (1, 2, 4, 4))  # two large crops of four slots
    >>> small = jnp.broadcast_to(jnp.eye(4)[jnp.array([2, 0])], (1, 3, 2, 4))  # three of two
    >>> loss, counted_ratio = osc.jax.matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), float(counted_ratio)
    (0.0, 1.0)
    """
    arrays = {"f_large": f_large, "p_small": p_small}
    loss, _, counted_ratio = _jax.call(_SMALL_TO_LARGE, arrays, reduction=reduction, eps=eps)
    return loss, counted_ratio


@documented("variance_covariance_loss")
def variance_covariance_loss(x: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """How little the features of samples vary, and how much they vary together: two regularisers of
    embeddings.

    With K the unbiased covariance of the D features over the N samples of a group: the variance
    term is the mean over features of ``max(0, 1 - sqrt(K[d, d] + 1e-4))``, the covariance term the
    mean over pairs of different features of ``K[d, e]²``; each averaged over groups.

    Parameters
    ----------
    x : array, shape [..., N, D]
        Groups of N samples of D features.

    Returns
    -------
    variance, covariance : arrays, scalars
        In the dtype of `x`. NaN of one sample, or where a size is 0; the covariance also of one
        feature.

    {raises}

    Notes
    -----
    A group that holds a NaN or an infinity makes both terms NaN and has a gradient of NaN, which
    leaves that of other groups alone. N D² / 2 multiplications per group forward, three times as
    many backward.

    {VICReg}

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> x = jnp.array([[1.0, 1.0], [-1.0, -1.0]])       # two features that say the same
    >>> variance, covariance = osc.jax.variance_covariance_loss(x)
    >>> float(variance), float(covariance)
    (0.0, 4.0)
    """
    variance, covariance = _jax.call(TABLE["variance_covariance_loss"], {"x": x})
    return variance, covariance


@documented("match_slots", note=_STATIC)
def match_slots(f: ArrayLike, *, eps: float = 1e-10) -> jax.Array:
    """Match the slots of two views of each image, so that the sum of their cosines is greatest;
    under ``jit`` and ``vmap``, too.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    int32 array (int64 with ``jax_enable_x64``), shape [B, S]
        Slot ``s`` of view 0 of image ``i`` is matched to slot ``result[i, s]`` of view 1; -1
        throughout for an image that holds a NaN or an infinity. No gradient flows.

    {raises}

    Notes
    -----
    Cost, ties and source are those of `osc.match_slots`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, osc.jax
    >>> view = jnp.eye(3)
    >>> jax.jit(osc.jax.match_slots)(jnp.stack([view, view[jnp.array([2, 0, 1])]])).tolist()
    [[1, 2, 0]]
    """
    (matching,) = _jax.indices(*_jax.call(TABLE["match_slots"], {"f": f}, eps=eps))
    return matching


@documented("linear_sum_assignment", note=_STATIC)
def linear_sum_assignment(cost: ArrayLike, maximize: bool = False) -> tuple[jax.Array, jax.Array]:
    """Solve a batch of linear sum assignment problems exactly; under ``jit`` and ``vmap``, too.

    Parameters
    ----------
    cost : array, shape [..., R, K]
        Costs of pairing each of R rows with each of K columns. ``+inf`` forbids a pair (``-inf``
        where one maximises).
    {options}

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
        Where the dtype, the shape or `maximize` is not as above.

    Notes
    -----
    Cost, ties and source are those of `osc.linear_sum_assignment`.

    Examples
    --------
    >>> import jax.numpy as jnp, osc.jax
    >>> cost = jnp.array([[4.0, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> col4row, row4col = osc.jax.linear_sum_assignment(cost)
    >>> col4row.tolist()
    [1, 0, 2]
    """
    options = {"maximize": maximize, "on_unsolvable": "unmatched"}
    results = _jax.call(TABLE["linear_sum_assignment"], {"cost": cost}, **options)
    col4row, row4col = _jax.indices(*results)
    return col4row, row4col


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

    return [export.DisabledSafetyCheck.custom_call(_jax.TARGET)]
