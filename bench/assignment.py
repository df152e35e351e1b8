"""The assignment solver beside those that Python users have, cost matrices one after another on one
core, turn by turn in one run.

    .venv/bin/python bench/assignment.py [--rounds R]

    gaussian    cosines of Gaussian slots of 64 channels, float32
    trained     the same where the second view is a permutation of the first, with noise of half its
                size
    IoU         1 - intersection over union of the boxes of two frames, mostly exactly 1
    0 to 9      whole numbers, as are 0 to 15
    equal       ones
    detectors   5 L1(boxes) - score of the class, as set predictors have it, queries x targets, with
                a box near each of nine in ten targets
    untrained   the same with boxes anywhere
    rows twice  every row is there twice; columns twice: every column
    sums        a whole number of the row plus one of the column: no assignment is better
    forbidden   whole numbers from 0 to 3, every second pair forbidden

Slots are as many matrices as fill 1 MiB (2000 at the most), so that what is timed is solving and
not memory; the others are as many as are named, in float32 and in float64. SciPy and lapx solve
them one call each, osc and torch-linear-assignment in one call. Prints microseconds a matrix
(minimum, median and maximum of the calls) and ratios of medians; writes
build/bench/assignment.json. Every answer of osc is compared with SciPy's, index by index; other
solvers break ties in other ways, so that of theirs it is the totals.
"""

import argparse
import functools
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


def cosines(kind, slots, problems):
    """Negated cosines, so that the least total is the best matching."""
    random = np.random.default_rng(slots)
    first = random.standard_normal((problems, slots, CHANNELS))
    second = random.standard_normal((problems, slots, CHANNELS))
    if kind == "trained":
        second = np.stack([view[random.permutation(slots)] for view in first]) + 0.5 * second
    return -np.einsum("nsc,ntc->nst", unit(first), unit(second)).astype(np.float32)


def moved(random, boxes, others, noise):
    """`others`, of which nine in ten are moved ones of `boxes`, in another order."""
    common = 9 * min(len(boxes), len(others)) // 10
    chosen = random.permutation(len(boxes))[:common]
    others[random.permutation(len(others))[:common]] = boxes[chosen]
    return others + random.normal(0, noise, others.shape) * [1, 1, 0, 0]


def small_boxes(random, count):
    return random.random((count, 4)) * [1, 1, 0.13, 0.13] + [0, 0, 0.02, 0.02]  # centre, size


def overlaps(random, rows, columns):
    a = small_boxes(random, rows)
    b = moved(random, a, small_boxes(random, columns), 0.004)
    low = np.maximum((a[:, :2] - a[:, 2:] / 2)[:, None], b[:, :2] - b[:, 2:] / 2)
    high = np.minimum((a[:, :2] + a[:, 2:] / 2)[:, None], b[:, :2] + b[:, 2:] / 2)
    both = np.clip(high - low, 0, None).prod(-1)
    return 1 - both / (a[:, 2:].prod(-1)[:, None] + b[:, 2:].prod(-1) - both)


def detections(random, queries, targets, trained=True):
    truth, boxes = random.random((targets, 4)), random.random((queries, 4))
    if trained:
        boxes = moved(random, truth, boxes, 0.02)
    scores = random.random((queries, 91)) ** 4
    distance = np.abs(boxes[:, None] - truth).sum(-1)
    return 5 * distance - scores[:, random.integers(0, 91, targets)]


def whole_numbers(most):
    return lambda random, rows, columns: random.integers(0, most, (rows, columns))


def forbidden(random, rows, columns):
    cost = np.where(
        random.random((rows, columns)) < 0.5, np.inf, random.integers(0, 4, (rows, columns))
    )
    np.fill_diagonal(cost, 3)  # so that there is an assignment
    return cost


