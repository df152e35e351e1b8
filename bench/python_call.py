"""What Python adds to a call on small slots, [2B, S, C] = [4, 3, 8], where the arithmetic takes
less than a microsecond.

    .venv/bin/python bench/python_call.py

    library   the function of the C interface, through ctypes, with its struct made beforehand
    osc       the functions of the package; JAX compiled beforehand, where it is installed

Prints microseconds a call, the least of 15 turns.
"""

import timeit

import numpy as np
from prepared_call import prepared

import osc
import osc.numpy


def microseconds(call):
    call()
    return 1e6 * min(timeit.repeat(call, number=2000, repeat=15)) / 2000


def main():
    f, p = np.random.default_rng(0).standard_normal((2, 4, 3, 8)).astype(np.float32)
    results = [np.empty((), np.float32), np.empty_like(p)]
    arrays = dict(zip(("f", "p", "loss", "grad_p"), (f, p, *results)))
    library = prepared(
        "matching_similarity_loss_per_img",
        {name: array.ctypes.data for name, array in arrays.items()},
        {name: array.shape for name, array in arrays.items()},
    )
    costs = f[:3, :, :3].astype(np.float64)
    ways = {
        "library: loss and gradient": library,
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
