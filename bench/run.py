"""`make bench`: every comparison, one after another. Results are printed and left in build/bench/."""

import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()  # so that --help does not run it all
    subprocess.run(
        [ROOT / "build/bench/kernels_bench", f"--benchmark_out={ROOT / 'build/bench/kernels.json'}", "--benchmark_out_format=json"], check=True
    )
    for script in ("assignment.py", "similarity_loss.py", "training_step.py"):
        subprocess.run([sys.executable, ROOT / "bench" / script], check=True)


if __name__ == "__main__":
    main()
