"""osc train, eval and report: what a run leaves, how it goes on after being stopped, what it
refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tomllib
from conftest import OSC, TINY, contents
from PIL import Image


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run):
    """Everything in metrics.jsonl that does not depend on how fast the machine is."""
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "images_per_second")}
        for line in metrics(run)
    ]


def result_of(run):
    return json.loads((run / "result.json").read_text())


def test_run_folder(tiny_run):
    files = {"checkpoint", "config.toml", "metrics.jsonl", "report.html", "result.json"}
    assert set(os.listdir(tiny_run)) == files
    config = tomllib.loads((tiny_run / "config.toml").read_text())
    assert (config["seed"], config["stage1"]["steps"], config["stage2"]["steps"]) == (0, 12, 2)
    lines = metrics(tiny_run)
    assert [line["step"] for line in lines] == list(range(1, 15))
    assert [line["stage"] for line in lines] == [1] * 12 + [2] * 2
    assert all(line["images_per_second"] > 0 and np.isfinite(line["loss"]) for line in lines)
    assert lines[0]["explain"] == pytest.approx(lines[0]["loss"])
    assert lines[13]["contrastive"] == pytest.approx(lines[13]["loss"])
    assert 0 <= lines[4]["miou"] <= 1
    result = result_of(tiny_run)
    assert {"fg_ari", "ari", "miou", "seconds", "source"} <= set(result)
    assert (result["steps"], result["seed"], result["categories"]) == (14, 0, 6 * 19)
    assert 0 <= result["recognition"]["category_recall"] <= 1
    masks, recognition = (result["baselines"][kind] for kind in ("masks", "recognition"))
    assert {"untrained", "kmeans_colour", "kmeans_seeded"} <= set(masks)
    assert {"slot_feature", "random_matching", "category", "instance"} <= set(recognition)
    page = (tiny_run / "report.html").read_text()
    assert "data:image/png;base64," in page and "stage2" in page
    assert not re.search(r"(src|href)=.?https?:", page)


def test_eval_and_report_again(succeed, tiny_run, scenes, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = result_of(run)
    (run / "result.json").unlink()
    assert json.loads(succeed("eval", run, "--json", "--threads", 2)) == before == result_of(run)
    (run / "report.html").unlink()
    succeed("report", run)
    assert (run / "report.html").stat().st_size > 10000
    elsewhere = json.loads(succeed("eval", run, "--data", scenes, "--gallery", scenes, "--json"))
    assert elsewhere["images"] == 30 and 0 <= elsewhere["fg_ari"] <= 1
    assert elsewhere["recognition"]["category_recall"] is not None
    assert result_of(run) == before
    table = succeed("eval", run)
    for words in ("This model", "k-means, seeded", "Category embedding", "instance: weak"):
        assert words in table


def test_settings(succeed, train, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("steps = 14\nseed = 3\n[stage1]\nsimilarity = 0.5\n[stage2]\nsteps = 0\n")
    run = train("run", "--seed 4 --score-every 0", "--config", file)
    config = tomllib.loads((run / "config.toml").read_text())
    assert (config["seed"], config["stage2"]["steps"]) == (4, 0)
    assert (config["stage1"]["similarity"], config["stage1"]["explain"]) == (0.5, 1)
    assert {"explain", "similarity"} <= set(metrics(run)[0])
    # The configuration of a run is itself a settings file, and gives the same run.
    again = tmp_path / "again"
    succeed("train", "--config", run / "config.toml", "--out", again)
    assert losses(again) == losses(run)
    assert (again / "checkpoint").read_bytes() == (run / "checkpoint").read_bytes()


def test_the_papers_objective(train):
    run = train("run", "--objective paper --steps 6")
    assert {"global", "similarity"} <= set(metrics(run)[0]) and "explain" not in metrics(run)[0]
    assert result_of(run)["recognition"]["category_recall"] is not None


def start(*arguments, **streams):
    return subprocess.Popen([OSC, *map(str, arguments)], text=True, **streams)


def wait_for_steps(process, log, count):
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= count):
        time.sleep(0.002)


@pytest.mark.parametrize("stop_at", [5, 13])  # in stage 1, in stage 2
def test_kill_and_resume_is_as_never_stopped(succeed, train, tmp_path, stop_at):
    flags = "--steps 16 --checkpoint-every 2 --score-every 4"
    whole, killed = train("whole", flags), tmp_path / "killed"
    # A kill at any moment leaves a checkpoint and, perhaps, metrics of later steps and half a line.
    process = start("train", "--out", killed, *flags.split(), *TINY, stdout=subprocess.DEVNULL)
    wait_for_steps(process, killed / "metrics.jsonl", stop_at)
    process.kill()
    process.wait()
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9')
    for name in ("report.html", "result.json"):  # the machine may have been faster than the kill
        (killed / name).unlink(missing_ok=True)
    succeed("train", "--resume", killed)
    assert losses(killed) == losses(whole)
    assert (killed / "checkpoint").read_bytes() == (whole / "checkpoint").read_bytes()
    assert (killed / "report.html").exists()


def test_interrupt(fail, tmp_path):
    run = tmp_path / "run"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start("train", "--out", run, "--steps", 5000, *TINY, **pipes)
    wait_for_steps(process, run / "metrics.jsonl", 3)
    fail(["train", "--resume", run], "another process")
    fail(["train", "--out", run, "--overwrite"], "another process")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in error and len(error.splitlines()) == 1
    assert len(metrics(run)) == int(re.search(r"step (\d+) of 5000", error)[1])
    assert (run / "checkpoint").exists() and not list(run.glob("*tmp*"))


def test_run_folders_are_safe(train, fail, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = contents(run)
    fail(["train", "--out", run, "--steps", 2, *TINY], run, "--overwrite")
    assert contents(run) == before
    train("run", "--overwrite --steps 2")
    assert len(metrics(run)) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    fail(["train", "--out", tmp_path / "mine", "--overwrite", "--steps", 2, *TINY], "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    fail(["train", "--resume", run, "--steps", 3], "--resume")
    fail(["train", "--resume", tmp_path / "none"], "none")


def test_checkpoints_that_are_not_ours(fail, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    whole = (run / "checkpoint").read_bytes()
    half = len(whole) // 2
    for name, bytes_ in {
        "truncated": whole[:half],
        "altered": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
        "empty": b"",
        "foreign": b"PK\x03\x04" + bytes(1000),
        "older": whole.replace(b"osc-checkpoint-2", b"osc-checkpoint-1"),
    }.items():
        (run / "checkpoint").write_bytes(bytes_)
        for command in (
            ["train", "--resume", run],
            ["eval", run],
            ["report", run],
            ["segment", run, run / "none.png", "--out", tmp_path / "out"],
        ):
            fail(command, "checkpoint", *(["older format"] if name == "older" else []))
        assert (run / "checkpoint").read_bytes() == bytes_, name
    (run / "checkpoint").unlink()
    fail(["eval", run], "checkpoint")
    (run / "checkpoint").write_bytes(whole)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("slots = 4", "slots = 5", 1))
    fail(["eval", run], "slots is 4 there, 5")


BAD_FLAGS = [
    (["--steps", "0"], "--steps"),
    (["--steps", "many"], "--steps", "integer"),
    (["--batch", "-3"], "--batch"),
    (["--learning-rate", "nan"], "--learning-rate"),
    (["--learning-rate", "fast"], "--learning-rate"),
    (["--slots", "1"], "--slots", "2"),
    (["--seed", "-1"], "--seed"),
    (["--image-size", "37"], "image_size", "even"),
    (["--objective", "magic"], "magic", "recipe", "paper"),
    (["--stage1-explain", "-1"], "--stage1-explain"),
    (["--stage2-explain", "1"], "--stage2-explain"),
    (["--checkpoint-every", "0"], "--checkpoint-every"),
    (["--data", "no-such-folder"], "no-such-folder"),
    (["--frobnicate"], "--frobnicate"),
    (["--config", "no-such-file.toml"], "no-such-file.toml"),
    (["--stage1-explain", "0"], "stage1", "similarity", "contrastive"),
]


@pytest.mark.parametrize("flags", BAD_FLAGS, ids=lambda flags: " ".join(flags[0]))
def test_bad_flags(fail, tmp_path, flags):
    given, *words = flags
    fail(["train", "--out", tmp_path / "run", *given], *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("steps = ", ["bad.toml:1"]),
        ("seed = 1\nspeed = 2\n", ["bad.toml:2", "speed"]),
        ("seed = 'one'\n", ["bad.toml:1", "seed", "integer"]),
        ("[stage3]\nsteps = 1\n", ["stage3"]),
        ("[stage1]\nstep = 1\n", ["bad.toml:2", "stage1.step"]),
        ("[stage1]\nsimilarty = 1\n", ["stage1.similarty", "explain, similarity, contrastive"]),
        ("seed = [1, 2]\n", ["seed"]),
        ("slots = 1000\n", ["slots", "1000"]),
        ("control = 1\n", ["control", "true or false"]),
    ],
)
def test_bad_toml(fail, tmp_path, toml, words):
    (tmp_path / "bad.toml").write_text(toml)
    fail(["train", "--out", tmp_path / "run", "--config", tmp_path / "bad.toml"], *words)
    assert not (tmp_path / "run").exists()


def test_folder_of_photographs(succeed, fail, tmp_path):
    """Any images of any size, some of them corrupt, without masks."""
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for k in range(30):
        size = random.integers(20, 90, 2)
        image = Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8))
        image.save(folder / ("inner" if k % 2 else ".") / f"{k}.{'jpg' if k % 3 else 'png'}")
    (folder / "notes.txt").write_text("not an image")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    flags = ["--data", folder, "--out", tmp_path / "run", "--steps", 6, *TINY]
    assert "broken.png" in succeed("train", *flags)
    result = result_of(tmp_path / "run")
    assert result["fg_ari"] is None and result["images"] == 3
    assert (tmp_path / "run/report.html").exists()

    for k in range(20):
        (folder / f"bad{k}.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (tmp_path / "empty").mkdir()
    for data, word in ((folder, "bad"), (tmp_path / "empty", "empty")):
        fail(["train", "--data", data, "--out", tmp_path / "run2", *TINY], word)
    assert not (tmp_path / "run2").exists()


def test_folder_of_scenes_has_scores(train, fail, scenes, tmp_path):
    run = train("run", "--steps 6", "--data", scenes)
    assert result_of(run)["recognition"]["category_recall"] is not None
    wrong = shutil.copytree(scenes, tmp_path / "wrong")
    Image.new("L", (35, 36)).save(wrong / "masks/000007.png")
    fail(["train", "--data", wrong, "--out", tmp_path / "run2", *TINY], "000007.png", "35")
    assert not (tmp_path / "run2").exists()


def test_full_disk(tmp_path):
    """A file that cannot grow stands for a disk that is full: what was whole stays whole."""
    limit = 200_000  # bytes a file: less than a checkpoint
    done = subprocess.run(
        [
            *("bash", "-c", f"ulimit -f {limit // 1024}; trap '' XFSZ; exec \"$@\"", "limited"),
            *(OSC, "train", "--out", tmp_path / "run", "--steps", "4", *TINY),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "checkpoint" in done.stderr
    assert sorted(os.listdir(tmp_path / "run")) == ["config.toml", "metrics.jsonl"]


def test_closed_streams_do_not_end_up_in_files(tmp_path):
    shell = ["bash", "-c", 'exec "$@" <&- >&-', "closed"]
    command = [*shell, OSC, "train", "--out", tmp_path / "run", "--steps", "6", *TINY]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (1, "osc: standard output cannot be written\n")
    assert len(metrics(tmp_path / "run")) == 6


def test_masks_without_objects_have_no_scores(train, scenes, tmp_path):
    empty = shutil.copytree(scenes, tmp_path / "empty")
    for mask in (empty / "masks").iterdir():
        Image.new("L", (36, 36)).save(mask)
    assert result_of(train("run", "--steps 6 --score-every 2", "--data", empty))["fg_ari"] is None


def test_a_minute_of_training_beats_none(succeed, tmp_path):
    flags = "--steps 560 --final-images 200 --gallery-images 300".split()
    succeed("train", "--out", tmp_path / "run", *flags)
    result = result_of(tmp_path / "run")
    baselines = result["baselines"]
    for score in ("fg_ari", "miou"):
        assert result[score] > baselines["masks"]["untrained"]["clean"][score] + 0.2
    untrained = baselines["recognition"]["untrained"]["instance_recall_weak"]
    assert result["recognition"]["instance_recall_weak"] > untrained + 0.2
