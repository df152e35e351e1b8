"""The operators of the table on JAX arrays: on the CPU an XLA custom call (bindings/jax/), on other
platforms plain formulas (`_reference_jax`); and derivatives of any order."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from . import _library, _numpy, _operators, _options, _reference_jax
from ._operators import TABLE, Operator

Arrays: TypeAlias = tuple[jax.Array, ...]
Codes: TypeAlias = tuple[Any, ...]  # the options in the order of the table
_jax: Any = jax  # as Any, where JAX lacks type annotations

FORMULAS_EVERYWHERE = False  # set by the tests, to run the formulas of other platforms on the CPU

REFERENCES = _operators.references(_reference_jax)

# At import, for programs that jax.export wrote: they run before anything is traced.
TARGET = "osc_call"
_handler = ctypes.CDLL(str(_library.companion("libosc_jax.so"))).osc_jax_call
jax.ffi.register_ffi_target(TARGET, _jax.ffi.pycapsule(_handler), platform="cpu")


# What the public functions call.


def call(op: Operator, arrays: Mapping[str, Any], **options: Any) -> Arrays:
    """The losses and outputs of the operator. ``arrays`` are its inputs, keyed by the caller's
    names for them. Only the last has a gradient; that of the others is zero. Arguments are checked
    when the function is traced."""
    inputs = {name: _floating(name, x) for name, x in arrays.items()}
    _operators.check_dtypes({name: x.dtype.name for name, x in inputs.items()})
    _check_shapes(op, {name: x.shape for name, x in inputs.items()})
    # A call on empty arrays lets the library check the options.
    empty = {name: np.empty((0,) * x.ndim, x.dtype) for name, x in inputs.items()}
    _numpy.call(op, empty, (), **options)
    given = [jnp.expand_dims(x, 1) if op.takes_features else x for x in inputs.values()]
    batch = given[0].shape[: 1 - len(op.inputs[0].shape)]
    is_grouped = op.inputs[0].is_grouped and len(batch) != 1
    if is_grouped:  # the library takes one leading dimension
        given = [x.reshape(math.prod(batch), *x.shape[len(batch) :]) for x in given]
    results: Arrays = _compiled(TABLE[op.name], tuple(_options.codes(op, options)), *given)
    if is_grouped:
        results = tuple(
            result.reshape(*batch, *result.shape[1:]) if array.is_grouped else result
            for array, result in zip((*op.losses, *op.outputs), results)
        )
    return results


def indices(*pairs: jax.Array) -> Arrays:
    """Pairs of 32-bit integers as JAX's default integers."""
    low_halves: Arrays = _low_halves(*pairs)
    return low_halves


@jax.jit
def _low_halves(*pairs: jax.Array) -> Arrays:
    # Indices fit in 32 bits, so the low half has the sign as well.
    return tuple(pair[..., 0].astype(int) for pair in pairs)


# Checks.


def _floating(name: str, value: Any) -> jax.Array:
    if not isinstance(value, (jax.Array, np.ndarray)):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a JAX array")
    dtype = value.dtype
    if dtype.name not in _operators.FLOATS or not dtype.isnative:
        _operators.check_dtypes({name: str(dtype)})
    array = value if isinstance(value, jax.Array) else jnp.asarray(value)
    if array.dtype == np.float64 and jnp.result_type(float) != np.float64:
        raise TypeError(f"{name} is float64, which takes jax_enable_x64; wanted that or float32")
    return _gathered(array)


def _gathered(array: jax.Array) -> jax.Array:
    """``array``, replicated on every device if its type is sharded over axes of a mesh: a loss
    compares all of its elements. (Where the type does not show the sharding, XLA gathers it.)"""
    sharding = jax.typeof(array).sharding if hasattr(jax, "typeof") else None  # before JAX 0.6
    if sharding is None or not any(sharding.spec):
        return array
    whole = _jax.sharding.NamedSharding(sharding.mesh, _jax.sharding.PartitionSpec())
    gathered: jax.Array = _jax.sharding.reshard(array, whole)
    return gathered


def _check_shapes(op: Operator, shapes: Mapping[str, tuple[Any, ...]]) -> None:
    try:
        op.sizes_of_arguments(shapes)
    except ValueError as error:
        is_symbolic = any(x and not isinstance(x[0], int) for x in shapes.values())
        hint = "; a symbolic number of rows is written as 2*b" if is_symbolic else ""
        raise ValueError(f"{error}{hint}") from None


# Derivatives. Inputs but the last are constant, and so are the residuals.


# Compiled, since JAX takes some 400 µs to go through a custom_vjp call by call.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _compiled(op: Operator, codes: Codes, *arrays: jax.Array) -> Arrays:
    # This precedes the definition of the derivatives, so that JAX sums gradients over the added
    # axes.
    arrays = _varying_like(arrays, arrays)
    # Otherwise JAX would propagate gradients of zero to the other arrays.
    constants = jax.lax.stop_gradient(arrays[:-1])
    if op.differentiated is None:
        return _results(op, codes, (*constants, jax.lax.stop_gradient(arrays[-1])))
    results: Arrays = _differentiable_results(op, codes, (*constants, arrays[-1]))
    return results


