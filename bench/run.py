"""`make bench`: every comparison, one after another. Results are printed and left in build/bench/,
as JSON and as a plot."""

import argparse
import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
RESULTS = BENCH.parent / "build/bench"


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()  # so that --help does not run it all
    subprocess.run(
        [
            RESULTS / "kernels_bench",
            f"--benchmark_out={RESULTS / 'kernels.json'}",
            "--benchmark_out_format=json",
        ],
        check=True,
    )
    subprocess.run([RESULTS / "limits_bench", RESULTS / "limits.json"], check=True)
    for script in (
        "assignment.py",
        "similarity_loss.py",
        "contrastive_loss.py",
        "plot.py",
        "pytorch_overhead.py",
        "python_call.py",
        "training_step.py",
    ):
        subprocess.run([sys.executable, BENCH / script], check=True)


if __name__ == "__main__":
    main()
