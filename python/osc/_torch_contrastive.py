"""The operator ``matching_contrastive_loss``, also of the gathered slots of several ranks: what it
demands and gives, its formulas, and what it is outside the CPU's memory.

Groups ``[G, N, C]`` are the slots that are told apart: all 2BS of the batch, or the 2S of each
image. Slots are row ``r`` and their candidates columns ``c`` of the groups' cosines over the
temperature, ``z``. The formulas of higher derivatives build the ``[G, N, N]`` of them; the loss and
its gradient outside the CPU's memory see a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from . import _library, _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor

BLOCK = 1 << 24  # elements of a block of cosines; the tests make it small


# What it demands and gives. Results are without their values, as PyTorch's tracers want them.


def check_call(slots: Tensor, temperature: float, reduction: int, eps: float) -> None:
    _torch_checks.check_slots("slots", slots)
    _check_options(slots, temperature, reduction, eps)


def check_gathered(
    slots: Tensor, rank: int, temperature: float, reduction: int, eps: float
) -> None:
    _torch_checks.check_tensor("slots", slots)
    if slots.dim() != 4 or slots.shape[1] % 2 or not 0 <= rank < slots.shape[0]:
        raise ValueError(
            f"slots has shape {list(slots.shape)}; wanted [ranks, 2B, S, C] of more ranks than "
            f"{rank}"
        )
    _check_options(slots, temperature, reduction, eps)


def _check_options(slots: Tensor, temperature: float, reduction: int, eps: float) -> None:
    _torch_checks.check_reduction(reduction)
    _torch_checks.check_positive(temperature=temperature, eps=eps)
    _library.check_temperature(temperature, slots.dtype == torch.float64)


def results(
    slots: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
    raise_nonfinite: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_call(slots, temperature, reduction, eps)
    rows, count, _ = slots.shape
    loss = slots.new_empty(rows * count if reduction == _library.NONE else ())
    matching = slots.new_empty((rows // 2, count), dtype=torch.int64)
    return (
        loss,
        matching,
        slots.new_empty(rows * count, dtype=_dtype_of_log_sums(slots)),
        slots.new_empty((), dtype=torch.float32),
    )


def gradient_result(
    grad_loss: Tensor,
    slots: Tensor,
    matching: Tensor,
    log_sums: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    check_call(slots, temperature, reduction, eps)
    return _torch_checks.empty_gradient(slots)


def _dtype_of_log_sums(slots: Tensor) -> torch.dtype:
    return torch.float32 if slots.device.type == "mps" else torch.float64  # which has no other


# Outside the CPU's memory.


@_torch_device.implementation
def matching_contrastive_loss(
    slots: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
    raise_nonfinite: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_call(slots, temperature, reduction, eps)
    matching = _torch_device.match({"slots": slots}, eps, raise_nonfinite)
    return _forward(
        slots.unsqueeze(0),
        0,
        matching,
        _torch_formulas.spoilt(matching),
        within_images,
        temperature,
        reduction,
        eps,
    )


@_torch_device.implementation
def matching_contrastive_loss_backward(
    grad_loss: Tensor,
    slots: Tensor,
    matching: Tensor,
    log_sums: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    check_call(slots, temperature, reduction, eps)
    spoilt = _torch_formulas.spoilt(matching)
    gradient = _backward(
        grad_loss.unsqueeze(0),
        slots.unsqueeze(0),
        0,
        matching,
        log_sums,
        spoilt,
        within_images,
        temperature,
        reduction,
        eps,
    )
    return _torch_checks.laid_out(gradient, _torch_checks.empty_gradient(slots))


@_torch_device.implementation
def matching_contrastive_loss_gathered(
    slots: Tensor, rank: int, temperature: float, reduction: int, eps: float, raise_nonfinite: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_gathered(slots, rank, temperature, reduction, eps)
    if raise_nonfinite:  # of any rank, so that all raise
        for everyone in slots:
            _torch_device.refuse_spoilt("slots", _torch_device.spoilt_images(everyone))
    matching = _torch_device.match({"slots": slots[rank]}, eps, False)
    return _forward(
        slots, rank, matching, _spoilt_of_all(slots), False, temperature, reduction, eps
    )


@_torch_device.implementation
def matching_contrastive_loss_gathered_backward(
    grad_loss: Tensor,
    slots: Tensor,
    rank: int,
    matching: Tensor,
    log_sums: Tensor,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    check_gathered(slots, rank, temperature, reduction, eps)
    return _backward(
        grad_loss,
        slots,
        rank,
        matching,
        log_sums,
        _spoilt_of_all(slots),
        False,
        temperature,
        reduction,
        eps,
    ).contiguous()


def _spoilt_of_all(slots: Tensor) -> Tensor:
    """``[ranks * 2B, 1]``"""
    return torch.stack([_torch_device.spoilt_images(x).repeat(2) for x in slots]).view(-1, 1)


def _forward(
    slots: Tensor,
    rank: int,
    matching: Tensor,
    spoilt: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``slots [ranks, 2B, S, C]``; ``spoilt`` has a row for each of theirs."""
    own = slots[rank]
    unit, gone, first = _columns(slots, rank, spoilt, within_images, eps)
    positive = _positives(matching, within_images) + first
    log_sum = unit.new_empty(positive.shape)
    resembling = unit.new_empty(positive.shape)
    least_margin = unit.new_empty(positive.shape)
    for groups, rows, z in _blocks(unit, gone, first, positive.shape, temperature):
        match = positive[groups, rows].unsqueeze(-1)
        resembling[groups, rows] = z.gather(-1, match).squeeze(-1)
        log_sum[groups, rows] = z.logsumexp(-1)
        least_margin[groups, rows] = resembling[groups, rows] - z.scatter_(
            -1, match, float("-inf")
        ).amax(-1)
    own_gone = gone[:, first : first + positive.shape[1]]
    log_sum, each = (x.masked_fill(own_gone, float("nan")) for x in (log_sum, log_sum - resembling))
    kept = ~own_gone
    accuracy = ((least_margin > 0) & kept).sum() / kept.sum()
    loss = _torch_formulas.reduced(ungrouped(each, own, within_images).flatten(), reduction).to(
        slots.dtype
    )
    return (
        loss,
        matching,
        ungrouped(log_sum, own, within_images).flatten().to(_dtype_of_log_sums(slots)),
        accuracy.float(),
    )


