"""What JAX is told of an operator of the library: the custom calls that compute it on the CPU, the
formula that does elsewhere, and its derivatives."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from . import _library

Arrays: TypeAlias = tuple[jax.Array, ...]
Options: TypeAlias = tuple[tuple[str, Any], ...]
Shape: Any = jax.ShapeDtypeStruct  # JAX leaves these two without types
_pycapsule: Any = jax.ffi.pycapsule

FORMULAS_EVERYWHERE = False  # the tests set it, to try on the CPU what other platforms do

custom_calls: list[str] = []  # the names of those of all operators

_handlers = ctypes.CDLL(str(_library.companion("libosc_jax.so")))


@dataclasses.dataclass(frozen=True)
class Derivative:
    """How the losses of an operator, which are its first results, depend on its last array."""

    losses: int
    residuals: int  # the results after the losses, which the gradient takes besides the arrays
    formula: Callable[..., Arrays]  # the losses of the arrays and the residuals, differentiable
    non_finite: Callable[..., jax.Array]  # where the gradient is NaN, broadcast to the last array


@dataclasses.dataclass(frozen=True)
class Operator:
    """The custom call ``osc_jax_<name>``, and ``osc_jax_<name>_backward`` where it has a
    derivative. The callables take the operator's arrays, and its options by their names."""

    name: str
    shapes: Callable[..., tuple[Any, ...]]  # of all results
    formula: Callable[..., Arrays]  # all results, by JAX's operations
    derivative: Derivative | None = None

    def __post_init__(self) -> None:
        # When it is defined and not when it is first traced: a program that jax.export wrote runs
        # without being traced.
        for name in (self.name, *([self.name + "_backward"] if self.derivative else [])):
            target = f"osc_jax_{name}"
            capsule = _pycapsule(getattr(_handlers, target))
            jax.ffi.register_ffi_target(target, capsule, platform="cpu")
            custom_calls.append(target)


def call(operator: Operator, options: Options, *arrays: jax.Array) -> Arrays:
    """The results of ``operator``. The gradient of every array but the last is zero."""
    results: Arrays = _compiled(operator, options, *arrays)
    return results


# Compiled, since JAX takes some 400 µs to go through a custom_vjp call by call.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _compiled(operator: Operator, options: Options, *arrays: jax.Array) -> Arrays:
    # Before the derivatives are defined, so that JAX sums gradients over the axes that are added.
    arrays = _varying_like(arrays, arrays)
    # Without this, zeros would be sent back through the network that the other arrays come from.
    constants = jax.lax.stop_gradient(arrays[:-1])
    if operator.derivative is None:
        return _results(operator, options, (*constants, jax.lax.stop_gradient(arrays[-1])))
    results: Arrays = _differentiable_results(operator, options, (*constants, arrays[-1]))
    return results


def _results(operator: Operator, options: Options, arrays: Arrays) -> Arrays:
    return _by_platform(
        operator.name,
        operator.shapes(*arrays, **dict(options)),
        options,
        functools.partial(operator.formula, **dict(options)),
        arrays,
    )


_differentiable_results = jax.custom_vjp(_results, nondiff_argnums=(0, 1))


# Forward passes call the differentiable function, not what is inside it, so that they can be
# differentiated again.
def _results_forward(
    operator: Operator, options: Options, arrays: Arrays
) -> tuple[Arrays, tuple[Arrays, Arrays]]:
    results: Arrays = _differentiable_results(operator, options, arrays)
    derivative = _derivative(operator)
    return results, (
        arrays,
        results[derivative.losses : derivative.losses + derivative.residuals],
    )


def _results_backward(
    operator: Operator, options: Options, saved: tuple[Arrays, Arrays], cotangents: Arrays
) -> Any:
    arrays, residuals = saved
    gradient = _gradient(
        operator, options, arrays, residuals, cotangents[: _derivative(operator).losses]
    )
    return ((*(None for _ in arrays[:-1]), gradient),)


