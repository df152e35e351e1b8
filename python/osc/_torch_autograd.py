"""Derivatives of a loss's operator, of any order.

Not torch.library.register_autograd: with it torch.func fails, forward mode gives zeros, and a call
takes twice as long. The dispatcher calls `differentiable_loss` and `differentiable_gradient` for
the operators wherever something might be differentiated, one level of torch.func after another.
What they call has the next levels yet to come, so these must see that gradients are wanted, which
PyTorch turns off inside a Function. Hence _SingleLevelFunction, of which torch.func makes its own
functions; torch.autograd.Function would start with the outermost level anew.

The first derivative is the operator ``<name>_backward``. Higher ones are plain formulas
(`_reference`), the residuals held fixed.
"""

from __future__ import annotations

# PyTorch does not type what registers operators, which is what this module does.
# mypy: disable-error-code="no-untyped-call, attr-defined, misc"
from typing import Any

import torch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from . import _reference
from ._operators import Operator

Tensor = torch.Tensor


def register(op: Operator, implementation: Any, registrations: Any) -> None:
    loss_op = getattr(torch.ops.osc, op.name).default
    gradient_op = getattr(torch.ops.osc, op.name + "_backward").default
    inputs, losses = len(op.inputs), len(op.losses)
    last = next(i for i, x in enumerate(op.inputs) if x.name == op.differentiated)
    taken = inputs + len(op.accepted)
    results = [x.name for x in (*op.losses, *op.outputs)]
    residuals = [results.index(x.residual) for x in op.given]
    saved_count = inputs + len(residuals)
    end_of_options = taken + len(op.backward_options)
    no_gradients = (None,) * (taken + len(op.options))
    before, after = no_gradients[:last], no_gradients[last + 1 :]
    # For this loss the gradient is cheap once the loss is known, so one operator computes both.
    fuses = op.name == "matching_similarity_loss_per_img"
    fused_op = getattr(torch.ops.osc, op.name + "_with_gradient").default if fuses else None

    def formula(name: str, options: Any, *arguments: Any) -> Any:
        function = _reference.in_full_precision(getattr(implementation.reference, name))
        return function(implementation.options(options), *arguments)

    class Loss(_SingleLevelFunction):
        _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return loss_op(*arguments)

        @staticmethod
        def setup_context(ctx: Any, arguments: Any, output: Any) -> None:
            ctx.options = arguments[taken:end_of_options]
            if len(output) > losses:
                ctx.mark_non_differentiable(*output[losses:])
            ctx.set_materialize_grads(False)  # a matching has none
            saved = (*arguments[:inputs], *map(output.__getitem__, residuals))
            ctx.save_for_backward(*saved)
            ctx.save_for_forward(*saved)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor | None) -> Any:
            of_losses = _whole(grads[:losses])
            if of_losses is None or not ctx.needs_input_grad[last]:
                return no_gradients
            arguments = (*of_losses, *ctx.saved_tensors, *ctx.options)
            gradient = (
                Gradient.forward(*arguments) if _is_last_derivative() else gradient_op(*arguments)
            )
            return *before, gradient, *after

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
            saved, tangent = ctx.saved_tensors, tangents[last]
            v = torch.zeros_like(saved[last]) if tangent is None else tangent
            moved = formula("jvp", ctx.options, v, *saved)
            return *moved, *(None,) * (len(results) - losses)

    class Gradient(_SingleLevelFunction):
        _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return gradient_op(*arguments)

        @staticmethod
        def setup_context(ctx: Any, arguments: Any, output: Any) -> None:
            ctx.options = arguments[losses + saved_count :]
            ctx.no_gradients = (None,) * len(arguments)
            ctx.save_for_backward(*arguments[: losses + saved_count])
            ctx.save_for_forward(*arguments[: losses + saved_count])

        @staticmethod
        def backward(ctx: Any, v: Tensor) -> Any:
            grads, saved = ctx.saved_tensors[:losses], ctx.saved_tensors[losses:]
            gradients = list(ctx.no_gradients)
            if any(ctx.needs_input_grad[:losses]):
                gradients[:losses] = formula("jvp", ctx.options, v, *saved)
            if ctx.needs_input_grad[losses + last]:
                gradients[losses + last] = formula("hvp", ctx.options, v, grads, *saved)
            return tuple(gradients)

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
            grads, saved = ctx.saved_tensors[:losses], ctx.saved_tensors[losses:]
            result = torch.zeros_like(saved[last])
            if any(x is not None for x in tangents[:losses]):
                moved = tuple(
                    torch.zeros_like(y) if x is None else x for x, y in zip(tangents, grads)
                )
                result = result + formula("gradient", ctx.options, moved, *saved)
            tangent = tangents[losses + last]
            if tangent is not None:
                result = result + formula("hvp", ctx.options, tangent, grads, *saved)
            return result

    class FusedLoss(_SingleLevelFunction):
        """The loss with its gradient, which the backward pass has only to scale. Of plain tensors:
        one function in place of forward and setup_context, and no residuals of forward mode."""

        _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            # Without a gradient where it would lose bits if it were scaled.
            *output, ctx.gradient = fused_op(*arguments)
            ctx.options = arguments[taken:end_of_options]
            ctx.mark_non_differentiable(*output[losses:])
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*arguments[:inputs], *map(output.__getitem__, residuals))
            return tuple(output)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor | None) -> Any:
            grad = grads[0]
            if (
                type(grad) is not Tensor
                or torch._C._functorch.is_legacy_batchedtensor(grad)
                or not _is_last_derivative()
            ):
                return Loss.backward(ctx, *grads)
            gradient, ctx.gradient = ctx.gradient, None  # given away: its receiver may write to it
            # It is computed again in a second pass through a retained graph, and if scaling the
            # fused gradient would lose bits.
            if gradient is None:
                return Loss.backward(ctx, *grads)
            if grad.item() != 1:
                gradient.mul_(grad)
            return *before, gradient, *after

    class LossAtOneLevel(Loss):
        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
                return Loss.forward(*arguments)

    class GradientAtOneLevel(Gradient):
        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
                return Gradient.forward(*arguments)

    reduction = next((i for i, x in enumerate(op.options) if x.name == "reduction"), 0)
    none = op.options[reduction].values.index("none") if fuses else -1

    def differentiable_loss(*arguments: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            return _at_one_level(LossAtOneLevel, arguments)
        if forward_ad._current_level < 0:
            tensors = arguments[:inputs]
            if not _wants_gradient(tensors):
                return Loss.forward(*arguments)
            if fuses and arguments[taken + reduction] != none and _is_plain(tensors, last):
                return FusedLoss.apply(*arguments)
        return Loss.apply(*arguments)

    def differentiable_gradient(*arguments: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            return _at_one_level(GradientAtOneLevel, arguments)
        return Gradient.apply(*arguments)

    registrations.impl(op.name, differentiable_loss, "Autograd")
    registrations.impl(op.name + "_backward", differentiable_gradient, "Autograd")


def _whole(grads: tuple[Tensor | None, ...]) -> tuple[Tensor, ...] | None:
    """With zeros for what is missing; None where all are."""
    for x in grads:
        if x is None:
            break
    else:
        return grads  # type: ignore[return-value]
    like = next((x for x in grads if x is not None), None)
    if like is None:
        return None
    return tuple(torch.zeros_like(like) if x is None else x for x in grads)


def _wants_gradient(tensors: tuple[Tensor, ...]) -> bool:
    if torch.is_grad_enabled():
        for x in tensors:
            if x.requires_grad:
                return True
    return False


def _is_plain(tensors: tuple[Tensor, ...], last: int) -> bool:
    """Whether a backward pass asks for the gradient of the last of these tensors alone, in the
    CPU's memory and of a range in which a gradient of 1 for the loss is not lost."""
    for x in tensors:
        if type(x) is not Tensor and type(x) is not torch.nn.Parameter:
            return False
    differentiated = tensors[last]
    return (
        differentiated.requires_grad
        and differentiated.is_cpu
        and differentiated.dtype in (torch.float32, torch.float64)
    )


def _is_last_derivative() -> bool:
    return (
        not torch.is_grad_enabled()
        and forward_ad._current_level < 0
        and not torch._C._are_functorch_transforms_active()
    )


def _at_one_level(function: Any, arguments: Any) -> Any:
    levels = torch._C._functorch.get_interpreter_stack() or ()
    # PyTorch takes the second such derivative of any Function for zero.
    if sum(level.key() == torch._C._functorch.TransformType.Jvp for level in levels) > 1:
        raise NotImplementedError(
            "forward mode over forward mode: take one of the two in reverse, as "
            "torch.func.hessian does"
        )
    with enable_single_level_autograd_function():
        return function.apply(*arguments)
