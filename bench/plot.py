"""What the benchmarks left in build/bench/, as build/bench/ratios.svg: how many times as fast osc
is."""

import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  # after the choice of what draws

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "build/bench"


def draw(axes, title, labels, series):
    for name, values in series.items():
        axes.plot(labels, values, marker="o", label=name)
    axes.set_yscale("log")
    axes.set_ylabel("times as fast, ratio of medians")
    axes.set_title(title)
    axes.tick_params(axis="x", rotation=20)
    axes.grid(alpha=0.3)
    axes.legend()


def main():
    loss = json.loads((FOLDER / "similarity_loss.json").read_text())["sizes"]
    solver = json.loads((FOLDER / "assignment.json").read_text())["results"]
    figure, panels = plt.subplots(1, 3, figsize=(18, 5.5), constrained_layout=True)
    labels = [f"({size['B']}, {size['S']}, {size['C']})" for size in loss]
    ratios = {
        f"than {usual}": [size["ratios"][f"{usual} / osc"] for size in loss]
        for usual in ("loop", "batched", "batched compiled")
    }
    draw(panels[0], "loss and gradient, PyTorch, (B, S, C)", labels, ratios)
    for axes, kind in zip(panels[1:], ("gaussian", "trained")):
        rows = [row for row in solver if row["costs"] == kind]
        others = {
            f"than {name}": [row["ratios"][name] for row in rows] for name in rows[0]["ratios"]
        }
        draw(axes, f"assignment, {kind} slots, S", [str(row["S"]) for row in rows], others)
    figure.savefig(FOLDER / "ratios.svg")
    print(f"wrote {FOLDER / 'ratios.svg'}")


if __name__ == "__main__":
    main()
