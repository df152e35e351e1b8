"""The losses of whole images on PyTorch tensors: features of two views of each image, and of a
batch of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import torch
except ImportError as error:
    raise ImportError("osc.loss_global needs PyTorch 2.10 or later: pip install torch") from error

from . import _torch
from ._documentation import documented
from ._operators import TABLE
from ._options import OnNonFinite, Reduction

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["contrastive_loss", "cosine_sim_loss", "variance_covariance_loss"]

_SIMILARITY = TABLE["matching_similarity_loss_per_img"].of_features
_CONTRASTIVE = TABLE["matching_contrastive_loss"].of_features
_VARIANCE_COVARIANCE = TABLE["variance_covariance_loss"]


@documented("matching_similarity_loss_per_img", "dense tensor")
def cosine_sim_loss(
    feats: torch.Tensor,
    projs: torch.Tensor,
    reduction: Reduction = "mean",
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> torch.Tensor:
    """Similarity loss of each image to its other view, as in SimSiam: ``(1 - cosine) / 2`` of its
    `projs` and the other view's `feats`.

    Parameters
    ----------
    feats : tensor, shape [2B, C]
        Features before the projection head, on any device. Rows ``i`` and ``i + B`` are the two
        views of image ``i``. No gradient flows to them.
    projs : tensor, shape [2B, C]
        Features after it, of the same shape, device and dtype: float64, float32, float16 or
        bfloat16 (16 bits computed in float32).
    {options}

    Returns
    -------
    tensor, scalar or of shape [2B]
        In the dtype of `projs`; float32 under autocast. All losses are in the order (view, image);
        the mean of no loss is NaN. The gradient has the dtype and layout of `projs`; contiguous
        where its channels are not adjacent.

    {raises}

    Notes
    -----
    `osc.loss_objects.matching_similarity_loss_per_img` with one slot, of which it is the operator:
    no copy, O(C) per image, and nothing to wait for on any device.

    {SimSiam}

    Examples
    --------
    >>> import torch
    >>> feats = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # orthogonal views of one image
    >>> float(cosine_sim_loss(feats, feats))
    0.5
    """
    options = {"reduction": reduction, "eps": eps, "on_nonfinite": on_nonfinite}
    arrays = {"feats": feats, "projs": projs}
    loss: torch.Tensor = _torch.call(_SIMILARITY, arrays, **options)[0]
    return loss


@documented("matching_contrastive_loss", "dense tensor")
def contrastive_loss(
    projs: torch.Tensor,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
    *,
    group: ProcessGroup | None = None,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrastive loss of each image, as in SimCLR: to tell its other view from all other images of
    the batch; and how often that succeeds.

    The loss of a row is the cross entropy of its other view among all 2B rows but itself, by their
    cosines over `temperature`.

    Parameters
    ----------
    projs : tensor, shape [2B, C]
        Features, on any device; float64, float32, float16 or bfloat16 (16 bits computed in
        float32). Rows ``i`` and ``i + B`` are the two views of image ``i``. The gradient flows to
        every row, also as a candidate of others.
    {options}
    group : torch.distributed.ProcessGroup, optional
        The images of all its ranks are candidates; as in
        `osc.loss_objects.matching_contrastive_loss`, which says what that asks of the ranks.

    Returns
    -------
    loss : tensor, scalar or of shape [2B]
        In the dtype of `projs`; float32 under autocast. All losses are in the order (view, image);
        the mean of no loss is NaN. The gradient has the dtype and layout of `projs`; contiguous
        where their channels are not adjacent.
    accuracy : tensor, float32 scalar
        The share of (finite) rows that resemble their other view strictly more than every other
        candidate; NaN where there are none. It has no gradient; of a `group`, that of this rank's
        rows.

    {raises}

    Notes
    -----
    Non-finite images are masked: they are no candidates of others, whose losses are those of a
    batch without them. `osc.loss_objects.matching_contrastive_loss` with one slot, of which it is
    the operator: 2B² C multiplications forward and three times as many backward, no 2B x 2B matrix
    is stored, and no device is waited for.

    {SimCLR}

    Examples
    --------
    >>> import torch
    >>> projs = torch.eye(2).repeat(2, 1)               # two images, each with two equal views
    >>> loss, accuracy = contrastive_loss(projs, temperature=0.5)
    >>> round(float(loss), 4), float(accuracy)
    (0.2395, 1.0)
    """
    options = {
        "temperature": temperature,
        "reduction": reduction,
        "eps": eps,
        "on_nonfinite": on_nonfinite,
    }
    return _torch.contrastive_loss(_CONTRASTIVE, {"projs": projs}, group, **options)


@documented("variance_covariance_loss", "dense tensor")
def variance_covariance_loss(
    x: torch.Tensor, *, on_nonfinite: OnNonFinite = "propagate"
) -> tuple[torch.Tensor, torch.Tensor]:
    """How little the features of samples vary, and how much they vary together: two regularisers of
    embeddings, which keep them from being all the same, and from saying the same twice.

    With K the unbiased covariance of the D features over the N samples of a group: the variance
    term is the mean over features of ``max(0, 1 - sqrt(K[d, d] + 1e-4))``, the covariance term the
    mean over pairs of different features of ``K[d, e]²``; each averaged over groups.

    Parameters
    ----------
    x : tensor, shape [..., N, D]
        Groups of N samples of D features, on any device; float64, float32, float16 or bfloat16 (16
        bits computed in float32).
    {options}

    Returns
    -------
    variance, covariance : tensors, scalars
        In the dtype of `x`; float32 under autocast. NaN of one sample, or where a size is 0; the
        covariance also of one feature. The gradient has the dtype and layout of `x`; contiguous
        where its features are not adjacent or its groups not evenly spaced.

    {raises}

    Notes
    -----
    N D² / 2 multiplications per group forward, three times as many backward, which computes K
    again: `x` is the only residual. On the CPU in parallel on PyTorch's threads with the
    interpreter's lock released, the same bits with any number of them; on another device there,
    with D² numbers a group, and nothing is waited for.

    {VICReg}

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])    # two features that say the same
    >>> variance, covariance = variance_covariance_loss(x)
    >>> float(variance), float(covariance)
    (0.0, 4.0)
    """
    variance, covariance = _torch.call(_VARIANCE_COVARIANCE, {"x": x}, on_nonfinite=on_nonfinite)
    return variance, covariance
