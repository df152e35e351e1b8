"""`osc loss` against plain loops in double precision and SciPy's solver."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment


def unit(x, eps=1e-10):
    return x / max(np.linalg.norm(x), eps)


def reference(f, p):
    """Losses [2B, S] and matching [B, S], from the definition."""
    f, p = f.astype(np.float64), p.astype(np.float64)
    b, slots = len(f) // 2, f.shape[1]
    losses = np.zeros((2 * b, slots))
    matching = np.zeros((b, slots), dtype=np.int64)
    for i in range(b):
        cosines = np.array(
            [[unit(f[i, s]) @ unit(f[i + b, t]) for t in range(slots)] for s in range(slots)]
        )
        matching[i] = linear_sum_assignment(cosines, maximize=True)[1]
        for s, t in enumerate(matching[i]):
            losses[i, s] = (1 - unit(p[i, s]) @ unit(f[i + b, t])) / 2
            losses[i + b, t] = (1 - unit(p[i + b, t]) @ unit(f[i, s])) / 2
    return losses, matching


@pytest.fixture(params=[np.float32, np.float64])
def arrays(request, tmp_path):
    random = np.random.default_rng(3)
    f, p = (random.standard_normal((10, 4, 6)).astype(request.param) for _ in range(2))
    np.save(tmp_path / "f.npy", f)
    np.save(tmp_path / "p.npy", p)
    return f, p, tmp_path / "f.npy", tmp_path / "p.npy"


def test_values(succeed, arrays):
    f, p, f_file, p_file = arrays
    losses, _ = reference(f, p)
    tolerance = float(8 * np.finfo(f.dtype).eps)
    answer = json.loads(succeed("loss", f_file, p_file, "--json"))
    assert set(answer) == {"loss", "images", "slots", "channels"}
    assert (answer["images"], answer["slots"], answer["channels"]) == (5, 4, 6)
    assert answer["loss"] == pytest.approx(losses.mean(), rel=tolerance)
    for reduction, expected in (("sum", losses.sum()), ("none", losses.ravel())):
        answer = json.loads(succeed("loss", f_file, p_file, "--reduction", reduction, "--json"))
        np.testing.assert_allclose(answer["loss"], expected, rtol=tolerance, atol=tolerance)
    assert float(succeed("loss", f_file, p_file)) == pytest.approx(losses.mean(), rel=tolerance)


def test_matching_and_gradient(succeed, arrays, tmp_path):
    f, p, f_file, p_file = arrays
    succeed("loss", f_file, p_file, "--grad", tmp_path / "g.npy", "--match", tmp_path / "m.npy")
    gradient, matching = np.load(tmp_path / "g.npy"), np.load(tmp_path / "m.npy")
    np.testing.assert_array_equal(matching, reference(f, p)[1])
    assert matching.dtype == np.int64 and gradient.dtype == f.dtype and gradient.shape == p.shape
    step = 1e-6
    for at in [(0, 0, 0), (3, 2, 5), (9, 3, 1)]:
        moved = [p.astype(np.float64), p.astype(np.float64)]
        moved[0][at] += step
        moved[1][at] -= step
        slope = (reference(f, moved[0])[0].mean() - reference(f, moved[1])[0].mean()) / (2 * step)
        assert gradient[at] == pytest.approx(slope, abs=1e-6)


def test_empty_and_non_finite(succeed, osc, tmp_path):
    np.save(tmp_path / "empty.npy", np.zeros((0, 3, 4), np.float32))
    empty = tmp_path / "empty.npy"
    assert math.isnan(float(succeed("loss", empty, empty)))
    assert float(succeed("loss", empty, empty, "--reduction", "sum")) == 0
    assert succeed("loss", empty, empty, "--reduction", "none") == ""

    f = np.random.default_rng(0).standard_normal((4, 3, 2))
    f[2, 1, 0] = np.nan  # the second view of image 0
    np.save(tmp_path / "nan.npy", f)
    both = [tmp_path / "nan.npy"] * 2
    losses = json.loads(succeed("loss", *both, "--reduction", "none", "--json"))["loss"]
    assert [loss is None for loss in losses] == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3
    refused = osc("loss", *both, "--on-nonfinite", "raise")
    assert refused.returncode == 1 and "image 0" in refused.stderr


def test_bad_input(fail, tmp_path):
    def save(name, array):
        np.save(tmp_path / name, array)
        return tmp_path / name

    good = save("good.npy", np.zeros((4, 3, 2), np.float32))
    fail(["loss", good, tmp_path / "none.npy"], "none.npy")
    fail(["loss", good, save("odd.npy", np.zeros((3, 3, 2), np.float32))], "[3, 3, 2]", "[4, 3, 2]")
    odd = tmp_path / "odd.npy"
    fail(["loss", odd, odd], "3")
    flat = save("flat.npy", np.zeros((4, 6), np.float32))
    fail(["loss", flat, flat], "[4, 6]", "three dimensions")
    fail(["loss", good, save("double.npy", np.zeros((4, 3, 2)))], "float32", "float64")
    fail(["loss", good, save("integers.npy", np.zeros((4, 3, 2), np.int32))], "integers.npy")
    fail(["loss", good, good, "--reduction", "max"], "max", "mean")
    for eps in ("0", "-1", "nan", "inf"):
        fail(["loss", good, good, "--eps", eps], "eps")
    (tmp_path / "text.npy").write_text("not an array")
    fail(["loss", good, tmp_path / "text.npy"], "text.npy")
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:-5])
    fail(["loss", good, tmp_path / "cut.npy"], "cut.npy")
    fail(["loss", good], "P")
    fail(["loss", good, good, "--grad", tmp_path / "no" / "folder.npy"], "folder.npy")
    assert not (tmp_path / "no").exists()
