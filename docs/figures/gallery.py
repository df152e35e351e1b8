"""Draws docs/images/gallery.png: what `osc train` segments well, and what it does not.

    .venv/bin/python docs/figures/gallery.py

Draws 1000 scenes with their masks for each data set, trains stage 1 on them with the default
settings, and scores it on the scenes that were held out. Each row of the picture is a data set;
each pair is a held-out scene and its segmentation. Prints the scores, which docs/program.md quotes.
Takes some 20 minutes on two cores; scenes and runs are kept in runs/gallery and reused.
"""

import json
import pathlib
import subprocess

import numpy as np
from PIL import Image, ImageDraw

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSC = ROOT / "build/bin/osc"
RUNS = ROOT / "runs/gallery"
SCENES, SIDE, OBJECTS = 1000, 72, 3
COLOURS = [(220, 40, 40), (40, 160, 60), (50, 80, 220), (235, 200, 30), (170, 60, 190)]


def noise(rng, deviation, scale=1):
    """Grey noise [SIDE, SIDE, 1] in blobs of `scale` pixels."""
    small = rng.normal(0, deviation, (SIDE // scale, SIDE // scale, 1))
    return small.repeat(scale, 0).repeat(scale, 1)


def checkerboard(period):
    y, x = np.mgrid[:SIDE, :SIDE]
    return ((x // period + y // period) % 2)[..., None]


def shapes(rng, touching=False):
    """The masks of OBJECTS discs and boxes that do not overlap."""
    while True:
        masks, taken = [], np.zeros((SIDE, SIDE), bool)
        for k in range(OBJECTS):
            size = rng.integers(18, 26)
            x, y = rng.integers(0, SIDE - size, 2)
            if touching and k == 1:  # the second object beside the first
                x, y = masks[0][1] + masks[0][3], masks[0][2]
                if x + size > SIDE:
                    break
            image = Image.new("1", (SIDE, SIDE))
            draw = ImageDraw.Draw(image)
            kind = draw.rectangle if touching or rng.random() < 0.5 else draw.ellipse
            kind((x, y, x + size - 1, y + size - 1), fill=1)
            mask = np.array(image)
            if (mask & taken).any():
                break
            taken |= mask
            masks.append((mask, x, y, size))
        else:
            return [mask for mask, *_ in masks]


def plain(rng):
    image = np.full((SIDE, SIDE, 3), 190.0) + noise(rng, 4)
    return image, shapes(rng), rng.permutation(COLOURS)[:OBJECTS]


def touching(rng):
    image = np.full((SIDE, SIDE, 3), 190.0) + noise(rng, 4)
    colours = rng.permutation(COLOURS)[:OBJECTS]
    colours[1] = colours[0]
    return image, shapes(rng, touching=True), colours


def patterned(rng):
    image = np.full((SIDE, SIDE, 3), 190.0) + noise(rng, 4)
    board = checkerboard(6)
    pairs = rng.permutation(COLOURS)
    colours = [board * pairs[k] + (1 - board) * pairs[k + 1] for k in range(OBJECTS)]
    return image, shapes(rng), colours


def textured(rng):
    """Objects that differ from the background in texture alone: fine noise on coarse noise."""
    image = np.full((SIDE, SIDE, 3), 128.0) + noise(rng, 45, 12)
    return image, shapes(rng), [128 + noise(rng, 45, 2) + np.zeros(3)] * OBJECTS


KINDS = {
    "plain": plain,
    "touching": touching,
    "patterned": patterned,
    "textured": textured,
}


def draw_scenes(kind, folder):
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(SCENES):
        image, masks, colours = KINDS[kind](rng)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        for k, (mask, colour) in enumerate(zip(masks, colours)):
            image[mask] = np.broadcast_to(colour, image.shape)[mask]
            labels[mask] = k + 1
        pixels = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{i:06}.png")
        Image.fromarray(labels).save(folder / f"masks/{i:06}.png")


def run(*command):
    subprocess.run([OSC, *map(str, command)], check=True)


def row(kind, shown=4, zoom=2, gap=8):
    folder = RUNS / kind
    if not (folder / "run/result.json").exists():
        if kind == "tetrominoes":
            run("generate", kind, "--count", SCENES, "--out", folder / "data")
        else:
            draw_scenes(kind, folder / "data")
        options = "--slots 4 --stage2-steps 0".split()
        run("train", "--data", folder / "data", "--out", folder / "run", "--overwrite", *options)
    held_out = [f"{10 * i + 9:06}" for i in range(shown)]  # every tenth scene
    images = [folder / f"data/images/{name}.png" for name in held_out]
    run("segment", folder / "run", *images, "--out", folder / "segmented")
    result = json.loads((folder / "run/result.json").read_text())
    for name, scores in (
        ("osc", result["masks"]),
        ("k-means", result["baselines"]["masks"]["kmeans_seeded"]),
    ):
        print(kind, name, {score: round(value, 3) for score, value in scores["clean"].items()})
    tile = zoom * SIDE
    strip = Image.new("RGB", (shown * (2 * tile + 3 * gap) - 2 * gap, tile), "white")
    for i, (path, name) in enumerate(zip(images, held_out)):
        for k, shown_path in enumerate((path, folder / f"segmented/{name}.overlay.png")):
            picture = Image.open(shown_path).convert("RGB").resize((tile, tile), 0)
            strip.paste(picture, (i * (2 * tile + 3 * gap) + k * (tile + gap // 2), 0))
    return strip


def main():
    strips = [row(kind) for kind in ("tetrominoes", *KINDS)]
    gap = 16
    width, height = strips[0].size
    sheet = Image.new("RGB", (width, len(strips) * (height + gap) - gap), "white")
    for i, strip in enumerate(strips):
        sheet.paste(strip, (0, i * (height + gap)))
    sheet.quantize(256, Image.Quantize.MAXCOVERAGE).save(
        ROOT / "docs/images/gallery.png", optimize=True
    )


if __name__ == "__main__":
    main()
