"""PyTorch's operators torch.ops.osc.*: a loop over the table registers for each what its kernels
(libosc_torch.so) do not have. Shapes for tracers, other devices, batching, autocast, and through
`_torch_autograd` derivatives of any order."""

from __future__ import annotations

# PyTorch does not type what registers operators, which is what this module does.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from . import _library, _operators, _options, _reference, _torch_autograd
from ._operators import TABLE, Operator

Tensor = torch.Tensor

_STRIDED = torch.strided
_PLAIN = (Tensor, torch.nn.Parameter)
FLOATS = tuple(getattr(torch, name) for name in _operators.FLOATS)
AUTOCAST_KEYS = [f"Autocast{x}" for x in ("CPU", "CUDA", "XPU", "MPS", "HPU", "PrivateUse1")]
NONE = TABLE["matching_similarity_loss_per_img"].option("reduction").values.index("none")

REFERENCES = _operators.references(_reference)

torch.ops.load_library(str(_library.companion("libosc_torch.so")))
_registrations = torch.library.Library("osc", "IMPL")  # owns the registrations
_devices: dict[str, Callable[..., Any]] = {}


# Checks. The first ones run before the dispatcher, whose own messages for these errors say little.


def check_tensor(name: str, value: Any, accepts_integers: bool = False) -> None:
    if type(value) in _PLAIN and value.dtype in FLOATS and value.layout is _STRIDED:
        if not value.is_nested:
            return
    if not isinstance(value, Tensor):
        hint = " (torch.stack makes one of a list)" if isinstance(value, (list, tuple)) else ""
        raise TypeError(f"{name} is {type(value).__name__}; wanted a PyTorch tensor{hint}")
    if value.is_nested:
        raise TypeError(f"{name} is a nested tensor; wanted a dense one")
    if value.layout != torch.strided:
        raise TypeError(f"{name} is a {value.layout} tensor; wanted a dense one")
    if value.dtype not in FLOATS and not (accepts_integers and not value.is_complex()):
        wanted = "real numbers" if accepts_integers else "float64, float32, float16 or bfloat16"
        raise TypeError(f"{name} is {value.dtype}; wanted {wanted}")


def _checked(op: Operator, tensors: Sequence[Tensor], options: Sequence[Any]) -> dict[str, Any]:
    """Checks the inputs and the options against the table; returns the sizes of the letters."""
    first = tensors[0]
    for array, tensor in zip(op.inputs, tensors):
        check_tensor(array.name, tensor, op.accepts_integers)
        if tensor.dtype != first.dtype:
            raise TypeError(
                f"{op.inputs[0].name} is {first.dtype} and {array.name} is {tensor.dtype}; "
                "wanted the same dtype"
            )
    for option, value in zip(op.options, options):
        if option.kind == _operators.ENUMERATION and not 0 <= value < len(option.values):
            wanted = ", ".join(f"{i} ({x})" for i, x in enumerate(option.values))
            raise ValueError(f"{option.name} is {value}; wanted {wanted}")
        if option.kind == _operators.DOUBLE:
            _options.positive(option.name, value)
    return op.sizes({array.name: x.shape for array, x in zip(op.inputs, tensors)})


def empty_gradient(x: Tensor, leading: int) -> Tensor:
    """In the layout that torch.empty_like gives; contiguous where the library could not write that:
    channels are adjacent, and groups, of so many leading dimensions, evenly spaced."""
    gradient = torch.empty_like(x)
    is_writable = x.shape[-1] <= 1 or gradient.stride(-1) == 1 or x.numel() == 0
    expected = None
    for size, stride in reversed(list(zip(x.shape[:leading], gradient.stride()))):
        if size != 1:
            is_writable = is_writable and expected in (None, stride)
            expected = stride * size
    return gradient if is_writable else torch.empty_like(x, memory_format=torch.contiguous_format)


# One operator.


