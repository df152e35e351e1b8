"""PyTorch's operators torch.ops.osc.*: their kernels on the CPU (libosc_torch.so), and what the dispatcher, autograd, functorch and the compiler need to know of them."""

from __future__ import annotations

# PyTorch does not type what registers operators, which is what this module does.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, attr-defined"
from typing import Any

import torch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from . import _arrays, _library, _torch_checks, _torch_device, _torch_formulas

Tensor = torch.Tensor

torch.ops.load_library(str(_library.companion("libosc_torch.so")))

loss_op = torch.ops.osc.matching_similarity_loss_per_img.default
gradient_op = torch.ops.osc.matching_similarity_loss_per_img_backward.default
match_slots_op = torch.ops.osc.match_slots.default
assignment_op = torch.ops.osc.linear_sum_assignment.default

_registrations = torch.library.Library("osc", "IMPL")  # they last as long as this
for _implementation in _torch_device.IMPLEMENTATIONS:
    _registrations.impl(_implementation.__name__, _implementation, "CompositeExplicitAutograd")


# Shapes, dtypes and strides, for tensors without data.


@torch.library.register_fake("osc::matching_similarity_loss_per_img")
def _(f: Tensor, p: Tensor, reduction: str, eps: float, raise_nonfinite: bool) -> tuple[Tensor, Tensor]:
    _torch_checks.check_call(f, p, reduction, eps)
    loss = p.new_empty(p.shape[0] * p.shape[1] if reduction == "none" else ())
    return loss, p.new_empty((p.shape[0] // 2, p.shape[1]), dtype=torch.int64)


@torch.library.register_fake("osc::matching_similarity_loss_per_img_backward")
def _(grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Tensor:
    _torch_checks.check_call(f, p, reduction, eps)
    return _torch_checks.empty_gradient(p)


@torch.library.register_fake("osc::match_slots")
def _(f: Tensor, eps: float, raise_nonfinite: bool) -> Tensor:
    _torch_checks.check_call(f, f, "none", eps)
    return f.new_empty((f.shape[0] // 2, f.shape[1]), dtype=torch.int64)


@torch.library.register_fake("osc::linear_sum_assignment")
def _(cost: Tensor, maximize: bool, raise_unsolvable: bool) -> tuple[Tensor, Tensor]:
    _torch_checks.check_cost(cost)
    return cost.new_empty(cost.shape[:-1], dtype=torch.int64), cost.new_empty((*cost.shape[:-2], cost.shape[-1]), dtype=torch.int64)


# Derivatives. Not torch.library.register_autograd: with it torch.func fails, forward mode gives zeros, and a call takes twice as long.
#
# The dispatcher calls `_differentiable_loss` and `_differentiable_gradient` for the operators wherever something might be differentiated, one level of torch.func after another.
# What they call has the next levels yet to come: so these must see that gradients are wanted, which PyTorch turns off inside a Function. Hence _SingleLevelFunction, of which
# torch.func makes its own functions; torch.autograd.Function would start with the outermost level anew.


class _Loss(_SingleLevelFunction):
    _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

    @staticmethod
    def forward(f: Tensor, p: Tensor, reduction: str, eps: float, raise_nonfinite: bool) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return loss_op(f, p, reduction, eps, raise_nonfinite)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        f, p, ctx.reduction, ctx.eps, _ = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # the matching has none
        ctx.save_for_backward(f, p, output[1])
        ctx.save_for_forward(f, p, output[1])

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor | None, _: None) -> Any:
        if grad_loss is None or not ctx.needs_input_grad[1]:
            return None, None, None, None, None
        arguments = (grad_loss, *ctx.saved_tensors, ctx.reduction, ctx.eps)
        return None, _Gradient.forward(*arguments) if _is_last_derivative() else gradient_op(*arguments), None, None, None

    @staticmethod
    def jvp(ctx: Any, f_tangent: Tensor | None, p_tangent: Tensor | None, *_: None) -> Any:
        f, p, matching = ctx.saved_tensors
        v = torch.zeros_like(p) if p_tangent is None else p_tangent
        return _torch_formulas.slope(v, f, p, matching, ctx.reduction, ctx.eps), None


class _Gradient(_SingleLevelFunction):
    _compiled_autograd_key = torch.autograd.Function._compiled_autograd_key

    @staticmethod
    def forward(grad_loss: Tensor, f: Tensor, p: Tensor, matching: Tensor, reduction: str, eps: float) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return gradient_op(grad_loss, f, p, matching, reduction, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.reduction, ctx.eps = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        grad_loss, f, p, matching = ctx.saved_tensors
        for_grad_loss = _torch_formulas.slope(v, f, p, matching, ctx.reduction, ctx.eps) if ctx.needs_input_grad[0] else None
        for_p = _torch_formulas.curvature(v, grad_loss, f, p, matching, ctx.reduction, ctx.eps) if ctx.needs_input_grad[2] else None
        return for_grad_loss, None, for_p, None, None, None

    @staticmethod
    def jvp(ctx: Any, grad_tangent: Tensor | None, f_tangent: Tensor | None, p_tangent: Tensor | None, *_: None) -> Any:
        grad_loss, f, p, matching = ctx.saved_tensors
        result = torch.zeros_like(p)
        if grad_tangent is not None:
            result = result + _torch_formulas.gradient(grad_tangent, f, p, matching, ctx.reduction, ctx.eps)
        if p_tangent is not None:
            result = result + _torch_formulas.curvature(p_tangent, grad_loss, f, p, matching, ctx.reduction, ctx.eps)
        return result


class _LossAtOneLevel(_Loss):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
            return _Loss.forward(*arguments)


class _GradientAtOneLevel(_Gradient):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
            return _Gradient.forward(*arguments)


def _is_last_derivative() -> bool:
    return not torch.is_grad_enabled() and forward_ad._current_level < 0 and not torch._C._are_functorch_transforms_active()


def _at_one_level(function: Any, arguments: Any) -> Any:
    levels = torch._C._functorch.get_interpreter_stack() or ()
    if sum(level.key() == torch._C._functorch.TransformType.Jvp for level in levels) > 1:  # PyTorch takes the second such derivative of any Function for zero
        raise NotImplementedError("forward mode over forward mode: take one of the two in reverse, as torch.func.hessian does")
    with enable_single_level_autograd_function():
        return function.apply(*arguments)


def _differentiable_loss(*arguments: Any) -> Any:
    if torch._C._are_functorch_transforms_active():
        return _at_one_level(_LossAtOneLevel, arguments)
    return _Loss.apply(*arguments)


def _differentiable_gradient(*arguments: Any) -> Any:
    if torch._C._are_functorch_transforms_active():
        return _at_one_level(_GradientAtOneLevel, arguments)
    return _Gradient.apply(*arguments)


_registrations.impl("matching_similarity_loss_per_img", _differentiable_loss, "Autograd")
_registrations.impl("matching_similarity_loss_per_img_backward", _differentiable_gradient, "Autograd")


# Batching: an item of the batch is a call.


def _register_batching(name: str, op: Any, count: int) -> None:
    @torch.library.register_vmap(name)
    def _(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        def item(i: int) -> tuple[Any, ...]:
            return tuple(x if d is None else x.select(d, i) for x, d in zip(args, in_dims))

        if info.batch_size == 0:  # the shapes of what an item would give
            one = tuple(x if d is None else x.new_zeros([*x.shape[:d], *x.shape[d:][1:]]) for x, d in zip(args, in_dims))
            results = [op(*one)]
        else:
            results = [op(*item(i)) for i in range(info.batch_size)]
        stacked = [torch.stack(x)[: info.batch_size] for x in ([results] if count == 1 else zip(*results))]
        return (stacked[0], 0) if count == 1 else (tuple(stacked), (0,) * count)


_register_batching("osc::matching_similarity_loss_per_img", loss_op, 2)
_register_batching("osc::matching_similarity_loss_per_img_backward", gradient_op, 1)
_register_batching("osc::match_slots", match_slots_op, 1)


@torch.library.register_vmap("osc::linear_sum_assignment")
def _(info: Any, in_dims: tuple[int, ...], cost: Tensor, maximize: bool, raise_unsolvable: bool) -> Any:
    return assignment_op(cost.movedim(in_dims[0], 0), maximize, raise_unsolvable), (0, 0)


# Under autocast the loss is computed in float32, as PyTorch's own losses are. (torch.library.register_autocast of 2.10 knows no device but CPU and CUDA.)


def _register_autocast(key: str) -> None:
    autocast = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

    def in_float32(f: Tensor, p: Tensor, *options: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return loss_op(_torch_formulas.wide(f), _torch_formulas.wide(p), *options)

    _registrations.impl("matching_similarity_loss_per_img", in_float32, key)


for _key in ("AutocastCPU", "AutocastCUDA", "AutocastXPU", "AutocastMPS", "AutocastHPU", "AutocastPrivateUse1"):
    _register_autocast(_key)


# What osc.match_slots and osc.linear_sum_assignment are for tensors.


def match_slots(f: Tensor, eps: float, raise_nonfinite: bool) -> Any:
    if f.dtype not in _torch_checks.FLOATS:
        raise TypeError(f"f is {f.dtype}; wanted float64, float32, float16 or bfloat16")
    return match_slots_op(f, eps, raise_nonfinite)


def linear_sum_assignment(cost: Tensor, maximize: bool, raise_unsolvable: bool) -> Any:
    if cost.is_complex():
        raise TypeError(f"cost is {cost.dtype}; wanted real numbers")
    if cost.dtype in (torch.int64, torch.uint64) and cost.numel() > 0 and not torch.compiler.is_compiling():
        least, largest = (cost.min(), cost.max()) if cost.dtype == torch.int64 else (0, cost.double().max())
        _arrays.refuse_inexact_integers("cost", int(least), int(largest))
    return assignment_op(cost if cost.dtype in _torch_checks.FLOATS else cost.double(), maximize, raise_unsolvable)
