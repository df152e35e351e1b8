"""The loss as it is usually written: an image at a time in Python, SciPy's solver for each,
PyTorch's autograd through all of it. What the other examples and the benchmarks compare with."""

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment


def matching_similarity_loss_per_img(f, p):
    """f, p: [2B, S, C], rows i and i + B the views of image i. The mean over slots of (1 - cosine
    of p and the matched f) / 2."""
    b = len(f) // 2
    f = f.detach()
    total = 0
    for i in range(b):
        first, second = F.normalize(f[i], dim=-1), F.normalize(f[i + b], dim=-1)
        column = torch.from_numpy(
            linear_sum_assignment((first @ second.T).numpy(), maximize=True)[1]
        )
        total = total + (1 - F.cosine_similarity(p[i], f[i + b][column], dim=-1)).sum()
        total = total + (1 - F.cosine_similarity(p[i + b], f[i][column.argsort()], dim=-1)).sum()
    return total / (2 * p.shape[0] * p.shape[1])


if __name__ == "__main__":
    torch.manual_seed(0)
    slots = torch.randn(4, 5, 8)
    # nothing to learn: 0
    print(matching_similarity_loss_per_img(torch.cat([slots, slots]), torch.cat([slots, slots])))
