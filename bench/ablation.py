"""`make ablation`: what each part of the objective does. Trains each variant, and writes the table
into docs/learning.md between its marks.

    .venv/bin/python bench/ablation.py [--seeds 0 1 2] [--steps N] [--only recipe]

Runs are kept in runs/ablation/ and reused where they are finished, so that an interrupted ablation
goes on where it stopped.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- ablation: begin -->", "<!-- ablation: end -->"
VARIANTS = {  # name: (what differs from the recipe, flags)
    "recipe": ("explain in stage 1, contrastive in stage 2", []),
    "similarity in stage 1": (
        "recipe, and similarity 1 from the first step",
        ["--stage1-similarity", "1"],
    ),
    "similarity in stage 2": (
        "recipe, and similarity 1 beside contrastive",
        ["--stage2-similarity", "1"],
    ),
    "similarity alone in stage 2": (
        "similarity in place of contrastive",
        ["--stage2-similarity", "1", "--stage2-contrastive", "0"],
    ),
    "contrastive in stage 1": (
        "recipe, and contrastive 1 on the slot feature from the first step",
        ["--stage1-contrastive", "1"],
    ),
    "global in stage 1": ("recipe, and global 1 from the first step", ["--stage1-global", "1"]),
    "paper": ("global and similarity, one stage, nothing else", ["--objective", "paper"]),
}
COLUMNS = [
    ("FG-ARI", lambda r: r["fg_ari"]),
    ("ARI", lambda r: r["ari"]),
    ("mIoU", lambda r: r["miou"]),
    ("same kind", lambda r: r["recognition"]["category_recall"]),
    ("this object, weak", lambda r: r["recognition"]["instance_recall_weak"]),
    ("strong", lambda r: r["recognition"]["instance_recall_strong"]),
]


def finished_run(name, seed, flags, steps):
    run = (
        ROOT
        / "runs/ablation"
        / f"{name.replace(' ', '-')}-seed{seed}{f'-steps{steps}' if steps else ''}"
    )
    osc = ROOT / "build/bin/osc"
    if not (run / "result.json").exists():
        if (run / "config.toml").exists():
            command = [osc, "train", "--resume", run]
        else:
            command = [
                osc,
                "train",
                "--out",
                run,
                "--seed",
                str(seed),
                *flags,
                *(["--steps", str(steps)] if steps else []),
            ]
        subprocess.run(command, check=True)
    return json.loads((run / "result.json").read_text())


def table(results, seeds, steps):
    over = (
        f"Median over seeds {', '.join(map(str, seeds))}"
        if len(seeds) > 1
        else f"Seed {seeds[0]} alone"
    )
    command = " ".join(
        [
            ".venv/bin/python bench/ablation.py --seeds",
            *map(str, seeds),
            *(["--steps", str(steps)] if steps else []),
        ]
    )
    length = f"runs of {steps} steps" if steps else "runs of full length"
    lines = [f"{over}, {length}, final scenes.", f"`{command}` repeats it.", ""]
    lines.append("| objective | what differs | " + " | ".join(name for name, _ in COLUMNS) + " |")
    lines.append("|---|---|" + "---|" * len(COLUMNS))

    def row(name, what, runs, get):
        cells = []
        for _, column in COLUMNS:
            values = [get(run, column) for run in runs]
            cells.append(
                f"{statistics.median(values):.3f}" if all(v is not None for v in values) else "–"
            )
        lines.append(f"| {name} | {what} | " + " | ".join(cells) + " |")

    for name, runs in results.items():
        row(name, VARIANTS[name][0], runs, lambda run, column: column(run))
        if name == "recipe":

            def control(run, column):
                masks = {key: run[key] for key in ("fg_ari", "ari", "miou")}
                return column(
                    {**masks, "recognition": run["baselines"]["recognition"]["random_matching"]}
                )

            row(
                "slots matched at random",
                "recipe, stage 2's matching drawn at random",
                runs,
                control,
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="of each run; 0: the objective's own")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=VARIANTS,
        help="these variants; prints the table and leaves docs/learning.md alone",
    )
    arguments = parser.parse_args()
    results = {
        name: [finished_run(name, seed, flags, arguments.steps) for seed in arguments.seeds]
        for name, (_, flags) in VARIANTS.items()
        if name in (arguments.only or VARIANTS)
    }
    text = table(results, arguments.seeds, arguments.steps)
    print(text)
    if arguments.only:
        return
    page = ROOT / "docs/learning.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    temporary = page.with_suffix(".md.part")
    temporary.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
    temporary.replace(page)


if __name__ == "__main__":
    main()
