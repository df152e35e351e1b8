"""What is printed or written is there when osc says so, and replaces nothing that was read."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from conftest import OSC, TINY, contents


@pytest.fixture
def arrays(tmp_path):
    """Two files of slots [2B, S, C], of 60,000 losses."""
    for name in ("f.npy", "p.npy"):
        np.save(tmp_path / name, np.random.default_rng(0).standard_normal((20000, 3, 2)))
    return tmp_path / "f.npy", tmp_path / "p.npy"


COMMANDS = ["train", "eval", "report", "segment", "find", "generate", "loss", "info"]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["info"], *([command, "--help"] for command in COMMANDS)],
    ids=" ".join,
)
def test_lost_words_are_an_error(arguments):
    expect_lost(arguments)


def expect_lost(arguments):
    with open("/dev/full", "w") as full:
        streams = {"stdout": full, "stderr": subprocess.PIPE, "text": True}
        done = subprocess.run([OSC, *map(str, arguments)], timeout=300, **streams)
    assert done.returncode == 1, arguments
    assert done.stderr == "osc: standard output cannot be written\n"


def test_lost_results_are_an_error(arrays, scenes, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    image = scenes / "images/000000.png"
    find = ["find", run, image, "--slot", 0, "--among", scenes / "images"]
    for arguments in (
        ["loss", *arrays],
        ["loss", *arrays, "--json"],
        ["loss", *arrays, "--reduction", "none"],
        ["loss", *arrays, "--reduction", "none", "--json"],
        ["eval", run],
        ["eval", run, "--json"],
        ["report", run],
        ["segment", run, image, "--out", tmp_path / "out"],
        [*find, "--out", tmp_path / "sheet.png"],
        [*find, "--out", tmp_path / "sheet.png", "--json"],
        ["generate", "tetrominoes", "--count", 2, "--out", tmp_path / "scenes"],
        ["train", "--out", tmp_path / "new", "--steps", 2, *TINY],
    ):
        expect_lost(arguments)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_disk_that_fills_up_is_an_error(arrays, tmp_path, flags):
    """A limit on file sizes stands in for a full disk: the first part of the output is written."""
    script = 'ulimit -f 64; trap "" XFSZ; out=$1; shift; exec "$@" > "$out"'
    command = [OSC, "loss", *arrays, "--reduction", "none", *flags]
    done = subprocess.run(
        ["bash", "-c", script, "limited", tmp_path / "out", *command],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (tmp_path / "out").stat().st_size == 64 * 1024
    assert done.returncode == 1
    assert done.stderr == "osc: standard output cannot be written\n"


def test_loss_replaces_nothing(fail, arrays, tmp_path):
    f, p = arrays
    (tmp_path / "link.npy").symlink_to(f)
    os.link(p, tmp_path / "hard.npy")
    (tmp_path / "again").symlink_to(tmp_path)
    before = contents(tmp_path)
    new = tmp_path / "new.npy"
    for grad, match, *words in (
        (new, new, "--grad", "--match", "one file", "new.npy"),
        (new, tmp_path / "." / "new.npy", "one file"),
        (new, tmp_path / "again/new.npy", "one file"),
        (f, new, "--grad", "overwrite", "f.npy"),
        (new, p, "--match", "overwrite", "p.npy"),
        (new, tmp_path / "link.npy", "--match", "overwrite", "f.npy"),
        (tmp_path / "hard.npy", new, "--grad", "overwrite", "p.npy"),
        (tmp_path / "again/f.npy", new, "--grad", "overwrite", "f.npy"),
    ):
        fail(["loss", f, p, "--grad", grad, "--match", match], *words)
    fail(["loss", f, p, "--grad", f"{tmp_path}/./new.npy", "--match", new], "one file")
    assert contents(tmp_path) == before


def test_segment_replaces_nothing(fail, scenes, tiny_run, tmp_path):
    for name in ("a.png", "a.overlay.png", "other/c.png", "out/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(scenes / "images/000000.png", tmp_path / name)
    (tmp_path / "c.png").symlink_to(tmp_path / "out/b.png")
    (tmp_path / "out/x.png").symlink_to(tmp_path / "out/y.png")
    shutil.copy(scenes / "images/000000.png", tmp_path / "out/y.png")
    for name in ("b.png", "x.png", "y.png"):
        shutil.copy(scenes / "images/000001.png", tmp_path / name)
    before = contents(tmp_path)

    def refused(images, out, *words):
        fail(["segment", tiny_run, *(tmp_path / name for name in images), "--out", out], *words)

    refused(["a.png"], tmp_path, "a.png", "overwrite")
    refused(["a.png", "a.overlay.png"], tmp_path / "out", "a.overlay.png", "one file")
    refused(["c.png", "other/c.png"], tmp_path / "new", "c.png", "one file")
    refused(["a.png", "c.png", "b.png"], tmp_path / "out", "b.png", "overwrite", "c.png")
    refused(["x.png", "y.png"], tmp_path / "out", "x.png", "y.png", "one file")
    assert contents(tmp_path) == before

    data = shutil.copytree(scenes, tmp_path / "data")
    before = contents(data)
    mask = ("masks/000001.png", "overwrite")
    refused(["data/images/000001.png"], data / "masks", *mask)
    assert contents(data) == before


@pytest.mark.parametrize("command", ["trian", "--versoin", "help"])
def test_an_unknown_command_is_named(fail, command):
    fail([command], f"{command} is not a command", status=2)


def test_find_replaces_nothing(fail, scenes, tiny_run, tmp_path):
    among = shutil.copytree(scenes, tmp_path / "among")
    run = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.copy(scenes / "images/000000.png", tmp_path / "query.png")
    (tmp_path / "link.png").symlink_to(among / "images/000003.png")
    os.link(among / "images/000004.png", tmp_path / "hard.png")
    before = contents(tmp_path)
    for out, word in (
        ("query.png", "query.png"),
        ("./query.png", "query.png"),
        ("among/images/000002.png", "000002.png"),
        ("among/masks/../images/000002.png", "000002.png"),
        ("link.png", "000003.png"),
        ("hard.png", "000004.png"),
        ("among/masks/000005.png", "masks/000005.png"),
        ("among/objects.jsonl", "objects.jsonl"),
        ("run/checkpoint", "checkpoint"),
        ("run/metrics.jsonl", "metrics.jsonl"),
        ("run/report.html", "report.html"),
    ):
        arguments = ["find", run, tmp_path / "query.png", "--slot", 0, "--among", among]
        fail([*arguments, "--out", f"{tmp_path}/{out}"], "--out", "overwrite", word)
    assert contents(tmp_path) == before


def test_runs_replace_nothing(fail, scenes, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = contents(tmp_path)
    config = run / "config.toml"
    fail(["train", "--config", config, "--out", run, "--overwrite"], "overwrite", "config.toml")
    assert contents(tmp_path) == before
    (run / "result.json").unlink()
    (run / "result.json").symlink_to(run / "checkpoint")
    fail(["eval", run], "result.json would overwrite", "checkpoint")
    fail(["train", "--resume", run], "one file", "checkpoint", "result.json")
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(run / "metrics.jsonl")
    fail(["report", run], "report.html would overwrite", "metrics.jsonl")
    after = contents(tmp_path)
    assert after[run / "checkpoint"] == before[run / "checkpoint"]
    assert after[run / "metrics.jsonl"] == before[run / "metrics.jsonl"]
