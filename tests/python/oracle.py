"""The specification of the losses, in double, one image after another, with SciPy's matching."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def loss_and_gradient(f, p, reduction, eps=1e-10):
    """The similarity loss of matched slots, and its gradient with respect to ``p`` (that of the
    sum, for "none")."""
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
        gradient = np.where(
            norm > eps, -(unit(target) - cosine * p / norm) / (2 * norm), -unit(target) / (2 * eps)
        )
    losses = ((1 - cosine) / 2).ravel()
    if reduction == "mean":
        return losses.mean(), gradient / losses.size
    return (losses.sum() if reduction == "sum" else losses), gradient


# The other losses, as plain loops over slots. Gradients come from central differences of these.


def _unit(x, eps):
    return x / max(np.linalg.norm(x), eps)


def contrastive_loss(slots, reduction, temperature=1.0, eps=1e-10, within_images=False):
    """The loss, and the share of slots that resemble their match more than any other candidate. An
    image that is not finite is nobody's candidate."""
    slots = np.asarray(slots, np.float64)
    images, count = len(slots) // 2, slots.shape[1]
    finite = [np.isfinite(slots[[i, i + images]]).all() for i in range(images)]
    unit = {
        (r, s): _unit(slots[r, s], eps)
        for r in range(2 * images)
        for s in range(count)
        if finite[r % images]
    }
    match = {}
    for i in range(images):
        if finite[i]:
            cosines = np.array(
                [[unit[i, s] @ unit[i + images, t] for t in range(count)] for s in range(count)]
            ).reshape(count, count)
            for s, t in zip(*linear_sum_assignment(cosines, maximize=True)):
                match[i, s], match[i + images, t] = (i + images, t), (i, s)
    losses, right = [], []
    for r in range(2 * images):
        for s in range(count):
            if (r, s) not in unit:
                losses.append(np.nan)
                continue
            candidates = [
                c
                for c in unit
                if c != (r, s) and (not within_images or c[0] % images == r % images)
            ]
            cosine = {c: unit[r, s] @ unit[c] for c in candidates}
            of_match = cosine[match[r, s]]
            losses.append(
                np.log(np.sum([np.exp((cosine[c] - of_match) / temperature) for c in candidates]))
            )
            right.append(all(of_match > cosine[c] for c in candidates if c != match[r, s]))
    with np.errstate(invalid="ignore"):
        losses = np.array(losses)
        return (
            losses
            if reduction == "none"
            else losses.sum()
            if reduction == "sum"
            else losses.sum() / np.float64(losses.size),
            np.float64(sum(right)) / len(right) if right else np.nan,
        )


def small_to_large_loss(f_large, p_small, reduction, eps=1e-10):
    """The loss, and the share of slots that count."""
    f_large, p_small = np.asarray(f_large, np.float64), np.asarray(p_small, np.float64)
    images, large_crops, _, _ = f_large.shape
    _, small_crops, small_slots, _ = p_small.shape
    losses, counted = np.full((images, large_crops, small_crops), np.nan), 0
    spoilt = [
        i
        for i in range(images)
        if not (np.isfinite(f_large[i]).all() and np.isfinite(p_small[i]).all())
    ]
    for i, a, b in np.ndindex(losses.shape):
        if i in spoilt or f_large.shape[2] == 0 or small_slots == 0:
            continue
        cosines = np.array(
            [[_unit(s, eps) @ _unit(t, eps) for t in f_large[i, a]] for s in p_small[i, b]]
        )
        best = [(s, np.argmax(cosines[s])) for s in range(small_slots)]
        counting = [cosines[s, t] for s, t in best if np.argmax(cosines[:, t]) == s]
        counted += len(counting)
        losses[i, a, b] = np.mean([(1 - c) / 2 for c in counting])
    ratio = counted / np.float64(losses.size * small_slots) if losses.size * small_slots else np.nan
    if reduction == "none":
        return losses, ratio
    there = losses[~np.isnan(losses)]
    total = np.nan if spoilt else there.sum()
    return total if reduction == "sum" else total / there.size if there.size else np.nan, ratio


def variance_covariance_loss(x):
    x = np.asarray(x, np.float64)
    samples, features = x.shape[-2:]
    variances, covariances = [], []
    for group in x.reshape(-1, samples, features):
        covariance = np.cov(group.T).reshape(features, features)
        variances.append(
            np.mean([max(0, 1 - np.sqrt(covariance[d, d] + 1e-4)) for d in range(features)])
        )
        covariances.append(
            np.mean(
                [covariance[d, e] ** 2 for d in range(features) for e in range(features) if d != e]
            )
        )
    return np.mean(variances), np.mean(covariances)


def slope(function, x, direction, step=1e-6):
    """The derivative of ``function`` along ``direction``, by central differences."""
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)
