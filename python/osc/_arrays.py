"""Whatever the array functions take, as NumPy arrays of floating-point numbers on the host."""

from __future__ import annotations

import ctypes
import operator
import sys
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ._operators import FLOATS

Array = np.ndarray[Any, Any]


class SupportsDLPack(Protocol):
    """A tensor of any framework."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...


ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack

_EXACT_IN_FLOAT64 = 2**53


def costs(name: str, value: Any) -> Array:
    """``value`` as an array of real numbers. Integers, booleans and numbers in lists become
    float64."""
    array = value if type(value) is np.ndarray else on_host(name, value)
    # NumPy may have made floats of the integers in a list.
    if not hasattr(value, "dtype") and array.dtype.kind == "f":
        if _holds_large_integers(array, value):
            _refuse_inexact_integers(name)
    if is_float(array.dtype):
        return array
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{name} is {array.dtype}; wanted real numbers")
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        if not _is_exact(int(array.min())) or not _is_exact(int(array.max())):
            _refuse_inexact_integers(name)
    if array.dtype.kind == "O" and not all(map(_is_exact, array.flat)):
        _refuse_inexact_integers(name)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:  # objects that are not real numbers
        raise TypeError(f"{name} cannot be read as real numbers: {error}") from error


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is one that the library reads, in either byte order. bfloat16 comes from
    the package ml_dtypes; NumPy has none."""
    return dtype.name in FLOATS


def _holds_large_integers(array: Array, value: Any) -> bool:
    """Whether ``value``, which NumPy has converted to the floats ``array``, holds integers that
    float64 may have rounded. Only elements that are large as floats are checked."""
    is_large = np.isfinite(array) & (abs(array) >= _EXACT_IN_FLOAT64)
    return bool(is_large.any()) and not all(map(_is_exact, np.asarray(value, object)[is_large]))


def _is_exact(value: Any) -> bool:
    """False for an integer that float64 may round; true for every other value."""
    try:
        return abs(operator.index(value)) <= _EXACT_IN_FLOAT64
    except TypeError:
        return True


def _refuse_inexact_integers(name: str) -> NoReturn:
    raise ValueError(
        f"{name} holds integers beyond ±2^53, which float64 would round; wanted smaller ones "
        "(subtracting a constant from a row changes no assignment)"
    )


def on_host(name: str, value: Any) -> Array:
    """``value`` as an array, without a copy if it is an array or supports DLPack; otherwise NumPy
    converts it. TypeError for memory of a device."""
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{name} is traced by JAX: under jit, vmap and grad the functions of osc.jax work "
            "(osc.jax.match_slots, osc.jax.linear_sum_assignment)"
        )
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        if (
            isinstance(value, (list, tuple))
            and value
            and hasattr(value[0], "__dlpack_device__")
            and not isinstance(value[0], (np.ndarray, np.generic))
        ):
            raise TypeError(
                f"{name} is a {type(value).__name__} of {type(value[0]).__name__}; wanted one "
                "array (their stack, say)"
            )
        return np.asarray(value)
    # PyTorch may negate a tensor lazily, by a flag that DLPack does not transfer.
    if hasattr(value, "resolve_neg"):
        value = value.resolve_neg()
    device = int(value.__dlpack_device__()[0])
    if device not in (1, 3):  # memory of the CPU, or pinned for CUDA
        raise TypeError(
            f"{name} is in memory of another device (DLPack's device type {device}); wanted "
            "memory of the host: copy it there first (.cpu(), .get())"
        )
    return (
        _bfloat16_of(name, value)
        if str(getattr(value, "dtype", "")).endswith("bfloat16")
        else np.from_dlpack(value)
    )


def _pointer(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _pointer_in_cpython(array: Array) -> int:
    """The same in a fifth of the time: in NumPy's ABI the address comes right after the head of the
    array object."""
    return _pointer_at(id(array) + _HEAD).value or 0


_HEAD, _pointer_at = object.__basicsize__, ctypes.c_void_p.from_address
pointer = _pointer_in_cpython if sys.implementation.name == "cpython" else _pointer


class _DLTensor(ctypes.Structure):
    """DLPack's, as its C header has it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def _bfloat16_of(name: str, value: Any) -> Array:
    """As ``numpy.from_dlpack``, which does not support bfloat16."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise TypeError(
            f"{name} is bfloat16, for which NumPy needs the package ml_dtypes "
            "(pip install ml_dtypes)"
        ) from error
    capsule = value.__dlpack__()
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = _DLTensor.from_address(get(capsule, b"dltensor"))
    shape = tensor.shape[: tensor.ndim]
    strides = (
        tensor.strides[: tensor.ndim]
        if tensor.strides
        else [int(np.prod(shape[i + 1 :])) for i in range(tensor.ndim)]
    )
    if 0 in shape:
        return np.empty(shape, bfloat16)
    reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides))
    memory: Any = (ctypes.c_uint16 * reach).from_address(tensor.data + tensor.byte_offset)
    memory.owner = capsule  # keeps the tensor alive as long as the array
    array: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
        np.frombuffer(memory, np.uint16), shape, [2 * stride for stride in strides], writeable=False
    )
    return array.view(bfloat16)
