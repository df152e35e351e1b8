"""What the dispatcher, autograd, functorch and the compiler need to know of an operator
torch.ops.osc.* beside its kernels."""

from __future__ import annotations

# PyTorch does not type what registers operators, which is what this module does.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, attr-defined, misc"
import types
from typing import Any

import torch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from . import _library, _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor

_registrations = torch.library.Library("osc", "IMPL")  # they last as long as this


def register_devices() -> None:
    for implementation in _torch_device.IMPLEMENTATIONS:
        _registrations.impl(implementation.__name__, implementation, "CompositeExplicitAutograd")


def register_loss(
    name: str,
    module: types.ModuleType,
    *,
    tensors: int,
    losses: int,
    kept: int,
    others: int = 0,
    has_ahead: bool = False,
) -> Any:
    """All that is to be known of the operator of a loss, which it returns, and of its gradient,
    ``<name>_backward``.

    The operator takes its tensors, of which the last is differentiated, its options, and whether to
    raise; it gives its losses, what the backward pass needs of it, and other results. Its gradient
    takes the gradients of the losses, the tensors, what was kept, and the options. ``module`` has
    their results without values, and the formulas. ``has_ahead``: whether there is an operator
    ``<name>_with_gradient``, which gives the gradient of the one loss as well, for less than the
    two others take; or None in its place, where the two others must be asked.
    """
    loss_op = getattr(torch.ops.osc, name).default
    gradient_op = getattr(torch.ops.osc, name + "_backward").default
    torch.library.register_fake("osc::" + name, module.results)
    torch.library.register_fake(f"osc::{name}_backward", module.gradient_result)
    ahead_op = getattr(torch.ops.osc, name + "_with_gradient").default if has_ahead else None
    if has_ahead:
        torch.library.register_fake(
            f"osc::{name}_with_gradient",
            lambda *arguments: (
                *module.results(*arguments),
                _torch_checks.empty_gradient(arguments[tensors - 1]),
            ),
        )
    _register_derivatives(name, loss_op, gradient_op, ahead_op, module, tensors, losses, kept)
    register_batching("osc::" + name, loss_op, losses + kept + others)
    register_batching(f"osc::{name}_backward", gradient_op, 1)
    for key in (
        "AutocastCPU",
        "AutocastCUDA",
        "AutocastXPU",
        "AutocastMPS",
        "AutocastHPU",
        "AutocastPrivateUse1",
    ):
        _register_autocast(name, loss_op, tensors, key)
    return loss_op


# Derivatives. Not torch.library.register_autograd: with it torch.func fails, forward mode gives
# zeros, and a call takes twice as long.  The dispatcher calls `differentiable_loss` and
# `differentiable_gradient` for the operators wherever something might be differentiated, one level
# of torch.func after another. What they call has the next levels yet to come: so these must see
# that gradients are wanted, which PyTorch turns off inside a Function. Hence _SingleLevelFunction,
# of which torch.func makes its own functions; torch.autograd.Function would start with the
# outermost level anew.


