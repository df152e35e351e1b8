"""The losses of matched object slots, and of whole images, on NumPy arrays.

Arrays are those of NumPy, or anything that speaks DLPack and is in the host's memory (a CPU tensor
of PyTorch or JAX, say), of float64, float32, float16 or bfloat16. 16 bits are computed in float32;
bfloat16 needs the package ml_dtypes.

Losses and gradients are computed in one pass, in parallel with the interpreter's lock released, and
have the same bits with any number of threads. Nothing is copied where channels are contiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import numpy as np

from . import _numpy
from ._arrays import Array, ArrayLike, on_host
from ._documentation import documented
from ._library import matching_contrastive_loss_best_worst
from ._operators import TABLE
from ._options import OnNonFinite, Reduction

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "contrastive_loss",
    "cosine_sim_loss",
    "matching_contrastive_loss",
    "matching_contrastive_loss_best_worst",
    "matching_contrastive_loss_per_img",
    "matching_similarity_loss_per_img",
    "matching_similarity_loss_small_to_large",
    "variance_covariance_loss",
]

_SIMILARITY = TABLE["matching_similarity_loss_per_img"]
_CONTRASTIVE = TABLE["matching_contrastive_loss"]
_SMALL_TO_LARGE = TABLE["matching_similarity_loss_small_to_large"]
_VARIANCE_COVARIANCE = TABLE["variance_covariance_loss"]


class _Options(TypedDict, total=False):
    eps: float
    on_nonfinite: OnNonFinite


@overload
def matching_similarity_loss_per_img(
    f: ArrayLike,
    p: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, Array]: ...
@overload
def matching_similarity_loss_per_img(
    f: ArrayLike,
    p: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_similarity_loss_per_img", "array in the memory of the host")
def matching_similarity_loss_per_img(
    f: ArrayLike,
    p: ArrayLike,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The
    loss of a slot is ``(1 - cosine) / 2`` of its `p` and the `f` of its match.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots before the projection head. Rows ``i`` and ``i + B`` are the two views of image ``i``.
        They get no gradient.
    p : array, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype.
    {options}

    Returns
    -------
    loss : NumPy scalar, or array of shape [2BS]
        In the dtype of `p`; all losses in the order (view, image, slot). The mean of no loss is
        NaN.
    grad_p : array, shape [2B, S, C]
        Only with `with_grad`; in the dtype and memory order of `p`; in C order where its channels
        are not adjacent.

    {raises}

    Notes
    -----
    O(S² C + S³) per image, in parallel over images. A call on small slots takes some 7 µs. Source:
    F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and object-centric
    representations", 2022 (arXiv 2203.05997), whose code returns ``(1 - Σ cosines) / 2`` for
    ``"sum"`` and an array ``[2, B, S]`` for ``"none"``.

    Examples
    --------
    >>> import numpy, osc
    >>> view = numpy.eye(3)
    >>> slots = numpy.stack([view, view[[2, 0, 1]]])
    >>> float(osc.numpy.matching_similarity_loss_per_img(slots, slots))
    0.0
    """
    wanted = ("loss", "grad_p") if with_grad else ("loss",)
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    return _numpy.call(_SIMILARITY, {"f": f, "p": p}, wanted, **options)


@overload
def cosine_sim_loss(
    feats: ArrayLike,
    projs: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, Array]: ...
