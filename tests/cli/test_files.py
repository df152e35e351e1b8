"""generate, segment, find, info: what they write and what they refuse."""

import json

import numpy as np
import pytest
from PIL import Image

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}


def test_version_and_info(succeed):
    assert succeed("--version").startswith("osc ")
    assert "instruction set" in succeed("info")


def test_generated_scenes(succeed, scenes, tmp_path):
    lines = [json.loads(line) for line in (scenes / "objects.jsonl").read_text().splitlines()]
    assert len(lines) == 30
    for line in lines:
        image = np.asarray(Image.open(scenes / "images" / (line["image"] + ".png")))
        mask = np.asarray(Image.open(scenes / "masks" / (line["image"] + ".png")))
        assert image.shape == (36, 36, 3) and mask.shape == (36, 36) and mask.dtype == np.uint8
        assert (image[mask == 0] == 0).all() and set(np.unique(mask)) == {0, 1, 2, 3}
        for thing in line["objects"]:
            ys, xs = np.nonzero(mask == thing["mask"])
            assert len(ys) == 4 * 5 * 5
            centroid = (xs.mean() + 0.5, ys.mean() + 0.5)
            assert (thing["x"], thing["y"]) == pytest.approx(centroid, abs=1e-3)
            assert (image[ys, xs] == COLOURS[thing["category"].split()[0]]).all()
    last = "images/000002.png"
    for seed in (5, 6):
        out = tmp_path / str(seed)
        succeed("generate", "tetrominoes", "--count", 3, "--seed", seed, "--out", out)
        assert ((out / last).read_bytes() == (scenes / last).read_bytes()) == (seed == 5)


def test_generate_refuses(fail, scenes, tmp_path):
    fail(["generate", "tetrominoes", "--count", 0, "--out", tmp_path / "a"], "0")
    fail(["generate", "tetrominoes", "--count", 2, "--out", scenes], scenes)
    fail(["generate", "circles", "--count", 2, "--out", tmp_path / "a"], "circles", status=2)
    assert not (tmp_path / "a").exists()


def test_segment(succeed, scenes, tiny_run, tmp_path):
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 81, 3), np.uint8)).save(photo)
    succeed("segment", tiny_run, scenes / "images/000000.png", photo, "--out", tmp_path / "out")
    names = {"000000.overlay.png", "000000.png", "photo.overlay.png", "photo.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    for name, size in (("000000", (36, 36)), ("photo", (81, 50))):
        slots = Image.open(tmp_path / f"out/{name}.png")
        assert slots.size == size and slots.mode == "L" and np.asarray(slots).max() < 4
        assert Image.open(tmp_path / f"out/{name}.overlay.png").size == size


def odd_images(folder):
    """Images that are unusual and whole."""
    grey = np.arange(144, dtype=np.uint8).reshape(12, 12)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(np.stack([grey] * 4, -1)).save(folder / "alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "sixteen.png")
    Image.fromarray(grey).convert("P").save(folder / "palette.png")
    Image.fromarray(np.stack([grey] * 4, -1), "CMYK").save(folder / "cmyk.jpg")
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")
    Image.new("RGB", (3000, 2)).save(folder / "long.png")
    return sorted(folder.iterdir())


def test_segment_takes_unusual_images(succeed, tiny_run, tmp_path):
    (tmp_path / "in").mkdir()
    images = odd_images(tmp_path / "in")
    succeed("segment", tiny_run, *images, "--out", tmp_path / "out")
    for path in images:
        assert Image.open(tmp_path / "out" / (path.stem + ".png")).size == Image.open(path).size


def test_segment_refuses(fail, scenes, tiny_run, tmp_path):
    whole = (scenes / "images/000000.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    bomb = bytearray(whole)
    bomb[16:24] = b"\x7f\xff\xff\xff\x7f\xff\xff\xff"
    (tmp_path / "bomb.png").write_bytes(bomb)
    out = ["--out", tmp_path / "out"]
    for name in ("cut.png", "empty.png", "bomb.png", "none.png"):
        fail(["segment", tiny_run, scenes / "images/000001.png", tmp_path / name, *out], name)
    fail(["segment", tmp_path, scenes / "images/000001.png", *out], "config.toml")
    fail(["segment", tmp_path / "none", scenes / "images/000001.png", *out], "none")
    (tmp_path / "000001.png").write_bytes(whole)
    same_names = [scenes / "images/000001.png", tmp_path / "000001.png"]
    fail(["segment", tiny_run, *same_names, *out], "000001.png")
    assert not (tmp_path / "out").exists()


def test_find(succeed, fail, scenes, tiny_run, tmp_path):
    query = scenes / "images/000000.png"
    succeed("segment", tiny_run, query, "--out", tmp_path / "out")
    slot = int(np.bincount(np.asarray(Image.open(tmp_path / "out/000000.png")).ravel()).argmax())
    find = ["find", tiny_run, query, "--out", tmp_path / "sheet.png", "--among"]
    common = [*find, scenes / "images"]
    answer = json.loads(succeed(*common, "--slot", slot, "--top", 5, "--json"))
    results = answer["results"]
    assert len(results) <= 5
    assert all(result["image"] != "000000" for result in results)
    similarities = [result["similarity"] for result in results]
    assert similarities == sorted(similarities, reverse=True)
    Image.open(tmp_path / "sheet.png").verify()
    fail([*common, "--slot", 4], "--slot", "0 to 3")
    fail([*common, "--slot", -1], "--slot")
    (tmp_path / "sheet.png").unlink()
    fail([*find, tmp_path / "none", "--slot", slot], "none")
    assert not (tmp_path / "sheet.png").exists()
