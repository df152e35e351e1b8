"""Files that a stranger made to stop, crash or mislead osc: each is refused with one line."""

import json
import os
import shutil
import subprocess
import zlib

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

DEEP = "[" * 200_000 + "]" * 200_000


def written_checkpoint(header, data):
    """The bytes of a checkpoint with this header, a string whose CRC-32 is filled in."""
    text = header.encode()
    text += b" " * (-len(text) % 8)
    before = len(text).to_bytes(8, "little") + text + data
    at = before.index(b'"crc32":"') + len(b'"crc32":"')
    blank = before[:at] + b"0" * 8 + before[at + 8 :]
    return before[:at] + b"%08x" % zlib.crc32(blank) + before[at + 8 :]


def parts_of(checkpoint):
    size = int.from_bytes(checkpoint[:8], "little")
    return checkpoint[8 : 8 + size].decode(), checkpoint[8 + size :]


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def readers_of_checkpoints(run, scenes, tmp_path):
    image = scenes / "images/000000.png"
    find = ["find", run, image, "--slot", 0, "--among", scenes, "--out", tmp_path / "sheet.png"]
    return (
        ["segment", run, image, "--out", tmp_path / "out"],
        find,
        ["eval", run],
        ["eval", run, "--data", scenes],
        ["report", run],
        ["train", "--resume", run],
    )


def test_deep_toml(fail, run, tmp_path):
    deep = tmp_path / "deep.toml"
    for text in (
        "a" + ".a" * 100_000 + " = 1\n",
        "[a" + ".a" * 100_000 + "]\n",
        "a = " + DEEP + "\n",
        "a = " + "{a = " * 100_000 + "1" + "}" * 100_000 + "\n",
    ):
        deep.write_text(text)
        out = tmp_path / "new"
        fail(["train", "--config", deep, "--out", out], "deep.toml", "nested deeper than 64")
        assert not out.exists()
    (run / "config.toml").write_text("a" + ".a" * 100_000 + " = 1\n")
    fail(["eval", run], "config.toml", "nested deeper than 64")


