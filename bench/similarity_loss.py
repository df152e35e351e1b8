"""The loss and its gradient in several ways, turn by turn in one run: osc, and what plain PyTorch
and SciPy give.

    .venv/bin/python bench/similarity_loss.py [--threads N] [--rounds R]

    loop              examples/plain_loss.py: an image at a time in Python: similarities, SciPy's
    solver, gather, cosine similarity; backward by autograd through all of it
    batched           one bmm, SciPy's solver an image, one gather, F.cosine_similarity; backward by
    autograd
    batched compiled  the same under torch.compile, which leaves the graph for SciPy
    osc               osc.loss_objects.matching_similarity_loss_per_img and loss.backward()
    osc compiled      the same under torch.compile(fullgraph=True)
    osc.numpy         osc.numpy.matching_similarity_loss_per_img(…, with_grad=True)

Float32, Gaussian slots. Prints milliseconds a call (minimum, median and maximum of the calls) and
ratios of medians; writes build/bench/similarity_loss.json. Every answer is compared with the
loop's.
"""

import argparse
import json
import os
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from turns import shown, summary, take_turns

import osc.numpy
from osc.loss_objects import matching_similarity_loss_per_img

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import plain_loss  # noqa: E402  # after the path to it

SIZES = [
    (64, 7, 64),
    (64, 11, 64),
    (64, 11, 256),
    (256, 16, 256),
    (1024, 11, 64),
    (64, 64, 256),
    (16, 128, 768),
]


def batched_way(f, p):
    b = len(f) // 2
    unit = F.normalize(f, dim=-1)
    cosines = torch.bmm(unit[:b], unit[b:].transpose(1, 2)).numpy()
    column = torch.from_numpy(
        np.stack([linear_sum_assignment(one, maximize=True)[1] for one in cosines])
    )
    order = torch.cat([column, column.argsort(1)])[..., None].expand_as(f)
    target = torch.cat([f[b:], f[:b]]).gather(1, order)
    return (1 - F.cosine_similarity(p, target, dim=-1)).mean() / 2


def with_backward(way, f, p):
    p = p.clone().requires_grad_()

    def run():
        p.grad = None
        loss = way(f, p)
        loss.backward()
        return loss.item(), p.grad.numpy()

    return run


def ways_of(f, p):
    arrays = f.numpy(), p.numpy()
    return {
        "osc": with_backward(matching_similarity_loss_per_img, f, p),
        "osc compiled": with_backward(
            torch.compile(matching_similarity_loss_per_img, fullgraph=True), f, p
        ),
        "osc.numpy": lambda: osc.numpy.matching_similarity_loss_per_img(*arrays, with_grad=True),
        "loop": with_backward(plain_loss.matching_similarity_loss_per_img, f, p),
        "batched": with_backward(batched_way, f, p),
        "batched compiled": with_backward(torch.compile(batched_way), f, p),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {"threads": arguments.threads, "rounds": arguments.rounds, "sizes": []}
    print(
        f"loss and gradient, float32, Gaussian slots, {arguments.threads} threads: milliseconds, minimum, median and maximum of the calls in {arguments.rounds} turns"
    )
    for b, s, c in SIZES:
        torch.manual_seed(0)
        f, p = torch.randn(2 * b, s, c), torch.randn(2 * b, s, c)
        ways = ways_of(f, p)
        answers = {name: way() for name, way in ways.items()}
        for loss, gradient in answers.values():
            assert (
                abs(loss - answers["loop"][0]) < 1e-5
                and np.abs(gradient - answers["loop"][1]).max() < 1e-6
            )
        times = summary(take_turns(ways, arguments.rounds), 1e3)
        ratios = {
            f"{usual} / {ours}": times[usual]["median"] / times[ours]["median"]
            for ours in list(ways)[:3]
            for usual in list(ways)[3:]
        }
        print(f"({b}, {s}, {c})")
        for name in ways:
            ours = (
                "".join(
                    f"  {usual} / it {ratios[f'{usual} / {name}']:6.1f}" for usual in list(ways)[3:]
                )
                if name in list(ways)[:3]
                else ""
            )
            print(f"  {name:<16} {shown(times[name])}{ours}", flush=True)
        results["sizes"].append({"B": b, "S": s, "C": c, "milliseconds": times, "ratios": ratios})
    (ROOT / "build/bench/similarity_loss.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
