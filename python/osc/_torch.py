"""PyTorch's operators torch.ops.osc.*: their kernels on the CPU (libosc_torch.so), and what else
there is to register of them. What public functions call."""

from __future__ import annotations

# PyTorch does not type what registers operators, which is what this module does.
# mypy: disable-error-code="no-untyped-call, untyped-decorator"
from collections.abc import Callable
from typing import Any

import torch

from . import (
    _library,
    _torch_checks,
    _torch_contrastive,
    _torch_operators,
    _torch_similarity,
    _torch_small_to_large,
    _torch_variance_covariance,
)

Tensor = torch.Tensor

torch.ops.load_library(str(_library.companion("libosc_torch.so")))

_torch_operators.register_devices()
similarity_op = _torch_operators.register_loss(
    "matching_similarity_loss_per_img",
    _torch_similarity,
    tensors=2,
    losses=1,
    kept=1,
    has_ahead=True,
)
contrastive_op = _torch_operators.register_loss(
    "matching_contrastive_loss", _torch_contrastive, tensors=1, losses=1, kept=2, others=1
)
small_to_large_op = _torch_operators.register_loss(
    "matching_similarity_loss_small_to_large",
    _torch_small_to_large,
    tensors=2,
    losses=1,
    kept=1,
    others=1,
)
variance_covariance_op = _torch_operators.register_loss(
    "variance_covariance_loss", _torch_variance_covariance, tensors=1, losses=2, kept=0
)
match_slots_op = torch.ops.osc.match_slots.default
assignment_op = torch.ops.osc.linear_sum_assignment.default


@torch.library.register_fake("osc::match_slots")
def _(f: Tensor, eps: float, raise_nonfinite: bool) -> Tensor:
    _torch_checks.check_slots("f", f)
    _torch_checks.check_positive(eps=eps)
    return f.new_empty((f.shape[0] // 2, f.shape[1]), dtype=torch.int64)


@torch.library.register_fake("osc::linear_sum_assignment")
def _(cost: Tensor, maximize: bool, raise_unsolvable: bool) -> tuple[Tensor, Tensor]:
    _torch_checks.check_cost(cost)
    return cost.new_empty(cost.shape[:-1], dtype=torch.int64), cost.new_empty(
        (*cost.shape[:-2], cost.shape[-1]), dtype=torch.int64
    )


_torch_operators.register_batching("osc::match_slots", match_slots_op, 1)


@torch.library.register_vmap("osc::linear_sum_assignment")
def _(
    info: Any, in_dims: tuple[int, ...], cost: Tensor, maximize: bool, raise_unsolvable: bool
) -> Any:
    return assignment_op(cost.movedim(in_dims[0], 0), maximize, raise_unsolvable), (0, 0)


# The contrastive losses of slots and of whole images.


def contrastive_loss(
    value: Any,
    as_slots: Callable[[Any], Tensor],
    within_images: bool,
    temperature: Any,
    reduction: Any,
    group: Any,
    eps: Any,
    on_nonfinite: Any,
) -> tuple[Tensor, Tensor]:
    """The loss and the accuracy. ``as_slots`` checks the value and gives it as ``[2B, S, C]``."""

    def checked() -> tuple[Tensor, float, int, float, bool]:
        slots = as_slots(value)
        code = _library.reduction(reduction)
        raises = _library.policy("on_nonfinite", on_nonfinite, "propagate") == 1
        return (
            slots,
            _library.positive("temperature", temperature),
            code,
            _library.positive("eps", eps),
            raises,
        )

    if group is not None:
        if not isinstance(group, torch.distributed.ProcessGroup):
            raise TypeError(
                f"group is {type(group).__name__}; wanted a process group of torch.distributed "
                "that this process is in"
            )
        if group.size() > 1:
            from . import _torch_group

            gathered: tuple[Tensor, Tensor] = _torch_group.contrastive_loss(value, checked, group)
            return gathered
    slots, *options = checked()
    loss, _, _, accuracy = contrastive_op(slots, within_images, *options)
    return loss, accuracy


# What osc.match_slots and osc.linear_sum_assignment are for tensors.


def match_slots(f: Tensor, eps: float, raise_nonfinite: bool) -> Tensor:
    _torch_checks.check_tensor("f", f)
    matching: Tensor = match_slots_op(f, eps, raise_nonfinite)
    return matching


def linear_sum_assignment(
    cost: Tensor, maximize: bool, raise_unsolvable: bool
) -> tuple[Tensor, Tensor]:
    _torch_checks.check_cost(cost)
    assigned: tuple[Tensor, Tensor] = assignment_op(cost, maximize, raise_unsolvable)
    return assigned
