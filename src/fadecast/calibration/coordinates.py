"""Coordinates in which a posterior is about round: what paths through it are measured in."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Density = Callable[[Float[Array, " cells"], Float[Array, " n"]], Array]
"""Log density by how much is known of each cell, 0 to 1, and place."""
_SHRINKAGE = 0.2


class Round(NamedTuple):
    """Coordinates in which a posterior is about round, and of width 1."""

    middle: Float[Array, " n"]
    wide: Float[Array, "n n"]


def spread_of(
    z: Float[np.ndarray, "chains draws n"], wide: Array, weights: Float[np.ndarray, "chains draws"] | None = None
) -> Round:
    """Return the mean of draws, and a matrix that makes their covariance 1; `wide` is one that does so about."""
    flat = z.reshape(-1, z.shape[-1])
    each = None if weights is None else weights.ravel()
    middle = np.average(flat, axis=0, weights=each)
    there = np.linalg.solve(np.asarray(wide), (flat - middle).T)
    covariance = np.cov(there, aweights=each)
    # Few draws see all directions: what they say of pairs is taken back a little, where that is said of round ones.
    shrunk = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance))
    return Round(jnp.asarray(middle), wide @ jnp.asarray(np.linalg.cholesky(shrunk)))
