"""The losses of matched object slots, and of whole images, on NumPy arrays."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from . import _arrays, _library, _options
from ._library import matching_contrastive_loss_best_worst

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


@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike,
    p: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> Any: ...
@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike,
    p: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, npt.NDArray[Any]]: ...
@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike,
    p: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike,
    p: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The
    loss of a slot is ``(1 - cosine) / 2`` of its `p` and the `f` of its match.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots before the projection head: an array of NumPy, or anything that speaks DLPack and is
        in the host's memory (a CPU tensor of PyTorch or JAX, say). Rows ``i`` and ``i + B`` are the
        two views of image ``i``. No gradient flows to them.
    p : array, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype: float64, float32, float16 or
        bfloat16 (the last two computed in float32; bfloat16 needs the package ml_dtypes).
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of
        them in the order (view, image, slot).
    eps : float
        Floor of a slot's norm, positive and finite.
    on_nonfinite : {"propagate", "raise"}
        An image that holds a NaN or an infinity has NaN losses and gradients and leaves the other
        images alone, or is an error.
    with_grad : bool
        Return the gradient with respect to `p` as well; for ``"none"`` that of the sum.

    Returns
    -------
    loss : NumPy scalar, or array of shape [2BS]
        In the dtype of `p`.
    grad_p : array, shape [2B, S, C]
        Only with `with_grad`; in the dtype and memory order of `p`; in C order where its channels
        are not adjacent.

    Raises
    ------
    TypeError
        Where a dtype is none of those above, the two differ, or an array is in the memory of an
        accelerator.
    ValueError
        Where a shape or an option is not as above; or, with ``"raise"``, naming the first image
        that is not finite.

    Notes
    -----
    One pass for the loss, the matching and the gradient: O(S² C + S³) an image, in parallel over
    images with the interpreter's lock released, and the same bits with any number of threads. No
    copy where the channels are contiguous. A call on small slots takes some 7 µs. Source: F.
    Baldassarre and H. Azizpour, "Towards self-supervised learning of global and object-centric
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
    return _similarity_loss(
        "f",
        _arrays.slots("f", f),
        "p",
        _arrays.slots("p", p),
        reduction,
        eps,
        on_nonfinite,
        with_grad,
    )


@overload
def cosine_sim_loss(
    feats: _arrays.ArrayLike,
    projs: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> Any: ...
@overload
def cosine_sim_loss(
    feats: _arrays.ArrayLike,
    projs: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, npt.NDArray[Any]]: ...
@overload
def cosine_sim_loss(
    feats: _arrays.ArrayLike,
    projs: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def cosine_sim_loss(
    feats: _arrays.ArrayLike,
    projs: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of each image to its other view, as in SimSiam: ``(1 - cosine) / 2`` of its
    `projs` and the other view's `feats`.

    Parameters
    ----------
    feats, projs : array, shape [2B, C]
        Features before and after the projection head, of one dtype, as
        `matching_similarity_loss_per_img` takes `f` and `p`. Rows ``i`` and ``i + B`` are the two
        views of image ``i``.
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2B of
        them in the order (view, image).
    eps, on_nonfinite, with_grad
        As there.

    Returns
    -------
    loss : NumPy scalar, or array of shape [2B]
        In the dtype of `projs`.
    grad_projs : array, shape [2B, C]
        Only with `with_grad`; in the dtype and memory order of `projs`.

    Raises
    ------
    TypeError, ValueError
        As there.

    Notes
    -----
    That function with one slot: O(C) an image, no copy. Source: X. Chen and K. He, "Exploring
    simple Siamese representation learning", CVPR 2021, in the form of F. Baldassarre and H.
    Azizpour, 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import numpy, osc
    >>> feats = numpy.array([[1.0, 0.0], [0.0, 2.0]])   # orthogonal views of one image
    >>> float(osc.numpy.cosine_sim_loss(feats, feats))
    0.5
    """
    f, p = (
        _arrays.slots(name, _arrays.features(name, x))
        for name, x in (("feats", feats), ("projs", projs))
    )
    result = _similarity_loss("feats", f, "projs", p, reduction, eps, on_nonfinite, with_grad)
    return (result[0], result[1][:, 0]) if with_grad else result


