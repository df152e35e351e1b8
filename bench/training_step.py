"""A training step of each stage: the C++ program beside the same model in eager PyTorch, turn by
turn in one run.

    .venv/bin/python bench/training_step.py [--threads N] [--rounds R]

Prints milliseconds a step (minimum, median, maximum over the rounds) and the ratio of the medians;
writes build/bench/training_step.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import pytorch_recipe
import torch
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS_A_TURN = {1: 10, 2: 4}


def scenes(count):
    """Built-in scenes as uint8 [count, 3, 36, 36]."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "scenes"
        subprocess.run(
            [
                ROOT / "build/bin/osc",
                "generate",
                "tetrominoes",
                "--count",
                str(count),
                "--seed",
                "0",
                "--out",
                out,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        images = [
            torch.from_numpy(np.array(Image.open(path)))
            for path in sorted((out / "images").iterdir())
        ]
    return torch.stack(images).permute(0, 3, 1, 2).contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    eager = pytorch_recipe.Steps(scenes(512), batch=(16, 32))
    program = subprocess.Popen(
        [ROOT / "build/bench/training_step_bench", str(arguments.threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def time_program(stage, steps):
        program.stdin.write(f"{stage} {steps}\n")
        program.stdin.flush()
        return float(program.stdout.readline())

    def time_eager(stage, steps):
        step = eager.stage1 if stage == 1 else eager.stage2
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - start

    results = {
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "torch": torch.__version__,
        "stages": {},
    }
    print(
        f"milliseconds a training step, {arguments.threads} threads: minimum, median, maximum of {arguments.rounds} turns"
    )
    for stage, steps in STEPS_A_TURN.items():
        ways = {"osc": time_program, "PyTorch eager": time_eager}
        for way in ways.values():
            way(stage, steps)  # warm
        times = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                times[name].append(1e3 * way(stage, steps) / steps)
        ratio = statistics.median(times["PyTorch eager"]) / statistics.median(times["osc"])
        for name, values in times.items():
            print(
                f"  stage {stage}  {name:14}  {min(values):7.1f} {statistics.median(values):7.1f} {max(values):7.1f}"
            )
        print(f"  stage {stage}  osc is {ratio:.2f} times as fast")
        results["stages"][stage] = {"milliseconds": times, "ratio": ratio}
    program.stdin.close()
    program.wait()
    out = ROOT / "build/bench/training_step.json"
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
