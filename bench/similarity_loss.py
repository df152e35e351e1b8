"""The loss and its gradient in three ways, turn by turn in one run: osc, and two ways of plain PyTorch with SciPy.

    .venv/bin/python bench/similarity_loss.py [--threads N] [--rounds R]

    loop     an image at a time in Python: similarities, SciPy's solver, gather, cosine similarity; backward by autograd through all of it
    batched  one bmm, SciPy's solver an image, one gather, F.cosine_similarity; backward by autograd
    osc      osc.numpy.matching_similarity_loss_per_img(…, with_grad=True)

Each turn calls one way for 30 ms or once. Prints milliseconds a call (median over turns) and the ratios; writes build/bench/similarity_loss.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

import osc.numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS_A_TURN = 0.03
SIZES = [(64, 7, 64), (64, 11, 64), (64, 11, 256), (256, 16, 256), (1024, 11, 64), (64, 64, 256), (16, 128, 768)]


def loop_way(f, p):
    b = len(f) // 2
    total = 0
    for i in range(b):
        first, second = F.normalize(f[i], dim=-1), F.normalize(f[i + b], dim=-1)
        column = torch.from_numpy(linear_sum_assignment((first @ second.T).numpy(), maximize=True)[1])
        total = total + (1 - F.cosine_similarity(p[i], f[i + b][column], dim=-1)).sum()
        total = total + (1 - F.cosine_similarity(p[i + b], f[i][column.argsort()], dim=-1)).sum()
    return total / (2 * p.shape[0] * p.shape[1])


def batched_way(f, p):
    b = len(f) // 2
    unit = F.normalize(f, dim=-1)
    cosines = torch.bmm(unit[:b], unit[b:].transpose(1, 2)).numpy()
    column = torch.from_numpy(np.stack([linear_sum_assignment(one, maximize=True)[1] for one in cosines]))
    order = torch.cat([column, column.argsort(1)])[..., None].expand_as(f)
    target = torch.cat([f[b:], f[:b]]).gather(1, order)
    return (1 - F.cosine_similarity(p, target, dim=-1)).mean() / 2


def with_backward(way):
    def run(f, p):
        p = p.clone().requires_grad_()
        loss = way(f, p)
        loss.backward()
        return loss.item(), p.grad.numpy()

    return run


def osc_way(f, p):
    return osc.numpy.matching_similarity_loss_per_img(f.numpy(), p.numpy(), with_grad=True)


def milliseconds(way, f, p):
    """A turn: calls for at least SECONDS_A_TURN, so that what one way leaves in the caches and asleep is not charged to the next."""
    calls, start = 0, time.perf_counter()
    while True:
        way(f, p)
        calls += 1
        passed = time.perf_counter() - start
        if passed > SECONDS_A_TURN:
            return 1e3 * passed / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ways = {"loop": with_backward(loop_way), "batched": with_backward(batched_way), "osc": osc_way}
    results = {"threads": arguments.threads, "rounds": arguments.rounds, "sizes": []}
    print(f"similarity loss and gradient, float32, Gaussian slots, {arguments.threads} threads: median milliseconds of {arguments.rounds} turns")
    print(f"{'(B, S, C)':>16}  {'loop':>9}  {'batched':>9}  {'osc':>9}   loop/osc  batched/osc")
    for b, s, c in SIZES:
        torch.manual_seed(0)
        f, p = torch.randn(2 * b, s, c), torch.randn(2 * b, s, c)
        answers = {name: way(f, p) for name, way in ways.items()}
        for loss, gradient in answers.values():
            assert abs(loss - answers["osc"][0]) < 1e-5 and np.abs(gradient - answers["osc"][1]).max() < 1e-6
        times = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                times[name].append(milliseconds(way, f, p))
        median = {name: statistics.median(values) for name, values in times.items()}
        print(
            f"{f'({b}, {s}, {c})':>16}  {median['loop']:9.2f}  {median['batched']:9.2f}  {median['osc']:9.3f}"
            f"   {median['loop'] / median['osc']:8.1f}  {median['batched'] / median['osc']:11.1f}"
        )
        results["sizes"].append({"B": b, "S": s, "C": c, "milliseconds": times})
    (ROOT / "build/bench/similarity_loss.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
