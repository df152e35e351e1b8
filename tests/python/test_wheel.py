"""The source distribution and the wheel: what is in them, and that the wheel made from the one
passes the tests in an environment that has nothing else of ours."""

import os
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
VERSION = re.search(r"project\(osc VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]

pytestmark = pytest.mark.slow


def run(*command, cwd):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "CMAKE_ARGS", "CXXFLAGS")
    }
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The source distribution, and the wheel built from it, not from the tree, in an environment
    that has nothing but what pyproject.toml asks for."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("distributions")
    run(
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        folder,
        ROOT,
        cwd=folder,
    )
    [sdist] = folder.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, sdist, cwd=folder)
    return folder


def test_the_source_distribution_holds_the_sources_alone(distributions):
    with tarfile.open(distributions / f"osc-{VERSION}.tar.gz") as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert {name.split("/")[0] for name in names} <= {
        "CHANGELOG.md", "CITATION.cff", "CMakeLists.txt", "LICENSE", "PKG-INFO", "README.md",
        "bindings", "cmake", "examples", "include", "pyproject.toml", "python", "src", "tests",
    }  # fmt: skip
    assert {
        "include/osc/osc.h",
        "python/osc/_reference_jax/contrastive.py",
        "python/osc/py.typed",
        "src/operators.cpp",
        "tests/python/test_wheel.py",
    } <= set(names)
    assert not [name for name in names if re.search(r"__pycache__|\.(so|o|a|pyc)$", name)]


def test_one_wheel_for_every_python(distributions):
    [path] = distributions.glob("*.whl")
    assert re.fullmatch(rf"osc-{re.escape(VERSION)}-py3-none-\w+\.whl", path.name)
    with zipfile.ZipFile(path) as wheel:
        files = {
            name: wheel.read(name)
            for name in wheel.namelist()
            if not name.startswith(f"osc-{VERSION}.dist-info/")
        }
    libraries = {name for name in files if ".so" in name}
    assert {
        "osc/libosc.so",
        "osc/libosc_jax.so",
        "osc/libosc_torch.so",
    } <= libraries and "osc/py.typed" in files
    assert all(name.startswith("osc/") for name in files)
    for name in libraries:
        assert b"libpython" not in files[name] and b"PyObject_" not in files[name], (
            f"{name} links Python"
        )


def test_the_wheel_passes_the_tests_where_nothing_else_of_ours_is(distributions, tmp_path):
    [wheel] = distributions.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        wheel,
        "scipy",
        "pytest",
        "ml_dtypes",
        cwd=tmp_path,
    )
    folder = ROOT / "tests/python"
    where = run(python, "-c", "import osc; print(osc.__file__, osc.__version__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path)) and where.split()[1] == VERSION
    tests = [
        folder / name
        for name in (
            "test_assignment.py",
            "test_conformance.py",
            "test_numpy.py",
            "test_package.py",
            "test_examples.py",
        )
    ]
    print(run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=tmp_path))