def _backward(
    grad_loss: Tensor,
    slots: Tensor,
    rank: int,
    matching: Tensor,
    log_sums: Tensor,
    spoilt: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    """The gradient of a slot's unit is the sum over c of (g_r exp(z_rc - log_sum_r) + g_c exp(z_rc
    - log_sum_c)) u_c, as a slot and as a candidate, less (g_r + g_m) u_m for its match m."""
    ranks, rows_of_rank, count, _ = slots.shape
    own = slots[rank]
    unit, gone, first = _columns(slots, rank, spoilt, within_images, eps)
    positive = _positives(matching, within_images) + first
    share = 1 / max(rows_of_rank * count, 1) if reduction == _library.MEAN else 1
    incoming = (
        _torch_formulas.wide(grad_loss).reshape(ranks, -1).expand(ranks, rows_of_rank * count)
        * share
    )
    everyone = own if ranks == 1 else slots.flatten(0, 1)
    incoming, log_sum = (
        grouped(x.reshape(everyone.shape[:2]), within_images)
        for x in (incoming, log_sums.to(unit.dtype))
    )
    incoming, log_sum = incoming.masked_fill(gone, 0), log_sum.masked_fill(gone, float("inf"))
    pull = torch.empty_like(unit[:, first : first + positive.shape[1]])
    for groups, rows, z in _blocks(unit, gone, first, positive.shape, temperature):
        here = slice(first + rows.start, first + rows.stop)
        weights = (
            (z - log_sum[groups, here].unsqueeze(2))
            .exp_()
            .mul_(incoming[groups, here].unsqueeze(2))
        )
        weights += (z - log_sum[groups].unsqueeze(1)).exp_().mul_(incoming[groups].unsqueeze(1))
        pull[groups, rows] = weights @ unit[groups]
    own_incoming = incoming[:, first : first + positive.shape[1]]
    both = (own_incoming + incoming.gather(1, positive)).unsqueeze(-1)
    pull = (
        pull - both * unit.gather(1, positive.unsqueeze(-1).expand(-1, -1, unit.shape[-1]))
    ) / temperature
    along = _torch_formulas.direction(
        own.masked_fill(_torch_formulas.spoilt(matching).unsqueeze(-1), 0), eps
    )
    return _torch_formulas.with_nan(along.push(ungrouped(pull, own, within_images)), matching).to(
        slots.dtype
    )


def _columns(
    slots: Tensor, rank: int, spoilt: Tensor, within_images: bool, eps: float
) -> tuple[Tensor, Tensor, int]:
    """The units ``[G, N, C]`` of all ranks' slots, whether they are nobody's candidates ``[G, N]``,
    and where this rank's begin."""
    ranks, rows_of_rank, count, _ = slots.shape
    gone = spoilt.expand(-1, count) if spoilt.shape[1] == 1 else spoilt
    unit, _ = _torch_formulas.unit_and_norm(
        _torch_formulas.wide(slots.flatten(0, 1)).masked_fill(gone.unsqueeze(-1), 0), eps
    )
    return grouped(unit, within_images), grouped(gone, within_images), rank * rows_of_rank * count


def _blocks(
    unit: Tensor, gone: Tensor, first: int, shape: torch.Size, temperature: float
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The cosines over the temperature ``[groups, rows, N]`` of this rank's slots with their
    candidates, -inf for what is none; of some groups, and of some rows where a group is large."""
    groups, rows = shape
    columns = max(unit.shape[1], 1)
    rows_at_once = min(max(BLOCK // columns, 1), max(rows, 1))
    groups_at_once = max(BLOCK // (columns * rows_at_once), 1)
    for group in range(0, groups, groups_at_once):
        some = slice(group, min(group + groups_at_once, groups))
        for row in range(0, rows, rows_at_once):
            these = slice(row, min(row + rows_at_once, rows))
            z = torch.bmm(
                unit[some, first + these.start : first + these.stop], unit[some].transpose(1, 2)
            ).div_(temperature)
            z.diagonal(first + row, 1, 2).fill_(float("-inf"))
            yield some, these, z.masked_fill_(gone[some].unsqueeze(1), float("-inf"))


# The formulas of higher derivatives.


def grouped(x: Tensor, within_images: bool) -> Tensor:
    """``[2B, S, ...]`` as ``[G, N, ...]``."""
    rows, count, *rest = x.shape
    return (
        x.reshape(2, rows // 2, count, *rest).transpose(0, 1).reshape(rows // 2, 2 * count, *rest)
        if within_images
        else x.reshape(1, rows * count, *rest)
    )


def ungrouped(x: Tensor, slots: Tensor, within_images: bool) -> Tensor:
    """The inverse of `grouped`."""
    rest = x.shape[2:]
    return (
        x.reshape(slots.shape[0] // 2, 2, slots.shape[1], *rest)
        .transpose(0, 1)
        .reshape(*slots.shape[:2], *rest)
        if within_images
        else x.reshape(*slots.shape[:2], *rest)
    )


def _positives(matching: Tensor, within_images: bool) -> Tensor:
    """``[G, N]``: where in its group a slot's match is."""
    images, slots = matching.shape
    rows = torch.arange(2 * images, device=matching.device).roll(images)  # the other view
    first = (rows // images if within_images else rows) * slots if images else rows
    return grouped(_torch_formulas.order(matching) + first.unsqueeze(1), within_images)


def slope(
    v: Tensor,
    slots: Tensor,
    matching: Tensor,
    _: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> tuple[Tensor]:
    along, unit, probability, positive = _parts(slots, matching, within_images, temperature, eps)
    moved = _moved(_pushed(v, along, matching, within_images), unit, temperature)
    each = (probability * moved).sum(-1) - moved.gather(-1, positive.unsqueeze(-1)).squeeze(-1)
    each = _torch_formulas.with_nan(ungrouped(each, slots, within_images).unsqueeze(-1), matching)
    return (
        _torch_formulas.reduced(each.reshape(slots.shape[0] * slots.shape[1]), reduction).to(
            slots.dtype
        ),
    )


def gradient(
    grad_losses: tuple[Tensor],
    slots: Tensor,
    matching: Tensor,
    _: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    along, unit, probability, positive = _parts(slots, matching, within_images, temperature, eps)
    incoming = _grouped_incoming(grad_losses[0], slots, matching, within_images, reduction)
    weights = _weights(probability, positive, incoming, temperature)
    pull = ungrouped(weights @ unit, slots, within_images)
    return _torch_formulas.with_nan(along.push(pull), matching).to(slots.dtype)


def curvature(
    v: Tensor,
    grad_losses: tuple[Tensor],
    slots: Tensor,
    matching: Tensor,
    _: Tensor,
    within_images: bool,
    temperature: float,
    reduction: int,
    eps: float,
) -> Tensor:
    along, unit, probability, positive = _parts(slots, matching, within_images, temperature, eps)
    incoming = _grouped_incoming(grad_losses[0], slots, matching, within_images, reduction)
    weights = _weights(probability, positive, incoming, temperature)
    unit_moved = _pushed(v, along, matching, within_images)
    moved = _moved(unit_moved, unit, temperature)
    probability_moved = (
        probability * (moved - (probability * moved).sum(-1, keepdim=True)) * incoming / temperature
    )
    pull_moved = (
        probability_moved + probability_moved.transpose(1, 2)
    ) @ unit + weights @ unit_moved
    pull, pull_moved = (ungrouped(x, slots, within_images) for x in (weights @ unit, pull_moved))
    return _torch_formulas.with_nan(
        along.push(pull_moved) + along.bend(_torch_formulas.wide(v), pull), matching
    ).to(slots.dtype)


def _parts(
    slots: Tensor, matching: Tensor, within_images: bool, temperature: float, eps: float
) -> tuple[_torch_formulas.Direction, Tensor, Tensor, Tensor]:
    spoilt = _torch_formulas.spoilt(matching)
    along = _torch_formulas.direction(slots.masked_fill(spoilt.unsqueeze(-1), 0), eps)
    unit, spoilt = grouped(along.unit, within_images), grouped(spoilt, within_images)
    itself = torch.eye(unit.shape[1], dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.transpose(1, 2) / temperature).masked_fill(
        itself | spoilt.unsqueeze(1), float("-inf")
    )
    logits = logits.masked_fill(spoilt.unsqueeze(2), 0)  # of nobody's interest, but finite
    return along, unit, logits.softmax(-1), _positives(matching, within_images)


def _pushed(
    v: Tensor, along: _torch_formulas.Direction, matching: Tensor, within_images: bool
) -> Tensor:
    v = _torch_formulas.wide(v).masked_fill(_torch_formulas.spoilt(matching).unsqueeze(-1), 0)
    return grouped(along.push(v), within_images)


def _moved(unit_moved: Tensor, unit: Tensor, temperature: float) -> Tensor:
    moved = unit_moved @ unit.transpose(1, 2) / temperature
    return moved + moved.transpose(1, 2)


def _grouped_incoming(
    grad_loss: Tensor, slots: Tensor, matching: Tensor, within_images: bool, reduction: int
) -> Tensor:
    incoming = _torch_formulas.incoming(grad_loss, slots, reduction).expand(
        slots.shape[0], slots.shape[1], 1
    )
    return grouped(
        incoming.masked_fill(_torch_formulas.spoilt(matching).unsqueeze(-1), 0), within_images
    )


def _weights(probability: Tensor, positive: Tensor, incoming: Tensor, temperature: float) -> Tensor:
    """Of each slot's unit in the gradient of each other's: both as a slot with its candidates and
    as a candidate."""
    match = torch.zeros_like(probability).scatter(-1, positive.unsqueeze(-1), 1)
    weights = (probability - match) * incoming / temperature
    return weights + weights.transpose(1, 2)