_differentiable_results.defvjp(_results_forward, _results_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gradient(
    operator: Operator, options: Options, arrays: Arrays, residuals: Arrays, cotangents: Arrays
) -> jax.Array:
    def formula(*flat: jax.Array) -> Arrays:
        after = len(arrays) + len(residuals)
        return (
            _gradient_formula(
                operator, options, flat[: len(arrays)], flat[len(arrays) : after], flat[after:]
            ),
        )

    return _by_platform(
        operator.name + "_backward",
        (Shape(arrays[-1].shape, arrays[-1].dtype),),
        options,
        formula,
        (*arrays, *residuals, *cotangents),
    )[0]


def _gradient_forward(
    operator: Operator, options: Options, *saved: Arrays
) -> tuple[jax.Array, tuple[Arrays, ...]]:
    gradient: jax.Array = _gradient(operator, options, *saved)
    return gradient, saved


def _gradient_backward(
    operator: Operator, options: Options, saved: Any, grad_gradient: jax.Array
) -> Any:
    arrays, residuals, cotangents = saved
    with _usual_promotion():
        _, pull_back = jax.vjp(
            lambda last, cotangents: _gradient_formula(
                operator, options, (*arrays[:-1], last), residuals, cotangents
            ),
            arrays[-1],
            cotangents,
        )
    grad_last, grad_cotangents = pull_back(grad_gradient)
    return (
        (*(None for _ in arrays[:-1]), grad_last),
        tuple(None for _ in residuals),
        grad_cotangents,
    )


_gradient.defvjp(_gradient_forward, _gradient_backward)


def _gradient_formula(
    operator: Operator, options: Options, arrays: Arrays, residuals: Arrays, cotangents: Arrays
) -> jax.Array:
    derivative = _derivative(operator)
    _, pull_back = jax.vjp(
        lambda last: _varying_like(
            arrays, derivative.formula(*arrays[:-1], last, *residuals, **dict(options))
        ),
        arrays[-1],
    )
    return jnp.where(derivative.non_finite(*arrays), jnp.nan, pull_back(tuple(cotangents))[0])


def _derivative(operator: Operator) -> Derivative:
    assert operator.derivative is not None
    return operator.derivative


def _by_platform(
    name: str,
    shapes: tuple[Any, ...],
    options: Options,
    formula: Callable[..., Arrays],
    arrays: Arrays,
) -> Arrays:
    """The results of the custom call ``osc_jax_<name>`` on the CPU, of ``formula`` elsewhere."""
    custom_call: Any = jax.ffi.ffi_call(f"osc_jax_{name}", shapes, vmap_method="broadcast_all")
    attributes = {key: _attribute(key, value) for key, value in options}

    def on_cpu(*arrays: jax.Array) -> Arrays:
        return _varying_like(arrays, tuple(custom_call(*arrays, **attributes)))

    def elsewhere(*arrays: jax.Array) -> Arrays:
        with _usual_promotion():
            return _varying_like(arrays, formula(*arrays))

    if FORMULAS_EVERYWHERE:
        return elsewhere(*arrays)
    results: Arrays = jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)
    return results


def _varying_like(arrays: Arrays, results: Arrays) -> Arrays:
    """``results``, with types by which they vary over all axes of a mesh that any of ``arrays``
    varies over. ``shard_map`` checks that, and cannot know it of a custom call or a callback."""
    # The sum of none of an array's elements is 0, which XLA knows, and varies as the array does.
    # JAX's own cast between such types has another name in every other version.
    zeros = [array.ravel()[:0].sum() == 0 for array in arrays]
    always = functools.reduce(jnp.logical_and, zeros)
    return tuple(jnp.where(always, result, result) for result in results)


@contextlib.contextmanager
def _usual_promotion() -> Iterator[None]:
    """The formulas are written for JAX's defaults, which a program may have made stricter."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def _attribute(key: str, value: Any) -> Any:
    if key == "reduction":
        return np.int64(_library.reduction(value))
    return np.bool_(value) if isinstance(value, bool) else np.float64(value)