@overload
def cosine_sim_loss(
    feats: ArrayLike,
    projs: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_similarity_loss_per_img", "array in the memory of the host")
def cosine_sim_loss(
    feats: ArrayLike,
    projs: ArrayLike,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of each image to its other view, as in SimSiam: ``(1 - cosine) / 2`` of its
    `projs` and the other view's `feats`.

    Parameters
    ----------
    feats, projs : array, shape [2B, C]
        Features before and after the projection head, of one dtype. Rows ``i`` and ``i + B`` are
        the two views of image ``i``. `feats` get no gradient.
    {options}

    Returns
    -------
    loss : NumPy scalar, or array of shape [2B]
        In the dtype of `projs`; all losses in the order (view, image). The mean of no loss is NaN.
    grad_projs : array, shape [2B, C]
        Only with `with_grad`; in the dtype and memory order of `projs`.

    {raises}

    Notes
    -----
    O(C) per image.

    {SimSiam}

    Examples
    --------
    >>> import numpy, osc
    >>> feats = numpy.array([[1.0, 0.0], [0.0, 2.0]])   # orthogonal views of one image
    >>> float(osc.numpy.cosine_sim_loss(feats, feats))
    0.5
    """
    wanted = ("loss", "grad_p") if with_grad else ("loss",)
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    return _numpy.call(_SIMILARITY.of_features, {"feats": feats, "projs": projs}, wanted, **options)


@overload
def matching_contrastive_loss(
    slots: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, Array]: ...
@overload
def matching_contrastive_loss(
    slots: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_contrastive_loss", "array in the memory of the host")
def matching_contrastive_loss(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of the batch.

    The slots of the two views are matched so that the sum of their cosines is greatest. The loss of
    a slot is the cross entropy of its match among all 2BS slots but itself, by their cosines over
    `temperature`.

    Parameters
    ----------
    slots : array, shape [2B, S, C]
        Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    loss : NumPy scalar, or array of shape [2BS]
        In the dtype of `slots`; all losses in the order (view, image, slot). The mean of no loss is
        NaN.
    grad_slots : array, shape [2B, S, C]
        Only with `with_grad`; in the dtype and memory order of `slots`; in C order where their
        channels are not adjacent.

    {raises}

    Notes
    -----
    Slots of a non-finite image are masked: they are no candidates of other slots. The losses of the
    other images are those of a batch without that image. With N = 2BS, N² C / 2 multiplications for
    the loss and 3 N² C / 2 more for the gradient; no N x N matrix is stored.

    {paper}

    Examples
    --------
    >>> import numpy, osc
    >>> slots = numpy.ones((4, 3, 8))                   # all equal, the worst case: log(2BS - 1)
    >>> round(float(osc.numpy.matching_contrastive_loss(slots)), 4)
    2.3979
    """
    wanted = ("loss", "grad_slots") if with_grad else ("loss",)
    options = {
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _numpy.call(_CONTRASTIVE, {"slots": slots}, wanted, **options)


@overload
def matching_contrastive_loss_per_img(
    slots: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, Array]: ...
@overload
def matching_contrastive_loss_per_img(
    slots: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_contrastive_loss", "array in the memory of the host")
def matching_contrastive_loss_per_img(
    slots: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
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
    loss, grad_slots
        As of `matching_contrastive_loss`.

    {raises}

    Examples
    --------
    >>> import numpy, osc
    >>> slots = numpy.broadcast_to(numpy.eye(3), (4, 3, 3))  # the best case: equal to their matches
    >>> round(float(osc.numpy.matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    wanted = ("loss", "grad_slots") if with_grad else ("loss",)
    options = {
        "candidates": "image",
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _numpy.call(_CONTRASTIVE, {"slots": slots}, wanted, **options)


@overload
def contrastive_loss(
    projs: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[False] = ...,
    **options: Unpack[_Options],
) -> tuple[Any, float]: ...
@overload
def contrastive_loss(
    projs: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, float, Array]: ...
@overload
def contrastive_loss(
    projs: ArrayLike,
    temperature: float = ...,
    reduction: Reduction = ...,
    *,
    with_grad: bool,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_contrastive_loss", "array in the memory of the host")
def contrastive_loss(
    projs: ArrayLike,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Contrastive loss of each image, as in SimCLR: to tell its other view from all other images of
    the batch; and how often that succeeds.

    Parameters
    ----------
    projs : array, shape [2B, C]
        Features. Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    loss : NumPy scalar, or array of shape [2B]
        In the dtype of `projs`; all losses in the order (view, image). The mean of no loss is NaN.
    accuracy : float
        The share of (finite) rows that resemble their other view strictly more than every other
        candidate; NaN where there are none.
    grad_projs : array, shape [2B, C]
        Only with `with_grad`; in the dtype and memory order of `projs`.

    {raises}

    Notes
    -----
    {SimCLR}

    Examples
    --------
    >>> import numpy, osc
    >>> projs = numpy.tile(numpy.eye(2), (2, 1))        # two images, each with two equal views
    >>> loss, accuracy = osc.numpy.contrastive_loss(projs, temperature=0.5)
    >>> round(float(loss), 4), accuracy
    (0.2395, 1.0)
    """
    wanted = ("loss", "accuracy", "grad_slots") if with_grad else ("loss", "accuracy")
    options = {
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _numpy.call(_CONTRASTIVE.of_features, {"projs": projs}, wanted, **options)


@overload
def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[False] = ...,
    **options: Unpack[_Options],
) -> tuple[Any, float]: ...
@overload
def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Any, float, Array]: ...
@overload
def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: Reduction = ...,
    *,
    with_grad: bool,
    **options: Unpack[_Options],
) -> Any: ...
@documented("matching_similarity_loss_small_to_large", "array in the memory of the host")
def matching_similarity_loss_small_to_large(
    f_large: ArrayLike,
    p_small: ArrayLike,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of the slots of small crops to those of large crops of the same image, where
    the two resemble each other most.

    For each image and each pair of a large and a small crop: a slot of the small crop counts where
    it and its best slot of the large crop, by their cosine, are each other's best. The loss of the
    pair is the mean over the slots that count of ``(1 - cosine) / 2``.

    Parameters
    ----------
    f_large : array, shape [B, Al, L, C]
        Slots of Al large crops of each image before the projection head, L of each. They get no
        gradient.
    p_small : array, shape [B, As, S, C]
        Slots of As small crops after the projection head, S of each, of the same dtype.
    {options}

    Returns
    -------
    loss : NumPy scalar, or array of shape [B, Al, As]
        In the dtype of `p_small`. A pair in which no slot counts has NaN with ``"none"`` and is
        left out of the mean and the sum; the mean of no pair is NaN.
    counted_ratio : float
        The share of the B Al As S slots that count; NaN where there are none.
    grad_p_small : array, shape [B, As, S, C]
        Only with `with_grad`; in the dtype and memory order of `p_small`; in C order where their
        channels are not adjacent.

    {raises}

    Notes
    -----
    With an image that is not finite the mean and the sum are NaN. Al L As S C multiplications an
    image, in parallel over images; of equal cosines the first is the greatest.

    {paper}

    Examples
    --------
    >>> import numpy, osc
    >>> large = numpy.broadcast_to(numpy.eye(4), (1, 2, 4, 4))          # two crops of four slots
    >>> small = numpy.broadcast_to(numpy.eye(4)[[2, 0]], (1, 3, 2, 4))  # three, of two of these
    >>> loss, counted_ratio = osc.numpy.matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), counted_ratio
    (0.0, 1.0)
    """
    wanted = ("loss", "counted_ratio", "grad_p_small") if with_grad else ("loss", "counted_ratio")
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    return _numpy.call(_SMALL_TO_LARGE, {"f_large": f_large, "p_small": p_small}, wanted, **options)


@overload
def variance_covariance_loss(
    x: ArrayLike, *, on_nonfinite: OnNonFinite = ..., with_grad: Literal[False] = ...
) -> tuple[Any, Any]: ...
@overload
def variance_covariance_loss(
    x: ArrayLike, *, on_nonfinite: OnNonFinite = ..., with_grad: Literal[True]
) -> tuple[Any, Any, Array, Array]: ...
@overload
def variance_covariance_loss(
    x: ArrayLike, *, on_nonfinite: OnNonFinite = ..., with_grad: bool
) -> Any: ...
@documented("variance_covariance_loss", "array in the memory of the host")
def variance_covariance_loss(
    x: ArrayLike, *, on_nonfinite: OnNonFinite = "propagate", with_grad: bool = False
) -> Any:
    """How little the features of samples vary, and how much they vary together: two regularisers of
    embeddings.

    With K the unbiased covariance of the D features over the N samples of a group: the variance
    term is the mean over features of ``max(0, 1 - sqrt(K[d, d] + 1e-4))``, the covariance term the
    mean over pairs of different features of ``K[d, e]²``; each averaged over groups.

    Parameters
    ----------
    x : array, shape [..., N, D]
        Groups of N samples of D features.
    {options}

    Returns
    -------
    variance, covariance : NumPy scalars
        In the dtype of `x`. NaN of one sample, where a size is 0 or a group is not finite; the
        covariance also of one feature.
    grad_variance, grad_covariance : arrays of the shape of `x`
        Only with `with_grad`: the gradient of each term, in the dtype and memory order of `x`; in C
        order where its features are not adjacent or its groups not evenly spaced.

    {raises}

    Notes
    -----
    N D² / 2 multiplications per group, and N D² more for each gradient.

    {VICReg}

    Examples
    --------
    >>> import numpy, osc
    >>> x = numpy.array([[1.0, 1.0], [-1.0, -1.0]])     # two features that say the same
    >>> variance, covariance = osc.numpy.variance_covariance_loss(x)
    >>> float(variance), float(covariance)
    (0.0, 4.0)
    """
    op, terms = _VARIANCE_COVARIANCE, ("variance", "covariance")
    if not with_grad:
        return _numpy.call(op, {"x": x}, terms, on_nonfinite=on_nonfinite)
    read = on_host("x", x)
    one, zero = (np.full((), value, read.dtype.newbyteorder("=")) for value in (1, 0))
    of_variance = {"x": read, "grad_variance": one, "grad_covariance": zero}
    of_covariance = {"x": read, "grad_variance": zero, "grad_covariance": one}
    values = _numpy.call(op, of_variance, (*terms, "grad_x"), on_nonfinite=on_nonfinite)
    return *values, _numpy.call(op, of_covariance, ("grad_x",), on_nonfinite=on_nonfinite)
