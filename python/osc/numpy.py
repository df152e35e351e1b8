"""The losses of matched object slots on NumPy arrays."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from . import _arrays, _library

__all__ = ["matching_similarity_loss_per_img"]


@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike, p: _arrays.ArrayLike, reduction: str = "mean", *, eps: float = 1e-10, on_nonfinite: str = "propagate", with_grad: Literal[False] = False
) -> Any: ...
@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike, p: _arrays.ArrayLike, reduction: str = "mean", *, eps: float = 1e-10, on_nonfinite: str = "propagate", with_grad: Literal[True]
) -> tuple[Any, npt.NDArray[Any]]: ...
@overload
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike, p: _arrays.ArrayLike, reduction: str = "mean", *, eps: float = 1e-10, on_nonfinite: str = "propagate", with_grad: bool
) -> Any: ...
def matching_similarity_loss_per_img(
    f: _arrays.ArrayLike, p: _arrays.ArrayLike, reduction: str = "mean", *, eps: float = 1e-10, on_nonfinite: str = "propagate", with_grad: bool = False
) -> Any:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The loss of a slot is ``(1 - cosine) / 2`` of its `p` and the
    `f` of its match.

    Parameters
    ----------
    f : array, shape [2B, S, C]
        Slots before the projection head: an array of NumPy, or anything that speaks DLPack and is in the host's memory (a CPU tensor of PyTorch or JAX, say).
        Rows ``i`` and ``i + B`` are the two views of image ``i``. No gradient flows to them.
    p : array, shape [2B, S, C]
        Slots after the projection head, of the same shape and dtype: float64, float32, float16 or bfloat16 (the last two computed in float32; bfloat16 needs the
        package ml_dtypes).
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
        Where a dtype is none of those above, the two differ, or an array is in the memory of an accelerator.
    ValueError
        Where a shape or an option is not as above; or, with ``"raise"``, naming the first image that is not finite.

    Notes
    -----
    One pass for the loss, the matching and the gradient: O(S² C + S³) an image, in parallel over images with the interpreter's lock released, and the same
    bits with any number of threads. No copy where the channels are contiguous. A call on small slots takes some 7 µs. Source: F. Baldassarre and H. Azizpour, "Towards
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
    read_f, code, sizes, f_strides = _arrays.slots("f", f)
    read_p, _, _, p_strides = _arrays.slots("p", p)
    dtype = read_p.dtype
    if read_f.shape != read_p.shape:
        raise ValueError(f"f {read_f.shape} and p {read_p.shape} must have the same shape")
    if read_f.dtype != dtype:
        raise TypeError(f"f is {read_f.dtype} and p is {dtype}; wanted the same dtype")
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
        float(eps),
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
    _library.check(status)
    return loss[()] if gradient is None else (loss[()], gradient)
