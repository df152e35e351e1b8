"""Arrays as the library reads them: of floating-point numbers, on the host, with strides of whole
elements.

What is done for every call is kept short: a call on small slots takes the library less than a
microsecond.
"""

from __future__ import annotations

import ctypes
import functools
import math
import operator
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _library

Array = np.ndarray[Any, Any]


class SupportsDLPack(Protocol):
    """A tensor of any framework."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...


ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack

# as osc.h numbers them; bfloat16 joins when first seen
_CODES: dict[Any, int] = {np.dtype(np.float64): 0, np.dtype(np.float32): 1, np.dtype(np.float16): 2}
_EXACT_IN_FLOAT64 = 2**53
FEATURES = (
    "[2B, C], in which rows i and i + B are the views of image i "
    "(x [B, 2, C] becomes that by x.swapaxes(0, 1).reshape(-1, C))"
)
SLOTS = (
    "[2B, S, C], in which rows i and i + B are the views of image i "
    "(x [B, 2, S, C] becomes that by x.swapaxes(0, 1).reshape(-1, S, C))"
)

_addressof = ctypes.addressof
_first_byte: Any = ctypes.c_char.from_buffer


def slots(name: str, value: Any) -> tuple[Array, int, Any, Any]:
    """``value`` as slots ``[2B, S, C]`` whose channels are adjacent, the code of its dtype, its
    sizes and its strides; or an error that says what it is.

    A copy is made where the layout, the alignment or the byte order asks for one.
    """
    array, code = _floats(name, value)
    shape = array.shape
    if len(shape) != 3 or shape[0] % 2:
        raise ValueError(f"{name} has shape {shape}; wanted {SLOTS}")
    array, layout = _readable(array, _layout)
    return array, code, layout[0], layout[1]


def features(name: str, value: Any) -> Array:
    """``value`` ``[2B, C]`` as slots of one each, ``[2B, 1, C]``."""
    array, _ = _floats(name, value)
    if array.ndim != 2 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {FEATURES}")
    return array[:, None]


def rows(name: str, value: Any, dimensions: int, wanted: str) -> tuple[Array, int, Any]:
    """``value`` as an array of so many dimensions, the last of which is adjacent, the code of its
    dtype, and the strides of the others; copied as `slots` are."""
    array, code = _floats(name, value)
    if array.ndim != dimensions:
        raise ValueError(f"{name} has shape {array.shape}; wanted {wanted}")
    array, strides = _readable(array, _strides)
    return array, code, strides


def matrices(name: str, value: Any, wanted: str) -> tuple[Array, int, Any, tuple[int, ...]]:
    """``value`` ``[..., N, D]`` as ``[G, N, D]``, likewise, and its own shape."""
    array, _ = _floats(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted {wanted}")
    return *rows(
        name, array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:]), 3, wanted
    ), array.shape


def costs(name: str, value: Any) -> tuple[Array, int]:
    """``value`` as real numbers that the library reads, and the code of its dtype. Integers,
    booleans and numbers in lists become float64."""
    array = value if type(value) is np.ndarray else on_host(name, value)
    # a list, say, whose integers NumPy has made floats of
    if not hasattr(value, "dtype") and array.dtype.kind == "f":
        if _holds_large_integers(array, value):
            _refuse_inexact_integers(name)
    code = _CODES.get(array.dtype)
    if code is not None:
        return array, code
    if _is_bfloat16(array.dtype):
        return _floating(name, array)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{name} is {array.dtype}; wanted real numbers")
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        if not _is_exact(int(array.min())) or not _is_exact(int(array.max())):
            _refuse_inexact_integers(name)
    if array.dtype.kind == "O" and not all(map(_is_exact, array.flat)):
        _refuse_inexact_integers(name)
    try:
        return array.astype(np.float64), 0
    except (TypeError, ValueError, OverflowError) as error:  # objects that are no such numbers
        raise TypeError(f"{name} cannot be read as real numbers: {error}") from error


def _holds_large_integers(array: Array, value: Any) -> bool:
    """Whether ``value``, of which NumPy made the floats of ``array``, holds integers that float64
    may have rounded. Only a large float can be one."""
    is_large = np.isfinite(array) & (abs(array) >= _EXACT_IN_FLOAT64)
    return bool(is_large.any()) and not all(map(_is_exact, np.asarray(value, object)[is_large]))


def _is_exact(value: Any) -> bool:
    """Whether float64 holds ``value``, if it is an integer; true of all else."""
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
    """``value`` as an array: without a copy where it speaks DLPack or is an array, else as NumPy
    makes one of it. TypeError for memory of a device."""
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
    # a PyTorch tensor that stands for minus its memory, which DLPack does not say
    if hasattr(value, "resolve_neg"):
        value = value.resolve_neg()
    device = int(value.__dlpack_device__()[0])
    if device not in (1, 3):  # memory of the CPU, and such that is pinned for CUDA
        raise TypeError(
            f"{name} is in memory of another device (DLPack's device type {device}); wanted "
            "memory of the host: copy it there first (.cpu(), .get())"
        )
    return (
        _bfloat16_of(name, value)
        if str(getattr(value, "dtype", "")).endswith("bfloat16")
        else np.from_dlpack(value)
    )


def in_elements(array: Array) -> tuple[Any, Any] | None:
    """The sizes and strides of ``array`` in elements, for the library to read; None where it could
    not read elements that lie so."""
    return _in_elements(array.shape, array.strides, array.itemsize) if array.flags.aligned else None


def pointer(array: Array) -> int:
    try:
        return _addressof(_first_byte(array))  # a fourth of the time that the other way takes
    # it is read-only, not contiguous, empty, or of a dtype that buffers do not know
    except (TypeError, ValueError, BufferError):
        address: int = array.__array_interface__["data"][0]
        return address


def empty_like(array: Array) -> tuple[Array, Any]:
    """New memory for slots, in the order of the axes of ``array``, and its strides."""
    new, layout = _writable(array, _layout)
    return new, layout[1]


def empty_rows_like(array: Array) -> tuple[Array, Any]:
    """The same for what `rows` gives."""
    return _writable(array, _strides)


def int64s(*values: int) -> ctypes.Array[ctypes.c_int64]:
    if not all(map(_library.is_int64, values)):
        raise ValueError(f"sizes or strides are {values}; wanted integers of 64 bits")
    return (ctypes.c_int64 * len(values))(*values)


def _floats(name: str, value: Any) -> tuple[Array, int]:
    array = value if type(value) is np.ndarray else on_host(name, value)
    code = _CODES.get(array.dtype)
    return (array, code) if code is not None else _floating(name, array)


def _readable(array: Array, layout_of: Callable[..., Any]) -> tuple[Array, Any]:
    layout = layout_of(array.shape, array.strides, array.itemsize)
    if layout is None or not array.flags.aligned:
        array = array.copy(order="C")
        layout = layout_of(array.shape, array.strides, array.itemsize)
    assert layout is not None
    return array, layout


def _writable(array: Array, layout_of: Callable[..., Any]) -> tuple[Array, Any]:
    new = np.empty_like(array)
    layout = layout_of(new.shape, new.strides, new.itemsize)
    # of an array that was broadcast NumPy makes the broadcast axis the innermost
    if layout is None:
        new = np.empty(array.shape, array.dtype)
        layout = layout_of(new.shape, new.strides, new.itemsize)
    assert layout is not None
    return new, layout


@functools.lru_cache(maxsize=256)
def _strides(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Any | None:
    """Those of all dimensions but the last in elements; None where the library could not read rows
    of this layout."""
    adjacent = strides[-1] == itemsize or shape[-1] <= 1 or 0 in shape
    if not adjacent or any(stride % itemsize for stride in strides[:-1]):
        return None
    return int64s(*(stride // itemsize for stride in strides[:-1]))


@functools.lru_cache(maxsize=256)
def _in_elements(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[Any, Any] | None:
    if any(stride % itemsize for stride in strides):
        return None
    return int64s(*shape), int64s(*(stride // itemsize for stride in strides))


@functools.lru_cache(maxsize=256)
def _layout(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[Any, Any] | None:
    """``{B, S, C}`` and the strides ``{view, image, slot}`` in elements, for the library to read;
    None where it could not read slots of this layout."""
    images, count, channels = shape[0] // 2, shape[1], shape[2]
    adjacent = strides[2] == itemsize or channels <= 1 or 0 in shape
    if not adjacent or strides[0] % itemsize or strides[1] % itemsize:
        return None
    row, slot = (0, 0) if 0 in shape else (strides[0] // itemsize, strides[1] // itemsize)
    return int64s(images, count, channels), int64s(images * row, row, slot)


def _floating(name: str, array: Array) -> tuple[Array, int]:
    """An array of a floating dtype that is none of the usual ones: of the other byte order, or of
    bfloat16."""
    native = array.dtype.newbyteorder("=")
    if _is_bfloat16(native):
        _CODES[native] = 3
    if native not in _CODES:
        raise TypeError(f"{name} is {array.dtype}; wanted float64, float32, float16 or bfloat16")
    return array.astype(native, copy=False), _CODES[native]


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.name == "bfloat16"  # of the package ml_dtypes; NumPy has none of its own


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
    """What ``numpy.from_dlpack`` would give, did it know bfloat16."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise TypeError(
            f"{name} is bfloat16, for which NumPy needs the package ml_dtypes (pip install "
            "ml_dtypes)"
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
    memory.owner = capsule  # which frees the tensor when it goes
    array: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
        np.frombuffer(memory, np.uint16), shape, [2 * stride for stride in strides], writeable=False
    )
    return array.view(bfloat16)