def _results(op: Operator, codes: Codes, arrays: Arrays) -> Arrays:
    options = op.named(codes)
    sizes = op.sizes({x.name: array.shape for x, array in zip(op.inputs, arrays)})
    reduces = getattr(options, "reduction", "none") != "none"

    def shape(x: _operators.Array) -> Any:
        dims, dtype = op.shape(x, sizes, reduces), x.dtype or arrays[0].dtype
        # JAX has no 64-bit numbers unless told to: these are pairs of integers, low half first.
        return (
            _jax.ShapeDtypeStruct((*dims, 2), jnp.int32)
            if x.dtype.endswith("64")
            else _jax.ShapeDtypeStruct(dims, dtype)
        )

    shapes = tuple(map(shape, (*op.losses, *op.outputs)))
    formula = functools.partial(REFERENCES[op.name].results, options)
    return _by_platform(op, codes, False, shapes, formula, arrays)


_differentiable_results = jax.custom_vjp(_results, nondiff_argnums=(0, 1))


# Forward passes call the differentiable function itself, so that they can be differentiated again.
def _results_forward(
    op: Operator, codes: Codes, arrays: Arrays
) -> tuple[Arrays, tuple[Arrays, Arrays]]:
    results: Arrays = _differentiable_results(op, codes, arrays)
    names = [x.name for x in (*op.losses, *op.outputs)]
    return results, (arrays, tuple(results[names.index(x.residual)] for x in op.given))


def _results_backward(
    op: Operator, codes: Codes, saved: tuple[Arrays, Arrays], cotangents: Arrays
) -> Any:
    arrays, residuals = saved
    gradient = _gradient(op, codes, arrays, residuals, cotangents[: len(op.losses)])
    return ((*(None for _ in arrays[:-1]), gradient),)


_differentiable_results.defvjp(_results_forward, _results_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gradient(
    op: Operator, codes: Codes, arrays: Arrays, residuals: Arrays, cotangents: Arrays
) -> jax.Array:
    def formula(*flat: jax.Array) -> Arrays:
        after = len(arrays) + len(residuals)
        parts = flat[: len(arrays)], flat[len(arrays) : after], flat[after:]
        return (_gradient_formula(op, codes, *parts),)

    shapes = (_jax.ShapeDtypeStruct(arrays[-1].shape, arrays[-1].dtype),)
    return _by_platform(op, codes, True, shapes, formula, (*arrays, *residuals, *cotangents))[0]


def _gradient_forward(
    op: Operator, codes: Codes, *saved: Arrays
) -> tuple[jax.Array, tuple[Arrays, ...]]:
    gradient: jax.Array = _gradient(op, codes, *saved)
    return gradient, saved


def _gradient_backward(op: Operator, codes: Codes, saved: Any, grad_gradient: jax.Array) -> Any:
    arrays, residuals, cotangents = saved
    with _usual_promotion():
        _, pull_back = jax.vjp(
            lambda last, cotangents: _gradient_formula(
                op, codes, (*arrays[:-1], last), residuals, cotangents
            ),
            arrays[-1],
            cotangents,
        )
    grad_last, grad_cotangents = pull_back(grad_gradient)
    grad_last, *grad_cotangents = _varying_like(arrays, (grad_last, *grad_cotangents))
    return (
        (*(None for _ in arrays[:-1]), grad_last),
        tuple(None for _ in residuals),
        tuple(grad_cotangents),
    )


_gradient.defvjp(_gradient_forward, _gradient_backward)


def _gradient_formula(
    op: Operator, codes: Codes, arrays: Arrays, residuals: Arrays, cotangents: Arrays
) -> jax.Array:
    reference, options = REFERENCES[op.name], op.named(codes)
    _, pull_back = jax.vjp(
        lambda last: _varying_like(
            arrays, reference.losses(options, *arrays[:-1], last, *residuals)
        ),
        arrays[-1],
    )
    return jnp.where(reference.nonfinite(*arrays), jnp.nan, pull_back(tuple(cotangents))[0])


# Where it is computed.


def _by_platform(
    op: Operator,
    codes: Codes,
    is_backward: bool,
    shapes: tuple[Any, ...],
    formula: Callable[..., Arrays],
    arrays: Arrays,
) -> Arrays:
    """The results of the custom call on the CPU, of ``formula`` elsewhere."""
    custom_call: Any = jax.ffi.ffi_call(TARGET, shapes, vmap_method="broadcast_all")
    attributes = {
        option.name: (np.float64 if option.kind == _operators.DOUBLE else np.int64)(code)
        for option, code in zip(op.options, codes)
    }

    def on_cpu(*arrays: jax.Array) -> Arrays:
        results = custom_call(
            *arrays, operator=op.name, backward=np.bool_(is_backward), **attributes
        )
        return _varying_like(arrays, tuple(results))

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
