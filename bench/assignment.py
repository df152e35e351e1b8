"""The assignment solver beside those that Python users have, cost matrices one after another on one
core, turn by turn in one run.

    .venv/bin/python bench/assignment.py [--rounds R]

    gaussian   cosines of Gaussian slots of 64 channels
    trained    the same where the second view is a permutation of the first, with noise of half its
    size

Float32 matrices, as many as fill 1 MiB (2000 at the most), so that what is timed is solving and not
memory. SciPy and lapx solve them one call each, osc and torch-linear-assignment in one call. Prints
microseconds a matrix (minimum, median and maximum of the calls) and ratios of medians; writes
build/bench/assignment.json. Every answer is compared with SciPy's, index by index.
"""

import argparse
import json
import os
import pathlib

import lap
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch_linear_assignment import batch_linear_assignment
from turns import shown, summary, take_turns

import osc

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = (7, 11, 16, 32, 64, 128, 256)
CHANNELS = 64


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def costs_of(kind, slots, problems):
    """Negated cosines, so that the least total is the best matching."""
    random = np.random.default_rng(slots)
    first = random.standard_normal((problems, slots, CHANNELS))
    second = random.standard_normal((problems, slots, CHANNELS))
    if kind == "trained":
        second = np.stack([view[random.permutation(slots)] for view in first]) + 0.5 * second
    return -np.einsum("nsc,ntc->nst", unit(first), unit(second)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    # before osc starts its threads, which are as many as the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    results = []
    print(
        f"microseconds a matrix on one core: minimum, median and maximum of the calls in {arguments.rounds} turns; {osc.instruction_set()}"
    )
    for kind in ("gaussian", "trained"):
        for slots in SIZES:
            problems = min(2000, 2**18 // slots**2)
            matrices = costs_of(kind, slots, problems)
            tensor = torch.from_numpy(matrices)
            ways = {
                "osc": lambda: osc.linear_sum_assignment(matrices)[0],
                "scipy": lambda: [linear_sum_assignment(matrix)[1] for matrix in matrices],
                "lapx": lambda: [lap.lapjv(matrix)[1] for matrix in matrices],
                "torch-linear-assignment": lambda: batch_linear_assignment(tensor),
            }
            answers = {name: np.asarray(way()) for name, way in ways.items()}
            assert all(np.array_equal(answer, answers["scipy"]) for answer in answers.values()), (
                kind,
                slots,
            )
            times = summary(take_turns(ways, arguments.rounds), 1e6 / problems)
            ratios = {
                name: times[name]["median"] / times["osc"]["median"]
                for name in ways
                if name != "osc"
            }
            print(
                f"{kind:>9} S={slots:<4}"
                + "  ".join(f"{name}{shown(times[name])}" for name in ways)
            )
            print(
                " " * 15 + "  ".join(f"{name} / osc {ratio:.1f}" for name, ratio in ratios.items()),
                flush=True,
            )
            results.append({"costs": kind, "S": slots, "microseconds": times, "ratios": ratios})
    (ROOT / "build/bench/assignment.json").write_text(
        json.dumps({"instruction_set": osc.instruction_set(), "results": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
