"""The contrastive loss of all slots of a batch, with its gradient, in two ways turn by turn: osc,
and PyTorch with the matrix of all pairs.

    .venv/bin/python bench/contrastive_loss.py [--threads N] [--rounds R]

    matrix   normalise, one product of all slots with all slots, F.cross_entropy; backward by
    autograd. The matching is osc's and not timed.
    osc      osc.loss_objects.matching_contrastive_loss and loss.backward(), the matching included

Float32, trained slots (the second view is the first in another order, and half as much noise),
temperature 0.1. Prints milliseconds a call (minimum, median and maximum), ratios of medians, and
for a batch whose matrix would take 8 GB the peak memory of a process that computes it and its time
beside what its multiplications take at the rate of a large matrix product; writes
build/bench/contrastive_loss.json.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from turns import shown, summary, take_turns

import osc
from osc.loss_objects import matching_contrastive_loss

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = [(64, 7, 64), (64, 11, 64), (256, 11, 128), (16, 64, 256)]
LARGE = (2048, 11, 64)
TEMPERATURE = 0.1


def slots_of(b, s, c):
    torch.manual_seed(0)
    first = torch.randn(b, s, c)
    order = torch.rand(b, s).argsort(1)[..., None].expand_as(first)
    return torch.cat([first, first.gather(1, order) + 0.5 * torch.randn(b, s, c)])


def matrix_way(slots, positives):
    unit = F.normalize(slots.flatten(0, 1), dim=1)
    logits = (unit @ unit.t()) / TEMPERATURE
    logits.fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, positives)


def positives_of(slots):
    matching = osc.match_slots(slots)
    b, s = matching.shape
    first = torch.arange(b)[:, None] * s
    return torch.cat([b * s + first + matching, first + matching.argsort(1)]).flatten()


def with_backward(way, slots, *arguments):
    slots = slots.clone().requires_grad_()

    def run():
        slots.grad = None
        loss = way(slots, *arguments)
        loss.backward()
        return loss.item(), slots.grad

    return run


def ours(slots):
    return matching_contrastive_loss(slots, TEMPERATURE)


def product_rate():
    """Multiplications a second of a large matrix product, the best of some."""
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return n**3 / min(seconds)


def large():
    """Run in a process of its own: what the large batch takes, as JSON."""
    b, s, c = LARGE
    run = with_backward(ours, slots_of(b, s, c))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    n = 2 * b * s
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        json.dumps(
            {
                "seconds": statistics.median(seconds),
                "seconds at the rate of a matrix product": 2 * n * n * c / product_rate(),
                "peak gigabytes": gigabytes,
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="only the large batch, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.large:
        large()
        return
    results = {"threads": arguments.threads, "rounds": arguments.rounds, "sizes": []}
    print(
        f"contrastive loss and gradient, float32, {arguments.threads} threads: milliseconds, minimum, median and maximum of the calls in {arguments.rounds} turns"
    )
    for b, s, c in SIZES:
        slots = slots_of(b, s, c)
        ways = {
            "osc": with_backward(ours, slots),
            "matrix": with_backward(matrix_way, slots, positives_of(slots)),
        }
        (our_loss, our_gradient), (loss, gradient) = (way() for way in ways.values())
        assert (
            abs(our_loss - loss) < 1e-5
            and (our_gradient - gradient).abs().max() < 1e-5 * gradient.abs().max()
        )
        times = summary(take_turns(ways, arguments.rounds), 1e3)
        ratio = times["matrix"]["median"] / times["osc"]["median"]
        print(f"({b}, {s}, {c})  matrix / osc {ratio:6.2f}")
        for name in ways:
            print(f"  {name:<8} {shown(times[name])}", flush=True)
        results["sizes"].append(
            {"B": b, "S": s, "C": c, "milliseconds": times, "matrix / osc": ratio}
        )
    child = [sys.executable, __file__, "--large", "--threads", str(arguments.threads)]
    results["large"] = json.loads(
        subprocess.run(child, check=True, capture_output=True, text=True).stdout
    )
    print(
        f"{LARGE}: " + ", ".join(f"{name} {value:.2f}" for name, value in results["large"].items())
    )
    (ROOT / "build/bench/contrastive_loss.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
