"""The operators that assign: what they demand and give. Elsewhere than on the CPU they are
callbacks to the host."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from . import _jax_checks, _jax_formulas, _library
from ._jax_operators import Arrays, Operator, call


def match_slots(f: Any, eps: Any) -> jax.Array:
    slots = _jax_checks.slots("f", f)
    results = call(_MATCH_SLOTS, (("eps", _library.positive("eps", eps)),), slots)
    (matching,) = _indices(*results)
    return matching


def linear_sum_assignment(cost: Any, maximize: Any) -> tuple[jax.Array, jax.Array]:
    costs = _jax_checks.floats("cost", cost)
    if costs.ndim < 2:
        raise ValueError(f"cost has shape {costs.shape}; wanted [..., R, K]")
    if not isinstance(maximize, (bool, np.bool_)):
        raise TypeError(
            f"maximize is {maximize!r}; wanted True or False{_library.static_hint(maximize)}"
        )
    results = call(_LINEAR_SUM_ASSIGNMENT, (("maximize", bool(maximize)),), costs)
    col4row, row4col = _indices(*results)
    return col4row, row4col


def _indices(*halves: jax.Array) -> Arrays:
    indices: Arrays = _low_halves(*halves)
    return indices


@jax.jit
def _low_halves(*halves: jax.Array) -> Arrays:  # They have the sign, too.
    return tuple(half[..., 0].astype(int) for half in halves)


def _match_shapes(f: jax.Array, *, eps: float) -> tuple[Any, ...]:
    rows, slots, _ = f.shape
    return (_jax_formulas.index_shape(rows // 2, slots),)


def _match_formula(f: jax.Array, *, eps: float) -> Arrays:
    return (_jax_formulas.match(f, eps),)


def _assignment_shapes(cost: jax.Array, *, maximize: bool) -> tuple[Any, ...]:
    *batch, rows, columns = cost.shape
    return _jax_formulas.index_shape(*batch, rows), _jax_formulas.index_shape(*batch, columns)


def _assignment_formula(cost: jax.Array, *, maximize: bool) -> Arrays:
    assignments: Arrays = jax.pure_callback(
        functools.partial(_jax_formulas.assign_on_host, maximize=maximize),
        _assignment_shapes(cost, maximize=maximize),
        cost,
        vmap_method="broadcast_all",
    )
    return assignments


_MATCH_SLOTS = Operator("match_slots", _match_shapes, _match_formula)
_LINEAR_SUM_ASSIGNMENT = Operator("linear_sum_assignment", _assignment_shapes, _assignment_formula)
