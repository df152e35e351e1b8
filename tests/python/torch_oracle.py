"""The specification of the loss in plain PyTorch and SciPy, one image after another in float64;
autograd differentiates it."""

import torch
from scipy.optimize import linear_sum_assignment


def unit(x, eps):
    norm = x.norm(dim=-1, keepdim=True)
    return torch.where(norm > eps, x / norm.clamp_min(eps), x / eps)


def loss(f, p, reduction="mean", eps=1e-10):
    f, p = f.detach().double(), p.double()
    images = len(f) // 2
    target = torch.empty_like(f)
    for i in range(images):
        similarity = unit(f[i], eps) @ unit(f[i + images], eps).T
        matching = linear_sum_assignment(similarity.cpu(), maximize=True)[1]
        target[i] = f[i + images][matching]
        target[i + images][matching] = f[i]
    losses = ((1 - (unit(p, eps) * unit(target, eps)).sum(-1)) / 2).flatten()
    return losses if reduction == "none" else getattr(losses, reduction)()


def loss_and_gradient(f, p, reduction="mean", eps=1e-10, incoming=None):
    p = p.detach().double().requires_grad_()
    value = loss(f, p, reduction, eps)
    (gradient,) = torch.autograd.grad(
        value, p, torch.ones_like(value) if incoming is None else incoming.double()
    )
    return value.detach(), gradient
