"""The documentation builds without a warning, and its code runs as it is printed."""

import os
import pathlib
import re
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]


def blocks(page, language):
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)


def name_of(page):
    return str(page.relative_to(ROOT))


def run(command, **keywords):
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, **keywords)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_below_80_columns(page):
    fences = re.findall(r"^```.*?^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(fences).splitlines()
    assert [line for line in lines if len(line) >= 80 and not line.startswith("```")] == []


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_python_of_a_page_runs(page, monkeypatch, capsys):
    """All blocks of a page, one after another in one namespace."""
    code = "\n".join(blocks(page, "python"))
    for module in set(re.findall(r"^(?:import|from) (torch|jax|numpy)\b", code, re.MULTILINE)):
        pytest.importorskip(module)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in (torchrun | {"RANK": "0", "WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)
    namespace = {}
    exec(compile(code, page, "exec"), namespace)
    if "dist" in namespace:
        namespace["dist"].destroy_process_group()
    if page.name == "README.md":
        assert 0 < float(capsys.readouterr().out) < 1  # the loss, which it prints


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder with the library in .local, where the README installs it."""
    libraries = ROOT / "build/lib"
    if not (libraries / "libosc.a").exists() or not (libraries / "libosc.so").exists():
        pytest.skip("the kernel library is not built in build/")
    home = tmp_path_factory.mktemp("home")
    run(["cmake", "--install", ROOT / "build", "--prefix", home / ".local"])
    return home


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "cpp")], ids=name_of)
def test_cpp_of_a_page_builds_and_runs(page, home, tmp_path):
    """The program of a page, with the CMakeLists.txt and the commands of the README."""
    readme = PAGES[0]
    [cmake], [program] = blocks(readme, "cmake"), blocks(page, "cpp")
    [commands] = [block for block in blocks(readme, "sh") if "CMAKE_PREFIX_PATH" in block]
    (tmp_path / "CMakeLists.txt").write_text(cmake)
    (tmp_path / "main.cpp").write_text(program)
    environment = os.environ | {"HOME": str(home)}
    output = run(["sh", "-e", "-c", commands], cwd=tmp_path, env=environment)
    [loss] = re.findall(r"^loss ([0-9.]+)", output, re.MULTILINE)
    assert 0 < float(loss) < 1


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    for module in ("sphinx", "furo", "myst_parser", "jax"):
        pytest.importorskip(module)
    run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path])
    reference = (tmp_path / "api.html").read_text()
    for name in (
        "osc.linear_sum_assignment",
        "osc.match_slots",
        "osc.loss_objects.matching_similarity_loss_per_img",
        "osc.numpy.matching_similarity_loss_per_img",
        "osc.jax.matching_similarity_loss_per_img",
        "osc.loss_objects.matching_contrastive_loss",
        "osc.loss_global.contrastive_loss",
        "osc.numpy.matching_contrastive_loss_best_worst",
        "osc.jax.match_slots",
    ):
        assert f'id="{name}"' in reference
    assert "<math" in (tmp_path / "losses/similarity.html").read_text()
