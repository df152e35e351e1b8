"""The contrastive loss of matched slots, also of the gathered slots of several ranks.

Groups ``[G, N, C]`` are the slots that are contrasted with each other: all 2BS of the batch, or the
2S of each image. Logits ``[G, N, N]`` are the cosines of a group over the temperature; rows are
slots and columns their candidates. The loss and its ``gradient`` see a block of rows at a time, so
that memory stays linear; ``jvp`` and ``hvp`` build all logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from . import (
    grad_of_each,
    is_unmatched,
    match,
    nonfinite_images,
    partners,
    reduced,
    refuse_nonfinite,
    unit,
    unit_and_norm,
    wide,
    with_nan,
)

OPERATOR = "matching_contrastive_loss"

Tensor = torch.Tensor

BLOCK = 1 << 24  # logits of a block; the tests make it small


def check(options: Any, slots: Tensor) -> None:
    """Raises ValueError for options that the table cannot refuse."""
    largest = torch.finfo(wide(slots.new_empty(0)).dtype).max
    if 4 / (math.log(2) * options.temperature) > largest:
        raise ValueError(
            f"temperature is {options.temperature:g}; wanted one whose inverse is finite in the "
            "type that is computed in"
        )


def losses_and_outputs(
    options: Any, slots: Tensor, matching: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss and all outputs, in one pass over the logits."""
    if matching is None:
        matching = match({"slots": slots}, options.eps, options.on_nonfinite == "raise")
    return _forward(options, slots.unsqueeze(0), 0, matching, is_unmatched(matching))


def gradient(
    options: Any, grads: tuple[Tensor], slots: Tensor, matching: Tensor, log_sum_exp: Tensor
) -> Tensor:
    return _backward(
        options,
        grads[0].unsqueeze(0),
        slots.unsqueeze(0),
        0,
        matching,
        log_sum_exp,
        is_unmatched(matching),
    )


def jvp(
    options: Any, v: Tensor, slots: Tensor, matching: Tensor, log_sum_exp: Tensor
) -> tuple[Tensor]:
    whole = _Whole(options, slots, matching)
    moved = whole.moved_logits(whole.moved_units(v))
    positives = moved.gather(-1, whole.positive.unsqueeze(-1)).squeeze(-1)
    losses = (whole.probabilities * moved).sum(-1) - positives
    losses = with_nan(_ungrouped(losses, slots, whole.within).unsqueeze(-1), matching)
    losses = losses.reshape(slots.shape[0] * slots.shape[1])
    return (reduced(losses, options.reduction).to(slots.dtype),)


def hvp(
    options: Any,
    v: Tensor,
    grads: tuple[Tensor],
    slots: Tensor,
    matching: Tensor,
    log_sum_exp: Tensor,
) -> Tensor:
    whole = _Whole(options, slots, matching)
    grad, weights = whole.weights(grads[0])
    moved_units = whole.moved_units(v)
    moved = whole.moved_logits(moved_units)
    mean = (whole.probabilities * moved).sum(-1, keepdim=True)
    moved_weights = whole.probabilities * (moved - mean) * grad / options.temperature
    symmetric = moved_weights + moved_weights.transpose(1, 2)
    grad_units = _ungrouped(weights @ whole.units, slots, whole.within)
    moved_grad = _ungrouped(symmetric @ whole.units + weights @ moved_units, slots, whole.within)
    result: Tensor = whole.along.vjp(moved_grad) + whole.along.hvp(wide(v), grad_units)
    return with_nan(result, matching).to(slots.dtype)


