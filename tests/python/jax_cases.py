"""What the tests of osc.jax share: inputs, and the losses of one array."""

import re

import numpy as np
import pytest
from conformance import CASES

import osc

# Marks of every test of osc.jax: the use of a deprecated part of JAX is an error.
NO_DEPRECATIONS = [
    pytest.mark.filterwarnings(f"error::{category}")
    for category in ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
]

jax = pytest.importorskip("jax")
jnp = jax.numpy


def calls_of(operator, program):
    """For each custom call of the operator in the text of a program, whether it is backward."""
    custom_call = rf'custom_call @osc_call\(.*backward = (true|false).*operator = "{operator}"'
    return [found == "true" for found in re.findall(custom_call, program)]


def gaussian(*shape, dtype="float64", seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def _loss_of_last(case):
    constants = case.arrays(seed=9)[:-1]

    def loss(last, reduction):
        options = {"reduction": reduction} if case.takes_reduction else {}
        arrays = (*(jnp.asarray(x, last.dtype) for x in constants), last)
        got = getattr(osc.jax, case.function)(*arrays, **dict(case.options), **options)
        return got[case.result] if isinstance(got, tuple) else got

    return loss


# By name: the loss of the last array, and the shape of that array.
LOSSES = {case.name: (_loss_of_last(case), case.shapes[0][-1]) for case in CASES}
OPERATORS = ["similarity", "contrastive", "contrastive, image", "small to large", "variance"]
