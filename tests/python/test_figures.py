"""The figures of docs/images show what the losses compare: the kind of each pair of slots follows
from how the loss of one changes where the other moves."""

import importlib.util
import pathlib

import pytest
import torch

from osc.loss_global import contrastive_loss, cosine_sim_loss
from osc.loss_objects import (
    matching_contrastive_loss,
    matching_contrastive_loss_per_img,
    matching_similarity_loss_per_img,
    matching_similarity_loss_small_to_large,
)

SCRIPT = pathlib.Path(__file__).parents[2] / "docs/figures/pairs.py"
if not SCRIPT.exists():
    pytest.skip("docs/ is not here", allow_module_level=True)
specification = importlib.util.spec_from_file_location("pairs", SCRIPT)
pairs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(pairs)

B, S, C = pairs.B, pairs.S, 64


def test_the_images_are_what_the_script_draws():
    figures = list(pairs.figures())
    assert len(figures) == len(list(pairs.IMAGES.glob("pairs_*.svg")))
    for name, _, drawing in figures:
        assert (pairs.IMAGES / f"pairs_{name}.svg").read_text() == drawing, f"run {SCRIPT}"


@pytest.fixture
def slots():
    """[2B, S, C] whose matching is that of the figures."""
    generator = torch.Generator().manual_seed(0)
    view0 = torch.randn(B, S, C, generator=generator, dtype=torch.float64)
    noise = torch.randn(B, S, C, generator=generator, dtype=torch.float64)
    view1 = torch.empty_like(view0)
    for i, matching in enumerate(pairs.MATCHING):
        view1[i, matching] = view0[i]
    return torch.cat([view0, view1 + 0.3 * noise])


def change(losses, candidates, rows):
    """[N, N]: how the loss of row r changes as candidate c moves towards row r."""
    jacobian = torch.func.jacrev(lambda x: losses(x).flatten())(candidates)
    jacobian = jacobian.reshape(len(jacobian), -1, candidates.shape[-1])
    return torch.einsum("rcx,rx->rc", jacobian, rows.flatten(0, -2))


def kinds_of(changes, *, masked):
    """A positive lowers the loss as it comes near, a negative raises it."""
    kinds = []
    for r, line in enumerate(changes):
        of_row = []
        for c, value in enumerate(line):
            if masked and r == c:
                of_row.append(pairs.MASKED)
            elif abs(value) < 1e-12:
                of_row.append(None)
            else:
                of_row.append(pairs.POSITIVE if value < 0 else pairs.CANDIDATE)
        kinds.append(of_row)
    return kinds


@pytest.mark.parametrize(
    ("loss", "kinds"),
    [
        (matching_contrastive_loss, pairs.contrastive()),
        (matching_contrastive_loss_per_img, pairs.contrastive(within_images=True)),
    ],
    ids=["batch", "image"],
)
def test_contrastive(loss, kinds, slots):
    changes = change(lambda x: loss(x, 1.0, "none"), slots, slots)
    assert kinds_of(changes, masked=True) == kinds


def test_contrastive_of_images(slots):
    projs = slots[:, 0]
    changes = change(lambda x: contrastive_loss(x, 1.0, "none")[0], projs, projs)
    assert kinds_of(changes, masked=True) == pairs.global_contrastive()


def differences(losses, targets):
    """[N, N]: how the loss of row r changes as target c moves by a little. Targets receive no
    gradient, so this is a difference and not a derivative."""
    before = losses(targets).flatten()
    columns = []
    for c in range(targets[..., 0].numel()):
        moved = targets.clone()
        moved.view(-1, C)[c] += 1e-3 * torch.arange(C)
        columns.append(losses(moved).flatten() - before)
    return torch.stack(columns, 1)


def positives(kinds):
    return [[kind == pairs.POSITIVE for kind in line] for line in kinds]


def test_similarity(slots):
    changes = differences(lambda f: matching_similarity_loss_per_img(f, slots, "none"), slots)
    assert (changes.abs() > 1e-12).tolist() == positives(pairs.similarity())


def test_similarity_of_images(slots):
    feats = slots[:, 0]
    changes = differences(lambda f: cosine_sim_loss(f, feats, "none"), feats)
    assert (changes.abs() > 1e-12).tolist() == positives(pairs.global_similarity())


def test_small_crops():
    """The gradient of a slot of a small crop has a part along the slot that it is compared with."""
    generator = torch.Generator().manual_seed(0)
    large = torch.linalg.qr(torch.randn(C, C, generator=generator, dtype=torch.float64))[0]
    large = large[: 2 * pairs.LARGE_SLOTS].view(2, 1, pairs.LARGE_SLOTS, C)
    small = 0.1 * torch.randn(2, len(pairs.CROP_MATCHING), S, C, generator=generator).double()
    for crop, matching in enumerate(pairs.CROP_MATCHING):
        mutual = [k for k in matching if k is not None]
        for slot, k in enumerate(matching):  # without a partner: a worse copy of another's
            small[:, crop, slot] += large[:, 0, mutual[0]] / 2 if k is None else large[:, 0, k]
    small.requires_grad_()
    matching_similarity_loss_small_to_large(large, small, "sum")[0].backward()
    along = small.grad.reshape(-1, C) @ large.reshape(-1, C).T
    is_pair = along < -0.05
    assert is_pair.tolist() == positives(pairs.small_to_large())
