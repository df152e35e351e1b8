"""What Python adds to a call on small slots, [2B, S, C] = [4, 3, 8], where the arithmetic takes
less than a microsecond.

    .venv/bin/python bench/python_call.py

    library   the function of the C interface, through ctypes, with its struct made beforehand
    osc       the functions of the package; JAX compiled beforehand, where it is installed

Prints microseconds a call, the least of 15 turns.
"""

import ctypes
import struct
import timeit

import numpy as np

import osc
import osc.numpy
from osc._operators import DTYPES, TABLE

FLOAT32 = DTYPES.index("float32")


def microseconds(call):
    call()
    return 1e6 * min(timeit.repeat(call, number=2000, repeat=15)) / 2000


def main():
    f, p = np.random.default_rng(0).standard_normal((2, 4, 3, 8)).astype(np.float32)
    operator = TABLE["matching_similarity_loss_per_img"]
    sizes = (ctypes.c_int64 * 3)(*f.shape)
    results = [np.empty((), np.float32), np.empty_like(p)]
    call = bytearray(operator.struct_size)
    struct.pack_into("N", call, 0, len(call))
    for name, array in zip(("f", "p", "loss", "grad_p"), (f, p, *results)):
        offset = operator.offset(operator.array(name))
        struct.pack_into("PP", call, offset, array.ctypes.data, ctypes.addressof(sizes))
        struct.pack_into("ii", call, offset + struct.calcsize("PPP"), array.ndim, FLOAT32)
    prepared = bytes(call)
    costs = f[:3, :, :3].astype(np.float64)
    ways = {
        "library: loss and gradient": lambda: operator.run(prepared),
        "osc.numpy: loss and gradient": lambda: osc.numpy.matching_similarity_loss_per_img(
            f, p, with_grad=True
        ),
        "osc.numpy: loss": lambda: osc.numpy.matching_similarity_loss_per_img(f, p),
        "osc.match_slots": lambda: osc.match_slots(f),
        "osc.linear_sum_assignment, three of 3 x 3": lambda: osc.linear_sum_assignment(costs),
    }
    try:
        import jax
    except ImportError:
        pass
    else:
        step = jax.jit(jax.value_and_grad(osc.jax.matching_similarity_loss_per_img, argnums=1))
        nothing = jax.jit(lambda f, p: (p.sum(), p))
        on_device = jax.device_put((f, p))
        ways["osc.jax: loss and gradient, jit"] = lambda: jax.block_until_ready(step(*on_device))
        ways["JAX: a sum, jit"] = lambda: jax.block_until_ready(nothing(*on_device))
    for name, call in ways.items():
        print(f"{name:45} {microseconds(call):6.2f}")


if __name__ == "__main__":
    main()
