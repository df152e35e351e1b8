"""The contrastive loss among the slots of all ranks of a process group: what is sent between them,
around the operators of gathered slots.

Forward, a rank gathers everyone's slots and computes the losses of its own. Backward, it gathers
everyone's log_sums and incoming gradients, a number a slot at most, and computes the gradient of
all ranks' losses for its own slots: so no gradient of slots is sent.
"""

from __future__ import annotations

# PyTorch does not type what is called here.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import distributed

from . import _library, _torch_checks, _torch_formulas

Tensor = torch.Tensor

# PyTorch 2.13 renamed it.
_all_gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor

_loss_op = torch.ops.osc.matching_contrastive_loss_gathered.default
_gradient_op = torch.ops.osc.matching_contrastive_loss_gathered_backward.default


@torch.compiler.disable(reason="the collectives of a loss with group= are not traced")
def contrastive_loss(
    value: Any, checked: Callable[[], tuple[Tensor, float, int, float, bool]], group: Any
) -> tuple[Tensor, Tensor]:
    """``checked`` gives ``value`` as slots, and the options, or raises: here, so that the other
    ranks learn of it and do not wait for this one."""
    failure: Exception | None = None
    device = value.device if isinstance(value, torch.Tensor) else torch.device("cpu")
    try:
        slots, temperature, reduction, eps, raise_nonfinite = checked()
        if torch.is_autocast_enabled(device.type):
            slots = _torch_formulas.wide(slots)
        rows, count, channels = slots.shape
        own = _Call(
            1,
            rows,
            count,
            channels,
            _torch_checks.FLOATS.index(slots.dtype),
            _bits(temperature),
            reduction,
            _bits(eps),
            raise_nonfinite,
            slots.requires_grad and torch.is_grad_enabled(),
        )
    except Exception as error:  # whatever it is, the others must not wait
        failure, own = error, _Call(*(0,) * len(_Call._fields))
    # waits for the other ranks, and for the device
    everyones = _gathered(torch.tensor(own, dtype=torch.int64, device=device), group).tolist()
    if failure is not None:
        raise failure
    for rank, other in enumerate(map(_Call._make, everyones)):
        if other != own:
            raise ValueError(
                f"rank {rank} of the group {other.said()}, and rank {group.rank()} {own.said()}; "
                "wanted the same shape, dtype and options on all ranks, and a gradient on all or "
                "on none"
            )
    loss, accuracy = _Loss.apply(slots, group, temperature, reduction, eps, raise_nonfinite)
    return loss, accuracy


class _Call(NamedTuple):
    """What ranks must agree on, as integers: what they differ in, one of them would wait for."""

    works: int  # 0 where this rank refuses its input
    rows: int
    slots: int
    channels: int
    dtype: int
    temperature: int
    reduction: int
    eps: int
    raise_nonfinite: int
    wants_gradient: int  # a backward pass to come, which is a collective

    def said(self) -> str:
        if not self.works:
            return "refused its input"
        reduction = next(
            name for name, code in _library.REDUCTIONS.items() if code == self.reduction
        )
        shape = [self.rows, self.slots, self.channels]
        return (
            f"has slots {shape} of {_torch_checks.FLOATS[self.dtype]}, "
            f"temperature {_number(self.temperature)}, reduction {reduction!r}, "
            f"eps {_number(self.eps)}, "
            f"on_nonfinite {'raise' if self.raise_nonfinite else 'propagate'!r} "
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
    def forward(
        ctx: Any,
        slots: Tensor,
        group: Any,
        temperature: float,
        reduction: int,
        eps: float,
        raise_nonfinite: bool,
    ) -> tuple[Tensor, Tensor]:
        everyones = _gathered(slots, group)
        loss, matching, log_sums, accuracy = _loss_op(
            everyones, group.rank(), temperature, reduction, eps, raise_nonfinite
        )
        ctx.save_for_backward(slots, everyones, matching, log_sums)
        ctx.group, ctx.options = group, (temperature, reduction, eps)
        ctx.mark_non_differentiable(accuracy)
        return loss, accuracy

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> Any:
        slots, everyones, matching, log_sums = ctx.saved_tensors
        incoming, log_sums = _gathered(grad_loss, ctx.group), _gathered(log_sums, ctx.group)
        gradient = _gradient_op(
            incoming, everyones, ctx.group.rank(), matching, log_sums, *ctx.options
        )
        return _LastDerivative.apply(gradient, slots), None, None, None, None, None


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