@overload
def matching_contrastive_loss(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> Any: ...
@overload
def matching_contrastive_loss(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, npt.NDArray[Any]]: ...
@overload
def matching_contrastive_loss(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def matching_contrastive_loss(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
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
        Slots: an array of NumPy, or anything that speaks DLPack and is in the host's memory, of
        float64, float32, float16 or bfloat16 (the last two computed in float32). Rows ``i`` and ``i
        + B`` are the two views of image ``i``.
    temperature : float
        Positive and finite.
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of
        them in the order (view, image, slot).
    eps : float
        Floor of a slot's norm, positive and finite.
    on_nonfinite : {"propagate", "raise"}
        An image that holds a NaN or an infinity has NaN losses and gradients, and its slots are
        nobody's candidates, so that the other images have what they would have without it; or it is
        an error.
    with_grad : bool
        Return the gradient with respect to `slots` as well; for ``"none"`` that of the sum.

    Returns
    -------
    loss : NumPy scalar, or array of shape [2BS]
        In the dtype of `slots`.
    grad_slots : array, shape [2B, S, C]
        Only with `with_grad`; in the dtype and memory order of `slots`; in C order where their
        channels are not adjacent.

    Raises
    ------
    TypeError
        Where the dtype is none of those above, the array is in the memory of an accelerator, or
        `temperature` or `eps` is no number.
    ValueError
        Where a shape or an option is not as above; or, with ``"raise"``, naming the first image
        that is not finite.

    Notes
    -----
    With N = 2BS, N² C / 2 multiplications for the loss and 3 N² C / 2 more for the gradient; no N x
    N matrix is stored. In parallel with the interpreter's lock released, and the same bits with any
    number of threads. Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of
    global and object-centric representations", 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import numpy, osc
    >>> slots = numpy.ones((4, 3, 8))                   # all equal, the worst case: log(2BS - 1)
    >>> round(float(osc.numpy.matching_contrastive_loss(slots)), 4)
    2.3979
    """
    return _without_accuracy(
        _contrastive_loss(
            "slots",
            _arrays.slots("slots", slots),
            False,
            temperature,
            reduction,
            eps,
            on_nonfinite,
            with_grad,
        )
    )


@overload
def matching_contrastive_loss_per_img(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> Any: ...
@overload
def matching_contrastive_loss_per_img(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, npt.NDArray[Any]]: ...
@overload
def matching_contrastive_loss_per_img(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def matching_contrastive_loss_per_img(
    slots: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of that image.

    As `matching_contrastive_loss`, which says the rest, with the 2S slots of the slot's own image
    as candidates: ``log(2S - 1)`` where all slots are equal. O(S² C + S³) an image, in parallel
    over images.

    Examples
    --------
    >>> import numpy, osc
    >>> slots = numpy.broadcast_to(numpy.eye(3), (4, 3, 3))  # the best case: equal to their matches
    >>> round(float(osc.numpy.matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    return _without_accuracy(
        _contrastive_loss(
            "slots",
            _arrays.slots("slots", slots),
            True,
            temperature,
            reduction,
            eps,
            on_nonfinite,
            with_grad,
        )
    )


@overload
def contrastive_loss(
    projs: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> tuple[Any, float]: ...
@overload
def contrastive_loss(
    projs: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, float, npt.NDArray[Any]]: ...
@overload
def contrastive_loss(
    projs: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def contrastive_loss(
    projs: _arrays.ArrayLike,
    temperature: float = 1.0,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """Contrastive loss of each image, as in SimCLR: to tell its other view from all other images of
    the batch; and how often that succeeds.

    Parameters
    ----------
    projs : array, shape [2B, C]
        Features, as `matching_contrastive_loss` takes slots. Rows ``i`` and ``i + B`` are the two
        views of image ``i``.
    temperature, reduction, eps, on_nonfinite, with_grad
        As there; ``"none"`` gives 2B losses in the order (view, image).

    Returns
    -------
    loss : NumPy scalar, or array of shape [2B]
        In the dtype of `projs`.
    accuracy : float
        The share of (finite) rows that resemble their other view strictly more than every other
        candidate; NaN where there are none.
    grad_projs : array, shape [2B, C]
        Only with `with_grad`; in the dtype and memory order of `projs`.

    Raises
    ------
    TypeError, ValueError
        As there.

    Notes
    -----
    That function with one slot. Source: T. Chen, S. Kornblith, M. Norouzi and G. Hinton, "A simple
    framework for contrastive learning of visual representations", ICML 2020, in the form of F.
    Baldassarre and H. Azizpour, 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> import numpy, osc
    >>> projs = numpy.tile(numpy.eye(2), (2, 1))        # two images, each with two equal views
    >>> loss, accuracy = osc.numpy.contrastive_loss(projs, temperature=0.5)
    >>> round(float(loss), 4), accuracy
    (0.2395, 1.0)
    """
    result = _contrastive_loss(
        "projs",
        _arrays.slots("projs", _arrays.features("projs", projs)),
        False,
        temperature,
        reduction,
        eps,
        on_nonfinite,
        with_grad,
    )
    return (*result[:2], result[2][:, 0]) if with_grad else result


@overload
def matching_similarity_loss_small_to_large(
    f_large: _arrays.ArrayLike,
    p_small: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> tuple[Any, float]: ...
@overload
def matching_similarity_loss_small_to_large(
    f_large: _arrays.ArrayLike,
    p_small: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, float, npt.NDArray[Any]]: ...
@overload
def matching_similarity_loss_small_to_large(
    f_large: _arrays.ArrayLike,
    p_small: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool,
) -> Any: ...
def matching_similarity_loss_small_to_large(
    f_large: _arrays.ArrayLike,
    p_small: _arrays.ArrayLike,
    reduction: _options.Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: _options.OnNonFinite = "propagate",
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
        Slots of Al large crops of each image before the projection head, L of each: an array of
        NumPy, or anything that speaks DLPack and is in the host's memory. No gradient flows to
        them.
    p_small : array, shape [B, As, S, C]
        Slots of As small crops after the projection head, S of each, of the same dtype: float64,
        float32, float16 or bfloat16 (the last two computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean over the pairs in which a slot counts (NaN where there are none), their sum, or the
        losses of all pairs, NaN where no slot counts.
    eps : float
        Floor of a slot's norm, positive and finite.
    on_nonfinite : {"propagate", "raise"}
        An image that holds a NaN or an infinity has NaN losses and gradients, as have the mean and
        the sum, and leaves the losses and gradients of other images alone; or it is an error.
    with_grad : bool
        Return the gradient with respect to `p_small` as well; for ``"none"`` that of the sum.

    Returns
    -------
    loss : NumPy scalar, or array of shape [B, Al, As]
        In the dtype of `p_small`.
    counted_ratio : float
        The share of the B Al As S slots that count; NaN where there are none.
    grad_p_small : array, shape [B, As, S, C]
        Only with `with_grad`; in the dtype and memory order of `p_small`; in C order where their
        channels are not adjacent.

    Raises
    ------
    TypeError
        Where a dtype is none of those above, the two differ, an array is in the memory of an
        accelerator, or `eps` is no number.
    ValueError
        Where a shape or an option is not as above; or, with ``"raise"``, naming the first image
        that is not finite.

    Notes
    -----
    Al L As S C multiplications an image, in parallel over images with the interpreter's lock
    released; of equal cosines the first is the greatest. Source: F. Baldassarre and H. Azizpour,
    "Towards self-supervised learning of global and object-centric representations", 2022 (arXiv
    2203.05997).

    Examples
    --------
    >>> import numpy, osc
    >>> large = numpy.broadcast_to(numpy.eye(4), (1, 2, 4, 4))          # two crops of four slots
    >>> small = numpy.broadcast_to(numpy.eye(4)[[2, 0]], (1, 3, 2, 4))  # three, of two of these
    >>> loss, counted_ratio = osc.numpy.matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), counted_ratio
    (0.0, 1.0)
    """
    read_f, code, f_strides = _arrays.rows(
        "f_large", f_large, 4, "[B, Al, L, C]: images, crops, slots, channels"
    )
    read_p, _, p_strides = _arrays.rows(
        "p_small", p_small, 4, "[B, As, S, C]: images, crops, slots, channels"
    )
    if read_f.shape[0] != read_p.shape[0] or read_f.shape[3] != read_p.shape[3]:
        raise ValueError(
            f"f_large {read_f.shape} and p_small {read_p.shape} must have as many images and "
            "channels"
        )
    if read_f.dtype != read_p.dtype:
        raise TypeError(
            f"f_large is {read_f.dtype} and p_small is {read_p.dtype}; wanted the same dtype"
        )
    images, small_crops, small_slots, channels = read_p.shape
    large_crops, large_slots = read_f.shape[1:3]
    loss = np.empty((images, large_crops, small_crops) if reduction == "none" else (), read_p.dtype)
    counted_ratio = np.empty(())
    gradient, grad_strides = _arrays.empty_rows_like(read_p) if with_grad else (None, None)
    status = _library.small_to_large_loss(
        code,
        _arrays.int64s(images, large_crops, large_slots, small_crops, small_slots, channels),
        _arrays.pointer(read_f),
        f_strides,
        _arrays.pointer(read_p),
        p_strides,
        _library.reduction(reduction),
        _library.positive("eps", eps),
        _library.policy("on_nonfinite", on_nonfinite, "propagate"),
        None,
        None,
        _arrays.pointer(loss),
        _arrays.pointer(counted_ratio),
        None,
        None if gradient is None else _arrays.pointer(gradient),
        grad_strides,
        None,
        None,
    )
    _library.check(status)
    return (
        (loss[()], float(counted_ratio))
        if gradient is None
        else (loss[()], float(counted_ratio), gradient)
    )


@overload
def variance_covariance_loss(
    x: _arrays.ArrayLike,
    *,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[False] = False,
) -> tuple[Any, Any]: ...
@overload
def variance_covariance_loss(
    x: _arrays.ArrayLike,
    *,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: Literal[True],
) -> tuple[Any, Any, npt.NDArray[Any], npt.NDArray[Any]]: ...
@overload
def variance_covariance_loss(
    x: _arrays.ArrayLike, *, on_nonfinite: _options.OnNonFinite = "propagate", with_grad: bool
) -> Any: ...
def variance_covariance_loss(
    x: _arrays.ArrayLike,
    *,
    on_nonfinite: _options.OnNonFinite = "propagate",
    with_grad: bool = False,
) -> Any:
    """How little the features of samples vary, and how much they vary together: two regularisers of
    embeddings.

    With K the unbiased covariance of the D features over the N samples of a group: the variance
    term is the mean over features of ``max(0, 1 - sqrt(K[d, d] + 1e-4))``, the covariance term the
    mean over pairs of different features of ``K[d, e]²``; each averaged over groups.

    Parameters
    ----------
    x : array, shape [..., N, D]
        Groups of N samples of D features: an array of NumPy, or anything that speaks DLPack and is
        in the host's memory, of float64, float32, float16 or bfloat16 (the last two computed in
        float32).
    on_nonfinite : {"propagate", "raise"}
        A group that holds a NaN or an infinity makes both terms NaN and has a gradient of NaN,
        which leaves that of other groups alone; or it is an error.
    with_grad : bool
        Return the gradients of the two terms with respect to `x` as well.

    Returns
    -------
    variance, covariance : NumPy scalars
        In the dtype of `x`. NaN of one sample, or where a size is 0; the covariance also of one
        feature.
    grad_variance, grad_covariance : arrays of the shape of `x`
        Only with `with_grad`: the gradient of each term, in the dtype and memory order of `x` as
        ``[G, N, D]``.

    Raises
    ------
    TypeError
        Where the dtype is none of those above, or the array is in the memory of an accelerator.
    ValueError
        Where there are fewer than two dimensions; or, with ``"raise"``, naming the first group that
        is not finite.

    Notes
    -----
    N D² / 2 multiplications a group, and N D² more for each gradient; in parallel with the
    interpreter's lock released, and the same bits with any number of threads. Source: A. Bardes, J.
    Ponce and Y. LeCun, "VICReg", ICLR 2022, in the form of F. Baldassarre and H. Azizpour, 2022
    (arXiv 2203.05997).

    Examples
    --------
    >>> import numpy, osc
    >>> x = numpy.array([[1.0, 1.0], [-1.0, -1.0]])     # two features that say the same
    >>> variance, covariance = osc.numpy.variance_covariance_loss(x)
    >>> float(variance), float(covariance)
    (0.0, 4.0)
    """
    read, code, strides, shape = _arrays.matrices("x", x, "[..., N, D], N samples of D features")
    variance, covariance = np.empty((), read.dtype), np.empty((), read.dtype)
    raises = _library.policy("on_nonfinite", on_nonfinite, "propagate")
    sizes = _arrays.int64s(*read.shape)

    def call(weights: tuple[Any, Any], gradient: Any, grad_strides: Any) -> None:
        status = _library.variance_covariance_loss(
            code,
            sizes,
            _arrays.pointer(read),
            strides,
            raises,
            None,
            None,
            _arrays.pointer(variance),
            _arrays.pointer(covariance),
            *map(_arrays.pointer, weights),
            gradient,
            grad_strides,
        )
        _library.check(status)

    one, zero = np.ones((), read.dtype), np.zeros((), read.dtype)
    if not with_grad:
        call((one, one), None, None)
        return variance[()], covariance[()]
    gradients = []
    for weights in ((one, zero), (zero, one)):
        gradient, grad_strides = _arrays.empty_rows_like(read)
        call(weights, _arrays.pointer(gradient), grad_strides)
        gradients.append(gradient.reshape(shape))
    return variance[()], covariance[()], *gradients


def _similarity_loss(
    name_f: str,
    f: Any,
    name_p: str,
    p: Any,
    reduction: str,
    eps: Any,
    on_nonfinite: str,
    with_grad: bool,
) -> Any:
    read_f, code, sizes, f_strides = f
    read_p, _, _, p_strides = p
    dtype = read_p.dtype
    if read_f.shape != read_p.shape:
        raise ValueError(
            f"{name_f} {read_f.shape} and {name_p} {read_p.shape} must have the same shape"
        )
    if read_f.dtype != dtype:
        raise TypeError(
            f"{name_f} is {read_f.dtype} and {name_p} is {dtype}; wanted the same dtype"
        )
    loss = np.empty(read_p.shape[0] * read_p.shape[1] if reduction == "none" else (), dtype)
    gradient, grad_strides = _arrays.empty_like(read_p) if with_grad else (None, None)
    status = _library.similarity_loss(
        code,
        sizes,
        _arrays.pointer(read_f),
        f_strides,
        _arrays.pointer(read_p),
        p_strides,
        _library.reduction(reduction),
        _library.positive("eps", eps),
        _library.policy("on_nonfinite", on_nonfinite, "propagate"),
        None,
        None,
        _arrays.pointer(loss),
        None,
        None if gradient is None else _arrays.pointer(gradient),
        grad_strides,
        None,
        None,
    )
    _library.check(status, {"f": name_f, "p": name_p})
    return loss[()] if gradient is None else (loss[()], gradient)


def _contrastive_loss(
    name: str,
    slots: Any,
    within_images: bool,
    temperature: Any,
    reduction: str,
    eps: Any,
    on_nonfinite: str,
    with_grad: bool,
) -> Any:
    read, code, sizes, strides = slots
    loss = np.empty(read.shape[0] * read.shape[1] if reduction == "none" else (), read.dtype)
    accuracy = np.empty(())
    gradient, grad_strides = _arrays.empty_like(read) if with_grad else (None, None)
    status = _library.contrastive_loss(
        code,
        sizes,
        _arrays.pointer(read),
        strides,
        within_images,
        _library.positive("temperature", temperature),
        _library.reduction(reduction),
        _library.positive("eps", eps),
        _library.policy("on_nonfinite", on_nonfinite, "propagate"),
        None,
        None,
        None,
        _arrays.pointer(loss),
        None,
        None if gradient is None else _arrays.pointer(gradient),
        grad_strides,
        None,
        None,
        _arrays.pointer(accuracy),
        None,
    )
    _library.check(status, {"slots": name})
    return (
        (loss[()], float(accuracy)) if gradient is None else (loss[()], float(accuracy), gradient)
    )


def _without_accuracy(result: Any) -> Any:
    return result[0] if len(result) == 2 else (result[0], result[2])
