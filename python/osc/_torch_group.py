"""The contrastive loss among the slots of all ranks of a process group: what is sent between them,
around the operators of gathered slots.

Forward, a rank gathers the slots of all ranks and computes the losses of its own. Backward, it
gathers the log-sum-exps and the gradients of all ranks' losses, a number a slot at most, and
computes the gradient of all losses for its own slots. No gradient of slots is sent.
"""

from __future__ import annotations

# PyTorch does not type what is called here.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import distributed

from . import _options, _reference, _torch
from ._operators import TABLE, Operator

Tensor = torch.Tensor

# PyTorch 2.13 renamed it.
_all_gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor

_NAME = "matching_contrastive_loss_gathered"
_loss_op = getattr(torch.ops.osc, _NAME).default
_gradient_op = getattr(torch.ops.osc, _NAME + "_backward").default


@torch.compiler.disable(reason="the collectives of a loss with group= are not traced")
def contrastive_loss(
    op: Operator, arrays: Mapping[str, Any], group: Any, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The arguments are checked here, so that the other ranks learn of an error and do not wait for
    this one."""
    failure: Exception | None = None
    (value,) = arrays.values()
    device = value.device if isinstance(value, Tensor) else torch.device("cpu")
    try:
        (slots,) = _torch.inputs(op, arrays)
        _torch.check_shapes(op, arrays)
        if torch.is_autocast_enabled(device.type):
            slots = _reference.wide(slots)
        rank, *codes = _options.codes(TABLE[_NAME], {**options, "rank": group.rank()})
        bits = [_bits(x) if isinstance(x, float) else x for x in codes]
        wants_gradient = slots.requires_grad and torch.is_grad_enabled()
        dtype = _torch.FLOATS.index(slots.dtype)
        own = _Call._make((1, *slots.shape, dtype, *bits, wants_gradient))
    except Exception as error:  # on any error, the other ranks must learn of it
        failure, own = error, _Call._make(0 for _ in _Call._fields)
    # Waits for the other ranks, and for the device.
    everyones = _gathered(torch.tensor(own, dtype=torch.int64, device=device), group).tolist()
    if failure is not None:
        raise failure
    for other_rank, other in enumerate(map(_Call._make, everyones)):
        if other != own:
            raise ValueError(
                f"rank {other_rank} of the group {other.said()}, and rank {rank} {own.said()}; "
                "wanted the same shape, dtype and options on all ranks, and a gradient on all or "
                "on none"
            )
    loss, accuracy = _Loss.apply(slots, group, rank, *codes)
    return loss, accuracy


class _Call(NamedTuple):
    """What ranks must agree on, as integers. If they differed, a collective would block or fail."""

    works: int  # 0 where this rank refuses its input
    rows: int
    slots: int
    channels: int
    dtype: int
    temperature: int
    reduction: int
    eps: int
    on_nonfinite: int
    wants_gradient: int  # a backward pass will follow, which is a collective

    def said(self) -> str:
        if not self.works:
            return "refused its input"
        shape = [self.rows, self.slots, self.channels]
        op = TABLE[_NAME]
        reduction = op.option("reduction").values[self.reduction]
        on_nonfinite = op.option("on_nonfinite").values[self.on_nonfinite]
        return (
            f"has slots {shape} of {_torch.FLOATS[self.dtype]}, "
            f"temperature {_number(self.temperature)}, reduction {reduction!r}, "
            f"eps {_number(self.eps)}, on_nonfinite {on_nonfinite!r} "
            f"and wants {'a' if self.wants_gradient else 'no'} gradient"
        )


def _bits(number: float) -> int:
    bits: int = struct.unpack("q", struct.pack("d", number))[0]
    return bits


def _number(bits: int) -> float:
    number: float = struct.unpack("d", struct.pack("q", bits))[0]
    return number


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slots: Tensor, group: Any, *options: Any) -> tuple[Tensor, Tensor]:
        everyones = _gathered(slots, group)
        loss, matching, log_sum_exp, accuracy = _loss_op(everyones, None, *options)
        ctx.save_for_backward(slots, everyones, matching, log_sum_exp)
        ctx.group, ctx.options = group, options
        ctx.mark_non_differentiable(accuracy)
        return loss, accuracy

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, _: Tensor) -> Any:
        slots, everyones, matching, log_sum_exp = ctx.saved_tensors
        grads = _gathered(grad_output, ctx.group)
        sums = _gathered(log_sum_exp, ctx.group)
        gradient = _gradient_op(grads, everyones, matching, sums, *ctx.options[:-1])
        return _LastDerivative.apply(gradient, slots), None, *(None,) * len(ctx.options)


class _LastDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, slots: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError(
            "the contrastive loss of a group has no second derivative; that of one process "
            "(group=None) has"
        )


def _gathered(x: Tensor, group: Any) -> Tensor:
    """``[ranks, ...]``. As bytes, which every backend sends."""
    everyones = x.new_empty((group.size(), *x.shape))
    if x.numel() > 0:
        _all_gather(
            everyones.view(-1).view(torch.uint8),
            x.detach().contiguous().view(-1).view(torch.uint8),
            group=group,
        )
    return everyones
