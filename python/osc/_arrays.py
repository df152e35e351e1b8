"""Arrays as the library reads them: of floating-point numbers, on the host, with strides of whole elements.

What is done for every call is kept short: a call on small slots takes the library less than a microsecond.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array = np.ndarray[Any, Any]


class SupportsDLPack(Protocol):
    """A tensor of any framework."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...


ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack

_CODES: dict[Any, int] = {np.dtype(np.float64): 0, np.dtype(np.float32): 1, np.dtype(np.float16): 2}  # as osc.h numbers them; bfloat16 joins when first seen
_EXACT_IN_FLOAT64 = 2**53

_addressof = ctypes.addressof
_first_byte: Any = ctypes.c_char.from_buffer


def slots(name: str, value: Any) -> tuple[Array, int, Any, Any]:
    """``value`` as slots ``[2B, S, C]`` whose channels are adjacent, the code of its dtype, its sizes and its strides; or an error that says what it is.

    A copy is made where the layout, the alignment or the byte order asks for one.
    """
    array = value if type(value) is np.ndarray else on_host(name, value)
    code = _CODES.get(array.dtype)
    if code is None:
        array, code = _floating(name, array)
    shape = array.shape
    if len(shape) != 3 or shape[0] % 2:
        raise ValueError(f"{name} has shape {shape}; wanted [2B, S, C], in which rows i and i + B are the views of image i")
    layout = _layout(shape, array.strides, array.itemsize)
    if layout is None or not array.flags.aligned:
        array = array.copy(order="C")
        layout = _layout(shape, array.strides, array.itemsize)
    assert layout is not None
    return array, code, layout[0], layout[1]


def costs(name: str, value: Any) -> tuple[Array, int]:
    """``value`` as real numbers that the library reads, and the code of its dtype. Integers, booleans and numbers in lists become float64."""
    array = value if type(value) is np.ndarray else on_host(name, value)
    code = _CODES.get(array.dtype)
    if code is not None:
        return array, code
    if _is_bfloat16(array.dtype):
        return _floating(name, array)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{name} is {array.dtype}; wanted real numbers")
    try:
        real = array.astype(np.float64)
    except (TypeError, ValueError) as error:  # objects that are no numbers
        raise TypeError(f"{name} cannot be read as real numbers: {error}") from error
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        refuse_inexact_integers(name, int(array.min()), int(array.max()))
    if array.dtype.kind == "O":
        integers = [int(x) for x in array.flat if isinstance(x, (int, np.integer))]
        refuse_inexact_integers(name, min(integers, default=0), max(integers, default=0))
    return real, 0


def refuse_inexact_integers(name: str, least: int, largest: int) -> None:
    if max(largest, -least) > _EXACT_IN_FLOAT64:
        raise ValueError(f"{name} holds integers beyond ±2^53, which float64 would round; wanted smaller ones (subtracting a constant from a row changes no assignment)")


def on_host(name: str, value: Any) -> Array:
    """``value`` as an array: without a copy where it speaks DLPack or is an array, else as NumPy makes one of it. TypeError for memory of a device."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return np.asarray(value)
    if hasattr(value, "resolve_neg"):  # a PyTorch tensor that stands for minus its memory, which DLPack does not say
        value = value.resolve_neg()
    device = int(value.__dlpack_device__()[0])
    if device not in (1, 3):  # memory of the CPU, and such that is pinned for CUDA
        raise TypeError(f"{name} is in memory of another device (DLPack's device type {device}); wanted memory of the host: copy it there first (.cpu(), .get())")
    return _bfloat16_of(name, value) if str(getattr(value, "dtype", "")).endswith("bfloat16") else np.from_dlpack(value)


def in_elements(array: Array) -> tuple[Any, Any] | None:
    """The sizes and strides of ``array`` in elements, for the library to read; None where it could not read elements that lie so."""
    return _in_elements(array.shape, array.strides, array.itemsize) if array.flags.aligned else None


def pointer(array: Array) -> int:
    try:
        return _addressof(_first_byte(array))  # a fourth of the time that the other way takes
    except (TypeError, ValueError, BufferError):  # it is read-only, not contiguous, empty, or of a dtype that buffers do not know
        address: int = array.__array_interface__["data"][0]
        return address


def empty_like(array: Array) -> tuple[Array, Any]:
    """New memory for slots, in the order of the axes of ``array``, and its strides."""
    new = np.empty_like(array)
    layout = _layout(new.shape, new.strides, new.itemsize)
    if layout is None:  # of an array that was broadcast NumPy makes the broadcast axis the innermost
        new = np.empty(array.shape, array.dtype)
        layout = _layout(new.shape, new.strides, new.itemsize)
    assert layout is not None
    return new, layout[1]


def _int64s(*values: int) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


@functools.lru_cache(maxsize=256)
def _in_elements(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[Any, Any] | None:
    if any(stride % itemsize for stride in strides):
        return None
    return _int64s(*shape), _int64s(*(stride // itemsize for stride in strides))


@functools.lru_cache(maxsize=256)
def _layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[Any, Any] | None:
    """``{B, S, C}`` and the strides ``{view, image, slot}`` in elements, for the library to read; None where it could not read slots of this layout."""
    images, count, channels = shape[0] // 2, shape[1], shape[2]
    adjacent = strides[2] == itemsize or channels <= 1 or 0 in shape
    if not adjacent or strides[0] % itemsize or strides[1] % itemsize:
        return None
    row, slot = strides[0] // itemsize, strides[1] // itemsize
    return _int64s(images, count, channels), _int64s(images * row, row, slot)


def _floating(name: str, array: Array) -> tuple[Array, int]:
    """An array of a floating dtype that is none of the usual ones: of the other byte order, or of bfloat16."""
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
        raise TypeError(f"{name} is bfloat16, for which NumPy needs the package ml_dtypes (pip install ml_dtypes)") from error
    capsule = value.__dlpack__()
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = _DLTensor.from_address(get(capsule, b"dltensor"))
    shape = tensor.shape[: tensor.ndim]
    strides = tensor.strides[: tensor.ndim] if tensor.strides else [int(np.prod(shape[i + 1 :])) for i in range(tensor.ndim)]
    if 0 in shape:
        return np.empty(shape, bfloat16)
    reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides))
    memory: Any = (ctypes.c_uint16 * reach).from_address(tensor.data + tensor.byte_offset)
    memory.owner = capsule  # which frees the tensor when it goes
    array: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(np.frombuffer(memory, np.uint16), shape, [2 * stride for stride in strides], writeable=False)
    return array.view(bfloat16)
