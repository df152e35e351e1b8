"""The assignment solver beside SciPy's, one matrix after another on one core, turn by turn in one run.

    .venv/bin/python bench/assignment.py [--rounds R]

    gaussian   cosines of Gaussian slots of 64 channels
    trained    the same where the second view is a permutation of the first, with noise of half its size

Float32 matrices; SciPy solves them one call each, osc in one call. Prints microseconds a matrix (minimum and median) and the ratio of medians; writes
build/bench/assignment.json. Every answer is compared with SciPy's, index by index.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

import numpy as np
from scipy.optimize import linear_sum_assignment

import osc

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROBLEMS = {7: 2000, 11: 2000, 16: 1000, 32: 500, 64: 200, 128: 50, 256: 20}
CHANNELS = 64


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cosines(kind, slots, problems):
    random = np.random.default_rng(slots)
    first = random.standard_normal((problems, slots, CHANNELS))
    second = random.standard_normal((problems, slots, CHANNELS))
    if kind == "trained":
        second = np.stack([view[random.permutation(slots)] for view in first]) + 0.5 * second
    return np.einsum("nsc,ntc->nst", unit(first), unit(second)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before osc starts its threads, which are as many as the cores
    ways = {
        "scipy": lambda matrices: [linear_sum_assignment(matrix, maximize=True)[1] for matrix in matrices],
        "osc": lambda matrices: osc.linear_sum_assignment(matrices, maximize=True)[0],
    }
    results = []
    print(f"microseconds a matrix on one core, minimum and median of {arguments.rounds} turns; {osc.instruction_set()}")
    print(f"{'costs':>9}  {'S':>4}  {'scipy':>17}  {'osc':>17}   scipy/osc")
    for kind in ("gaussian", "trained"):
        for slots, problems in PROBLEMS.items():
            matrices = cosines(kind, slots, problems)
            assert np.array_equal(ways["scipy"](matrices), ways["osc"](matrices))
            times = {name: [] for name in ways}
            for _ in range(arguments.rounds):
                for name, way in ways.items():
                    start = time.perf_counter()
                    way(matrices)
                    times[name].append(1e6 * (time.perf_counter() - start) / problems)
            shown = {name: f"{min(values):8.3f} {statistics.median(values):8.3f}" for name, values in times.items()}
            ratio = statistics.median(times["scipy"]) / statistics.median(times["osc"])
            print(f"{kind:>9}  {slots:4}  {shown['scipy']:>17}  {shown['osc']:>17}   {ratio:9.1f}", flush=True)
            results.append({"costs": kind, "S": slots, "microseconds": times})
    (ROOT / "build/bench/assignment.json").write_text(json.dumps({"instruction_set": osc.instruction_set(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