def _register_derivatives(
    name: str,
    loss_op: Any,
    gradient_op: Any,
    ahead_op: Any,
    module: types.ModuleType,
    tensors: int,
    losses: int,
    kept: int,
) -> None:
    last = tensors - 1
    tensors_and_kept = tensors + kept
    slope, gradient_formula, curvature = map(
        _torch_formulas.in_full_precision, (module.slope, module.gradient, module.curvature)
    )

    class Loss(_SingleLevelFunction):
        _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return loss_op(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.options = inputs[tensors:-1]
            ctx.no_gradients = (None,) * len(inputs)
            if len(output) > losses:
                ctx.mark_non_differentiable(*output[losses:])
            ctx.set_materialize_grads(False)  # a matching has none
            saved = (*inputs[:tensors], *output[losses : losses + kept])
            ctx.save_for_backward(*saved)
            ctx.save_for_forward(*saved)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            given = [x for x in gradients[:losses] if x is not None]
            if not given or not ctx.needs_input_grad[last]:
                return ctx.no_gradients
            incoming = (torch.zeros_like(given[0]) if x is None else x for x in gradients[:losses])
            arguments = (*incoming, *ctx.saved_tensors, *ctx.options)
            gradient = (
                Gradient.forward(*arguments) if _is_last_derivative() else gradient_op(*arguments)
            )
            return *ctx.no_gradients[:last], gradient, *ctx.no_gradients[tensors:]

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
            saved = ctx.saved_tensors
            tangent = tangents[last]
            v = torch.zeros_like(saved[last]) if tangent is None else tangent
            return *slope(v, *saved, *ctx.options), *ctx.no_gradients[: _results(loss_op) - losses]

    class Gradient(_SingleLevelFunction):
        _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return gradient_op(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.options = inputs[losses + tensors_and_kept :]
            ctx.no_gradients = (None,) * len(inputs)
            ctx.save_for_backward(*inputs[: losses + tensors_and_kept])
            ctx.save_for_forward(*inputs[: losses + tensors_and_kept])

        @staticmethod
        def backward(ctx: Any, v: Tensor) -> Any:
            incoming, saved = ctx.saved_tensors[:losses], ctx.saved_tensors[losses:]
            gradients = list(ctx.no_gradients)
            if any(ctx.needs_input_grad[:losses]):
                gradients[:losses] = slope(v, *saved, *ctx.options)
            if ctx.needs_input_grad[losses + last]:
                gradients[losses + last] = curvature(v, incoming, *saved, *ctx.options)
            return tuple(gradients)

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
            incoming, saved = ctx.saved_tensors[:losses], ctx.saved_tensors[losses:]
            result = torch.zeros_like(saved[last])
            if any(x is not None for x in tangents[:losses]):
                moved = tuple(
                    torch.zeros_like(y) if x is None else x for x, y in zip(tangents, incoming)
                )
                result = result + gradient_formula(moved, *saved, *ctx.options)
            tangent = tangents[losses + last]
            if tangent is not None:
                result = result + curvature(tangent, incoming, *saved, *ctx.options)
            return result

    class LossAhead(Loss):
        """With the gradient of the one loss, which backward has only to multiply by what comes
        in; without it where that would lose bits."""

        @staticmethod
        def forward(*arguments: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return ahead_op(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.gradient = output[-1]
            ctx.has_ahead = ctx.gradient is not None
            Loss.setup_context(ctx, inputs, output if ctx.has_ahead else output[:-1])

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            incoming = gradients[0]
            if (
                not ctx.has_ahead
                or type(incoming) is not Tensor
                or torch._C._functorch.is_legacy_batchedtensor(incoming)
                or not _is_last_derivative()
            ):
                return Loss.backward(ctx, *gradients)
            gradient, ctx.gradient = ctx.gradient, None  # whoever gets it may write to it
            if gradient is None:  # a further pass through a graph that was retained
                gradient = Gradient.forward(
                    torch.ones_like(incoming), *ctx.saved_tensors, *ctx.options
                )
            if incoming.item() != 1:
                gradient.mul_(incoming)
            return *ctx.no_gradients[:last], gradient, *ctx.no_gradients[tensors:]

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

    def differentiable_loss(*arguments: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            return _at_one_level(LossAtOneLevel, arguments)
        # a reduction comes first
        if (
            ahead_op is not None
            and arguments[tensors] != _library.NONE
            and _gets_backward_alone(*arguments[:tensors])
        ):
            return LossAhead.apply(*arguments)[:-1]
        return Loss.apply(*arguments)

    def differentiable_gradient(*arguments: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            return _at_one_level(GradientAtOneLevel, arguments)
        return Gradient.apply(*arguments)

    _registrations.impl(name, differentiable_loss, "Autograd")
    _registrations.impl(name + "_backward", differentiable_gradient, "Autograd")


def _results(op: Any) -> int:
    return len(op._schema.returns)


def _gets_backward_alone(*tensors: Tensor) -> bool:
    """Whether backward is all that may be asked, of the last of these tensors, in the CPU's memory
    and of a range that a gradient of 1 for the loss is not lost in."""
    last = tensors[-1]
    is_plain = (
        all(type(x) is Tensor or type(x) is torch.nn.Parameter for x in tensors)
        and last.is_cpu
        and last.dtype in (torch.float32, torch.float64)
    )
    return (
        is_plain
        and last.requires_grad
        and torch.is_grad_enabled()
        and forward_ad._current_level < 0
    )


def _is_last_derivative() -> bool:
    return (
        not torch.is_grad_enabled()
        and forward_ad._current_level < 0
        and not torch._C._are_functorch_transforms_active()
    )


def _at_one_level(function: Any, arguments: Any) -> Any:
    levels = torch._C._functorch.get_interpreter_stack() or ()
    # PyTorch takes the second such derivative of any Function for zero
    if sum(level.key() == torch._C._functorch.TransformType.Jvp for level in levels) > 1:
        raise NotImplementedError(
            "forward mode over forward mode: take one of the two in reverse, as "
            "torch.func.hessian does"
        )
    with enable_single_level_autograd_function():
        return function.apply(*arguments)


# Batching: an item of the batch is a call.


def register_batching(name: str, op: Any, count: int) -> None:
    @torch.library.register_vmap(name)
    def _(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        def item(i: int) -> tuple[Any, ...]:
            return tuple(x if d is None else x.select(d, i) for x, d in zip(args, in_dims))

        if info.batch_size == 0:  # the shapes of what an item would give
            one = tuple(
                x if d is None else x.new_zeros([*x.shape[:d], *x.shape[d:][1:]])
                for x, d in zip(args, in_dims)
            )
            results = [op(*one)]
        else:
            results = [op(*item(i)) for i in range(info.batch_size)]
        stacked = [
            torch.stack(x)[: info.batch_size] for x in ([results] if count == 1 else zip(*results))
        ]
        return (stacked[0], 0) if count == 1 else (tuple(stacked), (0,) * count)


# Under autocast a loss is computed in float32, as PyTorch's own losses are.
# (torch.library.register_autocast of 2.10 knows no device but CPU and CUDA.)


def _register_autocast(name: str, loss_op: Any, tensors: int, key: str) -> None:
    autocast = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

    def in_float32(*arguments: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return loss_op(*map(_torch_formulas.wide, arguments[:tensors]), *arguments[tensors:])

    _registrations.impl(name, in_float32, key)
