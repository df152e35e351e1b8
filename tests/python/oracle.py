"""The specification of the losses, in double, one image after another, with SciPy's matching."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def loss_and_gradient(f, p, reduction, eps=1e-10):
    """The similarity loss of matched slots, and its gradient with respect to ``p`` (that of the sum, for "none")."""
    f, p = np.asarray(f, np.float64), np.asarray(p, np.float64)
    images = len(f) // 2

    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), eps)

    target = np.empty_like(f)
    for i in range(images):
        matching = linear_sum_assignment(unit(f[i]) @ unit(f[i + images]).T, maximize=True)[1]
        target[i] = f[i + images][matching]
        target[i + images][matching] = f[i]
    cosine = (unit(p) * unit(target)).sum(-1, keepdims=True)
    norm = np.linalg.norm(p, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        gradient = np.where(norm > eps, -(unit(target) - cosine * p / norm) / (2 * norm), -unit(target) / (2 * eps))
    losses = ((1 - cosine) / 2).ravel()
    if reduction == "mean":
        return losses.mean(), gradient / losses.size
    return (losses.sum() if reduction == "sum" else losses), gradient