class _Implementation:
    """An operator without its kernels: for tracers and for devices other than the CPU. Arguments
    are those of its schema."""

    def __init__(self, op: Operator, reference: Any) -> None:
        self.op, self.reference, self.options = op, reference, op.named
        self.inputs = len(op.inputs)
        self.taken = self.inputs + len(op.accepted)
        self.grads = len(op.of_role(_operators.GRAD_OUTPUT))

    def checked(
        self, inputs: Sequence[Tensor], options: Sequence[Any], others: Sequence[Any] = ()
    ) -> dict[str, Any]:
        sizes = _checked(self.op, inputs, options)
        for x in (*inputs, *others):
            if x is not None and x.device != inputs[0].device:
                raise ValueError(
                    f"{self.op.inputs[0].name} is on {inputs[0].device} and another argument on "
                    f"{x.device}; wanted the same device"
                )
        if hasattr(self.reference, "check"):
            self.reference.check(self.options(options), *inputs)
        return sizes

    def results(self, *arguments: Any) -> Any:
        """Empty results of the right shapes and dtypes, for tracers."""
        op, inputs, options = self.op, arguments[: self.inputs], arguments[self.taken :]
        sizes = self.checked(inputs, options, arguments[self.inputs : self.taken])
        reduces = getattr(self.options(options), "reduction", "none") != "none"
        results = tuple(
            inputs[0].new_empty(op.shape(x, sizes, reduces), dtype=_dtype(x.dtype, inputs[0]))
            for x in (*op.losses, *op.outputs)
        )
        return results if len(results) > 1 else results[0]

    def results_with_gradient(self, *arguments: Any) -> Any:
        return (*self.results(*arguments), self.empty_gradient(arguments[: self.inputs]))

    def gradient_result(self, *arguments: Any) -> Tensor:
        end = self.grads + self.inputs
        inputs, given = arguments[self.grads : end], arguments[end : end + len(self.op.given)]
        others = (*arguments[: self.grads], *given)
        self.checked(inputs, arguments[end + len(self.op.given) :], others)
        return self.empty_gradient(inputs)

    def empty_gradient(self, inputs: Sequence[Tensor]) -> Tensor:
        op = self.op
        place = next(i for i, x in enumerate(op.inputs) if x.name == op.differentiated)
        (gradient,) = op.of_role(_operators.GRADIENT)
        if gradient.shape == op.inputs[place].shape:
            has_leading = gradient.shape[0].is_leading
            leading = inputs[place].dim() - len(gradient.shape) + 1 if has_leading else 0
            return empty_gradient(inputs[place], leading)
        sizes = op.sizes({array.name: x.shape for array, x in zip(op.inputs, inputs)})
        return inputs[place].new_empty(op.shape(gradient, sizes, False))

    def compute(self, *arguments: Any) -> Any:
        inputs, options = arguments[: self.inputs], arguments[self.taken :]
        given = arguments[self.inputs : self.taken]
        self.checked(inputs, options)
        named = self.options(options)
        if hasattr(self.reference, "losses_and_outputs"):
            return self.reference.losses_and_outputs(named, *inputs, *given)
        if any(x is not None for x in given):
            outputs = (*given, *self.reference.solve(named, *inputs)[len(given) :])
        else:
            outputs = self.reference.solve(named, *inputs)
        return (*self.reference.loss(named, *inputs, *outputs), *outputs)

    def compute_with_gradient(self, *arguments: Any) -> Any:
        results = self.compute(*arguments)
        inputs, options = arguments[: self.inputs], arguments[self.taken :]
        names = [x.name for x in (*self.op.losses, *self.op.outputs)]
        residuals = [results[names.index(x.residual)] for x in self.op.given]
        grads = [torch.ones_like(x) for x in results[: len(self.op.losses)]]
        return (*results, self.compute_gradient(*grads, *inputs, *residuals, *options))

    def compute_gradient(self, *arguments: Any) -> Tensor:
        grads, rest = arguments[: self.grads], arguments[self.grads :]
        inputs, rest = rest[: self.inputs], rest[self.inputs :]
        residuals, options = rest[: len(self.op.given)], rest[len(self.op.given) :]
        self.checked(inputs, options)
        gradient = self.reference.gradient(self.options(options), grads, *inputs, *residuals)
        wanted = self.empty_gradient(inputs)
        return gradient if gradient.stride() == wanted.stride() else wanted.copy_(gradient)