DETECTORS = ((64, 100, 20), (16, 300, 100), (8, 900, 50), (8, 300, 300))
FAMILIES = (
    ("IoU", overlaps, ((64, 50, 60), (8, 300, 300), (1, 1000, 1000))),
    ("0 to 9", whole_numbers(10), ((8, 200, 200),)),
    ("detectors", detections, DETECTORS),
    ("untrained", functools.partial(detections, trained=False), DETECTORS),
    (
        "equal",
        lambda random, rows, columns: np.ones((rows, columns)),
        ((8, 200, 200), (1, 2000, 4000)),
    ),
    ("0 to 15", whole_numbers(16), ((1, 2000, 4000),)),
    (
        "rows twice",
        lambda random, rows, columns: random.random((rows, columns))[np.arange(rows) // 2],
        ((64, 20, 20), (1, 500, 500)),
    ),
    (
        "columns twice",
        lambda random, rows, columns: random.random((rows, columns))[:, np.arange(columns) // 2],
        ((64, 20, 20), (1, 500, 500)),
    ),
    (
        "sums",
        lambda random, rows, columns: np.add.outer(
            random.integers(0, 50, rows), random.integers(0, 50, columns)
        ),
        ((64, 20, 20), (1, 500, 500)),
    ),
    ("forbidden", forbidden, ((8, 200, 200),)),
)


def problems():
    """Costs by name, shape and type."""
    for kind in ("gaussian", "trained"):
        for slots in SIZES:
            yield kind, cosines(kind, slots, min(2000, 2**18 // slots**2))
    random = np.random.default_rng(0)
    for name, make, shapes in FAMILIES:
        for count, rows, columns in shapes:
            costs = np.stack([make(random, rows, columns) for _ in range(count)])
            for dtype in (np.float32, np.float64):
                yield name, costs.astype(dtype)


def column_of_row(rows, matrix):
    """SciPy's answer with -1 for rows that are left over."""
    result = np.full(len(matrix), -1)
    result[rows[0]] = rows[1]
    return result


def total(matrix, columns):
    rows = np.flatnonzero(np.asarray(columns) >= 0)
    return matrix[rows, np.asarray(columns)[rows]].sum(dtype=np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    # before osc starts its threads, which are as many as the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    results = []
    print(
        "microseconds a matrix on one core: minimum, median and maximum of the calls in "
        f"{arguments.rounds} turns; {osc.instruction_set()}"
    )
    for kind, matrices in problems():
        count, rows, columns = matrices.shape
        square = rows == columns
        ways = {
            "osc": lambda: osc.linear_sum_assignment(matrices)[0],
            "scipy": lambda: [linear_sum_assignment(matrix) for matrix in matrices],
        }
        if np.isfinite(matrices).all():  # lapx treats a forbidden pair as an expensive one
            ways["lapx"] = lambda: [
                lap.lapjv(matrix, extend_cost=not square)[1] for matrix in matrices
            ]
        if kind in ("gaussian", "trained"):
            tensor = torch.from_numpy(matrices)
            ways["torch-linear-assignment"] = lambda: batch_linear_assignment(tensor)
        answers = {name: way() for name, way in ways.items()}
        answers["scipy"] = [column_of_row(*pair) for pair in zip(answers["scipy"], matrices)]
        assert np.array_equal(answers["osc"], answers["scipy"]), (kind, matrices.shape)
        for name, answer in answers.items():
            for matrix, ours, theirs in zip(matrices, answers["osc"], answer):
                assert np.isclose(total(matrix, ours), total(matrix, theirs)), (kind, name)
        times = summary(take_turns(ways, arguments.rounds), 1e6 / count)
        ratios = {
            name: times[name]["median"] / times["osc"]["median"] for name in ways if name != "osc"
        }
        title = f"{kind} {count} x {rows} x {columns} {matrices.dtype}"
        print(f"{title:<34}" + "  ".join(f"{name}{shown(times[name])}" for name in ways))
        print(
            " " * 34 + "  ".join(f"{name} / osc {ratio:.1f}" for name, ratio in ratios.items()),
            flush=True,
        )
        results.append(
            {
                "costs": kind,
                "problems": count,
                "S": rows,
                "columns": columns,
                "dtype": str(matrices.dtype),
                "microseconds": times,
                "ratios": ratios,
            }
        )
    (ROOT / "build/bench/assignment.json").write_text(
        json.dumps({"instruction_set": osc.instruction_set(), "results": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
