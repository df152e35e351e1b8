"""The struct of a call of the C interface, made once: what a call costs without any door."""

import ctypes
import struct

from osc._operators import DTYPES, TABLE


def prepared(name, addresses, shapes, **options):
    """A call of the operator on contiguous float32 arrays at these addresses, by their names.
    ``shapes``: those of the inputs."""
    operator = TABLE[name]
    call = bytearray(operator.struct_size)
    struct.pack_into("N", call, 0, len(call))
    keeps = []
    for array in operator.arrays:
        if array.name not in addresses:
            continue
        sizes = (ctypes.c_int64 * len(shapes.get(array.name, ())))(*shapes.get(array.name, ()))
        keeps.append(sizes)
        place, dtype = operator.offset(array), DTYPES.index(array.dtype or "float32")
        where = ctypes.addressof(sizes) if len(sizes) else 0
        struct.pack_into("PPPii", call, place, addresses[array.name], where, 0, len(sizes), dtype)
    for option, value in options.items():
        struct.pack_into("P", call, getattr(operator, option + "_offset"), value)
    struct_of_call, run = bytes(call), operator.run

    def prepared_call():
        run(struct_of_call)

    prepared_call.keeps = keeps
    return prepared_call
