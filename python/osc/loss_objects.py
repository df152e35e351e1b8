"""The losses of matched object slots on PyTorch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import torch
except ImportError as error:
    raise ImportError("osc.loss_objects needs PyTorch 2.10 or later: pip install torch") from error

from . import _torch
from ._documentation import documented
from ._library import matching_contrastive_loss_best_worst
from ._operators import TABLE
from ._options import OnNonFinite, Reduction

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = [
    "matching_contrastive_loss",
    "matching_contrastive_loss_best_worst",
    "matching_contrastive_loss_per_img",
    "matching_similarity_loss_per_img",
    "matching_similarity_loss_small_to_large",
]

_SIMILARITY = TABLE["matching_similarity_loss_per_img"]
_CONTRASTIVE = TABLE["matching_contrastive_loss"]
_SMALL_TO_LARGE = TABLE["matching_similarity_loss_small_to_large"]


@documented("matching_similarity_loss_per_img", "dense tensor")
def matching_similarity_loss_per_img(
    f: torch.Tensor,
    p: torch.Tensor,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> torch.Tensor:
    """Similarity loss of each slot to its match in the other view of its image.

    The slots of the two views are matched by `f` so that the sum of their cosines is greatest. The
    loss of a slot is ``(1 - cosine) / 2`` of its `p` and the `f` of its match.

    Parameters
    ----------
    f : tensor, shape [2B, S, C]
        Slots before the projection head, on any device. Rows ``i`` and ``i + B`` are the two views
        of image ``i``. No gradient flows to them.
    p : tensor, shape [2B, S, C]
        Slots after the projection head, of the same shape, device and dtype: float64, float32,
        float16 or bfloat16 (16 bits computed in float32).
    {options}

    Returns
    -------
    tensor, scalar or of shape [2BS]
        In the dtype of `p`; float32 under autocast. All losses are in the order (view, image,
        slot); the mean of no loss is NaN. The gradient has the dtype and layout of `p`; contiguous
        where p's channels are not adjacent.

    {raises}

    Notes
    -----
    On the CPU: O(S² C + S³) per image, in parallel over images on PyTorch's threads with the
    interpreter's lock released, the same bits with any number of them, no copy where the channels
    are contiguous. On another device the assignments alone are made on the CPU, for which a call
    waits for the device once (docs/pytorch.md).

    {paper}

    Its code returns ``(1 - Σ cosines) / 2`` for ``"sum"`` and an array ``[2, B, S]`` for
    ``"none"``.

    Examples
    --------
    >>> import torch
    >>> view = torch.eye(3)
    >>> slots = torch.stack([view, view[[2, 0, 1]]])
    >>> float(matching_similarity_loss_per_img(slots, slots))
    0.0
    """
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    loss: torch.Tensor = _torch.call(_SIMILARITY, {"f": f, "p": p}, **options)[0]
    return loss


@documented("matching_contrastive_loss", "dense tensor")
def matching_contrastive_loss(
    slots: torch.Tensor,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    group: ProcessGroup | None = None,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> torch.Tensor:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of the batch.

    The slots of the two views are matched so that the sum of their cosines is greatest. The loss of
    a slot is the cross entropy of its match among all 2BS slots but itself, by their cosines over
    `temperature`: from 0 up, ``log(2BS - 1)`` where all slots are equal
    (`matching_contrastive_loss_best_worst`).

    Parameters
    ----------
    slots : tensor, shape [2B, S, C]
        Slots, on any device; float64, float32, float16 or bfloat16 (16 bits computed in float32).
        Rows ``i`` and ``i + B`` are the two views of image ``i``. The gradient flows to every slot,
        also as a candidate of others, and not through the matching.
    {options}
    group : torch.distributed.ProcessGroup, optional
        The slots of all its ranks are candidates; the losses are those of this rank's slots. Every
        rank must call, with slots of one shape and dtype that all require a gradient or none, and
        every rank must call backward: both wait for the others. The mean over ranks of the mean
        loss is that of the joined batch, and so is the gradient averaged over ranks, as
        DistributedDataParallel does it. What is an error on one rank is one on every rank. No
        second derivative, no forward mode, no vmap, and a graph break under torch.compile.

    Returns
    -------
    tensor, scalar or of shape [2BS]
        In the dtype of `slots`; float32 under autocast. All losses are in the order (view, image,
        slot); the mean of no loss is NaN. The gradient has the dtype and layout of `slots`;
        contiguous where their channels are not adjacent.

    {raises}

    Notes
    -----
    Slots of a non-finite image are masked: they are no candidates of other slots. The losses of the
    other images are those of a batch without that image. With N = 2BS, some N² C / 2
    multiplications forward and as many again backward per use of a cosine, 3 N² C / 2; no N x N
    matrix is stored, on no device. On the CPU on PyTorch's threads with the interpreter's lock
    released, the same bits with any number of them. On another device a call waits for it once, for
    the assignments. A `group` of R ranks: R times the work, one all-gather of the slots and one of
    some bytes (shapes, which the host reads) forward, two of some bytes a slot backward.

    {paper}

    Examples
    --------
    >>> import torch
    >>> slots = torch.ones(4, 3, 8)                     # all equal, the worst case: log(2BS - 1)
    >>> round(float(matching_contrastive_loss(slots)), 4)
    2.3979
    """
    options = {
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _torch.contrastive_loss(_CONTRASTIVE, {"slots": slots}, group, **options)[0]


@documented("matching_contrastive_loss", "dense tensor")
def matching_contrastive_loss_per_img(
    slots: torch.Tensor,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> torch.Tensor:
    """Contrastive loss of each slot: to tell its match in the other view of its image from all
    other slots of that image.

    This is `matching_contrastive_loss` with the 2S slots of the slot's own image as candidates:
    ``log(2S - 1)`` where all slots are equal.

    Parameters
    ----------
    slots : tensor, shape [2B, S, C]
        Slots, on any device; float64, float32, float16 or bfloat16 (16 bits computed in float32).
        Rows ``i`` and ``i + B`` are the two views of image ``i``.
    {options}

    Returns
    -------
    tensor, scalar or of shape [2BS]
        In the dtype of `slots`; float32 under autocast. All losses are in the order (view, image,
        slot); the mean of no loss is NaN. The gradient has the dtype and layout of `slots`;
        contiguous where their channels are not adjacent.

    {raises}

    Notes
    -----
    O(S² C + S³) per image, in parallel over images. On another device a call waits for it once.

    {paper}

    Examples
    --------
    >>> import torch
    >>> slots = torch.eye(3).expand(4, 3, 3)            # the best case: equal to their matches
    >>> round(float(matching_contrastive_loss_per_img(slots, temperature=0.1)), 6)
    0.000182
    """
    options = {
        "candidates": "image",
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _torch.contrastive_loss(_CONTRASTIVE, {"slots": slots}, None, **options)[0]


@documented("matching_similarity_loss_small_to_large", "dense tensor")
def matching_similarity_loss_small_to_large(
    f_large: torch.Tensor,
    p_small: torch.Tensor,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarity loss of the slots of small crops to those of large crops of the same image, where
    the two resemble each other most.

    For each image and each pair of a large and a small crop: a slot of the small crop counts where
    it and its best slot of the large crop, by their cosine, are each other's best. The loss of the
    pair is the mean over the slots that count of ``(1 - cosine) / 2``.

    Parameters
    ----------
    f_large : tensor, shape [B, Al, L, C]
        Slots of Al large crops of each image before the projection head, L of each, on any device.
        No gradient flows to them.
    p_small : tensor, shape [B, As, S, C]
        Slots of As small crops after the projection head, S of each, of the same device and dtype:
        float64, float32, float16 or bfloat16 (16 bits computed in float32).
    {options}

    Returns
    -------
    loss : tensor, scalar or of shape [B, Al, As]
        In the dtype of `p_small`; float32 under autocast. A pair in which no slot counts has NaN
        with ``"none"`` and is left out of the mean and the sum; the mean of no pair is NaN. With an
        image that is not finite the mean and the sum are NaN. The gradient has the dtype and layout
        of `p_small`; contiguous where their channels are not adjacent. A pair in which no slot
        counts sends none.
    counted_ratio : tensor, float32 scalar
        The share of the B Al As S slots that count; NaN where there are none. It has no gradient.

    {raises}

    Notes
    -----
    Al L As S C multiplications per image; of equal cosines the first is the greatest. On the CPU in
    parallel over images on PyTorch's threads with the interpreter's lock released, the same bits
    with any number of them; on another device all of it is done there, and nothing is waited for.

    {paper}

    Examples
    --------
    >>> import torch
    >>> large = torch.eye(4).expand(1, 2, 4, 4)          # two crops of four slots
    >>> small = torch.eye(4)[[2, 0]].expand(1, 3, 2, 4)  # three, of two of these
    >>> loss, counted_ratio = matching_similarity_loss_small_to_large(large, small)
    >>> float(loss), float(counted_ratio)
    (0.0, 1.0)
    """
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    arrays = {"f_large": f_large, "p_small": p_small}
    loss, _, counted_ratio = _torch.call(_SMALL_TO_LARGE, arrays, **options)
    return loss, counted_ratio
