"""Exact batched linear sum assignment, and the losses of matched object slots and of whole images.

The arithmetic is in a shared library beside this file, reached through its C interface. Nothing
heavy is imported before it is used: neither NumPy nor PyTorch nor the library itself is loaded by
``import osc``.

Functions
---------
linear_sum_assignment(cost, maximize=False)
    Optimal assignments of a batch of cost matrices.
match_slots(f)
    The optimal matching of the slots of two views of each image. Both take NumPy arrays and PyTorch
    tensors.
osc.loss_objects
    The losses of matched slots on PyTorch tensors, differentiable.
osc.loss_global
    The losses of whole images on PyTorch tensors, differentiable.
osc.numpy
    All of them on NumPy arrays, with their gradients.
osc.jax
    All of them, and the two functions above, on JAX arrays, under jit, vmap and grad.
instruction_set(), set_instruction_set(name)
    Which kernels run, and a way to force others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import jax, numpy
    from . import loss_global as loss_global
    from . import loss_objects as loss_objects
    from ._assignment import linear_sum_assignment, match_slots
    from ._library import instruction_set, set_instruction_set

    __version__: str

__all__ = [
    "__version__",
    "instruction_set",
    "jax",
    "linear_sum_assignment",
    "match_slots",
    "numpy",
    "set_instruction_set",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = importlib.import_module("._library", __name__).version()
    elif name in ("linear_sum_assignment", "match_slots"):
        value = getattr(importlib.import_module("._assignment", __name__), name)
    elif name in ("instruction_set", "set_instruction_set"):
        value = getattr(importlib.import_module("._library", __name__), name)
    elif name in ("jax", "loss_global", "loss_objects", "numpy"):
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
