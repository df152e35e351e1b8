"""Arrays as the library reads them: of floating-point numbers, with strides of whole elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _library


def slots(name: str, value: Any) -> np.ndarray[Any, Any]:
    """``value`` as slots ``[2B, S, C]`` of a floating dtype in this machine's byte order, or an error that says what it is."""
    array = np.asarray(value)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} is {array.dtype}; wanted float64, float32 or float16")
    if array.ndim != 3 or array.shape[0] % 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted [2B, S, C], in which rows i and i + B are the views of image i")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def readable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Slots whose channels are adjacent: the array itself where it is so already."""
    adjacent = array.strides[2] == array.itemsize or array.shape[2] <= 1
    return array if adjacent and has_whole_strides(array) else array.copy(order="C")


def has_whole_strides(array: np.ndarray[Any, Any]) -> bool:
    return array.flags.aligned and all(stride % array.itemsize == 0 for stride in array.strides)


def pointer(array: np.ndarray[Any, Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def sizes(array: np.ndarray[Any, Any]) -> Any:
    """``{B, S, C}`` of ``[2B, S, C]``."""
    rows, count, channels = array.shape
    return _library.int64s(rows // 2, count, channels)


def strides(array: np.ndarray[Any, Any]) -> Any:
    """``{view, image, slot}`` of ``[2B, S, C]``, in elements."""
    row, slot, _ = (stride // array.itemsize for stride in array.strides)
    return _library.int64s(array.shape[0] // 2 * row, row, slot)
