"""The losses of matched object slots on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _library

__all__ = ["matching_similarity_loss_per_img"]


def matching_similarity_loss_per_img(
    f: npt.ArrayLike,
    p: npt.ArrayLike,
    reduction: str = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: str = "propagate",
    with_grad: bool = False,
) -> Any:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The loss of a slot is ``(1 - cosine) / 2`` of its `p` and the
    `f` of its match.

    Parameters
    ----------
    f : array_like, shape [2B, S, C]
        Slots before the projection head. Rows ``i`` and ``i + B`` are the two views of image ``i``. No gradient flows to them.
    p : array_like, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype: float64, float32 or float16 (computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of them in the order (view, image, slot).
    eps : float
        Floor of a slot's norm, positive and finite.
    on_nonfinite : {"propagate", "raise"}
        An image that holds a NaN or an infinity has NaN losses and gradients and leaves the other images alone, or is an error.
    with_grad : bool
        Return the gradient with respect to `p` as well; for ``"none"`` that of the sum.

    Returns
    -------
    loss : NumPy scalar, or array of shape [2BS]
        In the dtype of `p`.
    grad_p : array, shape [2B, S, C]
        Only with `with_grad`; in the dtype and memory order of `p`.

    Raises
    ------
    TypeError
        Where a dtype is none of those above, or the two differ.
    ValueError
        Where a shape or an option is not as above; or, with ``"raise"``, naming the first image that is not finite.

    Notes
    -----
    One pass for the loss, the matching and the gradient: O(S² C + S³) an image, in parallel over images with the interpreter's lock released, and the same
    bits with any number of threads. No copy where the channels are contiguous. Source: F. Baldassarre and H. Azizpour, "Towards
    self-supervised learning of global and object-centric representations", 2022 (arXiv 2203.05997), whose code returns ``(1 - Σ cosines) / 2`` for
    ``"sum"`` and an array ``[2, B, S]`` for ``"none"``.

    Examples
    --------
    >>> import numpy, osc
    >>> view = numpy.eye(3)
    >>> slots = numpy.stack([view, view[[2, 0, 1]]])
    >>> float(osc.numpy.matching_similarity_loss_per_img(slots, slots))
    0.0
    """
    before, after = _arrays.slots("f", f), _arrays.slots("p", p)
    if before.shape != after.shape:
        raise ValueError(f"f {before.shape} and p {after.shape} must have the same shape")
    if before.dtype != after.dtype:
        raise TypeError(f"f is {before.dtype} and p is {after.dtype}; wanted the same dtype")
    read_f, read_p = _arrays.readable(before), _arrays.readable(after)
    loss = np.empty(after.shape[0] * after.shape[1] if reduction == "none" else (), read_p.dtype)
    gradient = np.empty_like(read_p) if with_grad else None
    _library.call(
        "osc_matching_similarity_loss_per_img",
        read_p.itemsize,
        _arrays.sizes(read_p),
        _arrays.pointer(read_f),
        _arrays.strides(read_f),
        _arrays.pointer(read_p),
        _arrays.strides(read_p),
        _library.reduction(reduction),
        eps,
        _library.policy("on_nonfinite", on_nonfinite, "propagate"),
        None,
        None,
        _arrays.pointer(loss),
        None,
        None if gradient is None else _arrays.pointer(gradient),
        None if gradient is None else _arrays.strides(gradient),
        None,
        None,
    )
    return loss[()] if gradient is None else (loss[()], gradient)
