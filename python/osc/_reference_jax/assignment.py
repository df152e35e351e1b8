"""The assignments, which are made on the host, by a callback."""

from __future__ import annotations

import functools
from typing import Any

import jax

from . import assign_on_host, index_shape, match


class MatchSlots:
    OPERATOR = "match_slots"

    @staticmethod
    def results(options: Any, slots: jax.Array) -> tuple[jax.Array]:
        return (match(slots, options.eps),)


class LinearSumAssignment:
    OPERATOR = "linear_sum_assignment"

    @staticmethod
    def results(options: Any, cost: jax.Array) -> tuple[jax.Array, jax.Array]:
        problems, rows, columns = cost.shape
        assignments: tuple[jax.Array, jax.Array] = jax.pure_callback(
            functools.partial(assign_on_host, maximize=options.maximize),
            (index_shape(problems, rows), index_shape(problems, columns)),
            cost,
            vmap_method="broadcast_all",
        )
        return assignments