def test_deep_metrics(fail, run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines[3] = lines[3].replace("{", '{"more":' + DEEP + ",", 1)
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    for command in (["report", run], ["eval", run], ["train", "--resume", run]):
        fail(command, "metrics.jsonl:4", "nested deeper than 64")


def test_deep_result(fail, run):
    (run / "result.json").write_text('{"fg_ari":' + DEEP + "}")
    fail(["report", run], "result.json", "nested deeper than 64")


def test_deep_objects(fail, run, scenes, tmp_path):
    copy = shutil.copytree(scenes, tmp_path / "copy")
    with (copy / "objects.jsonl").open("a") as file:
        file.write('{"image":"x","more":' + DEEP + ',"objects":[]}\n')
    fail(["eval", run, "--data", copy], "objects.jsonl:31", "nested deeper than 64")


def test_deep_checkpoint(fail, run, scenes, tmp_path):
    header, data = parts_of((run / "checkpoint").read_bytes())
    assert written_checkpoint(header, data) == (run / "checkpoint").read_bytes()
    for deep in (
        header.replace('"shape":[', '"shape":[' + DEEP + ",", 1),
        header.replace('"shape":[', '"shape":{"a":' + DEEP + '},"more":[', 1),
    ):
        (run / "checkpoint").write_bytes(written_checkpoint(deep, data))
        for command in readers_of_checkpoints(run, scenes, tmp_path):
            fail(command, "checkpoint", "nested deeper than 64")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_checkpoint_that_is_not_finite(fail, run, scenes, tmp_path, value):
    header, data = parts_of((run / "checkpoint").read_bytes())
    name = next(key for key in json.loads(header) if key.startswith("slots."))
    first, _ = json.loads(header)[name]["data_offsets"]
    data = data[:first] + np.float32(value).tobytes() + data[first + 4 :]
    (run / "checkpoint").write_bytes(written_checkpoint(header, data))
    for command in readers_of_checkpoints(run, scenes, tmp_path):
        fail(command, name, "not finite")
    assert not (tmp_path / "out").exists() and not (tmp_path / "sheet.png").exists()


def test_pipes_are_not_waited_for(fail, run, scenes, tmp_path):
    def pipe(path):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return path

    copy = shutil.copytree(scenes, tmp_path / "copy")
    np.save(tmp_path / "f.npy", np.zeros((2, 1, 1)))
    alone = pipe(tmp_path / "pipe")
    for command in (
        ["loss", alone, tmp_path / "f.npy"],
        ["loss", tmp_path / "f.npy", alone],
        ["segment", run, alone, "--out", tmp_path / "out"],
        ["find", run, alone, "--slot", 0, "--among", copy, "--out", tmp_path / "sheet.png"],
        ["train", "--config", alone, "--out", tmp_path / "new"],
        ["loss", tmp_path / "f.npy", tmp_path / "f.npy", "--grad", alone],
    ):
        fail(command, "pipe", "is a pipe")
    for device in ("/dev/zero", "/dev/null"):
        fail(["segment", run, device, "--out", tmp_path / "out"], device, "is a device")
    fail(["loss", tmp_path / "f.npy", tmp_path], tmp_path, "is a folder")
    mask = pipe(copy / "masks/000007.png")
    fail(["eval", run, "--data", copy], mask, "is a pipe")
    shutil.copy(scenes / "masks/000007.png", tmp_path / "mask.png")
    os.replace(tmp_path / "mask.png", mask)
    fail(["eval", run, "--data", pipe(copy / "objects.jsonl").parent], "objects.jsonl", "is a pipe")
    pipe(run / "result.json")
    fail(["eval", run], "result.json", "is a pipe")
    fail(["report", run], "result.json", "is a pipe")
    (run / "result.json").unlink()
    pipe(run / "metrics.jsonl")
    for command in (["report", run], ["train", "--resume", run]):
        fail(command, "metrics.jsonl", "is a pipe")
    pipe(run / "checkpoint")
    for command in readers_of_checkpoints(run, scenes, tmp_path):
        fail(command, "checkpoint", "is a pipe")
    pipe(run / "config.toml")
    for command in readers_of_checkpoints(run, scenes, tmp_path):
        fail(command, "config.toml", "is a pipe")
    assert not (tmp_path / "out").exists() and not (tmp_path / "sheet.png").exists()


def test_npy_of_many_slots_and_no_values(succeed, fail, tmp_path):
    def claim(*shape):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        header += " " * (117 - len(header)) + "\n"
        (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + header.encode())
        assert (tmp_path / "x.npy").stat().st_size == 128
        return ["loss", tmp_path / "x.npy", tmp_path / "x.npy"]

    for shape in ((2_000_000_000, 1, 0), (2, 40_000, 0), (2, 2**40, 0), (2**40, 2**20, 0)):
        fail(claim(*shape), "x.npy", str(list(shape)), "wanted channels")
    assert succeed(*claim(4, 3, 0), "--reduction", "none").split() == ["0.5"] * 12
    assert float(succeed(*claim(2_000_000_000, 0, 4), "--reduction", "sum")) == 0
    assert succeed(*claim(0, 2**58, 0), "--reduction", "none") == ""
    fail(claim(0, 2**62, 0), "4611686018427387904", "the product of those that are not 0 overflows")


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_goes_when_its_run_goes_on(succeed, train, tmp_path):
    run = tmp_path / "run"
    train("run", "--steps 2")
    dead = dead_process()
    left = [f".checkpoint.{dead}-0.tmp", f".metrics.jsonl.{dead}-12.tmp"]
    kept = [f".checkpoint.{os.getpid()}-0.tmp", f".thesis.{dead}-0.tmp", f"checkpoint.{dead}-0.tmp"]
    for name in left + kept:
        (run / name).write_text("half")
    succeed("train", "--resume", run)
    assert not any((run / name).exists() for name in left)
    assert all((run / name).exists() for name in kept)
    (run / left[0]).write_text("half")
    train("run", "--overwrite --steps 2")
    assert not (run / left[0]).exists()
    assert all((run / name).exists() for name in kept)


def test_names_with_control_characters_are_printed_escaped(osc, fail, tiny_run, scenes, tmp_path):
    odd, shown = "no\nsuch\x1b[31m", r"no\nsuch\x1b[31m"
    out = ["--out", tmp_path / "out"]
    fail(["segment", tiny_run, f"{odd}.png", *out], f"{shown}.png")
    fail(["loss", f"{odd}.npy", f"{odd}.npy"], f"{shown}.npy")
    fail(["train", "--config", f"{odd}.toml", *out], f"{shown}.toml")
    fail(["train", "--resume", odd], shown)
    fail(["frobnicate", odd], "", status=2)

    folder = tmp_path / odd
    folder.mkdir()
    for k in range(20):
        shutil.copy(scenes / f"images/{k:06}.png", folder / f"{odd}{k}.png")
    (folder / f"{odd}.png").write_text("no image")
    run = tmp_path / (odd + "run")
    query = folder / f"{odd}0.png"
    slots = tmp_path / "slots"
    commands = [
        ["generate", "tetrominoes", "--count", 1, "--out", tmp_path / (odd + "scenes")],
        ["train", "--data", folder, "--out", run, "--steps", 2, *TINY],
        ["train", "--resume", run],
        ["eval", run],
        ["report", run],
        ["segment", run, query, "--out", slots],
    ]
    for command in commands:
        done = osc(*command)
        assert done.returncode == 0 and done.stderr == "", done
        assert shown in done.stdout and "\x1b" not in done.stdout and odd not in done.stdout
    slot = int(np.bincount(np.asarray(Image.open(slots / f"{odd}0.png")).ravel()).argmax())
    find = ["find", run, query, "--slot", slot, "--among", folder, "--out", tmp_path / "sheet.png"]
    done = osc(*find)
    assert done.returncode == 0
    assert done.stderr.startswith("skipped: ") and f"{shown}.png: is neither" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    for line in done.stdout.splitlines():
        assert line.startswith("slot ") or "  slot " in line
    answer = json.loads(osc(*find, "--json").stdout)
    assert answer["image"] == str(query)
