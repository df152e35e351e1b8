"""The specification of the losses in double, one image after another. SciPy solves the assignments.

Arrays may be complex, so that `jacobian` can take complex steps. Choices (a matching, a greatest
cosine) follow the real parts. A loss function returns all losses, NaN for what is not finite, and
its second result or None."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def unit(x, eps):
    norm = np.sqrt((x * x).sum(-1, keepdims=True))
    return x / np.where(norm.real > eps, norm, eps)


def match(view0, view1, eps):
    """Pairs of slots with the greatest sum of cosines."""
    cosines = unit(view0, eps).real @ unit(view1, eps).real.T
    return list(zip(*linear_sum_assignment(cosines, maximize=True)))


def similarity(f, p, eps=1e-10):
    images = len(f) // 2
    losses = np.full(p.shape[:2], np.nan, np.result_type(f, p))
    for i in range(images):
        j = i + images
        if not (np.isfinite(f[[i, j]]).all() and np.isfinite(p[[i, j]]).all()):
            continue
        for s, t in match(f[i], f[j], eps):
            losses[i, s] = (1 - unit(p[i, s], eps) @ unit(f[j, t], eps)) / 2
            losses[j, t] = (1 - unit(p[j, t], eps) @ unit(f[i, s], eps)) / 2
    return losses.ravel(), None


def contrastive(slots, temperature=1.0, eps=1e-10, within_images=False):
    """The losses and the accuracy. Slots of a non-finite image are no candidates."""
    images, count = len(slots) // 2, slots.shape[1]
    units, partner = {}, {}
    for i in range(images):
        j = i + images
        if np.isfinite(slots[[i, j]]).all():
            units |= {(r, s): unit(slots[r, s], eps) for r in (i, j) for s in range(count)}
            for s, t in match(slots[i], slots[j], eps):
                partner[i, s], partner[j, t] = (j, t), (i, s)
    losses = np.full((2 * images, count), np.nan, slots.dtype)
    right = []
    for r, s in units:
        cosines = {
            c: units[r, s] @ units[c]
            for c in units
            if c != (r, s) and (not within_images or c[0] % images == r % images)
        }
        positive = cosines[partner[r, s]]
        logits = np.array([cosine - positive for cosine in cosines.values()]) / temperature
        losses[r, s] = np.log(np.exp(logits).sum())
        right.append(all(positive.real > cosines[c].real for c in cosines if c != partner[r, s]))
    return losses.ravel(), np.mean(right) if right else np.nan


def small_to_large(f_large, p_small, eps=1e-10):
    """The losses and the share of slots that are counted."""
    images, large_crops, large_slots, _ = f_large.shape
    _, small_crops, small_slots, _ = p_small.shape
    shape = images, large_crops, small_crops
    losses, counted = np.full(shape, np.nan, np.result_type(f_large, p_small)), 0
    for i, a, b in np.ndindex(shape):
        is_finite = np.isfinite(f_large[i]).all() and np.isfinite(p_small[i]).all()
        if not is_finite or large_slots == 0 or small_slots == 0:
            continue
        cosines = unit(p_small[i, b], eps) @ unit(f_large[i, a], eps).T
        nearest_large, nearest_small = cosines.real.argmax(1), cosines.real.argmax(0)
        mutual = [(s, t) for s, t in enumerate(nearest_large) if nearest_small[t] == s]
        losses[i, a, b] = np.mean([(1 - cosines[pair]) / 2 for pair in mutual])
        counted += len(mutual)
    slots = losses.size * small_slots
    return losses, counted / slots if slots else np.nan


def variance_covariance(x):
    """The variance and the covariance term, as two losses."""
    samples, features = x.shape[-2:]
    terms = []
    for group in x.reshape(-1, samples, features):
        centred = group - group.mean(0)
        covariance = centred.T @ centred / (samples - 1)
        missing = 1 - np.sqrt(np.diag(covariance) + 1e-4)
        others = covariance[~np.eye(features, dtype=bool)]
        terms.append((np.where(missing.real > 0, missing, 0).mean(), (others**2).mean()))
    return np.mean(terms, 0), None


def reduced(losses, reduction, skips_nan):
    """``skips_nan``: pairs of crops in which no slot is counted are left out."""
    if reduction == "none":
        return losses
    losses = losses[~np.isnan(losses)] if skips_nan else losses
    with np.errstate(invalid="ignore"):
        return losses.sum() / (losses.size if reduction == "mean" else 1)


def jacobian(losses, x):
    """The derivatives of all losses, ``[*losses, *x]``, by complex steps: a step so small leaves
    no error of a difference."""
    step, derivatives = 1e-30, []
    for i in range(x.size):
        moved = x.astype(complex)
        moved.flat[i] += 1j * step
        derivatives.append(losses(moved).imag / step)
    shape = losses(x).shape
    return np.reshape(np.stack(derivatives, -1) if derivatives else [], (*shape, *x.shape))
