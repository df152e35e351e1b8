"""The documentation builds without a warning. Skipped where what docs/requirements.txt names is not
installed."""

import pathlib
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    for module in ("sphinx", "furo", "myst_parser", "jax"):
        pytest.importorskip(module)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
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
