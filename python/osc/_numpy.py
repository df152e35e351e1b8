"""An operator of the table on NumPy arrays: one call of its function in C.

A call on small slots takes the library less than a microsecond. So the struct of a call is prepared
once for each layout of the arrays, and a call only fills in the pointers.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import operator
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import _arrays, _library, _operators, _options
from ._operators import Operator

_ARRAY = struct.Struct("@PPPii")  # osc_array
_FORMATS = {
    _operators.BOOLEAN: "i",
    _operators.ENUMERATION: "i",
    _operators.INT64: "q",
    _operators.DOUBLE: "d",
}
_ndarray, _empty, _empty_like, _pointer = np.ndarray, np.empty, np.empty_like, _arrays.pointer


def call(op: Operator, arrays: Mapping[str, Any], wanted: tuple[str, ...], **options: Any) -> Any:
    """The results of the operator that ``wanted`` names: losses as NumPy scalars, other scalars as
    Python numbers.

    ``arrays`` are the inputs, keyed by the caller's names for them, and then other arrays, keyed by
    the names in the table.
    """
    read: list[_arrays.Array] = []
    layouts: list[Any] = []
    for name, array in arrays.items():
        if type(array) is not _ndarray:
            array = (_arrays.costs if op.accepts_integers else _arrays.on_host)(name, array)
        read.append(array)
        layouts += (array.shape, array.strides, array.dtype, array.flags.aligned)
    try:
        plan = _plan(op, tuple(arrays), wanted, *layouts, **options)
    except TypeError:  # an option without a hash: this call names it in its error
        plan = _plan.__wrapped__(op, tuple(arrays), wanted, *layouts, **options)
    if plan.copied:
        copies = {
            name: _copy(op, name, x) if name in plan.copied else x for name, x in zip(arrays, read)
        }
        return call(op, copies, wanted, **options)
    results = [
        _empty(shape, dtype) if like is None else _empty_like(read[like])
        for shape, dtype, like in plan.results
    ]
    pointed = (*read, *results) if plan.order is None else plan.order((*read, *results))
    fields = plan.fields[:]
    fields[1::2] = map(_pointer, pointed)
    status = op.run(plan.pack(*fields))
    if status != 0:
        _library.check(status, plan.names)
    if plan.finish:
        results = [x if finish is None else finish(x) for finish, x in zip(plan.finish, results)]
    return results[0] if len(results) == 1 else tuple(results)


def _copy(op: Operator, name: str, array: _arrays.Array) -> _arrays.Array:
    if op.accepts_integers:
        array = _arrays.costs(name, array)
    return array.astype(array.dtype.newbyteorder("="), order="C")


class _Plan:
    """A prepared call of an operator, for arrays of given layouts and for given options."""

    copied: tuple[str, ...] = ()  # the arrays that the library cannot read in place
    names: Mapping[str, str]  # the caller's names for the inputs
    # The struct, cut at the data pointers: bytes, pointer, bytes, ..., bytes.
    fields: list[Any]
    pack: Callable[..., bytes]
    order: Callable[[Any], Any] | None = None  # reorders (arrays, results) as in the table
    # Shape, dtype, and the index of the input whose layout it has.
    results: list[tuple[tuple[int, ...], Any, int | None]]
    finish: list[Callable[[Any], Any] | None]  # converts scalars to numbers; [] if there are none
    memory: list[Any]  # owns what the struct points to


@functools.lru_cache(maxsize=512, typed=True)
def _plan(
    op: Operator, names: tuple[str, ...], wanted: tuple[str, ...], *layouts: Any, **options: Any
) -> _Plan:
    shapes, strides, dtypes, are_aligned = (layouts[i::4] for i in range(4))
    plan, codes, inputs = _Plan(), _options.codes(op, options), len(op.inputs)
    if op.accepts_integers and not _arrays.is_float(dtypes[0]):
        plan.copied = names[:1]
        return plan
    kinds = [x.name if _arrays.is_float(x) else str(x) for x in dtypes]
    _operators.check_dtypes(dict(zip(names[:inputs], kinds)))
    sizes = op.sizes_of_arguments(dict(zip(names[:inputs], shapes)))
    reduces = getattr(op.named(codes), "reduction", "none") != "none"

    given = (*op.inputs, *map(op.array, names[inputs:]))
    in_elements = [
        _in_elements(op, array, *layout) if is_aligned else None
        for array, is_aligned, *layout in zip(given, are_aligned, shapes, strides, dtypes)
    ]
    plan.copied = tuple(name for name, layout in zip(names, in_elements) if layout is None)
    if plan.copied:
        return plan
    plan.names = dict(zip((x.name for x in op.inputs), names))
    plan.results, plan.finish, plan.memory = [], [], []
    places: list[int] = []
    call = bytearray(op.struct_size)
    struct.pack_into("@N", call, 0, op.struct_size)
    for option, code in zip(op.options, codes):
        struct.pack_into("@" + _FORMATS[option.kind], call, option.offset, code)

    def add(array: _operators.Array, dtype: str, layout: Any) -> None:
        places.append(op.offset(array))
        fields = [(ctypes.c_int64 * len(x))(*x) for x in layout or ()]
        plan.memory.append(fields)
        # An array without a layout is contiguous and has the wanted sizes.
        addresses = map(ctypes.addressof, fields) if fields else (0, 0)
        dims = len(fields[0]) if fields else 0
        _ARRAY.pack_into(call, places[-1], 0, *addresses, dims, _operators.DTYPES.index(dtype))

    for array, kind, layout in zip(given, kinds, in_elements):
        add(array, kind, layout)
    for array in map(op.array, wanted):
        kind, dtype = array.dtype or kinds[0], np.dtype(array.dtype or dtypes[0])
        shape, layout, like = op.shape(array, sizes, reduces), None, None
        if array.role == _operators.GRADIENT:
            like = next(i for i, x in enumerate(op.inputs) if x.name == op.differentiated)
            same = np.lib.stride_tricks.as_strided(_empty(1, dtype), shape, strides[like])
            layout = _in_elements(op, array, shape, _empty_like(same).strides, dtype)
            # NumPy may make the broadcast axis of an array the innermost one. The library could not
            # write that layout, so the gradient is then in C order.
            like = like if layout else None
        add(array, kind, layout)
        plan.results.append((shape, dtype, like))
        number = operator.itemgetter(()) if array.role == _operators.LOSS else float
        plan.finish.append(number if shape == () else None)

    if not any(plan.finish):
        plan.finish = []
    if places != sorted(places):
        plan.order = operator.itemgetter(*sorted(range(len(places)), key=places.__getitem__))
    cuts = [0, *itertools.chain.from_iterable((x, x + 8) for x in sorted(places)), len(call)]
    plan.fields = [bytes(call[a:b]) for a, b in itertools.pairwise(cuts)]
    plan.pack = struct.Struct("=" + "Q".join(f"{len(x)}s" for x in plan.fields[::2])).pack
    return plan


def _in_elements(
    op: Operator,
    array: _operators.Array,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
) -> tuple[list[int], list[int]] | None:
    """The sizes and strides in elements, as in C; None where the library cannot read such an array.
    Leading dimensions become one."""
    steps, is_empty = [x // dtype.itemsize for x in strides], 0 in shape
    if is_empty:
        steps = [0 for _ in shape]
    elif not dtype.isnative or any(x % dtype.itemsize for x in strides):
        return None
    elif array.has_adjacent_channels and shape[-1] > 1 and steps[-1] != 1:
        return None
    sizes = list(shape)
    if array.is_grouped:
        count = len(shape) - len(array.shape) + 1
        leading = [(size, step) for size, step in zip(sizes[:count], steps) if size != 1]
        if any(a[1] != b[0] * b[1] for a, b in itertools.pairwise(leading)) and not is_empty:
            return None
        sizes[:count] = [math.prod(sizes[:count])]
        steps[:count] = [leading[-1][1] if leading else 0]
    if op.takes_features and array.shape:
        sizes.insert(1, 1)
        steps.insert(1, 0)
    return sizes, steps
