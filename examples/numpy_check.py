"""The loss of matched slots on NumPy arrays, beside the same sum written out with SciPy's
assignment."""

import numpy as np
from scipy.optimize import linear_sum_assignment

import osc.numpy


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


rng = np.random.default_rng(0)
images, slots, channels = 8, 5, 16
# rows i and i + images are the two views of image i
f, p = rng.standard_normal((2, 2 * images, slots, channels))

losses = []
for i in range(images):
    rows, columns = linear_sum_assignment(unit(f[i]) @ unit(f[i + images]).T, maximize=True)
    losses += [(1 - unit(p[i, s]) @ unit(f[i + images, t])) / 2 for s, t in zip(rows, columns)]
    losses += [(1 - unit(p[i + images, t]) @ unit(f[i, s])) / 2 for s, t in zip(rows, columns)]

loss, gradient = osc.numpy.matching_similarity_loss_per_img(f, p, with_grad=True)
print(
    f"osc {loss:.15f}, written out {np.mean(losses):.15f}; the gradient has shape {gradient.shape}"
)
assert abs(loss - np.mean(losses)) < 1e-14
