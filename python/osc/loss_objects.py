"""The losses of matched object slots on PyTorch tensors."""

from __future__ import annotations

from typing import Any

import torch

from . import _library, _torch, _torch_checks

__all__ = ["matching_similarity_loss_per_img"]


def matching_similarity_loss_per_img(
    f: torch.Tensor, p: torch.Tensor, reduction: str = "mean", *, eps: float = 1e-10, on_nonfinite: str = "propagate"
) -> torch.Tensor:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The loss of a slot is ``(1 - cosine) / 2`` of its `p` and the
    `f` of its match.

    Parameters
    ----------
    f : tensor, shape [2B, S, C]
        Slots before the projection head, on any device. Rows ``i`` and ``i + B`` are the two views of image ``i``. No gradient flows to them.
    p : tensor, shape [2B, S, C]
        Slots after the projection head, of the same shape, device and dtype: float64, float32, float16 or bfloat16 (16 bits computed in float32).
    reduction : {"mean", "sum", "none"}
        The mean of the losses (NaN where there are none), their sum, or the vector of all 2BS of them in the order (view, image, slot).
    eps : float
        Floor of a slot's norm, positive and finite.
    on_nonfinite : {"propagate", "raise"}
        An image that holds a NaN or an infinity has NaN losses and gradients and leaves the other images alone, or is an error.

    Returns
    -------
    tensor, scalar or of shape [2BS]
        In the dtype of `p`; float32 under autocast. Its gradient has the dtype and layout of `p`.

    Raises
    ------
    TypeError
        Where a dtype is none of those above, or the two differ.
    ValueError
        Where a shape, a device or an option is not as above; or, with ``"raise"``, naming the first image that is not finite.

    Notes
    -----
    On the CPU: O(S² C + S³) an image, in parallel over images on PyTorch's threads with the interpreter's lock released, the same bits with any number of them, no copy where
    the channels are contiguous. On another device the assignments alone are made on the CPU, for which a call waits for the device once (docs/pytorch.md).
    Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and object-centric representations", 2022 (arXiv 2203.05997), whose code
    returns ``(1 - Σ cosines) / 2`` for ``"sum"`` and an array ``[2, B, S]`` for ``"none"``.

    Examples
    --------
    >>> import torch
    >>> view = torch.eye(3)
    >>> slots = torch.stack([view, view[[2, 0, 1]]])
    >>> float(matching_similarity_loss_per_img(slots, slots))
    0.0
    """
    if not (isinstance(f, torch.Tensor) and isinstance(p, torch.Tensor)):
        raise TypeError(f"f is {type(f).__name__} and p is {type(p).__name__}; wanted PyTorch tensors")
    dtype = p.dtype
    if dtype not in _torch_checks.FLOATS or f.dtype not in _torch_checks.FLOATS:
        raise TypeError(f"f is {f.dtype} and p is {dtype}; wanted float64, float32, float16 or bfloat16")
    if f.dtype != dtype and (not torch._C._is_any_autocast_enabled() or torch.float64 in (f.dtype, dtype)):  # autocast brings 16 bits to float32
        raise TypeError(f"f is {f.dtype} and p is {dtype}; wanted the same dtype")
    _library.reduction(reduction)
    raise_nonfinite = _library.policy("on_nonfinite", on_nonfinite, "propagate") == 1
    loss: torch.Tensor = _torch.loss_op(f, p, reduction, eps, raise_nonfinite)[0]
    return loss
