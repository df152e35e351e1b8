"""A projection head learns, by gradient steps in JAX, to map the slots of one view to their matches
in the other."""

import jax
import jax.numpy as jnp

import osc.jax


def objective(head, slots):  # slots: [2B, S, C]
    return osc.jax.matching_similarity_loss_per_img(
        slots, jnp.tanh(slots @ head["first"]) @ head["second"]
    )


@jax.jit
def step(head, slots):
    loss, gradient = jax.value_and_grad(objective)(head, slots)
    return loss, jax.tree.map(lambda weight, slope: weight - 2.0 * slope, head, gradient)


images, slots, channels = 32, 6, 16
keys = jax.random.split(jax.random.key(0), 5)
objects = jax.random.normal(keys[0], (images, slots, channels))
# in another order, and noisy
other_view = jax.random.permutation(keys[1], objects, axis=1) + 0.3 * jax.random.normal(
    keys[2], objects.shape
)
batch = jnp.concatenate([objects, other_view])
head = {
    "first": jax.random.normal(keys[3], (channels, 64)) / 4,
    "second": jax.random.normal(keys[4], (64, channels)) / 8,
}

first = last = objective(head, batch)
for _ in range(100):
    last, head = step(head, batch)
print(f"loss {first:.3f} before, {last:.3f} after 100 steps")
assert last < 0.2 < first