class _Whole:
    """All logits at once: second derivatives need the whole matrix."""

    def __init__(self, options: Any, slots: Tensor, matching: Tensor) -> None:
        self.options, self.slots, self.matching = options, slots, matching
        self.within = _within(options)
        unmatched = is_unmatched(matching)
        self.along = unit(slots.masked_fill(unmatched.unsqueeze(-1), 0), options.eps)
        self.units, masked = (_grouped(x, self.within) for x in (self.along.value, unmatched))
        itself = torch.eye(self.units.shape[1], dtype=torch.bool, device=slots.device)
        logits = self.units @ self.units.transpose(1, 2) / options.temperature
        logits = logits.masked_fill(itself | masked.unsqueeze(1), float("-inf"))
        logits = logits.masked_fill(masked.unsqueeze(2), 0)  # masked rows stay finite
        self.probabilities = logits.softmax(-1)
        self.positive = _positives(matching, self.within)

    def weights(self, grad_output: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of the losses ``[G, N, 1]``, and with respect to the products of units."""
        unmatched = is_unmatched(self.matching).unsqueeze(-1)
        grad = grad_of_each(grad_output, self.slots, self.options.reduction)
        grad = grad.expand(*self.slots.shape[:2], 1).masked_fill(unmatched, 0)
        grad = _grouped(grad, self.within)
        one = torch.ones_like(self.probabilities[..., :1])
        positive = torch.zeros_like(self.probabilities).scatter(
            -1, self.positive.unsqueeze(-1), one
        )
        weights = (self.probabilities - positive) * grad / self.options.temperature
        return grad, weights + weights.transpose(1, 2)

    def moved_units(self, v: Tensor) -> Tensor:
        moved = self.along.jvp(wide(v))
        unmatched = is_unmatched(self.matching).unsqueeze(-1)
        return _grouped(moved.masked_fill(unmatched, 0), self.within)

    def moved_logits(self, moved_units: Tensor) -> Tensor:
        products = moved_units @ self.units.transpose(1, 2)
        moved: Tensor = (products + products.transpose(1, 2)) / self.options.temperature
        return moved


class Gathered:
    """The loss of one rank's slots; ``slots [R, 2B, S, C]`` are those of all ranks."""

    OPERATOR = "matching_contrastive_loss_gathered"

    @staticmethod
    def check(options: Any, slots: Tensor) -> None:
        check(options, slots)
        if not 0 <= options.rank < slots.shape[0]:
            raise ValueError(f"rank is {options.rank}; wanted one of 0 ... {slots.shape[0] - 1}")

    @staticmethod
    def losses_and_outputs(
        options: Any, slots: Tensor, matching: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raises = options.on_nonfinite == "raise"
        if raises:  # checks the slots of every rank, so that all ranks raise
            for everyone in slots:
                refuse_nonfinite("slots", nonfinite_images(everyone))
        if matching is None:
            matching = match({"slots": slots[options.rank]}, options.eps, False)
        return _forward(options, slots, options.rank, matching, _nonfinite_of_all(slots))

    @staticmethod
    def gradient(
        options: Any, grads: tuple[Tensor], slots: Tensor, matching: Tensor, log_sum_exp: Tensor
    ) -> Tensor:
        nonfinite = _nonfinite_of_all(slots)
        return _backward(options, grads[0], slots, options.rank, matching, log_sum_exp, nonfinite)


def _nonfinite_of_all(slots: Tensor) -> Tensor:
    """``[R 2B, 1]``"""
    return torch.stack([nonfinite_images(x).repeat(2) for x in slots]).view(-1, 1)


def _within(options: Any) -> bool:
    return getattr(options, "candidates", "batch") == "image"


def _forward(
    options: Any, slots: Tensor, rank: int, matching: Tensor, nonfinite: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``slots [R, 2B, S, C]``; ``nonfinite`` has a row for each of theirs."""
    own, within = slots[rank], _within(options)
    units, masked, first = _candidates(slots, rank, nonfinite, within, options.eps)
    positive = _positives(matching, within) + first
    log_sum_exp, similarity, margin = (units.new_empty(positive.shape) for _ in range(3))
    for groups, rows, logits in _blocks(units, masked, first, positive.shape, options.temperature):
        column = positive[groups, rows].unsqueeze(-1)
        similarity[groups, rows] = logits.gather(-1, column).squeeze(-1)
        log_sum_exp[groups, rows] = logits.logsumexp(-1)
        hardest_negative = logits.scatter_(-1, column, float("-inf")).amax(-1)
        margin[groups, rows] = similarity[groups, rows] - hardest_negative
    is_own_masked = masked[:, first : first + positive.shape[1]]
    losses = (log_sum_exp - similarity).masked_fill(is_own_masked, float("nan"))
    log_sum_exp = log_sum_exp.masked_fill(is_own_masked, float("nan"))
    accuracy = ((margin > 0) & ~is_own_masked).sum() / (~is_own_masked).sum()
    loss = reduced(_ungrouped(losses, own, within).flatten(), options.reduction)
    dtype = torch.float32 if slots.device.type == "mps" else torch.float64
    sums = _ungrouped(log_sum_exp, own, within).flatten().to(dtype)
    return loss.to(slots.dtype), matching, sums, accuracy.float()


def _backward(
    options: Any,
    grad_output: Tensor,
    slots: Tensor,
    rank: int,
    matching: Tensor,
    log_sum_exp: Tensor,
    nonfinite: Tensor,
) -> Tensor:
    """The gradient of the unit of slot r is the sum over c of (g_r exp(z_rc - lse_r) + g_c exp(z_rc
    - lse_c)) u_c, as a slot and as a candidate, less (g_r + g_m) u_m for its match m."""
    ranks, rows_of_rank, count, _ = slots.shape
    own, within = slots[rank], _within(options)
    units, masked, first = _candidates(slots, rank, nonfinite, within, options.eps)
    positive = _positives(matching, within) + first
    share = 1 / max(rows_of_rank * count, 1) if options.reduction == "mean" else 1
    grad = wide(grad_output).reshape(ranks, -1).expand(ranks, rows_of_rank * count) * share
    shape = (ranks * rows_of_rank, count)
    grad, log_sum_exp = (
        _grouped(x.reshape(shape), within) for x in (grad, log_sum_exp.to(units.dtype))
    )
    grad, log_sum_exp = grad.masked_fill(masked, 0), log_sum_exp.masked_fill(masked, float("inf"))
    grad_units = torch.empty_like(units[:, first : first + positive.shape[1]])
    for groups, rows, logits in _blocks(units, masked, first, positive.shape, options.temperature):
        here = slice(first + rows.start, first + rows.stop)
        weights = (logits - log_sum_exp[groups, here].unsqueeze(2)).exp_()
        weights.mul_(grad[groups, here].unsqueeze(2))
        as_candidate = (logits - log_sum_exp[groups].unsqueeze(1)).exp_()
        weights += as_candidate.mul_(grad[groups].unsqueeze(1))
        grad_units[groups, rows] = weights @ units[groups]
    own_grad = grad[:, first : first + positive.shape[1]]
    both = (own_grad + grad.gather(1, positive)).unsqueeze(-1)
    matches = units.gather(1, positive.unsqueeze(-1).expand(-1, -1, units.shape[-1]))
    grad_units = (grad_units - both * matches) / options.temperature
    along = unit(own.masked_fill(is_unmatched(matching).unsqueeze(-1), 0), options.eps)
    grad_slots = along.vjp(_ungrouped(grad_units, own, within))
    return with_nan(grad_slots, matching).to(slots.dtype)


def _candidates(
    slots: Tensor, rank: int, nonfinite: Tensor, within: bool, eps: float
) -> tuple[Tensor, Tensor, int]:
    """The units ``[G, N, C]`` of all ranks' slots, which of them are masked ``[G, N]``, and where
    those of this rank begin."""
    ranks, rows_of_rank, count, _ = slots.shape
    masked = nonfinite.expand(-1, count) if nonfinite.shape[1] == 1 else nonfinite
    units, _ = unit_and_norm(wide(slots.flatten(0, 1)).masked_fill(masked.unsqueeze(-1), 0), eps)
    return _grouped(units, within), _grouped(masked, within), rank * rows_of_rank * count


def _blocks(
    units: Tensor, masked: Tensor, first: int, shape: torch.Size, temperature: float
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The logits ``[groups, rows, N]`` of this rank's slots, in blocks: of several groups, or of
    some rows of a large group. Logits of slots that are no candidates are -inf."""
    groups, rows = shape
    columns = max(units.shape[1], 1)
    rows_at_once = min(max(BLOCK // columns, 1), max(rows, 1))
    groups_at_once = max(BLOCK // (columns * rows_at_once), 1)
    for group in range(0, groups, groups_at_once):
        some = slice(group, min(group + groups_at_once, groups))
        for row in range(0, rows, rows_at_once):
            these = slice(row, min(row + rows_at_once, rows))
            block = units[some, first + these.start : first + these.stop]
            logits = torch.bmm(block, units[some].transpose(1, 2)).div_(temperature)
            logits.diagonal(first + row, 1, 2).fill_(float("-inf"))
            yield some, these, logits.masked_fill_(masked[some].unsqueeze(1), float("-inf"))


def _grouped(x: Tensor, within: bool) -> Tensor:
    """``[2B, S, ...]`` as ``[G, N, ...]``."""
    rows, count, *rest = x.shape
    if not within:
        return x.reshape(1, rows * count, *rest)
    by_view = x.reshape(2, rows // 2, count, *rest).transpose(0, 1)
    return by_view.reshape(rows // 2, 2 * count, *rest)


def _ungrouped(x: Tensor, slots: Tensor, within: bool) -> Tensor:
    """The inverse of `_grouped`."""
    rows, count, *_ = slots.shape
    rest = x.shape[2:]
    if not within:
        return x.reshape(rows, count, *rest)
    return x.reshape(rows // 2, 2, count, *rest).transpose(0, 1).reshape(rows, count, *rest)


def _positives(matching: Tensor, within: bool) -> Tensor:
    """``[G, N]``: where in its group the match of a slot is."""
    images, slots = matching.shape
    rows = torch.arange(2 * images, device=matching.device).roll(images)  # the other view
    first = (rows // images if within else rows) * slots if images else rows
    return _grouped(partners(matching) + first.unsqueeze(1), within)
