"""Exact solutions of linear equations over an interval, by the functions of exponential methods."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Block = Float[Array, "n lanes"]


def relaxed(gap: Float[Array, ""], value: Block, old_drive: Block, old_pull: Block, drive: Block, pull: Block) -> Block:
    """Solve `p' = drive - pull p` over an interval, its pull at the mean of both ends and its drive linear in time."""
    phi = phi_functions(0.5 * (old_pull + pull) * gap)
    return phi.decay * value + gap * (phi.mean * old_drive + phi.ramp * (drive - old_drive))


class Phi(NamedTuple):
    """Functions of an exponential method at x: e^-x, (1 - e^-x) / x, and (x - 1 + e^-x) / x^2."""

    decay: Block
    mean: Block
    ramp: Block


def phi_functions(x: Block) -> Phi:
    """Evaluate them, by their series near 0."""
    decay = jnp.exp(-x)
    mean = jnp.where(x < 1e-5, 1.0 - 0.5 * x, (1.0 - decay) / jnp.maximum(x, 1e-5))
    ramp = jnp.where(x < 1e-3, 0.5 - x / 6.0, (1.0 - mean) / jnp.maximum(x, 1e-3))
    return Phi(decay, mean, ramp)