def _dtype(name: str, like: Tensor) -> torch.dtype:
    if name == "":
        return like.dtype
    if name == "float64" and like.device.type == "mps":  # MPS has no float64
        return torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _register(op: Operator) -> None:
    own = _Implementation(op, REFERENCES.get(op.name))
    overloads = [(op.name, own.results, own.compute)]
    if op.differentiated:
        overloads.append((op.name + "_backward", own.gradient_result, own.compute_gradient))
    if hasattr(torch.ops.osc, op.name + "_with_gradient"):
        overloads.append(
            (op.name + "_with_gradient", own.results_with_gradient, own.compute_with_gradient)
        )
    for name, fake, compute in overloads:
        torch.library.register_fake("osc::" + name)(fake)
        if own.reference is not None:
            _devices[name] = _reference.in_full_precision(compute)
        if not op.accepts_integers:
            _register_batching("osc::" + name)
    if op.differentiated:
        _torch_autograd.register(op, own, _registrations)
        for key in AUTOCAST_KEYS:
            _register_autocast(op, key)


# Batching: one call for each item of the batch.


def _register_batching(name: str) -> None:
    op = getattr(torch.ops.osc, name.removeprefix("osc::")).default

    @torch.library.register_vmap(name)
    def _(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        def item(i: int) -> tuple[Any, ...]:
            return tuple(x if d is None else x.select(d, i) for x, d in zip(args, in_dims))

        if info.batch_size == 0:  # one call on zeros gives the shapes
            one = tuple(
                x if d is None else x.new_zeros([*x.shape[:d], *x.shape[d + 1 :]])
                for x, d in zip(args, in_dims)
            )
            results = [op(*one)]
        else:
            results = [op(*item(i)) for i in range(info.batch_size)]
        if isinstance(results[0], Tensor):
            return torch.stack(results)[: info.batch_size], 0
        stacked = tuple(torch.stack(x)[: info.batch_size] for x in zip(*results))
        return stacked, (0,) * len(stacked)


# Under autocast a loss is computed in float32, as PyTorch's own losses are.
# (torch.library.register_autocast of 2.10 knows no device but CPU and CUDA.)


def _register_autocast(op: Operator, key: str) -> None:
    autocast = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    overload, inputs = getattr(torch.ops.osc, op.name).default, len(op.inputs)

    def in_float32(*arguments: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return overload(*map(_reference.wide, arguments[:inputs]), *arguments[inputs:])

    _registrations.impl(op.name, in_float32, key)


# On other devices (CUDA, ROCm, XPU, MPS, ...) cosines, losses and gradients are computed there, and
# the assignments on the CPU. A call waits for the device once at most.


def _match_slots(slots: Tensor, eps: float, on_nonfinite: int) -> Tensor:
    _checked(TABLE["match_slots"], (slots,), (eps, on_nonfinite))
    return _reference.match({"slots": slots}, eps, on_nonfinite == 1)


def _linear_sum_assignment(
    cost: Tensor, maximize: bool, on_unsolvable: int
) -> tuple[Tensor, Tensor]:
    _checked(TABLE["linear_sum_assignment"], (cost,), (maximize, on_unsolvable))
    solve = torch.ops.osc.linear_sum_assignment.default
    col4row, row4col = solve(cost.cpu(), maximize, on_unsolvable)  # waits for the device
    to_device = _reference.to_device
    return to_device(col4row, cost.device), to_device(row4col, cost.device)


@contextlib.contextmanager
def on_cpu_tensors() -> Iterator[None]:
    """For tests: CPU tensors take the path of other devices while this context is active."""
    with torch.library._scoped_library("osc", "IMPL") as library, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch warns that kernels are overridden
        for name, function in _devices.items():
            if name != "linear_sum_assignment":  # this path calls its kernel
                library.impl(name, function, "CPU", allow_override=True)
        yield


_overloads = {name: getattr(torch.ops.osc, name).default for name in TABLE}
for _op in TABLE.values():
    _register(_op)
_devices["match_slots"] = _reference.in_full_precision(_match_slots)
_devices["linear_sum_assignment"] = _linear_sum_assignment
for _name, _function in _devices.items():
    _registrations.impl(_name, _function, "CompositeExplicitAutograd")


@torch.library.register_vmap("osc::linear_sum_assignment")
def _(info: Any, in_dims: tuple[int, ...], cost: Tensor, *options: Any) -> Any:
    solve = torch.ops.osc.linear_sum_assignment.default
    return solve(cost.movedim(in_dims[0], 0), *options), (0, 0)


# What the public functions call.


def inputs(op: Operator, arrays: Mapping[str, Any]) -> list[Tensor]:
    """The inputs of the operator. ``arrays`` are these by what the caller calls them. No gradient
    flows to any but the last. Under autocast 16 bits and float32, which all become float32, may
    meet."""
    for name, x in arrays.items():
        check_tensor(name, x, op.accepts_integers)
    *others, last = tensors = list(arrays.values())
    for i, x in enumerate(others):
        if x.dtype is not last.dtype or x.device != last.device:
            _check_alike(arrays)
        if x.requires_grad:  # a loss of which nothing else needs a gradient needs none either
            tensors[i] = x.detach()
    if not op.takes_features:
        return tensors
    if any(x.dim() != 2 for x in tensors):
        check_shapes(op, arrays)
    return [x.unsqueeze(1) for x in tensors]


def _check_alike(arrays: Mapping[str, Tensor]) -> None:
    (first, like), *others = arrays.items()
    wanted, device = like.dtype, like.device
    for name, x in others:
        if x.dtype is not wanted and (
            not torch._C._is_any_autocast_enabled() or torch.float64 in (x.dtype, wanted)
        ):
            raise TypeError(f"{first} is {wanted} and {name} is {x.dtype}; wanted the same dtype")
        if x.device != device:
            text = f"{first} is on {device} and {name} on {x.device}; wanted the same device"
            raise ValueError(text)


def check_shapes(op: Operator, arrays: Mapping[str, Tensor]) -> None:
    mends = "x.transpose(0, 1).flatten(0, 1)"
    op.sizes_of_arguments({name: x.shape for name, x in arrays.items()}, mends)


def call(op: Operator, arrays: Mapping[str, Any], **options: Any) -> Any:
    """The losses and outputs of the operator. Options are those of the public functions."""
    tensors, codes = inputs(op, arrays), _options.codes(op, options)
    try:
        return _overloads[op.name](*tensors, *op.nothing_given, *codes)
    except ValueError as error:
        check_shapes(op, arrays)
        names = dict(zip((x.name for x in op.inputs), arrays))
        raise ValueError(_library.renamed(str(error), names)) from None


def contrastive_loss(
    op: Operator, arrays: Mapping[str, Any], group: Any, **options: Any
) -> tuple[Tensor, Tensor]:
    """The loss and the accuracy."""
    if group is not None:
        if not isinstance(group, torch.distributed.ProcessGroup):
            raise TypeError(
                f"group is {type(group).__name__}; wanted a process group of torch.distributed "
                "that this process is in"
            )
        if group.size() > 1:
            from . import _torch_group

            gathered: tuple[Tensor, Tensor] = _torch_group.contrastive_loss(
                op, arrays, group, options
            )
            return gathered
    loss, _, _, accuracy = call(op, arrays, **options)
    return loss, accuracy
