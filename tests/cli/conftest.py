"""The osc program as a user runs it."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSC = ROOT / "build" / "bin" / "osc"

# A run that is over in seconds: enough to have every file, too short to have learned anything.
TINY = "--train-images 64 --final-images 12 --gallery-images 12 --batch 4 --threads 2".split()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_osc(*arguments, timeout=600):
    return subprocess.run(
        [OSC, *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture
def osc():
    return run_osc


@pytest.fixture
def succeed():
    def succeed(*arguments):
        done = run_osc(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return succeed


@pytest.fixture
def train(succeed, tmp_path):
    """Trains a tiny run in tmp_path / name, with flags in one string; returns its folder."""

    def train(name, flags, *more):
        succeed("train", "--out", tmp_path / name, *flags.split(), *more, *TINY)
        return tmp_path / name

    return train


@pytest.fixture
def fail():
    """Runs osc, which must refuse with one line on stderr that contains each of `words`."""

    def fail(arguments, *words, status=None):
        done = run_osc(*arguments, timeout=60)  # a refusal takes no time
        assert done.returncode > 0 if status is None else done.returncode == status, done
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("osc: "), done.stderr
        for word in words:
            assert str(word) in lines[0], lines[0]

    return fail


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A folder of 30 generated scenes with masks and labels."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    done = run_osc("generate", "tetrominoes", "--count", 30, "--seed", 5, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of 14 steps."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    done = run_osc("train", "--out", folder, "--steps", 14, "--score-every", 5, *TINY)
    assert done.returncode == 0, done.stderr
    return folder
