"""What the tests of osc.jax share: inputs, and a table of the losses of one array."""

import re

import numpy as np
import pytest

import osc

# Of every test of osc.jax: nothing that it uses of JAX is deprecated.
NO_DEPRECATIONS = [
    pytest.mark.filterwarnings(f"error::{category}")
    for category in ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
]

jax = pytest.importorskip("jax")
jnp = jax.numpy


def calls_of(operator, program):
    """Of each custom call of the operator in the text of a program: whether it is backward."""
    custom_call = rf'custom_call @osc_call\(.*backward = (true|false).*operator = "{operator}"'
    return [found == "true" for found in re.findall(custom_call, program)]


def gaussian(*shape, dtype="float64", seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


F = np.random.default_rng(9).standard_normal((6, 4, 6))
F_LARGE = np.random.default_rng(9).standard_normal((3, 2, 5, 6))
FEATS = np.random.default_rng(9).standard_normal((24, 6))
# By name: the loss of the last array, its equal in NumPy (with the gradient last), and the shape of
# that array.
LOSSES = {
    "similarity": (
        lambda x, r: osc.jax.matching_similarity_loss_per_img(jnp.asarray(F, x.dtype), x, r),
        lambda x, r: osc.numpy.matching_similarity_loss_per_img(
            F.astype(x.dtype), x, r, with_grad=True
        ),
        (6, 4, 6),
    ),
    "contrastive": (
        lambda x, r: osc.jax.matching_contrastive_loss(x, 0.3, r),
        lambda x, r: osc.numpy.matching_contrastive_loss(x, 0.3, r, with_grad=True),
        (6, 4, 6),
    ),
    "contrastive, image": (
        lambda x, r: osc.jax.matching_contrastive_loss_per_img(x, 0.3, r),
        lambda x, r: osc.numpy.matching_contrastive_loss_per_img(x, 0.3, r, with_grad=True),
        (6, 4, 6),
    ),
    "SimCLR": (
        lambda x, r: osc.jax.contrastive_loss(x, 0.3, r)[0],
        lambda x, r: osc.numpy.contrastive_loss(x, 0.3, r, with_grad=True),
        (24, 6),
    ),
    "SimSiam": (
        lambda x, r: osc.jax.cosine_sim_loss(jnp.asarray(FEATS, x.dtype), x, r),
        lambda x, r: osc.numpy.cosine_sim_loss(FEATS.astype(x.dtype), x, r, with_grad=True),
        (24, 6),
    ),
    "small to large": (
        lambda x, r: osc.jax.matching_similarity_loss_small_to_large(
            jnp.asarray(F_LARGE, x.dtype), x, r
        )[0],
        lambda x, r: osc.numpy.matching_similarity_loss_small_to_large(
            F_LARGE.astype(x.dtype), x, r, with_grad=True
        ),
        (3, 4, 3, 6),
    ),
    "variance": (
        lambda x, r: osc.jax.variance_covariance_loss(x)[0],
        lambda x, r: osc.numpy.variance_covariance_loss(x, with_grad=True)[::2],
        (2, 7, 6),
    ),
    "covariance": (
        lambda x, r: osc.jax.variance_covariance_loss(x)[1],
        lambda x, r: osc.numpy.variance_covariance_loss(x, with_grad=True)[1::2],
        (2, 7, 6),
    ),
}
