"""The matcher of a set predictor: which of its predictions answers for which object, for a batch of
images with different numbers of objects, in one call."""

import numpy as np
from scipy.optimize import linear_sum_assignment

import osc

rng = np.random.default_rng(0)
images, predictions, most_objects, classes = 16, 7, 9, 5
counts = rng.integers(0, most_objects + 1, images)
true_class = rng.integers(0, classes, (images, most_objects))
true_box = rng.random((images, most_objects, 4))
# [images, predictions, classes]
probability = rng.dirichlet(np.ones(classes), (images, predictions))
box = rng.random((images, predictions, 4))

# [images, predictions, objects]: improbability of the object's class, and the distance of the
# boxes.
cost = 5 * np.abs(box[:, :, None] - true_box[:, None]).sum(-1)
cost -= np.take_along_axis(
    probability, np.broadcast_to(true_class[:, None], (images, predictions, most_objects)), axis=2
)
# A missing object costs the same for every prediction, and more than any present object. So it
# does not change the matches of the present objects, even if predictions are few.
is_there = np.arange(most_objects) < counts[:, None]
cost = np.where(is_there[:, None], cost, np.abs(cost).max() + 1)

# [images, predictions] with -1 for none, [images, objects]
object_of, prediction_of = osc.linear_sum_assignment(cost)
print(
    f"{is_there.sum()} objects in {images} images; in image 0 predictions "
    f"{prediction_of[0, : counts[0]]} answer for objects 0 to {counts[0] - 1}"
)

for i, count in enumerate(counts):
    rows, columns = linear_sum_assignment(cost[i, :, :count])
    matched = prediction_of[i, :count]
    is_matched = matched >= 0  # not all of them, where there are more objects than predictions
    assert np.isclose(
        cost[i, matched[is_matched], np.flatnonzero(is_matched)].sum(), cost[i, rows, columns].sum()
    )
